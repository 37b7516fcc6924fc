/* The whole model against Hugging Face Transformers on small checkpoints of every format and shape
 * that matters; make_golden.py made them and says what expected.bin holds.
 *
 * Tolerances, all on what Transformers computes in float32 from the same rounded weights:
 *   logits   relative L2 error <= 2e-3: FP16 keys and values carry 2^-11 each, the rest is FP32
 *   rounded  the same against Transformers with FP16 keys and values, where both compute the same
 *            in another order: the median over the prompts <= 2e-4. Not the largest, because noise
 *            of 1e-7 sends a key or value in a hundred thousand to the other one of two FP16
 *            neighbours, and deep models carry that on
 *   greedy   the same token wherever the two largest logits of the reference are further apart than
 *            ten times the first error, that is 0.02 * rms(logits) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "base/fail.h"
#include "isa_list.h"
#include "model/engine.h"

#define TOLERANCE         2e-3
#define ROUNDED_TOLERANCE 2e-4

enum { PROMPTS_MAX = 8, TOKENS_MAX = 64 };

typedef struct prompt {
    uint32_t n;
    int32_t tokens[TOKENS_MAX];
    float *logits;  /* (n_vocab) */
    float *rounded; /* (n_vocab) with FP16 keys and values */
} prompt;

typedef struct expected {
    uint32_t n_vocab, n_prompts;
    prompt prompts[PROMPTS_MAX];
    prompt greedy_prompt; /* without logits */
    uint32_t n_greedy;
    int32_t greedy[TOKENS_MAX];
    float gap[TOKENS_MAX], rms[TOKENS_MAX];
} expected;

typedef struct golden_case {
    const char *set;
    const char *file; /* in the set's folder */
} golden_case;

static const golden_case cases[] = {
    {"mha", "hf"},
    {"mha", "model.gguf"},
    {"gqa-tied", "hf"},
    {"gqa-tied", "model.gguf"},
    {"linear", "hf"},
    {"linear", "model.gguf"},
    {"linear-classic", "hf"},
    {"mqa", "model.gguf"},
    {"bf16", "hf"},
    {"f32", "hf"},
    {"f32", "model.gguf"},
    {"deep-tied", "hf"},
    {"deep-tied", "model.gguf"},
};

static void read_exactly(FILE *file, void *out, size_t bytes)
{
    assert_int_equal(fread(out, 1, bytes, file), bytes);
}

static uint32_t read_tokens(FILE *file, int32_t *tokens)
{
    uint32_t n;
    read_exactly(file, &n, sizeof n);
    assert_in_range(n, 1, TOKENS_MAX);
    read_exactly(file, tokens, n * sizeof *tokens);
    return n;
}

static float *read_logits(FILE *file, uint32_t n_vocab)
{
    float *logits = malloc(n_vocab * sizeof *logits);
    assert_non_null(logits);
    read_exactly(file, logits, n_vocab * sizeof *logits);
    return logits;
}

