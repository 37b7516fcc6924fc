/* The kernels for AVX-512 (F, BW, DQ, VL). A sum of a product runs in the sixteen lanes of one
 * register, in order of k; blocks of any size end in the same tree of additions. Tails are loaded
 * under a mask and take the same path as full registers.
 *
 * On Zen 4 blocks of 6 x 4 reach 113 of a core's 115 GFLOP/s with weights and rows out of L2; what
 * is left to do is to have the weights there in time: cpu_panels.c.
 *
 * AMX's set, which differs in the product alone, is put together at the end. */
#include "cpu/cpu_kernels.h"
#include "cpu/cpu_kernels_amx.h"
#include "cpu/cpu_panels.h"

#if defined(__x86_64__)

#include <math.h>

#include "cpu/cpu_lanes_avx512.h"

enum {
    ROWS = 6,        /* rows of one block of a product, at most */
    OUTS = 4,        /* weight rows */
    LINE_VALUES = 32 /* FP16 values in a cache line */
};

/* n_rows and n_out are constants where this is called, so the sums stay in registers. */
INLINE void product_block(const soti_block *block, const int n_rows, const int n_out)
{
    const uint16_t *w = block->w;
    const float *x = block->x;
    size_t n_in = block->n_in;
    size_t x_stride = block->x_stride;
    const float *x3 = x + 3 * x_stride; /* few pointers, so that they stay in registers */
    __m512 sums[ROWS][OUTS];
    UNROLL
    for (int r = 0; r < ROWS; r++) {
        UNROLL
        for (int i = 0; i < OUTS; i++) {
            sums[r][i] = _mm512_setzero_ps();
        }
    }
    const uint16_t *next = block->next;
    size_t n_next = block->n_next;
    size_t k = 0;
    for (; k + LANES <= n_in; k += LANES) {
        __m512 weights[OUTS];
        UNROLL
        for (int i = 0; i < n_out; i++) {
            weights[i] = load_halves(w + (size_t)i * n_in);
        }
        if (k % LINE_VALUES == 0) {
            for (size_t i = 0; i < n_next; i++) {
                _mm_prefetch((const char *)(next + n_next * k + i * LINE_VALUES), _MM_HINT_T1);
            }
        }
        UNROLL
        for (int r = 0; r < n_rows; r++) {
            __m512 values = _mm512_loadu_ps((r < 3 ? x : x3) + (size_t)(r % 3) * x_stride);
            HOLD(values);
            UNROLL
            for (int i = 0; i < n_out; i++) {
                sums[r][i] = _mm512_fmadd_ps(weights[i], values, sums[r][i]);
            }
        }
        w += LANES;
        x += LANES;
        x3 += LANES;
    }
    if (k < n_in) {
        __mmask16 mask = lane_mask(n_in - k);
        UNROLL
        for (int i = 0; i < n_out; i++) {
            __m512 weights = load_some_halves(w + (size_t)i * n_in, mask);
            UNROLL
            for (int r = 0; r < n_rows; r++) {
                __m512 values = _mm512_maskz_loadu_ps(mask, x + (size_t)r * x_stride);
                sums[r][i] = _mm512_fmadd_ps(weights, values, sums[r][i]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_rows; r++) {
        __m128 four = sum_four(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
        _mm_mask_storeu_ps(block->out + (size_t)r * block->out_stride, (__mmask8)((1 << n_out) - 1),
                           four);
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
        ROWS_CASE(5);
        ROWS_CASE(6);
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

static const soti_block_kind blocks = {run_block, ROWS, OUTS};

static void product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                    size_t n_rows, float *out, size_t out_stride)
{
    soti_cpu_multiply(&blocks, w, n_out, n_in, packed, soti_cpu_packed_stride(n_in), n_rows, out,
                      out_stride);
}

static void widen(const uint16_t *in, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lane_mask(n - i);
        _mm512_mask_storeu_ps(out + i, mask, load_some_halves(in + i, mask));
    }
}

static void narrow(const float *in, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lane_mask(n - i);
        __m256i halves = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, in + i),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(out + i, mask, halves);
    }
}

static void norm(const float *x, const float *gain, size_t n, float eps, float *out)
{
    __m512 squares = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __m512 values = _mm512_maskz_loadu_ps(lane_mask(n - i), x + i);
        squares = _mm512_fmadd_ps(values, values, squares);
    }
    __m512 factor = _mm512_set1_ps(1.0f / sqrtf(sum_lanes(squares) / (float)n + eps));
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lane_mask(n - i);
        __m512 values = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
        values = _mm512_mul_ps(values, _mm512_maskz_loadu_ps(mask, gain + i));
        _mm512_mask_storeu_ps(out + i, mask, values);
    }
}

static void swiglu(const float *gate, const float *up, size_t n, float *out)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lane_mask(n - i);
        __m512 values = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 powers = exp_lanes(_mm512_sub_ps(_mm512_setzero_ps(), values));
        __m512 silu = _mm512_div_ps(values, _mm512_add_ps(one, powers));
        _mm512_mask_storeu_ps(out + i, mask,
                              _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

const soti_cpu_kernels soti_cpu_kernels_avx512 = {
    .isa = "avx512",
    .pack = soti_cpu_pack_rows,
    .product = product,
    .norm = norm,
    .swiglu = swiglu,
    .widen = widen,
    .narrow = narrow,
    .attention = &soti_cpu_attention_avx512,
};

const soti_cpu_kernels soti_cpu_kernels_amx = {
    .isa = "amx",
    .pack = soti_cpu_amx_pack,
    .product = soti_cpu_amx_product,
    .norm = norm,
    .swiglu = swiglu,
    .widen = widen,
    .narrow = narrow,
    .attention = &soti_cpu_attention_avx512,
};

#endif
