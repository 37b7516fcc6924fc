/* A case of attention for the tests of both kernels: sequences in pages that lie in random order,
 * rows, and what float64 makes of the same FP16 inputs. Whatever a kernel must not read is there to
 * be noticed: NaN in every slot of every page that holds no position, page numbers beyond the end
 * of memory behind a sequence's last page. CUDA's runtime and kernels.h only, so that the same
 * tests run on a device. */
#ifndef SOT_TESTS_ATTENTION_CASE_H
#define SOT_TESTS_ATTENTION_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "../random_source.h"

enum {
    CASE_PAGE = SOTI_CUDA_PAGE_TOKENS,
    CASE_GARBAGE_PAGE = 0x7FFFFFF,
    CASE_UNTOUCHED = 0x5A5A, /* what a holds before a launch */
    CASE_NAN = 0xFFFF
};

typedef struct attention_case {
    random_source source;
    soti_cuda_shape shape;
    int exponent; /* of the largest values */
    uint32_t n_pages, n_pages_used;
    uint32_t *page_order; /* (n_pages) */
    uint32_t n_sequences, n_sequences_max, table_stride;
    uint32_t *tables;  /* (n_sequences_max, table_stride) */
    uint32_t *lengths; /* (n_sequences_max) positions */
    uint32_t n_rows, n_rows_max;
    uint32_t *positions, *sequences; /* (n_rows_max) */
    uint16_t *q, *keys, *values, *a;
} attention_case;

static inline void check_cuda(cudaError_t error)
{
    if (error != cudaSuccess) {
        fail_msg("CUDA: %s", cudaGetErrorString(error));
    }
}

static inline void *case_memory(size_t n_bytes, int byte)
{
    void *memory = malloc(n_bytes);
    assert_non_null(memory);
    memset(memory, byte, n_bytes);
    return memory;
}

/* On the device, exactly as large as it must be. */
static inline void *device_copy(const void *from, size_t n_bytes)
{
    void *memory = NULL;
    check_cuda(cudaMalloc(&memory, n_bytes));
    check_cuda(cudaMemcpy(memory, from, n_bytes, cudaMemcpyHostToDevice));
    return memory;
}

static inline double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    int mantissa = bits & 1023;
    double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
    if (exponent == 31) {
        value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    }
    return (bits & 0x8000) ? -value : value;
}

/* Either sign, magnitudes from 2^(exponent - 4) to 2^(exponent + 1). */
static inline uint16_t random_half(random_source *source, int exponent)
{
    uint32_t bits = random_between(source, 0, 0xFFFF);
    uint32_t of_exponent = (uint32_t)(15 + exponent) - random_between(source, 0, 4);
    return (uint16_t)((bits & 0x83FF) | of_exponent << 10);
}

static inline size_t case_page_halves(const attention_case *all)
{
    return (size_t)all->shape.n_kv * CASE_PAGE * all->shape.d_page;
}

static inline uint16_t *case_slot(const attention_case *all, uint16_t *pages, uint32_t sequence,
                                  uint32_t position, uint32_t i_kv)
{
    uint32_t page = all->tables[(size_t)sequence * all->table_stride + position / CASE_PAGE];
    return pages + page * case_page_halves(all) +
           (i_kv * CASE_PAGE + position % CASE_PAGE) * (size_t)all->shape.d_page;
}

static inline void fill_half_row(attention_case *all, uint16_t *row)
{
    for (uint32_t d = 0; d < all->shape.d_page; d++) {
        row[d] = d < all->shape.d_head ? random_half(&all->source, all->exponent) : 0;
    }
}

