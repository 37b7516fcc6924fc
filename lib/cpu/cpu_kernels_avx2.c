/* The kernels for AVX2 with FMA and F16C. Every sum runs in the eight lanes of one register, in
 * order of k, and ends in the same tree; blocks of rows and weight rows only change how many such
 * registers are busy at once. Tails are loaded under a mask and take the same path as full
 * registers. */
#include "cpu/cpu_kernels.h"
#include "cpu/cpu_panels.h"

#if defined(__x86_64__)

#include <math.h>

#include "cpu/cpu_lanes_avx2.h"

enum {
    ROWS = 4,        /* rows of one block of a product, at most */
    OUTS = 3,        /* weight rows */
    LINE_VALUES = 32 /* FP16 values in a cache line */
};

/* n_rows and n_out are constants where this is called, so the sums stay in registers. */
INLINE void product_block(const soti_block *block, const int n_rows, const int n_out)
{
    const uint16_t *w = block->w;
    const float *x = block->x;
    size_t n_in = block->n_in;
    size_t x_stride = block->x_stride;
    __m256 sums[ROWS][OUTS];
    UNROLL
    for (int r = 0; r < n_rows; r++) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            sums[r][i] = _mm256_setzero_ps();
        }
    }
    const uint16_t *next = block->next;
    size_t n_next = block->n_next;
    size_t k = 0;
    for (; k + LANES <= n_in; k += LANES) {
        __m256 weights[OUTS];
        UNROLL
        for (int i = 0; i < n_out; i++) {
            weights[i] = load_halves(w + (size_t)i * n_in + k);
        }
        if (k % LINE_VALUES == 0) {
            for (size_t i = 0; i < n_next; i++) {
                _mm_prefetch((const char *)(next + n_next * k + i * LINE_VALUES), _MM_HINT_T1);
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
            block->out[(size_t)r * block->out_stride + (size_t)i] = sum_lanes(sums[r][i]);
        }
    }
}

#define ROWS_CASE(n)                                                                               \
    case n:                                                                                        \
        product_block(block, n, n_out);                                                            \
        break

INLINE void product_rows(const soti_block *block, const int n_out)
{
    switch (block->n_rows) {
        ROWS_CASE(1);
        ROWS_CASE(2);
        ROWS_CASE(3);
        ROWS_CASE(4);
    }
}

static void run_block(const soti_block *block)
{
    if (block->n_out == OUTS) {
        product_rows(block, OUTS);
    } else {
        product_rows(block, 1);
    }
}

/* Enough sums at once to hide a multiplication's latency, few enough for sixteen registers: on Zen
 * 4 blocks of 4 x 3 reach 105 GFLOP/s out of L2, 6 x 2 reach 97, 4 x 2 reach 85. */
static const soti_block_kind blocks = {run_block, ROWS, OUTS};

static void product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                    size_t n_rows, float *out, size_t out_stride)
{
    soti_cpu_multiply(&blocks, w, n_out, n_in, packed, soti_cpu_packed_stride(n_in), n_rows, out,
                      out_stride);
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
