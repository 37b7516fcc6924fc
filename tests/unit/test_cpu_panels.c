/* The cutting of a product: every element is made once, whatever the sizes, and the weights of
 * each next panel are asked for once. The block's arithmetic is the kernels' and tested there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cpu/cpu_panels.h"

enum { ROWS = 6, OUTS = 4 };

/* What the blocks of one product did. */
static struct {
    const uint16_t *w;
    size_t n_in;
    size_t n_out;
    size_t n_rows;
    uint32_t *fetched; /* (2 * n_out + OUTS) times that a weight row was asked for */
    size_t n_fetchable;
} seen;

/* Counts the calls for each element in place of computing it. */
static void count_block(const soti_block *block)
{
    assert_in_range(block->n_rows, 1, ROWS);
    assert_true(block->n_out == 1 || block->n_out == OUTS);
    for (uint32_t r = 0; r < block->n_rows; r++) {
        for (uint32_t i = 0; i < block->n_out; i++) {
            block->out[r * block->out_stride + i] += 1;
        }
    }
    size_t first = (size_t)(block->next - seen.w) / seen.n_in;
    for (size_t i = 0; i < block->n_next; i++) {
        assert_in_range(first + i, 0, seen.n_fetchable - 1);
        seen.fetched[first + i]++;
    }
}

static void check(size_t n_in, size_t n_out, size_t n_rows)
{
    static const soti_block_kind kind = {count_block, ROWS, OUTS};
    size_t n_panel = 128 * 1024 / (2 * n_in) / OUTS * OUTS;
    n_panel = n_panel < OUTS ? OUTS : n_panel < n_out ? n_panel : n_out;
    size_t out_stride = n_out + 3;
    size_t n_weights = (2 * n_out + OUTS) * n_in;
    seen.w = calloc(n_weights, sizeof *seen.w);
    float *x = calloc(n_rows * n_in, sizeof *x);
    float *out = calloc(n_rows * out_stride, sizeof *out);
    seen.n_in = n_in;
    seen.n_out = n_out;
    seen.n_rows = n_rows;
    seen.n_fetchable = 2 * n_out + OUTS;
    seen.fetched = calloc(seen.n_fetchable, sizeof *seen.fetched);
    soti_cpu_multiply(&kind, seen.w, n_out, n_in, x, n_in, n_rows, out, out_stride);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t i = 0; i < out_stride; i++) {
            if (out[r * out_stride + i] != (i < n_out ? 1.0f : 0.0f)) {
                fail_msg("%zu rows, %zu outputs of %zu: row %zu, output %zu was made %g times",
                         n_rows, n_out, n_in, r, i, (double)out[r * out_stride + i]);
            }
        }
    }
    /* As many weight rows as there are, a panel further on. */
    for (size_t i = 0; i < seen.n_fetchable; i++) {
        uint32_t expected = i >= n_panel && i < n_panel + n_out;
        if (seen.fetched[i] != expected) {
            fail_msg("%zu rows, %zu outputs of %zu: weight row %zu was fetched %u times", n_rows,
                     n_out, n_in, i, seen.fetched[i]);
        }
    }
    free((void *)(uintptr_t)seen.w);
    free(x);
    free(out);
    free(seen.fetched);
}

static void panels_every_size_makes_each_element_once(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 31, 2048, 5504, 16384};
    static const size_t out_counts[] = {1, OUTS - 1, OUTS, OUTS + 1, 16, 23, 24, 25, 61};
    static const size_t row_counts[] = {1, ROWS - 1, ROWS, ROWS + 1, 8, 16, 25, 129};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        for (size_t o = 0; o < sizeof out_counts / sizeof *out_counts; o++) {
            for (size_t r = 0; r < sizeof row_counts / sizeof *row_counts; r++) {
                check(lengths[l], out_counts[o], row_counts[r]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panels_every_size_makes_each_element_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
