/* What the AVX-512 files share: masks for tails, halves to floats, sums over lanes, exponentials.
 * Only for files that are compiled with AVX-512 F, BW, DQ and VL. */
#ifndef SOTI_CPU_CPU_LANES_AVX512_H
#define SOTI_CPU_CPU_LANES_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 16 };

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Keeps a loaded value in its register: the compiler would rather load it anew for every use, and
 * loads, not multiplications, would then set the pace. */
#define HOLD(value) __asm__("" : "+v"(value))

/* The first n of sixteen lanes. */
INLINE __mmask16 lane_mask(size_t n)
{
    return (__mmask16)(n < LANES ? (1u << n) - 1 : 0xFFFFu);
}

INLINE __m512 load_halves(const uint16_t *in)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)in));
}

INLINE __m512 load_some_halves(const uint16_t *in, __mmask16 mask)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, in));
}

INLINE __m256 fold(__m512 lanes)
{
    return _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
}

/* The sums of four registers' lanes, each in the same order wherever it stands. */
INLINE __m128 sum_four(__m512 a, __m512 b, __m512 c, __m512 d)
{
    __m256 a2 = fold(a);
    __m256 b2 = fold(b);
    __m256 c2 = fold(c);
    __m256 d2 = fold(d);
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a2, b2), _mm256_unpackhi_ps(a2, b2));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c2, d2), _mm256_unpackhi_ps(c2, d2));
    __m256 abcd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    return _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1));
}

INLINE float sum_lanes(__m512 lanes)
{
    __m512 zero = _mm512_setzero_ps();
    return _mm_cvtss_f32(sum_four(lanes, zero, zero, zero));
}

/* e^x with a relative error below 2 units in the last place (2.4e-7) for -87.3 <= x <= 88.3; below,
 * 0; above, e^88.3. NaN stays NaN. x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor polynomial of
 * degree 7 in r, whose remainder is under 2^-27. */
INLINE __m512 exp_lanes(__m512 x)
{
    const __m512 low = _mm512_set1_ps(-87.3f);
    __mmask16 is_kept = _mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ); /* NaN too */
    x = _mm512_min_ps(_mm512_set1_ps(88.3f), x); /* the second operand if one is NaN */
    x = _mm512_max_ps(low, x);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(is_kept, p, n);
}

#endif
