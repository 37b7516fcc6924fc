/* How a product of weights with rows is cut into blocks that registers can hold, and when the
 * weights of the next blocks are asked for: the same for every instruction set that brings the
 * block's inner loop. */
#ifndef SOTI_CPU_CPU_PANELS_H
#define SOTI_CPU_CPU_PANELS_H

#include <stddef.h>
#include <stdint.h>

/* One block: n_rows rows times n_out weight rows. next: weights that will be needed later; the
 * block fetches n_next rows of n_in of them into L2 as it goes, in the order in which they lie:
 * memory answers that best (28 instead of 26 GB/s on two cores of Zen 4). They may lie behind the
 * matrix: a fetch never faults. */
typedef struct soti_block {
    const uint16_t *w; /* (n_out, n_in) contiguous */
    size_t n_in;
    const float *x; /* (n_rows, n_in) */
    size_t x_stride;
    float *out; /* (n_rows, n_out) */
    size_t out_stride;
    const uint16_t *next;
    size_t n_next;
    uint32_t n_rows;
    uint32_t n_out;
} soti_block;

/* An instruction set's blocks: 1 .. n_rows_max rows times 1 or n_out_max weight rows. */
typedef struct soti_block_kind {
    void (*run)(const soti_block *block);
    uint32_t n_rows_max;
    uint32_t n_out_max;
} soti_block_kind;

/* out[r][i] = sum over k of w[i][k] * x[r][k], as product in cpu_kernels.h but for rows as they are
 * and any stride. */
void soti_cpu_multiply(const soti_block_kind *kind, const uint16_t *w, size_t n_out, size_t n_in,
                       const float *x, size_t x_stride, size_t n_rows, float *out,
                       size_t out_stride);

#endif
