/* Picking a token: what may be chosen, checked against a full sort, and how often, checked against
 * exact probabilities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/random.h"
#include "cpu/cpu_context.h"
#include "cuda/pick_known.h"
#include "unit/cpu_model.h"

enum { VOCAB_MAX = 400 };

static const soti_pick greedy = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};

static int32_t pick_one(const float *logits, uint32_t n_vocab, const soti_pick *pick)
{
    static soti_cpu_candidate candidates[VOCAB_MAX];
    static double weights[VOCAB_MAX];
    float before[VOCAB_MAX];
    int32_t token = -1;
    memcpy(before, logits, n_vocab * sizeof *logits);
    assert_true(soti_cpu_pick_one(logits, n_vocab, pick, candidates, weights, &token));
    assert_memory_equal(before, logits, n_vocab * sizeof *logits);
    assert_true(token >= 0 && (uint32_t)token < n_vocab);
    return token;
}

static void pick_greedy_equal_logits_take_the_lowest_id(void **state)
{
    (void)state;
    float logits[] = {-1, 3, 2, 3, 3};
    assert_int_equal(pick_one(logits, 5, &greedy), 1);
    float zeros[] = {-0.0f, 0.0f};
    assert_int_equal(pick_one(zeros, 2, &greedy), 0);
    float single[] = {-5};
    assert_int_equal(pick_one(single, 1, &greedy), 0);
}

/* Every place of the largest, in rows around the width of the scan. */
static void pick_greedy_finds_the_largest_wherever_it_is(void **state)
{
    (void)state;
    float logits[40];
    for (uint32_t n = 1; n <= 40; n++) {
        for (uint32_t place = 0; place < n; place++) {
            for (uint32_t i = 0; i < n; i++) {
                logits[i] = i % 3 == 1 ? NAN : i % 7 == 2 ? INFINITY : -2e38f + (float)i;
            }
            logits[place] = -1.5f;
            assert_int_equal(pick_one(logits, n, &greedy), place);
            logits[n - 1] = -1.5f; /* an equal one behind it */
            assert_int_equal(pick_one(logits, n, &greedy), place);
        }
    }
}

static void pick_numbers_that_are_not_finite_never_win(void **state)
{
    (void)state;
    float logits[] = {NAN, INFINITY, -30, -INFINITY, -20, NAN};
    soti_pick warm = greedy;
    warm.temperature = 100;
    assert_int_equal(pick_one(logits, 6, &greedy), 4);
    for (warm.counter = 0; warm.counter < 50; warm.counter++) {
        int32_t token = pick_one(logits, 6, &warm);
        assert_true(token == 2 || token == 4);
    }
    soti_cpu_candidate candidates[3];
    double weights[3];
    int32_t token = -1;
    float none[] = {NAN, INFINITY, -INFINITY};
    assert_false(soti_cpu_pick_one(none, 3, &greedy, candidates, weights, &token));
    assert_int_equal(token, -1);
}

static void pick_penalty_counts_repeated_ids_once(void **state)
{
    (void)state;
    static const int32_t recent[] = {0, 0, 0, 2, -1, 99};
    soti_pick pick = greedy;
    pick.repetition_penalty = 2;
    pick.recent = recent;
    pick.n_recent = 6;
    float halved[] = {5, 2.4f, -9}; /* 5 / 2 stays above 2.4; 5 / 4 would not */
    assert_int_equal(pick_one(halved, 3, &pick), 0);
    float negative[] = {-3, -2, -0.9f}; /* -0.9 * 2 stays above -2, -3 * 2 falls */
    assert_int_equal(pick_one(negative, 3, &pick), 2);
    pick.repetition_penalty = 2.5f;
    assert_int_equal(pick_one(negative, 3, &pick), 1);
    assert_int_equal(pick_one(halved, 3, &pick), 1);
    pick.repetition_penalty = FLT_MIN; /* out of all proportion, yet not lost to infinity */
    assert_int_equal(pick_one(halved, 3, &pick), 0);
}

/* The tokens that may be drawn, with their probabilities, by a full sort. */
typedef struct outlook {
    double probabilities[VOCAB_MAX]; /* by id; 0: may not be drawn */
    double nearest;                  /* distance of a cumulative sum to top_p */
} outlook;

