/* Whole models on the CUDA device of the plugin that lies beside this program, by the engine and by
 * the public API: the demo model against the CPU, and what must not depend on the batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "branch_scenario.h"

#define DEMO SOT_SOURCE_DIR "/examples/model/demo.gguf"

#if defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 2, N_TEXTS = 1 }; /* five times slower, and no other code runs in the rest */
#else
enum { ROUNDS = 6, N_TEXTS = 3 };
#endif
enum { WAYS = 3, N_GREEDY = 24, PROMPT_MAX = 64, DEMO_VOCAB_MAX = 4096 };

/* CUDA rounds the activations in front of each product to FP16, the CPU does not; relative to the
 * root mean square of the logits, as in tests/golden. */
static const double tolerance = 4e-3;

static sot_model *open_on(const char *path, const char *device)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model = NULL;
    params.device = device;
    if (sot_model_load(path, &params, &model) != SOT_OK) {
        fail_msg("%s", sot_error_message());
    }
    return model;
}

/* One text on one device. */
typedef struct reader {
    sot_model *model;
    soti_engine *engine;
    soti_sequence *sequence;
    float logits[DEMO_VOCAB_MAX];
} reader;

static void reader_open(reader *r, const char *device)
{
    const soti_engine_params params = {.n_threads = 1,
                                       .n_ctx = PROMPT_MAX + N_GREEDY,
                                       .max_batch = 1,
                                       .kv_tokens = PROMPT_MAX + N_GREEDY,
                                       .chunk_rows = 16,
                                       .n_sequences = 1};
    r->model = open_on(DEMO, device);
    assert_true(r->model->checkpoint.shape.n_vocab <= DEMO_VOCAB_MAX);
    assert_int_equal(soti_engine_create(r->model, &params, &r->engine), SOT_OK);
    r->sequence = soti_sequence_create(soti_engine_kv(r->engine));
    assert_non_null(r->sequence);
}

static void reader_close(reader *r)
{
    soti_engine_free(r->engine);
    sot_model_free(r->model);
}

/* Returns the likeliest token behind the tokens. */
static int32_t reader_feed(reader *r, const int32_t *tokens, uint32_t n, bool is_prompt)
{
    soti_work item = {.sequence = r->sequence,
                      .is_prompt = is_prompt,
                      .want_pick = 1,
                      .pick = {.top_p = 1, .repetition_penalty = 1},
                      .logits = r->logits};
    for (uint32_t n_done = 0; n_done < n; n_done += item.n_taken) {
        item.tokens = tokens + n_done;
        item.n_tokens = n - n_done;
        scenario_step(r->engine, &item, 1);
    }
    return item.picked;
}

/* Whether the CPU's best two logits are so far apart that CUDA's choice must be the same. */
static bool is_decided(const float *logits, uint32_t n, double rms)
{
    float best = -INFINITY;
    float second = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (logits[i] > best) {
            second = best;
            best = logits[i];
        } else if (logits[i] > second) {
            second = logits[i];
        }
    }
    return (double)best - (double)second > 10 * tolerance * rms;
}

static void compare_text(const char *question, uint32_t *n_decided, double *worst)
{
    static reader cpu, cuda;
    int32_t tokens[PROMPT_MAX];
    size_t n_prompt;
    reader_open(&cpu, "cpu");
    reader_open(&cuda, "cuda");
    uint32_t n_vocab = cpu.model->checkpoint.shape.n_vocab;
    assert_int_equal(sot_tokenize(cpu.model, question, strlen(question), SOT_TOKENIZE_BOS, tokens,
                                  PROMPT_MAX, &n_prompt),
                     SOT_OK);
    int32_t right = reader_feed(&cpu, tokens, (uint32_t)n_prompt, true);
    int32_t found = reader_feed(&cuda, tokens, (uint32_t)n_prompt, true);
    for (int i = 0; i < N_GREEDY; i++) {
        double difference = 0;
        double norm = 0;
        for (uint32_t id = 0; id < n_vocab; id++) {
            double d = (double)cuda.logits[id] - (double)cpu.logits[id];
            difference += d * d;
            norm += (double)cpu.logits[id] * (double)cpu.logits[id];
        }
        double error = sqrt(difference / norm);
        *worst = error > *worst || isnan(error) ? error : *worst;
        assert_true(error <= tolerance);
        if (is_decided(cpu.logits, n_vocab, sqrt(norm / n_vocab))) {
            (*n_decided)++;
            assert_int_equal(found, right);
        }
        int32_t next = right; /* the CPU's text, so that one undecided token hides nothing */
        right = reader_feed(&cpu, &next, 1, false);
        found = reader_feed(&cuda, &next, 1, false);
    }
    reader_close(&cpu);
    reader_close(&cuda);
}

