/* The kernels for AVX2 with FMA and F16C. Every sum runs in the eight lanes of one register, in
 * order of k, and ends in the same tree; blocks of rows and weight rows only change how many such
 * registers are busy at once. Tails are loaded under a mask and take the same path as full
 * registers. */
#include "cpu/cpu_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum {
    LANES = 8,
    ROWS = 4, /* rows of one block of a product */
    OUTS = 4  /* weight rows */
};

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

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

/* Into L2. An address behind the matrix does no harm: a fetch never faults. */
INLINE void fetch(const uint16_t *w)
{
    _mm_prefetch((const char *)w, _MM_HINT_T1);
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

/* Keeps a loaded value in its register: the compiler would rather load it anew for every use, and
 * loads, not multiplications, would then set the pace. */
#define HOLD(value) __asm__("" : "+x"(value))

/* n_rows, n_out and fetches are constants where this is called, so the sums stay in registers.
 * fetches: the weights come from memory, so those of the next block are asked for while this one is
 * at work. */
INLINE void product_block(const uint16_t *w, size_t n_in, const float *x, size_t x_stride,
                          float *out, size_t out_stride, const int n_rows, const int n_out,
                          const int fetches)
{
    __m256 sums[ROWS][OUTS];
    UNROLL
    for (int r = 0; r < n_rows; r++) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            sums[r][i] = _mm256_setzero_ps();
        }
    }
    size_t k = 0;
    for (; k + LANES <= n_in; k += LANES) {
        __m256 weights[OUTS];
        UNROLL
        for (int i = 0; i < n_out; i++) {
            weights[i] = load_halves(w + (size_t)i * n_in + k);
            if (fetches) {
                fetch(w + (size_t)(i + n_out) * n_in + k);
            }
        }
        UNROLL
        for (int r = 0; r < n_rows; r++) {
            __m256 values = _mm256_loadu_ps(x + (size_t)r * x_stride + k);
            HOLD(values);
            UNROLL
            for (int i = 0; i < n_out; i++) {
                sums[r][i] = _mm256_fmadd_ps(weights[i], values, sums[r][i]);
            }
        }
    }
    if (k < n_in) {
        __m256i mask = lane_mask(n_in - k);
        UNROLL
        for (int i = 0; i < n_out; i++) {
            __m256 weights = load_some_halves(w + (size_t)i * n_in + k, n_in - k);
            UNROLL
            for (int r = 0; r < n_rows; r++) {
                __m256 values = _mm256_maskload_ps(x + (size_t)r * x_stride + k, mask);
                sums[r][i] = _mm256_fmadd_ps(weights, values, sums[r][i]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_rows; r++) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            out[(size_t)r * out_stride + (size_t)i] = sum_lanes(sums[r][i]);
        }
    }
}

/* n_rows rows against all n_out weight rows, n_block of them at once; four left over go as two and
 * two rather than three and one. */
INLINE void product_rows(const uint16_t *w, size_t n_out, size_t n_in, const float *x,
                         size_t x_stride, float *out, size_t out_stride, const int n_rows,
                         const int n_block, const int fetches)
{
    size_t n = (size_t)n_block;
    size_t i = 0;
    for (; i + n <= n_out && !(n == 3 && n_out - i == 4); i += n) {
        product_block(w + i * n_in, n_in, x, x_stride, out + i, out_stride, n_rows, n_block,
                      fetches);
    }
    for (; i + 2 <= n_out; i += 2) {
        product_block(w + i * n_in, n_in, x, x_stride, out + i, out_stride, n_rows, 2, fetches);
    }
    if (i < n_out) {
        product_block(w + i * n_in, n_in, x, x_stride, out + i, out_stride, n_rows, 1, fetches);
    }
}

/* Enough sums at once to hide a multiplication's latency, few enough for sixteen registers: on Zen
 * 4 blocks of 4 x 3 reach 105 GFLOP/s out of L2, 6 x 2 reach 97, 4 x 2 reach 85. Only the first
 * rows find the weights in memory; those after them, in L2. */
static void multiply(const uint16_t *w, size_t n_out, size_t n_in, const float *x, size_t x_stride,
                     size_t n_rows, float *out, size_t out_stride)
{
    if (n_rows >= ROWS) {
        product_rows(w, n_out, n_in, x, x_stride, out, out_stride, ROWS, 3, 1);
    }
    size_t r = ROWS;
    for (; r + ROWS <= n_rows; r += ROWS) {
        product_rows(w, n_out, n_in, x + r * x_stride, x_stride, out + r * out_stride, out_stride,
                     ROWS, 3, 0);
    }
    r = n_rows - n_rows % ROWS;
    x += r * x_stride;
    out += r * out_stride;
    if (n_rows - r == 3) {
        product_rows(w, n_out, n_in, x, x_stride, out, out_stride, 3, 3, 1);
    } else if (n_rows - r == 2) {
        product_rows(w, n_out, n_in, x, x_stride, out, out_stride, 2, OUTS, 1);
    } else if (n_rows - r == 1) {
        product_rows(w, n_out, n_in, x, x_stride, out, out_stride, 1, OUTS, 1);
    }
}

static void product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                    size_t n_rows, float *out, size_t out_stride)
{
    multiply(w, n_out, n_in, packed, soti_cpu_packed_stride(n_in), n_rows, out, out_stride);
}

static void scores(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                   size_t n_queries, float *out)
{
    multiply(keys, n, d_head, queries, d_head, n_queries, out, SOTI_PAGE_TOKENS);
}