static const float *sorted_logits;

static int compare_ids(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a;
    uint32_t second = *(const uint32_t *)b;
    if (sorted_logits[first] != sorted_logits[second]) {
        return sorted_logits[first] > sorted_logits[second] ? -1 : 1;
    }
    return first < second ? -1 : 1;
}

static void foresee(const float *logits, uint32_t n_vocab, const soti_pick *pick, outlook *out)
{
    uint32_t ids[VOCAB_MAX];
    uint32_t n = n_vocab;
    double total = 0;
    double sum = 0;
    memset(out, 0, sizeof *out);
    out->nearest = 1;
    for (uint32_t i = 0; i < n_vocab; i++) {
        ids[i] = i;
    }
    sorted_logits = logits;
    qsort(ids, n_vocab, sizeof ids[0], compare_ids);
    n = pick->top_k > 0 && pick->top_k < n ? pick->top_k : n;
    for (uint32_t i = 0; i < n; i++) {
        total += exp((double)logits[ids[i]] / (double)pick->temperature);
    }
    for (uint32_t i = 0; i < n; i++) {
        double p = exp((double)logits[ids[i]] / (double)pick->temperature) / total;
        out->probabilities[ids[i]] = p;
        sum += p;
        if (pick->top_p < 1) {
            out->nearest = fmin(out->nearest, fabs(sum - (double)pick->top_p));
            if (sum >= (double)pick->top_p) {
                break;
            }
        }
    }
    for (uint32_t i = 0; i < n_vocab; i++) {
        out->probabilities[i] /= sum;
    }
}

/* Pearson's statistic of n draws over m cells is below m + 6 sqrt(2 m) + 10 but once in many
 * thousand cases; draws are fixed by their seeds, so it holds always or never. */
static void check_draws(const float *logits, uint32_t n_vocab, soti_pick pick, uint32_t n_draws)
{
    outlook expected;
    uint32_t counts[VOCAB_MAX] = {0};
    double statistic = 0;
    uint32_t n_cells = 0;
    double rare_expected = 0;
    double rare_count = 0;
    foresee(logits, n_vocab, &pick, &expected);
    assert_true(expected.nearest > 1e-9);
    for (uint32_t i = 0; i < n_draws; i++) {
        pick.counter = i;
        counts[pick_one(logits, n_vocab, &pick)]++;
    }
    for (uint32_t i = 0; i < n_vocab; i++) {
        double mean = expected.probabilities[i] * n_draws;
        if (expected.probabilities[i] == 0 && counts[i] > 0) {
            fail_msg("token %u was drawn: k %u, p %g", i, pick.top_k, (double)pick.top_p);
        }
        if (mean < 5) {
            rare_expected += mean;
            rare_count += counts[i];
            continue;
        }
        statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
        n_cells++;
    }
    if (rare_expected > 5) {
        statistic += (rare_count - rare_expected) * (rare_count - rare_expected) / rare_expected;
        n_cells++;
    }
    if (statistic > n_cells + 6 * sqrt(2.0 * n_cells) + 10) {
        fail_msg("k %u, p %g, temperature %g: statistic %g over %u cells", pick.top_k,
                 (double)pick.top_p, (double)pick.temperature, statistic, n_cells);
    }
}

static void pick_draws_follow_the_probabilities(void **state)
{
    (void)state;
    static const float logits[] = {1, 0, 2, -1, 2, 0.5f, -3, 1.5f};
    static const float temperatures[] = {0.5f, 1, 2};
    static const uint32_t ks[] = {0, 1, 2, 3, 8, 100};
    static const float ps[] = {1, 0.9f, 0.48f, 0.01f};
    for (size_t t = 0; t < 3; t++) {
        for (size_t k = 0; k < 6; k++) {
            for (size_t p = 0; p < 4; p++) {
                soti_pick pick = {.temperature = temperatures[t],
                                  .top_p = ps[p],
                                  .repetition_penalty = 1,
                                  .top_k = ks[k],
                                  .seed = 11,
                                  .stream = k * 10 + p};
                check_draws(logits, 8, pick, 4000);
            }
        }
    }
}

