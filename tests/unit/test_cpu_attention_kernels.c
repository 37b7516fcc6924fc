/* Every instruction set's inner loops of attention against double precision, with arrays that end
 * where memory does and pages at addresses that are even and no more; and CK-1, bit for bit: a
 * query in a block of any size gets what it gets alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/random.h"
#include "cpu/cpu_isa.h"
#include "guarded_memory.h"

enum { GAP = 3 }; /* floats between two rows of scores, which nobody may touch */

/* Around the registers (8, 16), the blocks of 32, 64 and 128 elements, the portable chunk (128). */
static const size_t heads[] = {1,  2,  7,  8,  10,  15,  16,  17,  31, 33,
                               64, 65, 80, 96, 127, 128, 129, 256, 300};
static const size_t query_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 16, 17};

enum {
    N_HEADS = sizeof heads / sizeof heads[0],
    N_QUERY_COUNTS = sizeof query_counts / sizeof query_counts[0]
};

typedef void (*check_fn)(const char *isa, const soti_cpu_attention_kernels *kernels);

static void on_every_isa(check_fn check)
{
    for (uint32_t i = 0; soti_cpu_isa_name(i) != NULL; i++) {
        const soti_cpu_kernels *kernels;
        if (soti_cpu_isa_select(soti_cpu_isa_name(i), &kernels) != SOT_OK) {
            print_message("skipped for %s: %s\n", soti_cpu_isa_name(i), soti_fail_message());
            continue;
        }
        check(kernels->isa, kernels->attention);
    }
}

static double noise(uint64_t stream, uint64_t i)
{
    return 2.0 * (double)soti_random_uniform(5, stream, i) - 1;
}

static float *random_floats(size_t n, uint64_t stream, double scale)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)(noise(stream, i) * scale);
    }
    return values;
}

/* n halves that end with their block and begin two bytes into it. */
static uint16_t *random_halves(size_t n, uint64_t stream, char **block)
{
    *block = malloc(2 + n * sizeof(uint16_t));
    uint16_t *halves = (uint16_t *)(void *)(*block + 2);
    for (size_t i = 0; i < n; i++) {
        halves[i] = soti_half_from_float((float)noise(stream, i));
    }
    return halves;
}

/* A sum of d_head products in any order errs by at most about d_head roundings of the sum of
 * magnitudes. */
static void check_scores_of(const char *isa, const soti_cpu_attention_kernels *kernels, size_t n,
                            size_t d_head, size_t n_queries)
{
    char *block;
    size_t stride = n + GAP;
    size_t n_scores = (n_queries - 1) * stride + n;
    uint16_t *keys = random_halves(n * d_head, n, &block);
    float *queries = random_floats(n_queries * d_head, 2, 3);
    float *scores = random_floats(n_scores, 3, 1);
    float *before = random_floats(n_scores, 3, 1);
    kernels->scores(keys, n, d_head, queries, n_queries, scores, stride);
    for (size_t r = 0; r < n_queries; r++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            double magnitude = 0;
            for (size_t i = 0; i < d_head; i++) {
                double term = (double)soti_half_to_float(keys[j * d_head + i]) *
                              (double)queries[r * d_head + i];
                sum += term;
                magnitude += fabs(term);
            }
            float found = scores[r * stride + j];
            if (!(fabs((double)found - sum) <= ((double)d_head + 8) * 0x1p-24 * magnitude)) {
                fail_msg("%s: %zu queries, %zu keys of %zu: score %zu of %zu is %g, expected %g",
                         isa, n_queries, n, d_head, j, r, (double)found, sum);
            }
            float alone;
            kernels->scores(keys + j * d_head, 1, d_head, queries + r * d_head, 1, &alone, 1);
            assert_memory_equal(&alone, &found, sizeof alone);
        }
        if (r + 1 < n_queries) {
            assert_memory_equal(&scores[r * stride + n], &before[r * stride + n],
                                GAP * sizeof *scores);
        }
    }
    free(block);
    free(queries);
    free(scores);
    free(before);
}

static void check_scores(const char *isa, const soti_cpu_attention_kernels *kernels)
{
    for (size_t h = 0; h < N_HEADS; h++) {
        for (size_t q = 0; q < N_QUERY_COUNTS; q++) {
            for (size_t n = 1; n <= SOTI_PAGE_TOKENS; n++) {
                if ((h + q) % 3 == 0 || n == SOTI_PAGE_TOKENS) { /* time */
                    check_scores_of(isa, kernels, n, heads[h], query_counts[q]);
                }
            }
        }
    }
}

static void scores_every_shape_match_and_stand_alone(void **state)
{
    (void)state;
    on_every_isa(check_scores);
}

/* An exponential errs by the rounding of its argument (2 spread / 2^24) and 2 units in the last
 * place, a sum of n terms by n roundings. */
