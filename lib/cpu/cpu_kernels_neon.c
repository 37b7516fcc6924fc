/* The kernels for AArch64, where NEON, fused multiplication and FP16 conversion are part of every
 * machine. Every sum runs in the four lanes of one register, in order of k, and ends in the same
 * tree; blocks of rows and weight rows only change how many such registers are busy at once. Tails
 * are loaded beside zeros and take the same path as full registers.
 *
 * Proved under qemu (tests/check.sh arm64), timed nowhere: block sizes follow from registers and
 * from counting instructions. */
#include "cpu/cpu_kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

enum {
    LANES = 4,
    ROWS = 8,    /* rows of one block of a product */
    OUTS = 8,    /* weight rows, at most */
    QUERIES = 4, /* of one block of values */
    PARTS = 4,   /* registers of a query's sum in it */
    PARTS_ALONE = 8
};

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* The first n floats; zeros in the lanes behind them. */
INLINE float32x4_t load_some(const float *in, size_t n)
{
    float some[LANES] = {0};
    if (n >= LANES) {
        return vld1q_f32(in);
    }
    memcpy(some, in, n * sizeof some[0]);
    return vld1q_f32(some);
}

INLINE void store_some(float *out, size_t n, float32x4_t values)
{
    float some[LANES];
    if (n >= LANES) {
        vst1q_f32(out, values);
        return;
    }
    vst1q_f32(some, values);
    memcpy(out, some, n * sizeof some[0]);
}

INLINE float32x4_t load_halves(const uint16_t *in)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(in)));
}

/* n < LANES */
INLINE float32x4_t load_some_halves(const uint16_t *in, size_t n)
{
    uint16_t some[LANES] = {0};
    memcpy(some, in, n * sizeof some[0]);
    return load_halves(some);
}

/* e^x with a relative error below 2 units in the last place (2.4e-7) for -87.3 <= x <= 88.3; below,
 * 0; above, e^88.3. NaN stays NaN: minimum, maximum and every operation behind them keep it, and
 * its conversion to an integer is 0. x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor polynomial of
 * degree 7 in r, whose remainder is under 2^-27. */
INLINE float32x4_t exp_lanes(float32x4_t x)
{
    const float32x4_t low = vdupq_n_f32(-87.3f);
    const float32x4_t one = vdupq_n_f32(1.0f);
    uint32x4_t is_zero = vcltq_f32(x, low);
    x = vmaxq_f32(low, vminq_f32(vdupq_n_f32(88.3f), x));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 0x1.715476p+0f));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(0x1.62e4p-1f));
    r = vfmsq_f32(r, n, vdupq_n_f32(0x1.7f7d1cp-20f));
    float32x4_t p = vdupq_n_f32(1.0f / 5040);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 720), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 120), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    int32x4_t exponent = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    int32x4_t power = vaddq_s32(vreinterpretq_s32_f32(p), exponent);
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_s32(power), is_zero));
}

/* No load moves up across this: gcc would load the values of all rows first, and put sums on the
 * stack to make room for them. */
#if defined(__clang__)
#define LOADED(value) (void)(value)
#else
#define LOADED(value) __asm__ volatile("" : "+w"(value) : : "memory")
#endif

/* n_rows and n_out are constants where this is called, so the sums stay in registers. Element k of
 * row r lies at x[r * x_row + k / LANES * x_step + k % LANES]. */
INLINE void product_block(const uint16_t *w, size_t n_in, const float *x, size_t x_row,
                          size_t x_step, float *out, size_t out_stride, const int n_rows,
                          const int n_out)
{
    float32x4_t sums[ROWS][OUTS];
    float32x4_t weights[OUTS];
    UNROLL
    for (int r = 0; r < n_rows; r++) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            sums[r][i] = vdupq_n_f32(0);
        }
    }
    size_t k = 0;
    for (; k + LANES <= n_in; k += LANES) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            weights[i] = load_halves(w + (size_t)i * n_in + k);
        }
        UNROLL
        for (int r = 0; r < n_rows; r++) {
            float32x4_t values = vld1q_f32(x + (size_t)r * x_row);
            LOADED(values);
            UNROLL
            for (int i = 0; i < n_out; i++) {
                sums[r][i] = vfmaq_f32(sums[r][i], weights[i], values);
            }
        }
        x += x_step;
    }
    if (k < n_in) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            weights[i] = load_some_halves(w + (size_t)i * n_in + k, n_in - k);
        }
        UNROLL
        for (int r = 0; r < n_rows; r++) {
            float32x4_t values = load_some(x + (size_t)r * x_row, n_in - k);
            UNROLL
            for (int i = 0; i < n_out; i++) {
                sums[r][i] = vfmaq_f32(sums[r][i], weights[i], values);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_rows; r++) {
        UNROLL
        for (int i = 0; i < n_out; i++) {
            out[(size_t)r * out_stride + (size_t)i] = vaddvq_f32(sums[r][i]);
        }
    }
}