/* Values from a coarse grid, so that equal logits are common. */
static void pick_random_logits_keep_to_the_sorted_set(void **state)
{
    (void)state;
    float logits[VOCAB_MAX];
    for (uint64_t i = 0; i < 150; i++) {
        uint32_t words[4];
        soti_random_block(21, 0, i, words);
        uint32_t n_vocab = 1 + words[0] % (VOCAB_MAX - 1);
        for (uint32_t j = 0; j < n_vocab; j++) {
            logits[j] = floorf(20 * soti_random_uniform(22, i, j)) * 0.3f;
        }
        soti_pick pick = {.temperature = 0.3f + 1.7f * soti_random_uniform(23, 0, i),
                          .top_p = words[1] % 3 == 0 ? 1 : soti_random_uniform(23, 1, i),
                          .repetition_penalty = 1,
                          .top_k = words[2] % 3 == 0 ? 0 : words[2] % 50,
                          .seed = i};
        check_draws(logits, n_vocab, pick, 300);
    }
}

static void pick_top_k_equal_logits_keep_the_lowest_ids(void **state)
{
    (void)state;
    float logits[] = {1, 2, 2, 2, 2};
    int seen[5] = {0};
    soti_pick pick = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .top_k = 2};
    for (pick.counter = 0; pick.counter < 200; pick.counter++) {
        seen[pick_one(logits, 5, &pick)] = 1;
    }
    assert_true(!seen[0] && seen[1] && seen[2] && !seen[3] && !seen[4]);
}

static void pick_extreme_temperatures_stay_in_bounds(void **state)
{
    (void)state;
    float logits[] = {-3e38f, 3e38f, 0, 3e38f};
    soti_pick pick = {.temperature = 1e-30f, .top_p = 1, .repetition_penalty = 1};
    for (pick.counter = 0; pick.counter < 50; pick.counter++) {
        int32_t token = pick_one(logits, 4, &pick);
        assert_true(token == 1 || token == 3);
    }
    pick.temperature = FLT_MAX;
    pick.top_p = 0.999f;
    for (pick.counter = 0; pick.counter < 50; pick.counter++) {
        pick_one(logits, 4, &pick);
    }
    pick.top_p = 0; /* the smallest set is one token */
    assert_int_equal(pick_one(logits, 4, &pick), 1);
}

static void pick_counter_and_stream_decide_the_draw(void **state)
{
    (void)state;
    float logits[64] = {0};
    soti_pick pick = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 3};
    int32_t first = pick_one(logits, 64, &pick);
    assert_int_equal(first, (int32_t)(64 * soti_random_uniform(3, 0, 0)));
    assert_int_equal(pick_one(logits, 64, &pick), first);
    pick.stream = 5;
    pick.counter = 9;
    assert_int_equal(pick_one(logits, 64, &pick), (int32_t)(64 * soti_random_uniform(3, 5, 9)));
}

/* What other backends are held to. */
static void pick_known_tokens_stay_the_same(void **state)
{
    (void)state;
    static float logits[PICK_KNOWN_VOCAB_MAX];
    static soti_cpu_candidate candidates[PICK_KNOWN_VOCAB_MAX];
    static double weights[PICK_KNOWN_VOCAB_MAX];
    for (size_t i = 0; i < sizeof pick_known_cases / sizeof pick_known_cases[0]; i++) {
        const pick_known *known = &pick_known_cases[i];
        int32_t recent[PICK_KNOWN_RECENT];
        int32_t token = -1;
        soti_pick pick = {.temperature = known->temperature,
                          .top_p = known->top_p,
                          .repetition_penalty = known->repetition_penalty,
                          .top_k = known->top_k,
                          .seed = known->seed,
                          .stream = known->stream,
                          .counter = known->counter,
                          .recent = recent,
                          .n_recent = PICK_KNOWN_RECENT};
        pick_known_logits(logits, known->n_vocab);
        pick_known_recent(recent, known->n_vocab);
        assert_true(soti_cpu_pick_one(logits, known->n_vocab, &pick, candidates, weights, &token));
        assert_int_equal(token, known->token);
    }
}

