/* The kernels in plain C. Sums run in LANES parallel parts that a compiler can keep in vector
 * registers; multiplication and addition are rounded separately everywhere (no contraction), so
 * vectorised bodies and scalar tails agree bit for bit. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "cpu/cpu_kernels.h"

enum {
    LANES = 16,
    CHUNK = 256, /* weights widened at once; a multiple of LANES */
    ROWS = 16    /* rows served by one widened chunk */
};

/* soti_half_to_float without branches and with signed compares, so that loops over it vectorise on
 * any machine. */
static inline float half_value(uint16_t half)
{
    int32_t magnitude = half & 0x7FFF;
    float subnormal = (float)magnitude * 0x1p-24f;
    int32_t small;
    memcpy(&small, &subnormal, sizeof small);
    int32_t is_small = -(magnitude < 0x400);
    int32_t is_special = -(magnitude >= 0x7C00);
    int32_t large = (magnitude << 13) + (112 << 23) + (is_special & (112 << 23));
    uint32_t bits = (uint32_t)((small & is_small) | (large & ~is_small));
    bits |= (uint32_t)(half & 0x8000u) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void widen(const uint16_t *in, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = half_value(in[i]);
    }
}

static void narrow(const float *in, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = soti_half_from_float(in[i]);
    }
}

static float sum_lanes(const float lanes[LANES])
{
    float sums[LANES];
    memcpy(sums, lanes, sizeof sums);
    for (size_t n = LANES / 2; n > 0; n /= 2) {
        for (size_t j = 0; j < n; j++) {
            sums[j] += sums[j + n];
        }
    }
    return sums[0];
}

/* lanes[j] += a[i] * b[i] for every i with i % LANES == j, in order. */
static void add_products(const float *a, const float *b, size_t n, float lanes[LANES])
{
    float sums[LANES];
    memcpy(sums, lanes, sizeof sums);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            sums[j] += a[i + j] * b[i + j];
        }
    }
    for (size_t j = 0; i + j < n; j++) {
        sums[j] += a[i + j] * b[i + j];
    }
    memcpy(lanes, sums, sizeof sums);
}

static void multiply(const uint16_t *w, size_t n_out, size_t n_in, const float *x, size_t x_stride,
                     size_t n_rows, float *out, size_t out_stride)
{
    for (size_t i = 0; i < n_out; i++) {
        const uint16_t *w_row = w + i * n_in;
        for (size_t r0 = 0; r0 < n_rows; r0 += ROWS) {
            size_t n = n_rows - r0 < ROWS ? n_rows - r0 : ROWS;
            float lanes[ROWS][LANES] = {{0}};
            for (size_t k = 0; k < n_in; k += CHUNK) {
                float wide[CHUNK];
                size_t n_k = n_in - k < CHUNK ? n_in - k : CHUNK;
                widen(w_row + k, n_k, wide);
                for (size_t r = 0; r < n; r++) {
                    add_products(wide, x + (r0 + r) * x_stride + k, n_k, lanes[r]);
                }
            }
            for (size_t r = 0; r < n; r++) {
                out[(r0 + r) * out_stride + i] = sum_lanes(lanes[r]);
            }
        }
    }
}

void soti_cpu_pack_rows(const float *x, size_t x_stride, size_t n_rows, size_t n_in, float *packed)
{
    size_t stride = soti_cpu_packed_stride(n_in);
    for (size_t r = 0; r < n_rows; r++) {
        memcpy(packed + r * stride, x + r * x_stride, n_in * sizeof *x);
        memset(packed + r * stride + n_in, 0, (stride - n_in) * sizeof *x);
    }
}

static void product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                    size_t n_rows, float *out, size_t out_stride)
{
    multiply(w, n_out, n_in, packed, soti_cpu_packed_stride(n_in), n_rows, out, out_stride);
}

static void norm(const float *x, const float *gain, size_t n, float eps, float *out)
{
    float lanes[LANES] = {0};
    add_products(x, x, n, lanes);
    float factor = 1.0f / sqrtf(sum_lanes(lanes) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        out[i] = x[i] * factor * gain[i];
    }
}

static void swiglu(const float *gate, const float *up, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
    }
}

const soti_cpu_kernels soti_cpu_kernels_portable = {
    .isa = "portable",
    .pack = soti_cpu_pack_rows,
    .product = product,
    .norm = norm,
    .swiglu = swiglu,
    .widen = widen,
    .narrow = narrow,
    .attention = &soti_cpu_attention_portable,
};