/* n_rows rows against all n_out weight rows, n_block of them at once. */
INLINE void product_rows(const uint16_t *w, size_t n_out, size_t n_in, const float *x, size_t x_row,
                         size_t x_step, float *out, size_t out_stride, const int n_rows,
                         const int n_block)
{
    size_t n = (size_t)n_block;
    size_t i = 0;
    for (; i + n <= n_out; i += n) {
        product_block(w + i * n_in, n_in, x, x_row, x_step, out + i, out_stride, n_rows, n_block);
    }
    for (; i + 2 <= n_out; i += 2) {
        product_block(w + i * n_in, n_in, x, x_row, x_step, out + i, out_stride, n_rows, 2);
    }
    if (i < n_out) {
        product_block(w + i * n_in, n_in, x, x_row, x_step, out + i, out_stride, n_rows, 1);
    }
}

/* Up to ROWS rows. Sums, weights and a row's values share 32 registers: eight rows by three weight
 * rows use 28, and convert a weight once for eight multiplications. */
static void product_some(const uint16_t *w, size_t n_out, size_t n_in, const float *x, size_t x_row,
                         size_t x_step, size_t n_rows, float *out, size_t out_stride)
{
#define BLOCKS_OF(n_rows, n_block)                                                                 \
    case n_rows:                                                                                   \
        product_rows(w, n_out, n_in, x, x_row, x_step, out, out_stride, n_rows, n_block);          \
        break
    switch (n_rows) {
        BLOCKS_OF(1, 8);
        BLOCKS_OF(2, 8);
        BLOCKS_OF(3, 5);
        BLOCKS_OF(4, 4);
        BLOCKS_OF(5, 4);
        BLOCKS_OF(6, 4);
        BLOCKS_OF(7, 3);
        BLOCKS_OF(8, 3);
    }
#undef BLOCKS_OF
}

/* The rows of a block, n of them, lie side by side in order of k, so that a product reads one
 * stream, and begin where the first of them would lie alone:
 *
 *   | row 0: k 0..3 | row 1: k 0..3 | ... row n-1 | row 0: k 4..7 | ...
 */
static void pack(const float *x, size_t x_stride, size_t n_rows, size_t n_in, float *packed)
{
    for (size_t row = 0; row < n_rows; row += ROWS) {
        float *to = packed + row * soti_cpu_packed_stride(n_in);
        size_t n = n_rows - row < ROWS ? n_rows - row : ROWS;
        for (size_t k = 0; k < n_in; k += LANES) {
            for (size_t r = row; r < row + n; r++) {
                vst1q_f32(to, load_some(x + r * x_stride + k, n_in - k));
                to += LANES;
            }
        }
    }
}

static void product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                    size_t n_rows, float *out, size_t out_stride)
{
    for (size_t row = 0; row < n_rows; row += ROWS) {
        const float *x = packed + row * soti_cpu_packed_stride(n_in);
        size_t n = n_rows - row < ROWS ? n_rows - row : ROWS;
        product_some(w, n_out, n_in, x, LANES, n * LANES, n, out + row * out_stride, out_stride);
    }
}

static void page_scores(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                        size_t n_queries, float *scores, size_t stride)
{
    for (size_t i = 0; i < n_queries; i += ROWS) {
        product_some(keys, n, d_head, queries + i * d_head, d_head, LANES,
                     n_queries - i < ROWS ? n_queries - i : ROWS, scores + i * stride, stride);
    }
}

static void widen(const uint16_t *in, size_t n, float *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vst1q_f32(out + i, load_halves(in + i));
    }
    if (i < n) {
        store_some(out + i, n - i, load_some_halves(in + i, n - i));
    }
}

static void narrow(const float *in, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t n_some = n - i < LANES ? n - i : LANES;
        uint16_t some[LANES];
        vst1_u16(some, vreinterpret_u16_f16(vcvt_f16_f32(load_some(in + i, n_some))));
        memcpy(out + i, some, n_some * sizeof some[0]);
    }
}