/* n_positions: the most that a sequence gets; n_pages: of all sequences together. */
static inline void case_make(attention_case *all, uint64_t seed, const soti_cuda_shape *shape,
                             uint32_t n_sequences_max, uint32_t n_rows_max, uint32_t n_positions,
                             uint32_t n_pages)
{
    memset(all, 0, sizeof *all);
    all->source.state = seed;
    all->shape = *shape;
    all->shape.d_page = (shape->d_head + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
    all->shape.a_stride =
        (shape->n_head * shape->d_head + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
    all->n_pages = n_pages;
    all->n_sequences_max = n_sequences_max;
    all->n_rows_max = n_rows_max;
    all->table_stride = (n_positions + CASE_PAGE - 1) / CASE_PAGE + 1;
    all->page_order = case_memory(n_pages * sizeof *all->page_order, 0);
    for (uint32_t i = 0; i < n_pages; i++) {
        uint32_t j = random_between(&all->source, 0, i);
        all->page_order[i] = all->page_order[j];
        all->page_order[j] = i;
    }
    size_t n_entries = (size_t)n_sequences_max * all->table_stride;
    all->tables = case_memory(n_entries * sizeof *all->tables, 0);
    for (size_t i = 0; i < n_entries; i++) {
        all->tables[i] = CASE_GARBAGE_PAGE;
    }
    all->lengths = case_memory(n_sequences_max * sizeof *all->lengths, 0);
    all->positions = case_memory(n_rows_max * sizeof *all->positions, 0);
    all->sequences = case_memory(n_rows_max * sizeof *all->sequences, 0);
    all->q = case_memory((size_t)n_rows_max * all->shape.n_head * all->shape.d_page * 2, 0xFF);
    all->keys = case_memory(n_pages * case_page_halves(all) * 2, 0xFF);
    all->values = case_memory(n_pages * case_page_halves(all) * 2, 0xFF);
    all->a = case_memory((size_t)n_rows_max * all->shape.a_stride * 2, 0);
}

static inline void case_free(attention_case *all)
{
    void *memory[] = {all->page_order, all->tables, all->lengths, all->positions, all->sequences,
                      all->q,          all->keys,   all->values,  all->a};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        free(memory[i]);
    }
}

/* A sequence whose first n_shared_pages are those of another one. */
static inline uint32_t add_sequence(attention_case *all, uint32_t n_positions, uint32_t other,
                                    uint32_t n_shared_pages)
{
    uint32_t sequence = all->n_sequences++;
    assert_true(sequence < all->n_sequences_max);
    uint32_t *table = all->tables + (size_t)sequence * all->table_stride;
    all->lengths[sequence] = n_positions;
    for (uint32_t i = 0; i * CASE_PAGE < n_positions; i++) {
        if (i < n_shared_pages) {
            table[i] = all->tables[(size_t)other * all->table_stride + i];
            continue;
        }
        assert_true(all->n_pages_used < all->n_pages);
        table[i] = all->page_order[all->n_pages_used++];
    }
    for (uint32_t i = n_shared_pages * CASE_PAGE; i < n_positions; i++) {
        for (uint32_t i_kv = 0; i_kv < all->shape.n_kv; i_kv++) {
            fill_half_row(all, case_slot(all, all->keys, sequence, i, i_kv));
            fill_half_row(all, case_slot(all, all->values, sequence, i, i_kv));
        }
    }
    return sequence;
}

static inline uint32_t add_row(attention_case *all, uint32_t sequence, uint32_t position)
{
    uint32_t i_row = all->n_rows++;
    assert_true(i_row < all->n_rows_max && position < all->lengths[sequence]);
    all->positions[i_row] = position;
    all->sequences[i_row] = sequence;
    for (uint32_t h = 0; h < all->shape.n_head; h++) {
        fill_half_row(all, all->q + ((size_t)i_row * all->shape.n_head + h) * all->shape.d_page);
    }
    return i_row;
}

/* A row's results, or its queries', of a head. */
static inline const uint16_t *case_results(const attention_case *all, const uint16_t *a,
                                           uint32_t i_row, uint32_t i_head)
{
    return a + (size_t)i_row * all->shape.a_stride + i_head * all->shape.d_head;
}

/* One head of a row against float64. Three roundings separate them, each bounded by its size:
 *   - the result to FP16: 2^-11 of it;
 *   - the weights to FP16, 2^-11 of each, or 2^-25 of the largest below 2^-14: against the sum of
 *     weights, which is made of the rounded ones, at most twice that of the weighted mean of |v|;
 *   - scores in FP32: an error e of a score is a factor 1 + e of its weight; d_head products and
 *     sums of at most S together, S the largest sum of |q k| / sqrt(d_head), make e at most
 *     d_head 2^-23 S, which counts twice as well. */
static inline void check_head(const attention_case *all, const uint16_t *a, uint32_t i_row,
                              uint32_t i_head)
{
    const soti_cuda_shape *shape = &all->shape;
    uint32_t n = all->positions[i_row] + 1;
    uint32_t i_kv = i_head / (shape->n_head / shape->n_kv);
    uint32_t sequence = all->sequences[i_row];
    const uint16_t *q = all->q + ((size_t)i_row * shape->n_head + i_head) * shape->d_page;
    double scale = 1 / sqrt((double)shape->d_head);
    double *weights = case_memory(n * sizeof *weights, 0);
    double largest = -(double)INFINITY;
    double most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint16_t *key = case_slot(all, all->keys, sequence, i, i_kv);
        double magnitude = 0;
        for (uint32_t d = 0; d < shape->d_head; d++) {
            double product = half_value(q[d]) * half_value(key[d]) * scale;
            weights[i] += product;
            magnitude += fabs(product);
        }
        largest = fmax(largest, weights[i]);
        most = fmax(most, magnitude);
    }
    double total = 0;
    for (uint32_t i = 0; i < n; i++) {
        weights[i] = exp(weights[i] - largest);
        total += weights[i];
    }
    const uint16_t *results = case_results(all, a, i_row, i_head);
    for (uint32_t d = 0; d < shape->d_head; d++) {
        double wanted = 0;
        double magnitude = 0;
        double largest_value = 0;
        for (uint32_t i = 0; i < n; i++) {
            double value = half_value(case_slot(all, all->values, sequence, i, i_kv)[d]);
            wanted += weights[i] / total * value;
            magnitude += weights[i] / total * fabs(value);
            largest_value = fmax(largest_value, fabs(value));
        }
        double error_of_score = shape->d_head * ldexp(most, -23);
        double tolerance = ldexp(fabs(wanted), -11) + magnitude * (ldexp(1, -10)) +
                           2 * magnitude * error_of_score +
                           2 * largest_value * n / total * ldexp(1, -25);
        double result = half_value(results[d]);
        if (!(fabs(result - wanted) <= tolerance)) {
            fail_msg("row %u (position %u), head %u, column %u: %.9g, not %.9g +- %.2g", i_row,
                     all->positions[i_row], i_head, d, result, wanted, tolerance);
        }
    }
    free(weights);
}

