/* The inner loops of the CPU backend, one table per instruction set. Everything else in lib/cpu/ is
 * plain C that calls these. To add a set: a file cpu_kernels_<isa>.c, its flags in CMake, a line in
 * cpu_isa.c.
 *
 * CK-1  An output element's operations and their order depend on n_in (or n) alone: not on how many
 *       rows or weight rows one call handles, nor on the element's place in the call. That is what
 *       makes the backend batch-invariant (BE-1).
 * CK-2  Pointers need the alignment of their type only, and nothing outside the arrays is read. */
#ifndef SOTI_CPU_CPU_KERNELS_H
#define SOTI_CPU_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

/* Softmax over positions that come page by page: what was seen so far. */
typedef struct soti_softmax {
    float largest; /* of the scores; -INFINITY at first */
    float sum;     /* of exp(score - largest); 0 at first */
} soti_softmax;

typedef struct soti_cpu_kernels {
    const char *isa;

    /* out[r][i] = sum over k of w[i][k] * x[r][k]          w: (n_out, n_in) FP16, contiguous
     *                                x: (n_rows, n_in) and out: (n_rows, n_out), with row strides
     */
    void (*product)(const uint16_t *w, size_t n_out, size_t n_in, const float *x, size_t x_stride,
                    size_t n_rows, float *out, size_t out_stride);

    /* out = x / sqrt(mean(x * x) + eps) * gain                                         all: (n) */
    void (*norm)(const float *x, const float *gain, size_t n, float eps, float *out);

    /* out = gate / (1 + exp(-gate)) * up                                               all: (n) */
    void (*swiglu)(const float *gate, const float *up, size_t n, float *out);

    void (*widen)(const uint16_t *in, size_t n, float *out);  /* FP16 to FP32: exact */
    void (*narrow)(const float *in, size_t n, uint16_t *out); /* to nearest, ties to even */

    /* One page's scores (n <= SOTI_PAGE_TOKENS) become exp(score - largest), state takes them in.
     * Returns the factor exp(old largest - new largest) that earlier sums must be scaled by. */
    float (*page_softmax)(float *scores, size_t n, soti_softmax *state);

    /* sum = sum * factor + sum over j of weights[j] * values[j]    values: (n, d_head), sum:
     * (d_head) */
    void (*page_values)(const float *weights, size_t n, const float *values, size_t d_head,
                        float factor, float *sum);
} soti_cpu_kernels;

extern const soti_cpu_kernels soti_cpu_kernels_portable;
#if defined(__x86_64__)
extern const soti_cpu_kernels soti_cpu_kernels_avx2;
#endif

#endif
