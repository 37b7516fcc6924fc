/* Attention's inner loops for AVX2 with FMA and F16C. A score runs in the eight lanes of one
 * register, in order of the head's elements, and ends in one tree of additions; an element of a sum
 * of values takes its positions one by one. Blocks of queries and positions only change how many
 * such registers are busy at once and for how many queries one conversion of a key or value serves.
 */
#include "cpu/cpu_attention_kernels.h"

#if defined(__x86_64__)

#include <math.h>

#include "cpu/cpu_lanes_avx2.h"

enum {
    QUERIES = 3,         /* of one block, at most */
    POSITIONS = 4,       /* of one block of scores */
    POSITIONS_ALONE = 8, /* of one query's: enough sums to hide a multiplication's latency */
    PARTS = 4,           /* registers of one block of values */
    PARTS_ALONE = 8
};

/* The sums over the lanes of each of four registers. */
INLINE __m128 sum_four(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    __m256d low = _mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd));
    __m256d high = _mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd));
    __m256 all = _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

/* The first n of four. */
INLINE void store_some(float *to, __m128 four, size_t n)
{
    if (n >= 4) {
        _mm_storeu_ps(to, four);
        return;
    }
    float some[4];
    _mm_storeu_ps(some, four);
    memcpy(to, some, n * sizeof some[0]);
}

/* n of n_positions positions (where fewer are left, the last stands in for those behind it) against
 * n_queries queries; both counts are constants where this is called, so the sums stay in registers.
 */
INLINE void score_block(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                        float *scores, size_t stride, const int n_queries, const int n_positions)
{
    const uint16_t *rows[POSITIONS_ALONE];
    __m256 sums[QUERIES][POSITIONS_ALONE];
    UNROLL
    for (int j = 0; j < n_positions; j++) {
        rows[j] = keys + ((size_t)j < n ? (size_t)j : n - 1) * d_head;
        UNROLL
        for (int r = 0; r < n_queries; r++) {
            sums[r][j] = _mm256_setzero_ps();
        }
    }
    size_t i = 0;
    for (; i + LANES <= d_head; i += LANES) {
        __m256 held[QUERIES];
        UNROLL
        for (int r = 0; r < n_queries; r++) {
            held[r] = _mm256_loadu_ps(queries + (size_t)r * d_head + i);
            HOLD(held[r]);
        }
        UNROLL
        for (int j = 0; j < n_positions; j++) {
            __m256 key = load_halves(rows[j] + i);
            UNROLL
            for (int r = 0; r < n_queries; r++) {
                sums[r][j] = _mm256_fmadd_ps(held[r], key, sums[r][j]);
            }
        }
    }
    if (i < d_head) {
        __m256i mask = lane_mask(d_head - i);
        UNROLL
        for (int j = 0; j < n_positions; j++) {
            __m256 key = load_some_halves(rows[j] + i, d_head - i);
            UNROLL
            for (int r = 0; r < n_queries; r++) {
                __m256 query = _mm256_maskload_ps(queries + (size_t)r * d_head + i, mask);
                sums[r][j] = _mm256_fmadd_ps(query, key, sums[r][j]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int j = 0; j < n_positions; j += 4) {
            if ((size_t)j < n) {
                store_some(scores + (size_t)r * stride + j,
                           sum_four(sums[r][j], sums[r][j + 1], sums[r][j + 2], sums[r][j + 3]),
                           n - (size_t)j);
            }
        }
    }
}

INLINE void score_queries(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                          float *scores, size_t stride, const int n_queries, const int n_positions)
{
    size_t step = (size_t)n_positions;
    for (size_t j = 0; j < n; j += step) {
        score_block(keys + j * d_head, n - j < step ? n - j : step, d_head, queries, scores + j,
                    stride, n_queries, n_positions);
    }
}

/* Queries of the next block: four left over go as two and two rather than three and one. */
INLINE size_t block_size(size_t n_left)
{
    return n_left == 4 ? 2 : n_left < QUERIES ? n_left : QUERIES;
}

static void page_scores(const uint16_t *keys, size_t n, size_t d_head, const float *queries,
                        size_t n_queries, float *scores, size_t stride)
{
    size_t n_block;
    for (size_t r = 0; r < n_queries; r += n_block) {
        n_block = block_size(n_queries - r);
        if (n_block == QUERIES) {
            score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride,
                          QUERIES, POSITIONS);
        } else if (n_block == 2) {
            score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride, 2,
                          POSITIONS);
        } else {
            score_queries(keys, n, d_head, queries + r * d_head, scores + r * stride, stride, 1,
                          POSITIONS_ALONE);
        }
    }
}

