/* What the AVX2 files share: masks for tails, halves to floats, sums over lanes, exponentials. Only
 * for files that are compiled with AVX2, FMA and F16C. */
#ifndef SOTI_CPU_CPU_LANES_AVX2_H
#define SOTI_CPU_CPU_LANES_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 8 };

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Keeps a loaded value in its register: the compiler would rather load it anew for every use, and
 * loads, not multiplications, would then set the pace. */
#define HOLD(value) __asm__("" : "+x"(value))

/* The first n of eight lanes. */
INLINE __m256i lane_mask(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE __m256 load_halves(const uint16_t *in)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)in));
}

INLINE __m256 load_some_halves(const uint16_t *in, size_t n)
{
    uint16_t some[LANES] = {0};
    memcpy(some, in, n * sizeof some[0]);
    return load_halves(some);
}

INLINE float sum_lanes(__m256 lanes)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* e^x with a relative error below 2 units in the last place (2.4e-7) for -87.3 <= x <= 88.3; below,
 * 0; above, e^88.3. NaN stays NaN. x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor polynomial of
 * degree 7 in r, whose remainder is under 2^-27. */
INLINE __m256 exp_lanes(__m256 x)
{
    const __m256 low = _mm256_set1_ps(-87.3f);
    __m256 is_zero = _mm256_cmp_ps(x, low, _CMP_LT_OQ);
    x = _mm256_min_ps(_mm256_set1_ps(88.3f), x); /* the second operand if one is NaN */
    x = _mm256_max_ps(low, x);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    __m256 power = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    __m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_andnot_ps(is_zero, power), x, is_nan);
}

#endif