static void read_expected(const char *set, expected *out)
{
    char path[512];
    char magic[8];
    snprintf(path, sizeof path, SOT_TEST_DIR "/golden/data/%s/expected.bin", set);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    read_exactly(file, magic, sizeof magic);
    assert_memory_equal(magic, "SOTGOLD1", sizeof magic);
    read_exactly(file, &out->n_vocab, sizeof out->n_vocab);
    read_exactly(file, &out->n_prompts, sizeof out->n_prompts);
    assert_in_range(out->n_prompts, 1, PROMPTS_MAX);
    for (uint32_t i = 0; i < out->n_prompts; i++) {
        prompt *p = &out->prompts[i];
        p->n = read_tokens(file, p->tokens);
        p->logits = read_logits(file, out->n_vocab);
        p->rounded = read_logits(file, out->n_vocab);
    }
    out->greedy_prompt.n = read_tokens(file, out->greedy_prompt.tokens);
    out->n_greedy = read_tokens(file, out->greedy);
    read_exactly(file, out->gap, out->n_greedy * sizeof *out->gap);
    read_exactly(file, out->rms, out->n_greedy * sizeof *out->rms);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

static void free_expected(expected *e)
{
    for (uint32_t i = 0; i < e->n_prompts; i++) {
        free(e->prompts[i].logits);
        free(e->prompts[i].rounded);
    }
}

/* Feeds all tokens behind the sequence's, in as many passes as it takes. */
static soti_work feed(soti_engine *engine, soti_sequence *sequence, const int32_t *tokens,
                      uint32_t n, float *logits)
{
    soti_work item = {.sequence = sequence, .is_prompt = n > 1, .want_pick = 1, .logits = logits};
    for (uint32_t n_done = 0; n_done < n; n_done += item.n_taken) {
        item.tokens = tokens + n_done;
        item.n_tokens = n - n_done;
        item.pick = (soti_pick){.top_p = 1, .repetition_penalty = 1};
        if (soti_engine_step(engine, &item, 1, NULL, NULL) != SOT_OK) {
            fail_msg("%s", soti_fail_message());
        }
    }
    assert_int_equal(item.has_picked, 1);
    return item;
}

static double relative_error(const float *got, const float *right, uint32_t n)
{
    double difference = 0;
    double norm = 0;
    for (uint32_t i = 0; i < n; i++) {
        double d = (double)got[i] - (double)right[i];
        difference += d * d;
        norm += (double)right[i] * (double)right[i];
    }
    return sqrt(difference / norm);
}

static double larger(double a, double b)
{
    return b > a || isnan(b) ? b : a;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return values[n / 2];
}

static void compare_logits(soti_engine *engine, const expected *e, double *error,
                           double *rounded_error)
{
    float *logits = malloc(e->n_vocab * sizeof *logits);
    assert_non_null(logits);
    double rounded_errors[PROMPTS_MAX];
    *error = 0;
    for (uint32_t i = 0; i < e->n_prompts; i++) {
        const prompt *p = &e->prompts[i];
        soti_sequence *sequence = soti_sequence_create(soti_engine_kv(engine));
        feed(engine, sequence, p->tokens, p->n, logits);
        *error = larger(*error, relative_error(logits, p->logits, e->n_vocab));
        rounded_errors[i] = relative_error(logits, p->rounded, e->n_vocab);
        soti_sequence_free(soti_engine_kv(engine), sequence);
    }
    *rounded_error = median(rounded_errors, e->n_prompts);
    free(logits);
}

/* Follows the reference's text, so that one undecided token does not hide the tokens behind it. */
static void check_greedy(soti_engine *engine, const expected *e, uint32_t *n_equal,
                         uint32_t *n_decided)
{
    soti_sequence *sequence = soti_sequence_create(soti_engine_kv(engine));
    soti_work item = feed(engine, sequence, e->greedy_prompt.tokens, e->greedy_prompt.n, NULL);
    *n_equal = *n_decided = 0;
    for (uint32_t i = 0; i < e->n_greedy; i++) {
        *n_equal += item.picked == e->greedy[i];
        if ((double)e->gap[i] > 10 * TOLERANCE * (double)e->rms[i]) {
            (*n_decided)++;
            assert_int_equal(item.picked, e->greedy[i]);
        }
        item = feed(engine, sequence, &e->greedy[i], 1, NULL);
    }
    assert_true(*n_decided * 5 >= e->n_greedy * 4); /* else the comparison says little */
    soti_sequence_free(soti_engine_kv(engine), sequence);
}

static void check_case(const golden_case *c, const char *isa)
{
    char path[512];
    expected e;
    sot_model *model;
    soti_engine *engine;
    read_expected(c->set, &e);
    snprintf(path, sizeof path, SOT_TEST_DIR "/golden/data/%s/%s", c->set, c->file);
    const sot_model_params params = SOT_MODEL_PARAMS_INIT;
    if (soti_model_open(path, &params, &model) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    assert_int_equal(model->checkpoint.shape.n_vocab, e.n_vocab);
    const soti_engine_params engine_params = {.n_threads = 1,
                                              .n_ctx = 128,
                                              .max_batch = 1,
                                              .kv_tokens = 128,
                                              .chunk_rows = 32,
                                              .n_sequences = 1,
                                              .isa = isa};
    assert_int_equal(soti_engine_create(model, &engine_params, &engine), SOT_OK);
    uint32_t n_equal;
    uint32_t n_decided;
    double error;
    double rounded_error;
    compare_logits(engine, &e, &error, &rounded_error);
    check_greedy(engine, &e, &n_equal, &n_decided);
    print_message(
        "%-9s %-15s %-10s relative error %.1e, rounded %.1e, greedy %u of %u equal, %u decided\n",
        isa, c->set, c->file, error, rounded_error, n_equal, e.n_greedy, n_decided);
    assert_true(error <= TOLERANCE);
    assert_true(rounded_error <= ROUNDED_TOLERANCE);
    soti_engine_free(engine);
    soti_model_release(model);
    free_expected(&e);
}

static void check_isa(const char *isa)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(&cases[i], isa);
    }
}

static void golden_models_equal_transformers(void **state)
{
    (void)state;
    for_each_isa(check_isa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models_equal_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