/* Lanes behind the n-th hold -infinity: they win no maximum and add exp(-infinity) = 0. */
INLINE __m256 load_scores(const float *scores, size_t n)
{
    __m256i mask = lane_mask(n);
    __m256 some = _mm256_maskload_ps(scores, mask);
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), some, _mm256_castsi256_ps(mask));
}

static soti_softmax softmax(float *scores, size_t n)
{
    __m256 most = _mm256_set1_ps(-INFINITY);
    for (size_t i = 0; i < n; i += LANES) {
        most = _mm256_max_ps(most, load_scores(scores + i, n - i));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    float largest = _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
    __m256 shift = _mm256_set1_ps(largest);
    __m256 sums = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __m256 powers = exp_lanes(_mm256_sub_ps(load_scores(scores + i, n - i), shift));
        _mm256_maskstore_ps(scores + i, lane_mask(n - i), powers);
        sums = _mm256_add_ps(sums, powers);
    }
    return (soti_softmax){largest, sum_lanes(sums)};
}

/* n_parts whole registers of the sums of n_queries queries. */
INLINE void value_block(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, float *sums, const int n_queries, const int n_parts)
{
    __m256 parts[QUERIES][PARTS_ALONE];
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            parts[r][p] = _mm256_loadu_ps(sums + (size_t)r * d_head + p * LANES);
        }
    }
    for (size_t j = 0; j < n; j++) {
        __m256 held[QUERIES];
        UNROLL
        for (int r = 0; r < n_queries; r++) {
            held[r] = _mm256_broadcast_ss(weights + (size_t)r * stride + j);
        }
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            __m256 value = load_halves(values + j * d_head + p * LANES);
            UNROLL
            for (int r = 0; r < n_queries; r++) {
                parts[r][p] = _mm256_fmadd_ps(held[r], value, parts[r][p]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_queries; r++) {
        UNROLL
        for (int p = 0; p < n_parts; p++) {
            _mm256_storeu_ps(sums + (size_t)r * d_head + p * LANES, parts[r][p]);
        }
    }
}

/* The last elements of a head whose size is no multiple of eight, of one query. */
INLINE void value_tail(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                       float *sums, size_t n_left)
{
    __m256i mask = lane_mask(n_left);
    __m256 part = _mm256_maskload_ps(sums, mask);
    for (size_t j = 0; j < n; j++) {
        __m256 value = load_some_halves(values + j * d_head, n_left);
        part = _mm256_fmadd_ps(_mm256_broadcast_ss(weights + j), value, part);
    }
    _mm256_maskstore_ps(sums, mask, part);
}

INLINE void value_queries(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                          size_t stride, float *sums, const int n_queries, const int n_parts)
{
    size_t step = (size_t)n_parts * LANES;
    size_t i = 0;
    for (; i + step <= d_head; i += step) {
        value_block(values + i, n, d_head, weights, stride, sums + i, n_queries, n_parts);
    }
    for (; i + LANES <= d_head; i += LANES) {
        value_block(values + i, n, d_head, weights, stride, sums + i, n_queries, 1);
    }
    for (size_t r = 0; i < d_head && r < (size_t)n_queries; r++) {
        value_tail(values + i, n, d_head, weights + r * stride, sums + r * d_head + i, d_head - i);
    }
}

static void page_values(const uint16_t *values, size_t n, size_t d_head, const float *weights,
                        size_t stride, size_t n_queries, float *sums)
{
    size_t n_block;
    for (size_t r = 0; r < n_queries; r += n_block) {
        n_block = block_size(n_queries - r);
        if (n_block == QUERIES) {
            value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head,
                          QUERIES, PARTS);
        } else if (n_block == 2) {
            value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, 2,
                          PARTS);
        } else {
            value_queries(values, n, d_head, weights + r * stride, stride, sums + r * d_head, 1,
                          PARTS_ALONE);
        }
    }
}

static void merge(float *sum, float factor, const float *part, float part_factor, size_t n)
{
    const __m256 factors = _mm256_set1_ps(factor);
    const __m256 part_factors = _mm256_set1_ps(part_factor);
    for (size_t i = 0; i < n; i += LANES) {
        __m256i mask = lane_mask(n - i);
        __m256 scaled = _mm256_mul_ps(factors, _mm256_maskload_ps(sum + i, mask));
        __m256 added = _mm256_maskload_ps(part + i, mask);
        _mm256_maskstore_ps(sum + i, mask, _mm256_fmadd_ps(added, part_factors, scaled));
    }
}

const soti_cpu_attention_kernels soti_cpu_attention_avx2 = {
    .scores = page_scores,
    .softmax = softmax,
    .values = page_values,
    .merge = merge,
};

#endif
