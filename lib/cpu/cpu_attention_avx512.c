/* Attention's inner loops for AVX-512 (F, BW, DQ, VL). A score runs in the sixteen lanes of one
 * register, in order of the head's elements, and ends in one tree of additions; an element of a sum
 * of values takes its positions one by one. Blocks of queries and positions only change how many
 * such registers are busy at once and for how many queries one conversion of a key or value serves.
 */
#include "cpu/cpu_attention_kernels.h"

#if defined(__x86_64__)

#include <math.h>
#include <stdbool.h>

#include "cpu/cpu_lanes_avx512.h"

enum {
    QUERIES = 6,   /* of one block, at most */
    POSITIONS = 4, /* of one block of scores */
    PARTS = 4      /* registers of one block of values */
};

/* Lanes outside the mask are 0 and not read. A mask that is constant and full costs nothing: masked
 * loads are several operations on some processors. */
INLINE __m512 floats_at(const float *in, __mmask16 mask)
{
    bool is_full = __builtin_constant_p(mask) && mask == 0xFFFF;
    return is_full ? _mm512_loadu_ps(in) : _mm512_maskz_loadu_ps(mask, in);
}

INLINE __m512 halves_at(const uint16_t *in, __mmask16 mask)
{
    bool is_full = __builtin_constant_p(mask) && mask == 0xFFFF;
    return is_full ? load_halves(in) : load_some_halves(in, mask);
}

/* Sixteen elements of the heads, or as many as mask says. */
INLINE void score_step(const uint16_t *const rows[POSITIONS], size_t i, __mmask16 mask,
                       const float *queries, size_t d_head, __m512 sums[][POSITIONS],
                       const int n_queries)
{
    __m512 parts[POSITIONS];
    UNROLL
    for (int j = 0; j < POSITIONS; j++) {
        parts[j] = halves_at(rows[j] + i, mask);
    }
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        __m512 query = floats_at(queries + (size_t)r * d_head + i, mask);
        HOLD(query);
        UNROLL
        for (int j = 0; j < POSITIONS; j++) {
            sums[r][j] = _mm512_fmadd_ps(query, parts[j], sums[r][j]);
        }
    }
}

/* n of POSITIONS positions (where fewer are left, the last stands in for those behind it) against
 * n_queries queries. n_queries is a constant where this is called, so the sums stay in registers.
 */
INLINE void score_block(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                        float *scores, size_t stride, const int n_queries)
{
    const uint16_t *rows[POSITIONS];
    __m512 sums[QUERIES][POSITIONS];
    UNROLL
    for (int j = 0; j < POSITIONS; j++) {
        rows[j] = keys + ((size_t)j < n ? (size_t)j : n - 1) * d_head;
        UNROLL
        for (int r = 0; r < n_queries; r++) {
            sums[r][j] = _mm512_setzero_ps();
        }
    }
    size_t i = 0;
    for (; i + LANES <= d_head; i += LANES) {
        score_step(rows, i, lane_mask(LANES), queries, d_head, sums, n_queries);
    }
    if (i < d_head) {
        score_step(rows, i, lane_mask(d_head - i), queries, d_head, sums, n_queries);
    }
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        __m128 four = sum_four(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
        _mm_mask_storeu_ps(scores + (size_t)r * stride, (__mmask8)((1u << n) - 1), four);
    }
}

INLINE void score_queries(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                          float *scores, size_t stride, const int n_queries)
{
    for (size_t j = 0; j < n; j += POSITIONS) {
        score_block(keys + j * d_head, n - j < POSITIONS ? n - j : POSITIONS, d_head, queries,
                    scores + j, stride, n_queries);
    }
}

static void page_scores(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                        size_t n_queries, float *scores, size_t stride)
{
    size_t r = 0;
    for (; r + QUERIES <= n_queries; r += QUERIES) {
        score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride, QUERIES);
    }
    for (; r + 4 <= n_queries; r += 4) {
        score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride, 4);
    }
    for (; r + 2 <= n_queries; r += 2) {
        score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride, 2);
    }
    if (r < n_queries) {
        score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride, 1);
    }
}