static void demo_model_chooses_the_cpus_tokens(void **state)
{
    (void)state;
    static const char *const questions[] = {"How can I improve my chess skills?",
                                            "1. Set clear goals. Choose a goal in chess",
                                            "What are the benefits of learning the violin?"};
    uint32_t n_decided = 0;
    double worst = 0;
    for (int i = 0; i < N_TEXTS; i++) {
        compare_text(questions[i], &n_decided, &worst);
    }
    print_message("%u of %d tokens decided by the gap, all alike; logits at most %.1e apart\n",
                  n_decided, N_TEXTS * N_GREEDY, worst);
    assert_true(n_decided * 5 >= N_TEXTS * N_GREEDY * 4); /* else the comparison says little */
}

/* Bit for bit: logits and tokens of random models, branches one after the other against all ways of
 * batching, forking and cutting. */
static void batch_gives_each_sequence_the_bits_it_gets_alone(void **state)
{
    (void)state;
    static outcome alone, other;
    for (uint64_t seed = 300; seed < 300 + ROUNDS; seed++) {
        scenario s = {.device = "cuda"};
        random_source random = {.state = seed};
        sot_model *model = scenario_open(&s, &random);
        assert_string_equal(model->placement.name, "cuda:0");
        const setup slowest = {.chunk_rows = 16, .n_threads = 1};
        scenario_run(model, &s, &slowest, &alone);
        for (int way = 0; way < WAYS; way++) {
            setup how = {.n_threads = 1,
                         .together = way > 0,
                         .reversed = random_between(&random, 0, 1),
                         .forked = random_between(&random, 0, 1),
                         .grouping = random_between(&random, 0, 1)};
            how.chunk_rows = random_between(&random, how.together ? BRANCHES_MAX : 3, 140);
            scenario_run(model, &s, &how, &other);
            if (memcmp(&alone, &other, sizeof alone) != 0) {
                fail_msg("case %llu, %s: other bits with chunk_rows %u, together %u, reversed %u, "
                         "forked %u, grouping %u",
                         (unsigned long long)seed, s.path, how.chunk_rows, how.together,
                         how.reversed, how.forked, how.grouping);
            }
        }
        soti_model_release(model);
    }
}

static sot_answer *expand(sot_model *model, uint32_t max_batch, float temperature)
{
    static const char skeleton[] = "1. Set clear goals.\n2. Learn the basics.\n3. Practise every "
                                   "day.\n4. Learn from mistakes.\n5. Track your progress.";
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_session *session;
    sot_points *points;
    sot_answer *answer;
    session_params.max_batch = max_batch;
    params.max_point_tokens = 6;
    params.temperature = temperature;
    params.seed = 11;
    assert_int_equal(sot_points_parse(skeleton, sizeof skeleton - 1, 0, &points), SOT_OK);
    assert_int_equal(sot_session_create(model, &session_params, &session), SOT_OK);
    if (sot_expand_batch(session, "How can I improve my chess skills?", points, &params, &answer) !=
        SOT_OK) {
        fail_msg("%s", sot_error_message());
    }
    sot_session_free(session);
    sot_points_free(points);
    return answer;
}

static void points_expanded_together_say_what_they_say_alone(void **state)
{
    (void)state;
    sot_model *model = open_on(DEMO, "cuda");
    for (int sampled = 0; sampled < 2; sampled++) {
        sot_answer *together = expand(model, 16, sampled ? 1.5f : 0.0f);
        sot_answer *alone = expand(model, 1, sampled ? 1.5f : 0.0f);
        sot_stats stats = SOT_STATS_INIT;
        assert_int_equal(sot_answer_get_stats(together, &stats), SOT_OK);
        assert_int_equal(stats.max_rows[2], 5);
        assert_int_equal(sot_answer_get_stats(alone, &stats), SOT_OK);
        assert_int_equal(stats.max_rows[2], 1);
        for (size_t i = 0; i < 5; i++) {
            assert_true(sot_answer_point_size(together, i) > 0);
            assert_string_equal(sot_answer_point(together, i), sot_answer_point(alone, i));
            assert_int_equal(sot_answer_point_tokens(together, i),
                             sot_answer_point_tokens(alone, i));
        }
        sot_answer_free(together);
        sot_answer_free(alone);
    }
    sot_model_free(model);
}

/* A chunk of the prompts' products is 256 rows long (cuda_products.h) however few are in it. */
static void session_takes_whole_chunks_of_a_prompt_by_default(void **state)
{
    (void)state;
    static const struct {
        const char *device;
        uint32_t n_rows;
    } cases[] = {{"cuda", 512}, {"cpu", 128}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_model *model = open_on(DEMO, cases[i].device);
        sot_session *session;
        sot_session_info info = SOT_SESSION_INFO_INIT;
        assert_int_equal(sot_session_create(model, NULL, &session), SOT_OK);
        assert_int_equal(sot_session_get_info(session, &info), SOT_OK);
        assert_int_equal(info.chunk_rows, cases[i].n_rows);
        sot_session_free(session);
        sot_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_takes_whole_chunks_of_a_prompt_by_default),
        cmocka_unit_test(demo_model_chooses_the_cpus_tokens),
        cmocka_unit_test(batch_gives_each_sequence_the_bits_it_gets_alone),
        cmocka_unit_test(points_expanded_together_say_what_they_say_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
