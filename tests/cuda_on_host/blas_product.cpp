/* See blas_product.h. Both matrices become FP32 first; tiles of 4 rows by 16 columns then keep
 * their sums in registers. Compiled for what the machine may have; all versions add alike, as the
 * compiler may not contract a product and a sum. */
#include "blas_product.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace on_host
{

namespace
{

constexpr size_t tile_rows = 4;
constexpr size_t tile_columns = 16;

typedef float lanes __attribute__((vector_size(tile_columns * sizeof(float))));

/* Exact; infinities and NaN stay what they are. */
float widen(uint16_t half)
{
    uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    uint32_t magnitude = half & 0x7FFFu;
    uint32_t bits = magnitude << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f; /* the exponents' biases differ by 112; subnormals too */
    memcpy(&bits, &value, sizeof bits);
    if (magnitude >= 0x7C00u) {
        bits |= 0x7F800000u;
    }
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* rows: (tile_rows, k); columns: (k, tile_columns); sums: (tile_rows, tile_columns). */
inline __attribute__((always_inline)) void sum_tile(const float *rows, size_t k, size_t k_begin,
                                                    size_t k_end, const float *columns, float *sums)
{
    lanes totals[tile_rows] = {};
    for (size_t i = k_begin; i < k_end; i++) {
        lanes column;
        memcpy(&column, columns + i * tile_columns, sizeof column);
        for (size_t r = 0; r < tile_rows; r++) {
            totals[r] += rows[r * k + i] * column;
        }
    }
    memcpy(sums, totals, sizeof totals);
}

using sum_function = void(const float *, size_t, size_t, size_t, const float *, float *);

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void sum_tile_avx512(const float *rows, size_t k, size_t k_begin,
                                                        size_t k_end, const float *columns,
                                                        float *sums)
{
    sum_tile(rows, k, k_begin, k_end, columns, sums);
}

__attribute__((target("avx2"))) void sum_tile_avx2(const float *rows, size_t k, size_t k_begin,
                                                   size_t k_end, const float *columns, float *sums)
{
    sum_tile(rows, k, k_begin, k_end, columns, sums);
}
#endif

void sum_tile_plain(const float *rows, size_t k, size_t k_begin, size_t k_end, const float *columns,
                    float *sums)
{
    sum_tile(rows, k, k_begin, k_end, columns, sums);
}

sum_function *best_sum()
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        return sum_tile_avx512;
    }
    if (__builtin_cpu_supports("avx2")) {
        return sum_tile_avx2;
    }
#endif
    return sum_tile_plain;
}

/* b as (n / tile_columns, k, tile_columns), zeros behind the last column. */
std::vector<float> widen_columns(const product &p)
{
    size_t n_tiles = (p.n + tile_columns - 1) / tile_columns;
    std::vector<float> out(n_tiles * p.k * tile_columns);
    for (size_t column = 0; column < p.n; column++) {
        float *to = &out[column / tile_columns * p.k * tile_columns + column % tile_columns];
        const uint16_t *from = p.b + column * p.b_stride;
        for (size_t i = 0; i < p.k; i++) {
            to[i * tile_columns] = widen(from[i]);
        }
    }
    return out;
}

/* n_rows rows of op(a) from first_row on. */
void widen_rows(const product &p, size_t first_row, size_t n_rows, std::vector<float> &out)
{
    std::fill(out.begin(), out.end(), 0.0f);
    for (size_t row = 0; row < n_rows; row++) {
        size_t at = first_row + row;
        for (size_t i = 0; i < p.k; i++) {
            out[row * p.k + i] =
                widen(p.a_is_transposed ? p.a[at * p.a_stride + i] : p.a[i * p.a_stride + at]);
        }
    }
}

void store_tile(const product &p, size_t row, size_t column, const float *sums)
{
    size_t n_rows = std::min(tile_rows, p.m - row);
    size_t n_columns = std::min(tile_columns, p.n - column);
    for (size_t j = 0; j < n_columns; j++) {
        for (size_t i = 0; i < n_rows; i++) {
            float value = p.alpha * sums[i * tile_columns + j];
            if (p.beta != 0) {
                value += p.beta * p.c[(column + j) * p.c_stride + row + i];
            }
            p.d[(column + j) * p.d_stride + row + i] = value;
        }
    }
}

} // namespace

void multiply(const product &p)
{
    static sum_function *const sum = best_sum();
    std::vector<float> columns = widen_columns(p);
    std::vector<float> rows(tile_rows * p.k);
    for (size_t row = 0; row < p.m; row += tile_rows) {
        widen_rows(p, row, std::min(tile_rows, p.m - row), rows);
        for (size_t column = 0; column < p.n; column += tile_columns) {
            float total[tile_rows * tile_columns] = {};
            for (unsigned split = 0; split < p.n_splits; split++) {
                float part[tile_rows * tile_columns];
                sum(rows.data(), p.k, p.k * split / p.n_splits, p.k * (split + 1) / p.n_splits,
                    &columns[column * p.k], part);
                for (size_t i = 0; i < tile_rows * tile_columns; i++) {
                    total[i] += part[i];
                }
            }
            store_tile(p, row, column, total);
        }
    }
}

} // namespace on_host