static void widen(const uint16_t *in, size_t n, float *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        _mm256_storeu_ps(out + i, load_halves(in + i));
    }
    if (i < n) {
        _mm256_maskstore_ps(out + i, lane_mask(n - i), load_some_halves(in + i, n - i));
    }
}

static void narrow(const float *in, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t n_some = n - i < LANES ? n - i : LANES;
        uint16_t some[LANES];
        __m256 values = _mm256_maskload_ps(in + i, lane_mask(n_some));
        _mm_storeu_si128((__m128i *)(void *)some,
                         _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        memcpy(out + i, some, n_some * sizeof some[0]);
    }
}

static void norm(const float *x, const float *gain, size_t n, float eps, float *out)
{
    __m256 squares = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 values = _mm256_loadu_ps(x + i);
        squares = _mm256_fmadd_ps(values, values, squares);
    }
    if (i < n) {
        __m256 values = _mm256_maskload_ps(x + i, lane_mask(n - i));
        squares = _mm256_fmadd_ps(values, values, squares);
    }
    float factor = 1.0f / sqrtf(sum_lanes(squares) / (float)n + eps);
    for (i = 0; i < n; i++) {
        out[i] = x[i] * factor * gain[i];
    }
}

static void swiglu(const float *gate, const float *up, size_t n, float *out)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        __m256i mask = lane_mask(n - i < LANES ? n - i : LANES);
        __m256 values = _mm256_maskload_ps(gate + i, mask);
        __m256 powers = exp_lanes(_mm256_sub_ps(_mm256_setzero_ps(), values));
        __m256 silu = _mm256_div_ps(values, _mm256_add_ps(one, powers));
        _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(silu, _mm256_maskload_ps(up + i, mask)));
    }
}

/* Lanes behind the n-th hold -infinity: they win no maximum and add exp(-infinity) = 0. */
static float page_softmax(float *scores, size_t n, soti_softmax *state)
{
    const __m256 none = _mm256_set1_ps(-INFINITY);
    __m256i mask0 = lane_mask(n);
    __m256i mask1 = lane_mask(n > LANES ? n - LANES : 0);
    __m256 part0 =
        _mm256_blendv_ps(none, _mm256_maskload_ps(scores, mask0), _mm256_castsi256_ps(mask0));
    __m256 part1 = _mm256_blendv_ps(none, _mm256_maskload_ps(scores + LANES, mask1),
                                    _mm256_castsi256_ps(mask1));
    __m256 most = _mm256_max_ps(part0, part1);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    float largest = _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
    largest = largest > state->largest ? largest : state->largest;

    __m256 shift = _mm256_set1_ps(largest);
    part0 = exp_lanes(_mm256_sub_ps(part0, shift));
    part1 = exp_lanes(_mm256_sub_ps(part1, shift));
    _mm256_maskstore_ps(scores, mask0, part0);
    _mm256_maskstore_ps(scores + LANES, mask1, part1);
    float factor = _mm256_cvtss_f32(exp_lanes(_mm256_set1_ps(state->largest - largest)));
    state->largest = largest;
    state->sum = state->sum * factor + sum_lanes(_mm256_add_ps(part0, part1));
    return factor;
}

/* n_parts registers of the sum, all n positions. */
INLINE void add_values(const float *weights, size_t n, const float *values, size_t d_head,
                       float factor, float *sum, const int n_parts)
{
    __m256 parts[8];
    UNROLL
    for (int p = 0; p < n_parts; p++) {
        parts[p] = _mm256_mul_ps(_mm256_loadu_ps(sum + LANES * p), _mm256_set1_ps(factor));
    }
    for (size_t j = 0; j < n; j++) {
        __m256 weight = _mm256_broadcast_ss(weights + j);
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            parts[p] =
                _mm256_fmadd_ps(weight, _mm256_loadu_ps(values + j * d_head + LANES * p), parts[p]);
        }
    }
    UNROLL
    for (int p = 0; p < n_parts; p++) {
        _mm256_storeu_ps(sum + LANES * p, parts[p]);
    }
}

static void page_values(const float *weights, size_t n, const float *values, size_t d_head,
                        float factor, float *sum)
{
    size_t i = 0;
    for (; i + 8 * LANES <= d_head; i += 8 * LANES) {
        add_values(weights, n, values + i, d_head, factor, sum + i, 8);
    }
    for (; i + LANES <= d_head; i += LANES) {
        add_values(weights, n, values + i, d_head, factor, sum + i, 1);
    }
    if (i < d_head) {
        __m256i mask = lane_mask(d_head - i);
        __m256 part = _mm256_mul_ps(_mm256_maskload_ps(sum + i, mask), _mm256_set1_ps(factor));
        for (size_t j = 0; j < n; j++) {
            part = _mm256_fmadd_ps(_mm256_broadcast_ss(weights + j),
                                   _mm256_maskload_ps(values + j * d_head + i, mask), part);
        }
        _mm256_maskstore_ps(sum + i, mask, part);
    }
}

const soti_cpu_kernels soti_cpu_kernels_avx2 = {
    .isa = "avx2",
    .pack = soti_cpu_pack_rows,
    .product = product,
    .scores = scores,
    .norm = norm,
    .swiglu = swiglu,
    .widen = widen,
    .narrow = narrow,
    .page_softmax = page_softmax,
    .page_values = page_values,
};

#endif