/* Through the table: rows chosen by i_logit, repeated, by several threads, and what is refused. */
static void pick_many_at_once_equal_one_at_a_time(void **state)
{
    (void)state;
    static const soti_shape shape = {1,        1,    1,    4, 8, 8, 50, SOTI_ROPE_INTERLEAVED,
                                     10000.0f, 1.0f, 1e-5f};
    const soti_backend *cpu = soti_cpu_backend();
    soti_context_params params = {.n_rows_max = 3,
                                  .n_logits_max = 3,
                                  .n_sequences_max = 1,
                                  .n_pages = 1,
                                  .n_table_max = 1,
                                  .n_threads = 3};
    cpu_model model;
    soti_context *context = NULL;
    cpu_model_make(&model, &shape, 1);
    assert_int_equal(cpu_model_open(&model), SOT_OK);
    assert_int_equal(cpu->context_create(model.weights, &params, &context), SOT_OK);
    int32_t ids[] = {1, 2, 3};
    uint32_t places[] = {0, 1, 2};
    uint32_t sequences[] = {0, 0, 0};
    uint32_t table[] = {0};
    soti_row_group group = {0, 3, 0};
    soti_rows rows = {.n_rows = 3,
                      .n_prompt_rows = 3,
                      .tokens = ids,
                      .positions = places,
                      .sequences = sequences,
                      .n_sequences = 1,
                      .page_tables = table,
                      .table_stride = 1,
                      .n_groups = 1,
                      .groups = &group,
                      .n_logits = 3,
                      .logit_rows = places};
    assert_int_equal(cpu->batch_begin(context, &rows), SOT_OK);
    assert_int_equal(cpu_forward(&model, context), SOT_OK);

    soti_pick picks[20];
    int32_t tokens[20];
    for (uint32_t i = 0; i < 20; i++) {
        picks[i] = (soti_pick){.i_logit = i % 3,
                               .temperature = i % 4 == 0 ? 0 : 1.5f,
                               .top_p = 0.95f,
                               .repetition_penalty = 1.2f,
                               .top_k = i % 2 ? 20 : 0,
                               .stream = i,
                               .recent = ids,
                               .n_recent = 3};
    }
    assert_int_equal(cpu->pick(context, picks, 20, tokens), SOT_OK);
    for (uint32_t i = 0; i < 20; i++) {
        float logits[50];
        int32_t alone = -1;
        assert_int_equal(cpu->read_logits(context, i % 3, logits), SOT_OK);
        assert_int_equal(pick_one(logits, 50, &picks[i]), tokens[i]);
        assert_int_equal(cpu->pick(context, &picks[i], 1, &alone), SOT_OK);
        assert_int_equal(alone, tokens[i]);
    }
    picks[7].i_logit = 3;
    assert_int_equal(cpu->pick(context, picks, 20, tokens), SOT_ERR_DEVICE);
    assert_non_null(strstr(soti_fail_message(), "pick 7"));
    for (uint32_t i = 0; i < shape.n_vocab; i++) {
        context->logits[i] = NAN;
    }
    assert_int_equal(cpu->pick(context, picks, 1, tokens), SOT_ERR_DEVICE);
    assert_non_null(strstr(soti_fail_message(), "finite"));
    cpu->context_free(context);
    cpu_model_close(&model);
    cpu_model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pick_greedy_equal_logits_take_the_lowest_id),
        cmocka_unit_test(pick_greedy_finds_the_largest_wherever_it_is),
        cmocka_unit_test(pick_numbers_that_are_not_finite_never_win),
        cmocka_unit_test(pick_penalty_counts_repeated_ids_once),
        cmocka_unit_test(pick_draws_follow_the_probabilities),
        cmocka_unit_test(pick_random_logits_keep_to_the_sorted_set),
        cmocka_unit_test(pick_top_k_equal_logits_keep_the_lowest_ids),
        cmocka_unit_test(pick_extreme_temperatures_stay_in_bounds),
        cmocka_unit_test(pick_counter_and_stream_decide_the_draw),
        cmocka_unit_test(pick_known_tokens_stay_the_same),
        cmocka_unit_test(pick_many_at_once_equal_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
