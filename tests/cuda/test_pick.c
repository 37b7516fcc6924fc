/* pick.cu against a full sort in float64, written from the rules in backend.h, against Philox's
 * published numbers and against tokens that the CPU backend chose. The same on the host layer and
 * on a device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cuda_runtime_api.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../sanitized.h"
#include "kernels.h"
#include "pick_known.h"
#include "pick_reference.h"

enum { VOCAB_MAX = PICK_VOCAB_MAX, PICKS_MAX = 512, RECENT_MAX = 64, GUARD = 16 };

/* Sums of a draw nearer to a border than this share of all may fall on either side: the reference
 * rounds each of n additions to 53 bits, the kernel each weight to 2^-48 of the largest. */
static const double nearest_checked = 1e-9;

static const uint32_t sizes[] = {1, 31, 32, 33, 257, 1000, 8193, 32000, 32001};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

static const soti_cuda_pick greedy = {.top_p = 1, .repetition_penalty = 1};

/* Where kernels run on the host: the order of blocks and threads from the next launch on. */
void on_host_set_seed(uint64_t seed) __attribute__((weak));

static void check(cudaError_t status)
{
    if (status != cudaSuccess) {
        fail_msg("%s", cudaGetErrorString(status));
    }
}

static void *to_device(const void *from, size_t n_bytes)
{
    void *memory = NULL;
    check(cudaMalloc(&memory, n_bytes > 0 ? n_bytes : 1));
    check(cudaMemcpy(memory, from, n_bytes, cudaMemcpyHostToDevice));
    return memory;
}

/* A few ids from a generator of the test's own. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double next_share(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

/* Picks from rows of logits; checks that they are left alone, and the workspace's end, too. */
static void run_picks(const float *logits, uint32_t n_rows, uint32_t n_vocab,
                      const soti_cuda_pick *picks, uint32_t n_picks, const int32_t *recent,
                      uint32_t n_recent, int32_t *tokens)
{
    soti_cuda_launch launch = {.n_sm = 1};
    size_t logit_bytes = (size_t)n_rows * n_vocab * sizeof *logits;
    size_t work_bytes = soti_pick_workspace_bytes(n_vocab, n_picks);
    unsigned char guard[GUARD];
    int32_t unset[PICKS_MAX + 1];
    memset(unset, 0x55, sizeof unset);
    memset(guard, 0x77, sizeof guard);
    check(cudaStreamCreate(&launch.stream));
    void *on_device[] = {to_device(logits, logit_bytes), to_device(picks, n_picks * sizeof *picks),
                         to_device(recent, n_recent * sizeof *recent),
                         to_device(unset, (n_picks + 1) * sizeof *unset), NULL};
    unsigned char *work = NULL;
    check(cudaMalloc((void **)&work, work_bytes + GUARD));
    on_device[4] = work;
    check(cudaMemcpy(work + work_bytes, guard, GUARD, cudaMemcpyHostToDevice));
    check(soti_launch_pick(&launch, on_device[0], n_vocab, on_device[1], n_picks, on_device[2],
                           work, on_device[3]));
    check(cudaStreamSynchronize(launch.stream));
    check(cudaMemcpy(unset, on_device[3], (n_picks + 1) * sizeof *unset, cudaMemcpyDeviceToHost));
    check(cudaMemcpy(guard, work + work_bytes, GUARD, cudaMemcpyDeviceToHost));
    float *after = malloc(logit_bytes);
    assert_non_null(after);
    check(cudaMemcpy(after, on_device[0], logit_bytes, cudaMemcpyDeviceToHost));
    assert_memory_equal(after, logits, logit_bytes);
    free(after);
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(guard[i], 0x77);
    }
    assert_int_equal(unset[n_picks], 0x55555555);
    memcpy(tokens, unset, n_picks * sizeof *tokens);
    for (size_t i = 0; i < sizeof on_device / sizeof on_device[0]; i++) {
        check(cudaFree(on_device[i]));
    }
    check(cudaStreamDestroy(launch.stream));
}

static int32_t run_pick(const float *logits, uint32_t n_vocab, const soti_cuda_pick *pick)
{
    int32_t token = -2;
    run_picks(logits, 1, n_vocab, pick, 1, NULL, 0, &token);
    return token;
}

/* How many of the picks of this program's sweeps could be checked, and how many could not. */
static uint32_t n_checked;
static uint32_t n_near;

