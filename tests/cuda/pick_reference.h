/* What a pick must be, by a full sort in float64: written from the rules in backend.h, apart from
 * every backend. */
#ifndef SOTI_TEST_PICK_REFERENCE_H
#define SOTI_TEST_PICK_REFERENCE_H

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { PICK_VOCAB_MAX = 32001 };

/* Philox4x32-10 from the paper: the first word's upper 24 bits. */
static uint32_t reference_chance(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t x[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)stream,
                     (uint32_t)(stream >> 32)};
    for (int i = 0; i < 10; i++) {
        uint64_t left = (uint64_t)x[0] * 0xD2511F53u;
        uint64_t right = (uint64_t)x[2] * 0xCD9E8D57u;
        uint32_t next[4] = {(uint32_t)(right >> 32) ^ x[1] ^ key[0], (uint32_t)right,
                            (uint32_t)(left >> 32) ^ x[3] ^ key[1], (uint32_t)left};
        memcpy(x, next, sizeof x);
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    return x[0] >> 8;
}

/* What may be drawn, in the order in which the draw walks it. */
typedef struct outlook {
    uint32_t n;
    uint32_t ids[PICK_VOCAB_MAX];
    double weights[PICK_VOCAB_MAX];
    double total;
    double nearest; /* of a sum to top_p's border, as a share of all */
} outlook;

static float reference_logits[PICK_VOCAB_MAX]; /* penalised */

static int compare_ids(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a;
    uint32_t second = *(const uint32_t *)b;
    if (reference_logits[first] != reference_logits[second]) {
        return reference_logits[first] > reference_logits[second] ? -1 : 1;
    }
    return first < second ? -1 : 1;
}

static void penalise(const float *logits, const soti_cuda_pick *pick, const int32_t *recent)
{
    for (uint32_t i = 0; i < pick->n_recent && pick->repetition_penalty != 1; i++) {
        int32_t id = recent[pick->i_recent + i];
        float value = logits[id];
        value = value > 0 ? value / pick->repetition_penalty : value * pick->repetition_penalty;
        if (isfinite(logits[id])) {
            reference_logits[id] = fmaxf(-FLT_MAX, fminf(FLT_MAX, value));
        }
    }
}

static void foresee(const float *logits, uint32_t n_vocab, const soti_cuda_pick *pick,
                    const int32_t *recent, outlook *out)
{
    memcpy(reference_logits, logits, n_vocab * sizeof *logits);
    penalise(logits, pick, recent);
    out->n = 0;
    for (uint32_t id = 0; id < n_vocab; id++) {
        if (isfinite(reference_logits[id])) {
            out->ids[out->n++] = id;
        }
    }
    out->nearest = 1;
    if (out->n == 0) {
        return;
    }
    int is_cut = pick->top_k > 0 && pick->top_k < out->n;
    if (is_cut || pick->top_p < 1 || !(pick->temperature > 0)) {
        qsort(out->ids, out->n, sizeof out->ids[0], compare_ids);
    }
    out->n = is_cut ? pick->top_k : out->n;
    float largest = -FLT_MAX;
    for (uint32_t i = 0; i < out->n; i++) {
        largest = fmaxf(largest, reference_logits[out->ids[i]]);
    }
    double total = 0;
    for (uint32_t i = 0; i < out->n; i++) {
        double above = (double)reference_logits[out->ids[i]] - (double)largest;
        out->weights[i] = exp(above / (double)pick->temperature);
        total += out->weights[i];
    }
    double sum = 0;
    for (uint32_t i = 0; i < out->n && pick->top_p < 1; i++) {
        sum += out->weights[i];
        out->nearest = fmin(out->nearest, fabs(sum / total - (double)pick->top_p));
        if (sum >= total * (double)pick->top_p) {
            out->n = i + 1;
            total = sum;
        }
    }
    out->total = total;
}

/* The token, and how near the draw came to a border. */
static int32_t reference_pick(const float *logits, uint32_t n_vocab, const soti_cuda_pick *pick,
                              const int32_t *recent, double *nearest)
{
    static outlook seen;
    foresee(logits, n_vocab, pick, recent, &seen);
    *nearest = seen.nearest;
    if (seen.n == 0 || !(pick->temperature > 0)) {
        *nearest = 1;
        return seen.n == 0 ? -1 : (int32_t)seen.ids[0];
    }
    double target = (double)reference_chance(pick->seed, pick->stream, pick->counter) * 0x1p-24;
    double sum = 0;
    int32_t token = -1;
    for (uint32_t i = 0; i < seen.n; i++) {
        sum += seen.weights[i];
        if (i + 1 < seen.n) { /* the end of all is no border: target is below 1 */
            *nearest = fmin(*nearest, fabs(sum / seen.total - target));
        }
        if (token < 0 && (sum > target * seen.total || i + 1 == seen.n)) {
            token = (int32_t)seen.ids[i];
        }
    }
    return token;
}

#endif
