/* Attention's inner loops in plain C, with the arithmetic of cpu_kernels_portable.c: multiplication
 * and addition are rounded separately everywhere, so vectorised bodies and scalar tails agree. */
#include <math.h>

#include "cpu/cpu_kernels.h"

enum {
    LANES = 16,
    CHUNK = 128 /* elements of a head widened at once; a multiple of LANES */
};

/* The sum over i < n of a[i] * b[i]: lanes by i % LANES, added up in a tree. */
static float dot(const float *a, const float *b, size_t n)
{
    float sums[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            sums[j] += a[i + j] * b[i + j];
        }
    }
    for (size_t j = 0; i + j < n; j++) {
        sums[j] += a[i + j] * b[i + j];
    }
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t j = 0; j < half; j++) {
            sums[j] += sums[j + half];
        }
    }
    return sums[0];
}

static size_t chunk_size(size_t n_left)
{
    return n_left < CHUNK ? n_left : CHUNK;
}

static void page_scores(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                        size_t n_queries, float *scores, size_t stride)
{
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < d_head; i += CHUNK) {
            float wide[CHUNK];
            size_t n_here = chunk_size(d_head - i);
            soti_cpu_kernels_portable.widen(keys + j * d_head + i, n_here, wide);
            for (size_t r = 0; r < n_queries; r++) {
                float part = dot(queries + r * d_head + i, wide, n_here);
                scores[r * stride + j] = i == 0 ? part : scores[r * stride + j] + part;
            }
        }
    }
}

static soti_softmax softmax(float *scores, size_t n)
{
    soti_softmax state = {-INFINITY, 0};
    for (size_t j = 0; j < n; j++) {
        state.largest = scores[j] > state.largest ? scores[j] : state.largest;
    }
    for (size_t j = 0; j < n; j++) {
        scores[j] = expf(scores[j] - state.largest);
        state.sum += scores[j];
    }
    return state;
}

static void page_values(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, size_t n_queries, float *sums)
{
    for (size_t i = 0; i < d_head; i += CHUNK) {
        float wide[SOTI_PAGE_TOKENS * CHUNK];
        size_t n_here = chunk_size(d_head - i);
        for (size_t j = 0; j < n; j++) {
            soti_cpu_kernels_portable.widen(values + j * d_head + i, n_here, wide + j * CHUNK);
        }
        for (size_t r = 0; r < n_queries; r++) {
            float *sum = sums + r * d_head + i;
            for (size_t j = 0; j < n; j++) {
                float weight = weights[r * stride + j];
                for (size_t k = 0; k < n_here; k++) {
                    sum[k] += weight * wide[j * CHUNK + k];
                }
            }
        }
    }
}

static void merge(float *sum, float factor, const float *part, float part_factor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] = sum[i] * factor + part[i] * part_factor;
    }
}

const soti_cpu_attention_kernels soti_cpu_attention_portable = {
    .scores = page_scores,
    .softmax = softmax,
    .values = page_values,
    .merge = merge,
};