static void norm(const float *x, const float *gain, size_t n, float eps, float *out)
{
    float32x4_t squares[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; i + (size_t)4 * LANES <= n; i += (size_t)4 * LANES) {
        UNROLL
        for (size_t p = 0; p < 4; p++) {
            float32x4_t values = vld1q_f32(x + i + p * LANES);
            squares[p] = vfmaq_f32(squares[p], values, values);
        }
    }
    for (; i < n; i += LANES) {
        float32x4_t values = load_some(x + i, n - i);
        squares[0] = vfmaq_f32(squares[0], values, values);
    }
    float32x4_t sum =
        vaddq_f32(vaddq_f32(squares[0], squares[1]), vaddq_f32(squares[2], squares[3]));
    float factor = 1.0f / sqrtf(vaddvq_f32(sum) / (float)n + eps);
    for (i = 0; i < n; i++) {
        out[i] = x[i] * factor * gain[i];
    }
}

static void swiglu(const float *gate, const float *up, size_t n, float *out)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        float32x4_t values = load_some(gate + i, n - i);
        float32x4_t silu = vdivq_f32(values, vaddq_f32(one, exp_lanes(vnegq_f32(values))));
        store_some(out + i, n - i, vmulq_f32(silu, load_some(up + i, n - i)));
    }
}

/* Four scores; lanes behind the n-th hold -infinity: they win no maximum and add nothing. */
INLINE float32x4_t load_scores(const float *scores, size_t n)
{
    float some[LANES] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    if (n >= LANES) {
        return vld1q_f32(scores);
    }
    memcpy(some, scores, n * sizeof some[0]);
    return vld1q_f32(some);
}

static soti_softmax softmax(float *scores, size_t n)
{
    float32x4_t most = vdupq_n_f32(-INFINITY);
    for (size_t i = 0; i < n; i += LANES) {
        most = vmaxnmq_f32(most, load_scores(scores + i, n - i)); /* a number wins over NaN */
    }
    float largest = vmaxnmvq_f32(most);
    float32x4_t sums = vdupq_n_f32(0);
    for (size_t i = 0; i < n; i += LANES) {
        float32x4_t powers =
            exp_lanes(vsubq_f32(load_scores(scores + i, n - i), vdupq_n_f32(largest)));
        store_some(scores + i, n - i, powers);
        sums = vaddq_f32(sums, powers);
    }
    return (soti_softmax){largest, vaddvq_f32(sums)};
}

/* n_parts registers of the sums of n_queries queries, of which n_left elements are left: both
 * counts are constants where this is called. */
INLINE void value_block(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, float *sums, size_t n_left, const int n_queries,
                        const int n_parts)
{
    float32x4_t parts[QUERIES][PARTS_ALONE];
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            parts[r][p] = load_some(sums + (size_t)r * d_head + p * LANES, n_left);
        }
    }
    for (size_t j = 0; j < n; j++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            const uint16_t *from = values + j * d_head + p * LANES;
            float32x4_t value = n_left < LANES ? load_some_halves(from, n_left) : load_halves(from);
            UNROLL
            for (int r = 0; r < n_queries; r++) {
                parts[r][p] = vfmaq_n_f32(parts[r][p], value, weights[(size_t)r * stride + j]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            store_some(sums + (size_t)r * d_head + p * LANES, n_left, parts[r][p]);
        }
    }
}

INLINE void value_queries(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                          size_t stride, float *sums, const int n_queries, const int n_parts)
{
    const size_t step = (size_t)n_parts * LANES;
    size_t i = 0;
    for (; i + step <= d_head; i += step) {
        value_block(values + i, n, d_head, weights, stride, sums + i, step, n_queries, n_parts);
    }
    for (; i < d_head; i += LANES) {
        value_block(values + i, n, d_head, weights, stride, sums + i, d_head - i, n_queries, 1);
    }
}

static void page_values(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, size_t n_queries, float *sums)
{
    size_t r = 0;
    for (; r + QUERIES <= n_queries; r += QUERIES) {
        value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, QUERIES,
                      PARTS);
    }
    for (; r < n_queries; r++) {
        value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, 1,
                      PARTS_ALONE);
    }
}

static void merge(float *sum, float factor, const float *part, float part_factor, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        float32x4_t scaled = vmulq_n_f32(load_some(sum + i, n - i), factor);
        store_some(sum + i, n - i, vfmaq_n_f32(scaled, load_some(part + i, n - i), part_factor));
    }
}

static const soti_cpu_attention_kernels attention = {
    .scores = page_scores,
    .softmax = softmax,
    .values = page_values,
    .merge = merge,
};

const soti_cpu_kernels soti_cpu_kernels_neon = {
    .isa = "neon",
    .pack = pack,
    .product = product,
    .norm = norm,
    .swiglu = swiglu,
    .widen = widen,
    .narrow = narrow,
    .attention = &attention,
};

#endif