static void check_softmax_of(const char *isa, const soti_cpu_attention_kernels *kernels, size_t n,
                             double spread)
{
    float *scores = random_floats(n, n, spread);
    float *found = malloc(n * sizeof *found);
    memcpy(found, scores, n * sizeof *found);
    double largest = -INFINITY;
    double sum = 0;
    double relative = (2 * spread + 8) * 0x1p-24;
    for (size_t j = 0; j < n; j++) {
        largest = fmax(largest, (double)scores[j]);
    }
    soti_softmax state = kernels->softmax(found, n);
    for (size_t j = 0; j < n; j++) {
        double expected = exp((double)scores[j] - largest);
        sum += expected;
        if (!(fabs((double)found[j] - expected) <= relative * expected + 1e-34)) {
            fail_msg("%s: weight %zu of %zu is %g, expected %g", isa, j, n, (double)found[j],
                     expected);
        }
    }
    assert_true((double)state.largest == largest);
    assert_true(fabs((double)state.sum - sum) <= (relative + (double)n * 0x1p-24) * sum);
    free(scores);
    free(found);
}

static void check_softmax(const char *isa, const soti_cpu_attention_kernels *kernels)
{
    for (size_t n = 1; n <= 130; n++) {
        check_softmax_of(isa, kernels, n, 1);
        check_softmax_of(isa, kernels, n, 60);
    }
    check_softmax_of(isa, kernels, 256, 10);
    float scores[] = {1, NAN, 2};
    soti_softmax state = kernels->softmax(scores, 3);
    assert_true(isnan(state.sum));
}

static void softmax_every_length_matches(void **state)
{
    (void)state;
    on_every_isa(check_softmax);
}

/* One rounding more than there are terms. */
static void check_values_of(const char *isa, const soti_cpu_attention_kernels *kernels, size_t n,
                            size_t d_head, size_t n_queries)
{
    char *block;
    size_t stride = n + GAP;
    uint16_t *values = random_halves(n * d_head, n, &block);
    float *weights = random_floats((n_queries - 1) * stride + n, 2, 1);
    float *before = random_floats(n_queries * d_head, 3, 2);
    float *sums = random_floats(n_queries * d_head, 3, 2);
    float *alone = malloc(d_head * sizeof *alone);
    kernels->values(values, n, d_head, weights, stride, n_queries, sums);
    for (size_t r = 0; r < n_queries; r++) {
        for (size_t i = 0; i < d_head; i++) {
            double sum = (double)before[r * d_head + i];
            double magnitude = fabs(sum);
            for (size_t j = 0; j < n; j++) {
                double term = (double)weights[r * stride + j] *
                              (double)soti_half_to_float(values[j * d_head + i]);
                sum += term;
                magnitude += fabs(term);
            }
            double found = (double)sums[r * d_head + i];
            if (!(fabs(found - sum) <= ((double)n + 2) * 0x1p-24 * magnitude)) {
                fail_msg("%s: %zu queries, %zu values of %zu: element %zu of %zu is %g, expected "
                         "%g",
                         isa, n_queries, n, d_head, i, r, found, sum);
            }
        }
        memcpy(alone, before + r * d_head, d_head * sizeof *alone);
        for (size_t j = 0; j < n; j++) { /* in order of position, however they are cut */
            kernels->values(values + j * d_head, 1, d_head, weights + r * stride + j, 1, 1, alone);
        }
        assert_memory_equal(alone, sums + r * d_head, d_head * sizeof *alone);
    }
    free(block);
    free(weights);
    free(before);
    free(sums);
    free(alone);
}

static void check_values(const char *isa, const soti_cpu_attention_kernels *kernels)
{
    for (size_t h = 0; h < N_HEADS; h++) {
        for (size_t q = 0; q < N_QUERY_COUNTS; q++) {
            check_values_of(isa, kernels, SOTI_PAGE_TOKENS, heads[h], query_counts[q]);
            check_values_of(isa, kernels, 1 + (h + q) % SOTI_PAGE_TOKENS, heads[h],
                            query_counts[q]);
        }
    }
}

static void values_every_shape_match_and_stand_alone(void **state)
{
    (void)state;
    on_every_isa(check_values);
}

static void check_merge(const char *isa, const soti_cpu_attention_kernels *kernels)
{
    for (size_t h = 0; h < N_HEADS; h++) {
        size_t n = heads[h];
        float *sum = random_floats(n, 1, 2);
        float *before = random_floats(n, 1, 2);
        float *part = random_floats(n, 2, 2);
        kernels->merge(sum, 0.25f, part, 0.7f, n);
        for (size_t i = 0; i < n; i++) {
            double expected = (double)before[i] * 0.25 + (double)part[i] * (double)0.7f;
            double magnitude = fabs((double)before[i]) + fabs((double)part[i]);
            if (!(fabs((double)sum[i] - expected) <= 2 * 0x1p-24 * magnitude)) {
                fail_msg("%s: element %zu of %zu is %g, expected %g", isa, i, n, (double)sum[i],
                         expected);
            }
            float one = before[i];
            kernels->merge(&one, 0.25f, part + i, 0.7f, 1);
            assert_memory_equal(&one, &sum[i], sizeof one);
        }
        free(sum);
        free(before);
        free(part);
    }
}

static void merge_every_length_matches_and_stands_alone(void **state)
{
    (void)state;
    on_every_isa(check_merge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_every_shape_match_and_stand_alone),
        cmocka_unit_test(softmax_every_length_matches),
        cmocka_unit_test(values_every_shape_match_and_stand_alone),
        cmocka_unit_test(merge_every_length_matches_and_stands_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