static void check_picks(const float *logits, uint32_t n_rows, uint32_t n_vocab,
                        const soti_cuda_pick *picks, uint32_t n_picks, const int32_t *recent,
                        uint32_t n_recent)
{
    int32_t tokens[PICKS_MAX];
    if (on_host_set_seed) {
        on_host_set_seed(n_vocab);
    }
    run_picks(logits, n_rows, n_vocab, picks, n_picks, recent, n_recent, tokens);
    for (uint32_t i = 0; i < n_picks; i++) {
        double nearest;
        int32_t expected = reference_pick(logits + (size_t)picks[i].i_logit * n_vocab, n_vocab,
                                          &picks[i], recent, &nearest);
        if (nearest < nearest_checked) {
            n_near++;
            continue;
        }
        n_checked++;
        if (tokens[i] != expected) {
            fail_msg("pick %u of %u from %u logits: token %d, expected %d; temperature %g, k %u, "
                     "p %g, penalty %g, %g from a border",
                     i, n_picks, n_vocab, tokens[i], expected, (double)picks[i].temperature,
                     picks[i].top_k, (double)picks[i].top_p, (double)picks[i].repetition_penalty,
                     nearest);
        }
    }
}

/* --- Greedy ---------------------------------------------------------------------------------- */

/* The places around each border between lanes, warps, blocks and loads, and the ends. */
static void pick_greedy_finds_the_largest_wherever_it_is(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    static const uint32_t places[] = {0, 1, 31, 32, 255, 256, 1023, 1024, 4095, 4096, 31999, 32000};
    for (size_t s = 0; s < N_SIZES; s++) {
        uint32_t n = sizes[s];
        for (size_t p = 0; p < sizeof places / sizeof places[0] && places[p] < n; p++) {
            for (uint32_t i = 0; i < n; i++) {
                logits[i] = i % 3 == 1 ? NAN : i % 7 == 2 ? INFINITY : -2e38f + (float)i;
            }
            logits[places[p]] = -1.5f;
            assert_int_equal(run_pick(logits, n, &greedy), places[p]);
            logits[n - 1] = -1.5f; /* an equal one behind it */
            assert_int_equal(run_pick(logits, n, &greedy), places[p]);
        }
    }
}

static void pick_greedy_equal_logits_take_the_lowest_id(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    for (size_t s = 0; s < N_SIZES; s++) {
        for (uint32_t i = 0; i < sizes[s]; i++) {
            logits[i] = -3.25f;
        }
        assert_int_equal(run_pick(logits, sizes[s], &greedy), 0);
    }
    float zeros[] = {-1, -0.0f, 0.0f};
    assert_int_equal(run_pick(zeros, 3, &greedy), 1);
    float tiny[] = {-1e-45f, 0, 1e-45f, -1};
    assert_int_equal(run_pick(tiny, 4, &greedy), 2);
    float ends[] = {-FLT_MAX, FLT_MAX, FLT_MAX};
    assert_int_equal(run_pick(ends, 3, &greedy), 1);
    assert_int_equal(run_pick(ends, 1, &greedy), 0);
}

static void pick_without_finite_logits_says_so_beside_others(void **state)
{
    (void)state;
    float logits[2][3] = {{NAN, INFINITY, -INFINITY}, {1, 2, NAN}};
    int32_t recent[] = {0, 1, 2};
    int32_t tokens[5];
    soti_cuda_pick picks[5] = {greedy, greedy, greedy, greedy, greedy};
    picks[1].temperature = 1;
    picks[2].temperature = 1;
    picks[2].top_p = 0.5f;
    picks[2].top_k = 1;
    picks[3].i_logit = 1;
    picks[4].repetition_penalty = 2;
    picks[4].n_recent = 3;
    run_picks(logits[0], 2, 3, picks, 5, recent, 3, tokens);
    assert_int_equal(tokens[0], -1);
    assert_int_equal(tokens[1], -1);
    assert_int_equal(tokens[2], -1);
    assert_int_equal(tokens[3], 1);
    assert_int_equal(tokens[4], -1);
}

/* --- Penalty -----------------------------------------------------------------------------------
 */