/* Lanes behind the n-th win no maximum and add nothing. */
static soti_softmax softmax(float *scores, size_t n)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 most = none;
    for (size_t i = 0; i < n; i += LANES) {
        most = _mm512_max_ps(most, _mm512_mask_loadu_ps(none, lane_mask(n - i), scores + i));
    }
    float largest = _mm512_reduce_max_ps(most);
    __m512 shift = _mm512_set1_ps(largest);
    __m512 sums = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lane_mask(n - i);
        __m512 powers = exp_lanes(_mm512_sub_ps(floats_at(scores + i, mask), shift));
        _mm512_mask_storeu_ps(scores + i, mask, powers);
        sums = _mm512_mask_add_ps(sums, mask, sums, powers);
    }
    return (soti_softmax){largest, sum_lanes(sums)};
}

/* n_parts registers of the sums of n_queries queries; mask: the lanes that are there. */
INLINE void value_block(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, float *sums, __mmask16 mask, const int n_queries,
                        const int n_parts)
{
    __m512 parts[QUERIES][2 * PARTS];
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            parts[r][p] = floats_at(sums + (size_t)r * d_head + p * LANES, mask);
        }
    }
    for (size_t j = 0; j < n; j++) {
        __m512 held[QUERIES];
        UNROLL
        for (int r = 0; r < n_queries; r++) {
            held[r] = _mm512_set1_ps(weights[(size_t)r * stride + j]);
        }
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            __m512 value = halves_at(values + j * d_head + p * LANES, mask);
            UNROLL
            for (int r = 0; r < n_queries; r++) {
                parts[r][p] = _mm512_fmadd_ps(held[r], value, parts[r][p]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            _mm512_mask_storeu_ps(sums + (size_t)r * d_head + p * LANES, mask, parts[r][p]);
        }
    }
}

/* All elements of n_queries queries, n_parts registers at once, then one by one. */
INLINE void value_queries(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                          size_t stride, float *sums, const int n_queries, const int n_parts)
{
    const __mmask16 all = lane_mask(LANES);
    size_t step = (size_t)n_parts * LANES;
    size_t i = 0;
    for (; i + step <= d_head; i += step) {
        value_block(values + i, n, d_head, weights, stride, sums + i, all, n_queries, n_parts);
    }
    for (; i < d_head; i += LANES) {
        value_block(values + i, n, d_head, weights, stride, sums + i, lane_mask(d_head - i),
                    n_queries, 1);
    }
}

static void page_values(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, size_t n_queries, float *sums)
{
    size_t r = 0;
    for (; r + QUERIES <= n_queries; r += QUERIES) {
        value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, QUERIES,
                      PARTS);
    }
    for (; r + 4 <= n_queries; r += 4) {
        value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, 4, PARTS);
    }
    for (; r + 2 <= n_queries; r += 2) {
        value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, 2, PARTS);
    }
    if (r < n_queries) {
        value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, 1,
                      2 * PARTS);
    }
}

static void merge(float *sum, float factor, const float *part, float part_factor, size_t n)
{
    const __m512 factors = _mm512_set1_ps(factor);
    const __m512 part_factors = _mm512_set1_ps(part_factor);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = lane_mask(n - i);
        __m512 scaled = _mm512_mul_ps(factors, floats_at(sum + i, mask));
        __m512 added = floats_at(part + i, mask);
        _mm512_mask_storeu_ps(sum + i, mask, _mm512_fmadd_ps(added, part_factors, scaled));
    }
}

const soti_cpu_attention_kernels soti_cpu_attention_avx512 = {
    .scores = page_scores,
    .softmax = softmax,
    .values = page_values,
    .merge = merge,
};

#endif
