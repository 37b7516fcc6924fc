/* The inner loops of attention, one table per instruction set, which cpu_kernels.h points to. What
 * is done with them, and in which order, is in cpu_attention.c. CK-1 and CK-2 of cpu_kernels.h hold
 * here too: a query's numbers are the same however many queries share a call. */
#ifndef SOTI_CPU_CPU_ATTENTION_KERNELS_H
#define SOTI_CPU_CPU_ATTENTION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

/* Softmax over some positions: exp(score - largest) adds up to sum. */
typedef struct soti_softmax {
    float largest; /* -INFINITY where there are no positions */
    float sum;
} soti_softmax;

typedef struct soti_cpu_attention_kernels {
    /* scores[r][j] = sum over i of queries[r][i] * keys[j][i]       n <= SOTI_PAGE_TOKENS
     *          queries: (n_queries, d_head), keys: (n, d_head) FP16, scores: rows stride apart */
    void (*scores)(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                   size_t n_queries, float *scores, size_t stride);

    /* scores (n) become exp(score - largest); n > 0 */
    soti_softmax (*softmax)(float *scores, size_t n);

    /* sums[r] += weights[r][j] * values[j], for j = 0 .. n - 1 in this order
     *          weights: (n_queries, n), rows stride apart, values: (n, d_head) FP16,
     *          sums: (n_queries, d_head) */
    void (*values)(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                   size_t stride, size_t n_queries, float *sums);

    /* sum = sum * factor + part * part_factor                                           all: (n) */
    void (*merge)(float *sum, float factor, const float *part, float part_factor, size_t n);
} soti_cpu_attention_kernels;

extern const soti_cpu_attention_kernels soti_cpu_attention_portable;
#if defined(__x86_64__)
extern const soti_cpu_attention_kernels soti_cpu_attention_avx2;
extern const soti_cpu_attention_kernels soti_cpu_attention_avx512;
#endif

#endif