static void pick_penalty_counts_repeated_ids_once(void **state)
{
    (void)state;
    static const int32_t recent[] = {1, 0, 0, 0, 2, -1, 99};
    float halved[] = {5, 2.4f, -9}; /* 5 / 2 stays above 2.4; 5 / 4 would not */
    float negative[] = {-3, -2, -0.9f};
    static const struct {
        float penalty;
        int32_t of_halved, of_negative;
    } cases[] = {{2, 0, 2}, {2.5f, 1, 1}, {FLT_MIN, 0, 2}, {FLT_MAX, 1, 1}, {1, 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        soti_cuda_pick pick = greedy;
        int32_t token;
        pick.repetition_penalty = cases[i].penalty;
        pick.i_recent = 1; /* so that 1 is not among them; what is no id counts for nothing */
        pick.n_recent = 6;
        run_picks(halved, 1, 3, &pick, 1, recent, 7, &token);
        assert_int_equal(token, cases[i].of_halved);
        run_picks(negative, 1, 3, &pick, 1, recent, 7, &token);
        assert_int_equal(token, cases[i].of_negative);
    }
}

/* --- Draws --------------------------------------------------------------------------------------
 */

/* From Random123's kat_vectors: the first words are 6627e8d5, 408f276d and d16cfe09. Equal logits
 * turn a draw into its chance times their number. */
static void pick_draws_from_the_published_stream(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    int32_t tokens[3];
    soti_cuda_pick picks[3] = {greedy, greedy, greedy};
    static const uint32_t words[] = {0x6627e8d5u, 0x408f276du, 0xd16cfe09u};
    picks[1].seed = picks[1].stream = picks[1].counter = UINT64_MAX;
    picks[2].seed = 0x299f31d0a4093822u;
    picks[2].stream = 0x0370734413198a2eu;
    picks[2].counter = 0x85a308d3243f6a88u;
    for (size_t s = 0; s < N_SIZES; s++) {
        for (uint32_t i = 0; i < 3; i++) {
            picks[i].temperature = 0.5f + (float)s;
        }
        run_picks(logits, 1, sizes[s], picks, 3, NULL, 0, tokens);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(tokens[i], (uint64_t)(words[i] >> 8) * sizes[s] >> 24);
        }
    }
}

static void pick_known_tokens_equal_the_cpu_backend(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    for (size_t i = 0; i < sizeof pick_known_cases / sizeof pick_known_cases[0]; i++) {
        const pick_known *known = &pick_known_cases[i];
        soti_cuda_pick pick = {.temperature = known->temperature,
                               .top_p = known->top_p,
                               .repetition_penalty = known->repetition_penalty,
                               .top_k = known->top_k,
                               .n_recent = PICK_KNOWN_RECENT,
                               .seed = known->seed,
                               .stream = known->stream,
                               .counter = known->counter};
        int32_t recent[PICK_KNOWN_RECENT];
        int32_t token;
        pick_known_logits(logits, known->n_vocab);
        pick_known_recent(recent, known->n_vocab);
        run_picks(logits, 1, known->n_vocab, &pick, 1, recent, PICK_KNOWN_RECENT, &token);
        if (token != known->token) {
            fail_msg("case %zu, %u logits: token %d, expected %d", i, known->n_vocab, token,
                     known->token);
        }
    }
}

enum { COARSE, FINE, N_KINDS };

/* COARSE: steps of 0.3, so that equal logits are common. Both have holes. */
static void fill_logits(float *logits, uint32_t n_vocab, int kind, uint64_t *random)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        double share = next_share(random);
        logits[i] = kind == COARSE ? (float)floor(20 * share) * 0.3f : (float)(18 * share - 12);
        uint64_t hole = next_random(random) % 64;
        logits[i] = hole == 0 ? NAN : hole == 1 ? -INFINITY : hole == 2 ? INFINITY : logits[i];
    }
    logits[n_vocab / 2] = 1.25f;
}

/* Every combination of settings over every size (some of them over the largest), two rows a launch.
 */
