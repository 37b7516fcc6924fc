/* A model that is saved and loaded again computes what it computed. The golden sets hold the same
 * weights as a Hugging Face folder and as a GGUF file that make_golden.py wrote, which is what the
 * saved files are compared with. */
#include "model_files.h"

#include <math.h>

#include "model/save.h"
#include "sot/sot.h"

#define DATA SOT_TEST_DIR "/golden/data/"

enum { N_TOKENS = 40, VOCAB_MAX = 1024 };

static sot_model *load(const char *path)
{
    sot_model *model = NULL;
    if (sot_model_load(path, NULL, &model) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    return model;
}

static void save(const sot_model *model, const char *path)
{
    if (sot_model_save(model, path, NULL, NULL) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
}

static uint32_t compute_logits(sot_model *model, float *logits)
{
    int32_t tokens[N_TOKENS];
    uint32_t n_vocab = model->checkpoint.shape.n_vocab;
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = 64;
    params.n_threads = 1;
    assert_true(n_vocab <= VOCAB_MAX);
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (int32_t)((i * 37 + 1) % n_vocab);
    }
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    assert_int_equal(sot_logits(session, tokens, N_TOKENS, logits), SOT_OK);
    sot_session_free(session);
    return n_vocab;
}

static double relative_error(const float *expected, const float *found, uint32_t n)
{
    double difference = 0;
    double size = 0;
    for (uint32_t i = 0; i < n; i++) {
        double d = (double)found[i] - (double)expected[i];
        difference += d * d;
        size += (double)expected[i] * (double)expected[i];
    }
    return sqrt(difference / size);
}

static void check_same_file(const char *a, const char *b)
{
    soti_filemap maps[2];
    assert_int_equal(soti_filemap_open(a, &maps[0]), SOT_OK);
    assert_int_equal(soti_filemap_open(b, &maps[1]), SOT_OK);
    assert_int_equal(maps[0].size, maps[1].size);
    assert_memory_equal(maps[0].data, maps[1].data, maps[0].size);
    soti_filemap_close(&maps[0]);
    soti_filemap_close(&maps[1]);
}

/* Infos agree but for what differs by nature: pointers to texts, and weights that were converted.
 */
static void check_same_info(const sot_model *a, const sot_model *b)
{
    sot_model_info infos[2] = {SOT_MODEL_INFO_INIT, SOT_MODEL_INFO_INIT};
    assert_int_equal(sot_model_get_info(a, &infos[0]), SOT_OK);
    assert_int_equal(sot_model_get_info(b, &infos[1]), SOT_OK);
    assert_int_equal(infos[1].converted_bytes, 0);
    assert_string_equal(infos[0].name, infos[1].name);
    assert_string_equal(infos[0].conversation, infos[1].conversation);
    assert_memory_equal(&infos[0], &infos[1], offsetof(sot_model_info, converted_bytes));
    assert_memory_equal(&infos[0].rope_theta, &infos[1].rope_theta,
                        offsetof(sot_model_info, name) - offsetof(sot_model_info, rope_theta));
}

/* Loads, saves, loads and saves again. The second time nothing is converted or reordered, so what
 * was written must not change. Returns the logits' relative error. */
static double through_a_file(const char *path, float *saved_logits)
{
    static float logits[VOCAB_MAX];
    sot_model *model = load(path);
    save(model, path_of("once.gguf"));
    sot_model *again = load(path_of("once.gguf"));
    save(again, path_of("twice.gguf"));
    check_same_file(path_of("once.gguf"), path_of("twice.gguf"));
    check_same_info(model, again);
    compute_logits(model, logits);
    uint32_t n_vocab = compute_logits(again, saved_logits);
    sot_model_free(model);
    sot_model_free(again);
    return relative_error(logits, saved_logits, n_vocab);
}

static void save_of_gguf_computes_the_same_bits(void **state)
{
    (void)state;
    static const char *const sets[] = {"mha", "gqa-tied", "linear", "f32", "deep-tied", "mqa"};
    static float logits[VOCAB_MAX];
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s%s/model.gguf", DATA, sets[i]);
        assert_true(through_a_file(path, logits) == 0.0);
    }
}

/* The rows of q and k were reordered, so a score's products add up in another order: FP32 noise of
 * 1e-7, which sends a key or value now and then to the other one of two FP16 neighbours; the
 * deepest model carries that furthest (see test_golden.c). */
static void save_of_half_split_layout_agrees_but_for_rounding(void **state)
{
    (void)state;
    static const char *const paths[] = {
        DATA "mha/hf",  DATA "gqa-tied/hf",       DATA "linear/hf",    DATA "f32/hf",
        DATA "bf16/hf", DATA "linear-classic/hf", DATA "deep-tied/hf", "random:64x2x4x96x300",
    };
    static float logits[VOCAB_MAX];
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        double error = through_a_file(paths[i], logits);
        print_message("%s: %.1e\n", paths[i], error);
        assert_true(error < 5e-4);
    }
    /* With heads of two dimensions both layouts are one. */
    assert_true(through_a_file("random:64x2x32x96x300", logits) == 0.0);
}

/* And it agrees in every bit with the GGUF file that Python made of the same folder. */
static void save_of_hugging_face_computes_as_the_converter_s_file(void **state)
{
    (void)state;
    static const char *const sets[] = {"mha", "gqa-tied", "linear", "f32", "deep-tied"};
    static float saved[VOCAB_MAX];
    static float expected[VOCAB_MAX];
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s%s/hf", DATA, sets[i]);
        through_a_file(path, saved);
        snprintf(path, sizeof path, "%s%s/model.gguf", DATA, sets[i]);
        sot_model *model = load(path);
        uint32_t n_vocab = compute_logits(model, expected);
        assert_memory_equal(saved, expected, n_vocab * sizeof *saved);
        sot_model_free(model);
    }
}

