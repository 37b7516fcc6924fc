/* The kernels for AVX2 with FMA and F16C. Every sum runs in the eight lanes of one register, in
 * order of k, and ends in the same tree; blocks of rows and weight rows only change how many such
 * registers are busy at once. Tails are loaded under a mask and take the same path as full
 * registers. */
#include "cpu/cpu_kernels.h"

#if defined(__x86_64__)

#include <math.h>

#include "cpu/cpu_lanes_avx2.h"

enum {
    ROWS = 4, /* rows of one block of a product */
    OUTS = 4  /* weight rows */
};

/* Into L2. An address behind the matrix does no harm: a fetch never faults. */
INLINE void fetch(const uint16_t *w)
{
    _mm_prefetch((const char *)w, _MM_HINT_T1);
}

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

const soti_cpu_kernels soti_cpu_kernels_avx2 = {
    .isa = "avx2",
    .pack = soti_cpu_pack_rows,
    .product = product,
    .norm = norm,
    .swiglu = swiglu,
    .widen = widen,
    .narrow = narrow,
    .attention = &soti_cpu_attention_avx2,
};

#endif