static inline void check_rows(const attention_case *all, const uint16_t *a, uint32_t first,
                              uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        for (uint32_t h = 0; h < all->shape.n_head; h++) {
            check_head(all, a, i, h);
        }
    }
}

/* Nothing but results was written: not the columns behind the heads, not the rows outside. */
static inline void check_untouched(const attention_case *all, const uint16_t *a, uint32_t first,
                                   uint32_t end)
{
    for (uint32_t i = 0; i < all->n_rows; i++) {
        uint32_t column = i >= first && i < end ? all->shape.n_head * all->shape.d_head : 0;
        for (; column < all->shape.a_stride; column++) {
            assert_int_equal(a[(size_t)i * all->shape.a_stride + column], CASE_UNTOUCHED);
        }
    }
}

/* The same rows in two results, bit for bit. */
static inline void check_same_rows(const attention_case *all, const uint16_t *a,
                                   const uint16_t *other, uint32_t first, uint32_t end)
{
    size_t row_halves = (size_t)all->shape.n_head * all->shape.d_head;
    for (uint32_t i = first; i < end; i++) {
        size_t at = (size_t)i * all->shape.a_stride;
        for (size_t column = 0; column < row_halves; column++) {
            if (a[at + column] != other[at + column]) {
                fail_msg("row %u (position %u), column %zu: %04x, not %04x", i, all->positions[i],
                         column, a[at + column], other[at + column]);
            }
        }
    }
}

/* The case on the device. */
typedef struct device_case {
    soti_cuda_launch launch;
    soti_cuda_rows rows;
    soti_cuda_pages pages;
    void *memory[12];
    uint32_t n_memory;
    uint16_t *q, *a;
} device_case;

static inline void *keep_copy(device_case *device, const void *from, size_t n_bytes)
{
    assert_true(device->n_memory < sizeof device->memory / sizeof *device->memory);
    return device->memory[device->n_memory++] = device_copy(from, n_bytes);
}

static inline void device_open(device_case *device, const attention_case *all,
                               const soti_cuda_counts *counts, const soti_cuda_item *items,
                               const soti_cuda_tile *tiles)
{
    size_t n_pages_bytes = all->n_pages * case_page_halves(all) * 2;
    size_t n_a = (size_t)all->n_rows * all->shape.a_stride;
    uint16_t *a = case_memory(n_a * 2, 0);
    memset(device, 0, sizeof *device);
    for (size_t i = 0; i < n_a; i++) {
        a[i] = CASE_UNTOUCHED;
    }
    device->launch.n_sm = 2;
    check_cuda(cudaStreamCreate(&device->launch.stream));
    device->rows.counts = keep_copy(device, counts, sizeof *counts);
    device->rows.positions = keep_copy(device, all->positions, all->n_rows * sizeof(uint32_t));
    device->rows.sequences = keep_copy(device, all->sequences, all->n_rows * sizeof(uint32_t));
    device->rows.page_tables = keep_copy(
        device, all->tables, (size_t)all->n_sequences * all->table_stride * sizeof(uint32_t));
    device->rows.table_stride = all->table_stride;
    if (counts->n_items > 0) {
        device->rows.items = keep_copy(device, items, counts->n_items * sizeof *items);
    }
    if (counts->n_tiles > 0) {
        device->rows.tiles = keep_copy(device, tiles, counts->n_tiles * sizeof *tiles);
    }
    device->pages.keys = keep_copy(device, all->keys, n_pages_bytes);
    device->pages.values = keep_copy(device, all->values, n_pages_bytes);
    device->q =
        keep_copy(device, all->q, (size_t)all->n_rows * all->shape.n_head * all->shape.d_page * 2);
    device->a = keep_copy(device, a, n_a * 2);
    free(a);
}

/* Waits, and brings the results. */
static inline void device_fetch(const device_case *device, const attention_case *all, uint16_t *a)
{
    check_cuda(cudaStreamSynchronize(device->launch.stream));
    check_cuda(cudaMemcpy(a, device->a, (size_t)all->n_rows * all->shape.a_stride * 2,
                          cudaMemcpyDeviceToHost));
}

static inline void device_close(device_case *device)
{
    for (uint32_t i = 0; i < device->n_memory; i++) {
        check_cuda(cudaFree(device->memory[i]));
    }
    check_cuda(cudaStreamDestroy(device->launch.stream));
}

#endif