static void check_same_tokens(const sot_model *a, const sot_model *b, const char *text, size_t size)
{
    static int32_t ids[2][4096];
    const sot_model *models[] = {a, b};
    size_t counts[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sot_tokenize(models[i], text, size,
                                      SOT_TOKENIZE_BOS | SOT_TOKENIZE_SPECIAL, ids[i], 4096,
                                      &counts[i]),
                         SOT_OK);
    }
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(ids[0], ids[1], counts[0] * sizeof **ids);
}

static void save_keeps_the_tokenizer(void **state)
{
    (void)state;
    static const char *const paths[] = {"random:32x1x2x32x300",
                                        SOT_SOURCE_DIR "/examples/model/demo.gguf"};
    soti_filemap text;
    assert_int_equal(soti_filemap_open(SOT_TEST_DIR "/golden/tokenizer/fragments.txt", &text),
                     SOT_OK);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        sot_model *model = load(paths[i]);
        save(model, path_of("a.gguf"));
        sot_model *again = load(path_of("a.gguf"));
        check_same_info(model, again);
        for (size_t at = 0; at < text.size; at += 50) { /* any bytes will do */
            size_t n = text.size - at < 200 ? text.size - at : 200;
            check_same_tokens(model, again, (const char *)text.data + at, n);
        }
        check_same_tokens(model, again, "<s> a</s><unused280><no piece 7>", 31);
        sot_model_free(model);
        sot_model_free(again);
    }
    soti_filemap_close(&text);
}

static void save_over_the_model_s_own_file_works(void **state)
{
    (void)state;
    static float before[VOCAB_MAX];
    static float after[VOCAB_MAX];
    sot_model *model = load("random:32x1x2x32x300");
    save(model, path_of("own.gguf"));
    sot_model_free(model);
    model = load(path_of("own.gguf"));
    save(model, path_of("own.gguf")); /* the map keeps the file that was replaced */
    compute_logits(model, before);
    sot_model_free(model);
    model = load(path_of("own.gguf"));
    uint32_t n_vocab = compute_logits(model, after);
    assert_memory_equal(before, after, n_vocab * sizeof *before);
    sot_model_free(model);
}

typedef struct progress_log {
    uint32_t n_calls, stop_at;
    uint64_t done, total;
} progress_log;

static int32_t record(uint64_t done, uint64_t total, void *user)
{
    progress_log *log = user;
    assert_true(done > log->done && done <= total);
    assert_true(log->total == 0 || log->total == total);
    log->done = done;
    log->total = total;
    return ++log->n_calls == log->stop_at;
}

/* One of these tensors is larger than what is written between two calls. */
static void save_progress_runs_from_nothing_to_all(void **state)
{
    (void)state;
    sot_model *model = load("random:512x1x2x32x40000");
    progress_log log = {0};
    assert_int_equal(sot_model_save(model, path_of("a.gguf"), record, &log), SOT_OK);
    assert_true(log.done == log.total);
    /* Every weight once: the matrices in two bytes, three norms of 512 in four. */
    assert_true(log.total == 2 * model->weights.n_parameters + 2 * 3 * 512);
    assert_int_equal(log.n_calls, 12 + 2);
    sot_model_free(model);
    unlink(path_of("a.gguf"));
}

static void save_cancelled_at_any_call_leaves_nothing(void **state)
{
    (void)state;
    sot_model *model = load("random:32x1x2x32x300");
    for (uint32_t stop_at = 1;; stop_at++) {
        progress_log log = {.stop_at = stop_at};
        sot_status status = sot_model_save(model, path_of("gone.gguf"), record, &log);
        if (log.n_calls < stop_at) {
            assert_int_equal(status, SOT_OK);
            assert_true(stop_at > 10);
            break;
        }
        assert_int_equal(status, SOT_ERR_CANCELLED);
        assert_non_null(strstr(soti_fail_message(), path_of("gone.gguf")));
        assert_int_equal(access(path_of("gone.gguf"), F_OK), -1);
    }
    sot_model_free(model);
}

static void save_survives_every_failed_allocation(void **state)
{
    (void)state;
    sot_model *model = load("random:32x1x2x32x300");
    for (long n = 0;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = sot_model_save(model, path_of("a.gguf"), NULL, NULL);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_true(n >= 3);
            break;
        }
        assert_true(status == SOT_ERR_MEMORY || status == SOT_OK); /* syncing the folder may fail */
    }
    sot_model_free(model);
}

static void save_arguments_are_checked(void **state)
{
    (void)state;
    sot_model *model = load("random:32x1x2x32x300");
    assert_int_equal(sot_model_save(NULL, path_of("a.gguf"), NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_model_save(model, NULL, NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_model_save(model, "", NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_model_save(model, test_folder, NULL, NULL), SOT_ERR_IO);
    sot_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(save_of_gguf_computes_the_same_bits),
        cmocka_unit_test(save_of_half_split_layout_agrees_but_for_rounding),
        cmocka_unit_test(save_of_hugging_face_computes_as_the_converter_s_file),
        cmocka_unit_test(save_keeps_the_tokenizer),
        cmocka_unit_test(save_over_the_model_s_own_file_works),
        cmocka_unit_test(save_progress_runs_from_nothing_to_all),
        cmocka_unit_test(save_cancelled_at_any_call_leaves_nothing),
        cmocka_unit_test(save_survives_every_failed_allocation),
        cmocka_unit_test(save_arguments_are_checked),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