static void pick_settings_over_all_sizes_equal_the_reference(void **state)
{
    (void)state;
    static float logits[N_KINDS * VOCAB_MAX];
    static soti_cuda_pick picks[PICKS_MAX];
    static const float temperatures[] = {0, 0.3f, 1, 3};
    static const float ps[] = {1, 0.9f, 0.1f};
    static const float penalties[] = {1, 1.3f};
    int32_t recent[RECENT_MAX];
    uint64_t random = 4;
    for (size_t s = 0; s < N_SIZES; s++) {
        uint32_t n = sizes[s];
        const uint32_t ks[] = {0, 1, 40, n - 1, n};
        uint32_t n_picks = 0;
        for (int kind = 0; kind < N_KINDS; kind++) {
            fill_logits(logits + (size_t)kind * n, n, kind, &random);
        }
        for (uint32_t i = 0; i < RECENT_MAX; i++) {
            recent[i] = (int32_t)(next_random(&random) % n);
        }
        const uint32_t step = n <= 8193 ? 1 : SANITIZED ? 11 : 3;
        for (uint32_t i = 0; i < 4 * 3 * 2 * 5; i += step) {
            picks[n_picks++] = (soti_cuda_pick){.i_logit = i % 7 % N_KINDS,
                                                .temperature = temperatures[i % 4],
                                                .top_p = ps[i / 4 % 3],
                                                .repetition_penalty = penalties[i / 12 % 2],
                                                .top_k = ks[i / 24],
                                                .n_recent = i % 5 == 0 ? 0 : RECENT_MAX - i % 60,
                                                .i_recent = i % 60,
                                                .seed = next_random(&random),
                                                .stream = next_random(&random),
                                                .counter = next_random(&random)};
        }
        check_picks(logits, N_KINDS, n, picks, n_picks, recent, RECENT_MAX);
    }
    print_message("%u picks equal the reference; %u lay within %g of a border\n", n_checked, n_near,
                  nearest_checked);
    assert_true(n_near <= n_checked / 100);
}

/* Every logit the same: each set is a number of ids, the lowest first. */
static void pick_equal_logits_keep_the_lowest_ids(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    static int32_t tokens[PICKS_MAX];
    soti_cuda_pick picks[64];
    static const uint32_t ns[] = {64, 1000, 32001};
    for (size_t s = 0; s < sizeof ns / sizeof ns[0]; s++) {
        for (uint32_t i = 0; i < 64; i++) {
            picks[i] = greedy;
            picks[i].temperature = 0.7f;
            picks[i].counter = i;
            picks[i].top_k = i % 2 ? 48 : 0;
            picks[i].top_p = i % 2 ? 1 : 0.25f;
        }
        run_picks(logits, 1, ns[s], picks, 64, NULL, 0, tokens);
        for (uint32_t i = 0; i < 64; i++) {
            uint32_t n_left = i % 2 ? 48 : (ns[s] + 3) / 4;
            uint64_t place = (uint64_t)reference_chance(0, 0, i) * n_left >> 24;
            assert_int_equal(tokens[i], place);
        }
    }
}

static void pick_extreme_settings_stay_in_bounds(void **state)
{
    (void)state;
    float logits[] = {-3e38f, 3e38f, 0, 3e38f};
    soti_cuda_pick picks[50];
    int32_t tokens[50];
    static const struct {
        float temperature, top_p;
        uint32_t top_k;
        int may_be[4];
    } cases[] = {{1e-30f, 1, 0, {0, 1, 0, 1}},      {1e-45f, 0.9f, 0, {0, 1, 0, 1}},
                 {1e-45f, 1, 3, {0, 1, 0, 1}},      {FLT_MAX, 0.999f, 0, {1, 1, 1, 1}},
                 {FLT_MAX, 0, 0, {0, 1, 0, 0}},     {INFINITY, 1, 0, {1, 1, 1, 1}},
                 {1, -1, UINT32_MAX, {0, 1, 0, 0}}, {1, 2, 3, {0, 1, 1, 1}},
                 {-1, 1, 0, {0, 1, 0, 0}},          {FLT_MAX, 1, 3, {0, 1, 1, 1}}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (uint32_t i = 0; i < 50; i++) {
            picks[i] = greedy;
            picks[i].temperature = cases[c].temperature;
            picks[i].top_p = cases[c].top_p;
            picks[i].top_k = cases[c].top_k;
            picks[i].counter = i;
        }
        run_picks(logits, 1, 4, picks, 50, NULL, 0, tokens);
        for (uint32_t i = 0; i < 50; i++) {
            assert_true(tokens[i] >= 0 && tokens[i] < 4 && cases[c].may_be[tokens[i]]);
        }
    }
}

