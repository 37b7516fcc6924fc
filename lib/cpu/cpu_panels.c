/* See cpu_panels.h. A panel is a few weight rows that stay in L2 while all rows pass over them;
 * the next panel is fetched meanwhile, a share with each of the first blocks, so that memory is
 * busy all the time and never waited for:
 *
 *   rows 0..5  x panel p    and ask for weight rows 0, 1 of every 4 of panel p + 1
 *   rows 6..10 x panel p                             2
 *   rows 11..15 x panel p                            3                                          */
#include "cpu/cpu_panels.h"

enum { PANEL_BYTES = 128 * 1024 }; /* it, the next one and some rows fit in L2 together */

/* Rows go in as few blocks as possible, of sizes as equal as possible: 8 as 4 and 4. */
static void multiply_panel(const soti_block_kind *kind, soti_block block, size_t n_out,
                           size_t n_rows, const uint16_t *next_panel)
{
    const uint16_t *w = block.w;
    const float *x = block.x;
    float *out = block.out;
    size_t n_most = kind->n_out_max;
    size_t n_blocks = (n_rows + kind->n_rows_max - 1) / kind->n_rows_max;
    size_t n_shares = n_blocks < n_most ? n_blocks : n_most;
    size_t first = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        size_t end = n_rows * (b + 1) / n_blocks;
        size_t first_fetch = b < n_shares ? n_most * b / n_shares : n_most;
        size_t end_fetch = b < n_shares ? n_most * (b + 1) / n_shares : n_most;
        block.n_rows = (uint32_t)(end - first);
        block.x = x + first * block.x_stride;
        for (size_t i = 0; i < n_out; i += block.n_out) {
            int is_full = n_out - i >= n_most;
            block.n_out = is_full ? kind->n_out_max : 1;
            block.w = w + i * block.n_in;
            block.out = out + first * block.out_stride + i;
            block.next = next_panel + (is_full ? i + first_fetch : i) * block.n_in;
            block.n_next = is_full ? end_fetch - first_fetch : b == 0;
            kind->run(&block);
        }
        first = end;
    }
}

void soti_cpu_multiply(const soti_block_kind *kind, const uint16_t *w, size_t n_out, size_t n_in,
                       const float *x, size_t x_stride, size_t n_rows, float *out,
                       size_t out_stride)
{
    size_t n_most = kind->n_out_max;
    size_t n_panel = PANEL_BYTES / (n_in * sizeof *w) / n_most * n_most;
    n_panel = n_panel < n_most ? n_most : n_panel < n_out ? n_panel : n_out;
    for (size_t i = 0; i < n_out; i += n_panel) {
        soti_block block = {.w = w + i * n_in,
                            .n_in = n_in,
                            .x = x,
                            .x_stride = x_stride,
                            .out = out + i,
                            .out_stride = out_stride};
        multiply_panel(kind, block, n_out - i < n_panel ? n_out - i : n_panel, n_rows,
                       block.w + n_panel * n_in);
    }
}