/* A long tail of almost nothing: what top-p keeps is decided by its first share. */
static void pick_top_p_drops_a_long_light_tail(void **state)
{
    (void)state;
    static float logits[VOCAB_MAX];
    static soti_cuda_pick picks[64];
    for (uint32_t i = 0; i < VOCAB_MAX; i++) {
        logits[i] = -10 - (float)(i % 1000) * 1e-3f;
    }
    logits[20000] = 4;
    logits[7] = 3;
    for (uint32_t i = 0; i < 64; i++) {
        picks[i] = greedy;
        picks[i].temperature = i % 2 ? 1 : 0.5f;
        picks[i].top_p = i % 4 < 2 ? 0.95f : 0.5f;
        picks[i].stream = i;
    }
    check_picks(logits, 1, VOCAB_MAX, picks, 64, NULL, 0);
}

/* --- Frequencies ---------------------------------------------------------------------------------
 */

/* Pearson's statistic of n draws over m cells is below m + 6 sqrt(2 m) + 10 but once in many
 * thousand cases; draws are fixed by their seeds, so it holds always or never. */
static void check_frequencies(const float *logits, uint32_t n_vocab, soti_cuda_pick pick)
{
    static soti_cuda_pick picks[PICKS_MAX];
    static int32_t tokens[PICKS_MAX];
    static outlook expected;
    uint32_t counts[64] = {0};
    double statistic = 0;
    uint32_t n_cells = 0;
    double rare = 0;
    double rare_count = 0;
    foresee(logits, n_vocab, &pick, NULL, &expected);
    for (uint32_t i = 0; i < PICKS_MAX; i++) {
        picks[i] = pick;
        picks[i].counter = i;
    }
    run_picks(logits, 1, n_vocab, picks, PICKS_MAX, NULL, 0, tokens);
    for (uint32_t i = 0; i < PICKS_MAX; i++) {
        assert_true(tokens[i] >= 0 && (uint32_t)tokens[i] < n_vocab);
        counts[tokens[i]]++;
    }
    for (uint32_t i = 0; i < expected.n; i++) {
        double mean = expected.weights[i] / expected.total * PICKS_MAX;
        double count = counts[expected.ids[i]];
        counts[expected.ids[i]] = 0;
        if (mean < 5) {
            rare += mean;
            rare_count += count;
            continue;
        }
        statistic += (count - mean) * (count - mean) / mean;
        n_cells++;
    }
    if (rare > 0.5) {
        statistic += (rare_count - rare) * (rare_count - rare) / rare;
        n_cells++;
    }
    for (uint32_t i = 0; i < n_vocab; i++) {
        assert_int_equal(counts[i], 0); /* none that may not be drawn */
    }
    if (statistic > n_cells + 6 * sqrt(2.0 * n_cells) + 10) {
        fail_msg("k %u, p %g, temperature %g: statistic %g over %u cells", pick.top_k,
                 (double)pick.top_p, (double)pick.temperature, statistic, n_cells);
    }
}

static void pick_draws_follow_the_probabilities(void **state)
{
    (void)state;
#if SANITIZED
    print_message(
        "SKIPPED: 512 draws a setting are about numbers, and take long with a sanitizer\n");
    skip();
#endif
    float logits[33];
    for (uint32_t i = 0; i < 33; i++) {
        logits[i] = (float)(i * 7 % 11) * 0.4f - 2;
    }
    static const struct {
        float temperature, top_p;
        uint32_t top_k;
    } cases[] = {{1, 1, 0}, {0.5f, 1, 5}, {2, 0.9f, 0}, {1, 0.48f, 20}, {1, 0.01f, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        soti_cuda_pick pick = {.temperature = cases[c].temperature,
                               .top_p = cases[c].top_p,
                               .repetition_penalty = 1,
                               .top_k = cases[c].top_k,
                               .seed = 11,
                               .stream = c};
        check_frequencies(logits, 33, pick);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pick_greedy_finds_the_largest_wherever_it_is),
        cmocka_unit_test(pick_greedy_equal_logits_take_the_lowest_id),
        cmocka_unit_test(pick_without_finite_logits_says_so_beside_others),
        cmocka_unit_test(pick_penalty_counts_repeated_ids_once),
        cmocka_unit_test(pick_draws_from_the_published_stream),
        cmocka_unit_test(pick_known_tokens_equal_the_cpu_backend),
        cmocka_unit_test(pick_settings_over_all_sizes_equal_the_reference),
        cmocka_unit_test(pick_equal_logits_keep_the_lowest_ids),
        cmocka_unit_test(pick_extreme_settings_stay_in_bounds),
        cmocka_unit_test(pick_top_p_drops_a_long_light_tail),
        cmocka_unit_test(pick_draws_follow_the_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
