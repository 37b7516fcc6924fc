/* Opening a model as a whole, over the golden checkpoints and random: models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "model/engine.h"
#include "model/loaded.h"

#define DATA SOT_TEST_DIR "/golden/data/"

static const char *const paths[] = {
    "random:32x2x2x48x300", /* with a tokenizer */
    DATA "f32/hf",          /* converted */
    DATA "linear/hf",       /* shards, in place */
    DATA "mqa/model.gguf",
};

enum { PATHS = sizeof paths / sizeof *paths };

static sot_model *open_model(const char *path)
{
    const sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model;
    if (soti_model_open(path, &params, &model) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    return model;
}

static void model_random_has_tokenizer_and_weights(void **state)
{
    (void)state;
    sot_model *model = open_model(paths[0]);
    assert_int_equal(model->checkpoint.shape.n_vocab, 300);
    assert_non_null(model->tokenizer);
    assert_int_equal(soti_tokenizer_size(model->tokenizer), 300);
    assert_int_equal(model->weights.converted_bytes, 0);
    assert_string_equal(model->placement.name, "cpu");
    soti_model_release(model);
}

static void model_of_files_without_tokenizer_has_none(void **state)
{
    (void)state;
    sot_model *model = open_model(DATA "mha/hf");
    assert_null(model->tokenizer);
    assert_int_equal(model->weights.converted_bytes, 0);
    soti_model_release(model);
}

static void model_lives_until_the_last_reference_goes(void **state)
{
    (void)state;
    const soti_engine_params params = {.n_threads = 1,
                                       .n_ctx = 16,
                                       .max_batch = 1,
                                       .kv_tokens = 16,
                                       .chunk_rows = 4,
                                       .n_sequences = 1};
    sot_model *model = open_model(paths[0]);
    soti_engine *engines[2];
    assert_int_equal(soti_engine_create(model, &params, &engines[0]), SOT_OK);
    assert_int_equal(soti_engine_create(model, &params, &engines[1]), SOT_OK);
    soti_engine_free(engines[0]);
    soti_model_release(model); /* the host's own; the second engine still works */
    const int32_t token = 7;
    soti_work item = {.sequence = soti_sequence_create(soti_engine_kv(engines[1])),
                      .tokens = &token,
                      .n_tokens = 1,
                      .want_pick = 1,
                      .pick = {.top_p = 1, .repetition_penalty = 1}};
    assert_int_equal(soti_engine_step(engines[1], &item, 1, NULL, NULL), SOT_OK);
    assert_int_equal(item.has_picked, 1);
    soti_engine_free(engines[1]);
    soti_model_release(NULL);
}

static void assert_open_fails(const char *path, const char *device, sot_status status,
                              const char *words)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = device;
    sot_model *model = (sot_model *)&params;
    assert_int_equal(soti_model_open(path, &params, &model), status);
    assert_null(model);
    assert_non_null(strstr(soti_fail_message(), words));
}

static void model_devices_other_than_cpu_are_refused(void **state)
{
    (void)state;
    assert_open_fails(paths[0], "cuda", SOT_ERR_DEVICE, "the CUDA plugin was not found");
    assert_open_fails(paths[0], "cuda:1", SOT_ERR_DEVICE, "\"cuda:1\"");
    assert_open_fails(paths[0], "CPU", SOT_ERR_ARGUMENT, "device \"CPU\" is unknown");
    assert_open_fails(paths[0], "", SOT_ERR_ARGUMENT, "device \"\"");
    const char *const good[] = {"auto", "cpu", NULL};
    for (int i = 0; i < 3; i++) {
        sot_model_params params = SOT_MODEL_PARAMS_INIT;
        params.device = good[i];
        sot_model *model;
        assert_int_equal(soti_model_open(paths[0], &params, &model), SOT_OK);
        soti_model_release(model);
    }
}

static void model_path_that_is_not_there_is_named(void **state)
{
    (void)state;
    assert_open_fails("/no/such/model.gguf", NULL, SOT_ERR_IO, "/no/such/model.gguf");
}

typedef struct progress_log {
    uint32_t n_calls, stop_at;
    uint64_t done, total;
} progress_log;

static int32_t log_progress(uint64_t done, uint64_t total, void *user)
{
    progress_log *log = user;
    assert_true(done >= log->done && done <= total);
    log->done = done;
    log->total = total;
    return ++log->n_calls == log->stop_at;
}

static void model_progress_runs_once_from_nothing_to_all(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * PATHS; i++) {
        progress_log log = {0};
        sot_model_params params = SOT_MODEL_PARAMS_INIT;
        params.flags = i % 2 == 0 ? 0 : SOT_MODEL_COPY;
        params.progress = log_progress;
        params.progress_user = &log;
        sot_model *model;
        assert_int_equal(soti_model_open(paths[i / 2], &params, &model), SOT_OK);
        assert_true(log.n_calls > 0);
        assert_true(log.done == log.total);
        soti_model_release(model);
    }
}

static void model_progress_can_cancel_at_any_call(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * PATHS; i++) {
        for (uint32_t stop_at = 1;; stop_at++) {
            progress_log log = {.stop_at = stop_at};
            sot_model_params params = SOT_MODEL_PARAMS_INIT;
            params.flags = i % 2 == 0 ? 0 : SOT_MODEL_COPY;
            params.progress = log_progress;
            params.progress_user = &log;
            sot_model *model;
            sot_status status = soti_model_open(paths[i / 2], &params, &model);
            if (log.n_calls < stop_at) {
                assert_int_equal(status, SOT_OK);
                soti_model_release(model);
                break;
            }
            assert_int_equal(status, SOT_ERR_CANCELLED);
            assert_null(model);
        }
    }
}

static int32_t cancel_converting(uint64_t done, uint64_t total, void *user)
{
    uint32_t *n_behind_reading = user;
    *n_behind_reading += done + 1 == total;
    assert_true(done < total);
    return *n_behind_reading == 3;
}

static void model_conversion_of_a_copy_can_be_cancelled(void **state)
{
    (void)state;
    uint32_t n_behind_reading = 0; /* its last call, and one for each matrix that is converted */
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.flags = SOT_MODEL_COPY;
    params.progress = cancel_converting;
    params.progress_user = &n_behind_reading;
    sot_model *model;
    assert_int_equal(soti_model_open(DATA "f32/hf", &params, &model), SOT_ERR_CANCELLED);
    assert_null(model);
    assert_int_equal(n_behind_reading, 3);
}

static void model_open_survives_every_failed_allocation(void **state)
{
    (void)state;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    for (int i = 0; i < 2 * PATHS; i++) {
        params.flags = i % 2 == 0 ? 0 : SOT_MODEL_COPY;
        long n = 0;
        for (;; n++) {
            sot_model *model;
            soti_alloc_fail_at(n);
            sot_status status = soti_model_open(paths[i / 2], &params, &model);
            if (soti_alloc_fail_at(-1) >= 0) {
                assert_int_equal(status, SOT_OK);
                soti_model_release(model);
                break;
            }
            assert_int_equal(status, SOT_ERR_MEMORY);
            assert_null(model);
        }
        assert_true(n >= 5);
    }
}

static void model_engine_survives_every_failed_allocation(void **state)
{
    (void)state;
    const soti_engine_params params = {.n_threads = 2,
                                       .n_ctx = 40,
                                       .max_batch = 2,
                                       .kv_tokens = 80,
                                       .chunk_rows = 8,
                                       .n_sequences = 3};
    sot_model *model = open_model(paths[0]);
    for (long n = 0;; n++) {
        soti_engine *engine;
        soti_alloc_fail_at(n);
        sot_status status = soti_engine_create(model, &params, &engine);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            soti_engine_free(engine);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(engine);
    }
    soti_model_release(model);
}

enum { HOSTS = 3, STEPS = 4 };

typedef struct host {
    sot_model *model; /* a reference of its own */
    int32_t picked[STEPS];
    sot_status status;
} host;

static sot_status generate_on_own_engine(host *h)
{
    const soti_engine_params params = {.n_threads = 1,
                                       .n_ctx = 16,
                                       .max_batch = 1,
                                       .kv_tokens = 16,
                                       .chunk_rows = 1,
                                       .n_sequences = 1};
    soti_engine *engine;
    RETURN_IF_ERROR(soti_engine_create(h->model, &params, &engine));
    soti_sequence *sequence = soti_sequence_create(soti_engine_kv(engine));
    int32_t token = 11;
    sot_status status = SOT_OK;
    for (int i = 0; i < STEPS && status == SOT_OK; i++) {
        soti_work item = {.sequence = sequence,
                          .tokens = &token,
                          .n_tokens = 1,
                          .want_pick = 1,
                          .pick = {.top_p = 1, .repetition_penalty = 1}};
        status = soti_engine_step(engine, &item, 1, NULL, NULL);
        h->picked[i] = token = item.picked;
    }
    soti_engine_free(engine);
    return status;
}

static void *run_host(void *argument)
{
    host *h = argument;
    h->status = generate_on_own_engine(h);
    soti_model_release(h->model);
    return NULL;
}

static void model_is_shared_by_threads_that_leave_in_any_order(void **state)
{
    (void)state;
    sot_model *model = open_model(paths[0]);
    pthread_t threads[HOSTS];
    host hosts[HOSTS];
    for (int i = 0; i < HOSTS; i++) {
        soti_model_retain(model);
        hosts[i] = (host){.model = model};
        assert_int_equal(pthread_create(&threads[i], NULL, run_host, &hosts[i]), 0);
    }
    soti_model_release(model);
    for (int i = 0; i < HOSTS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(hosts[i].status, SOT_OK);
        assert_memory_equal(hosts[i].picked, hosts[0].picked, sizeof hosts[0].picked);
    }
}

/* "Nothing allocated per step": the next allocation would fail. */
static void model_steps_allocate_nothing(void **state)
{
    (void)state;
    const soti_engine_params params = {.n_threads = 2,
                                       .n_ctx = 80,
                                       .max_batch = 2,
                                       .kv_tokens = 160,
                                       .chunk_rows = 16,
                                       .n_sequences = 3};
    sot_model *model = open_model(paths[0]);
    soti_engine *engine;
    assert_int_equal(soti_engine_create(model, &params, &engine), SOT_OK);
    soti_kv *kv = soti_engine_kv(engine);
    int32_t tokens[40];
    float logits[300];
    for (int32_t i = 0; i < 40; i++) {
        tokens[i] = i * 5;
    }
    soti_alloc_fail_at(0);
    soti_sequence *sequence = soti_sequence_create(kv);
    for (uint32_t n_done = 0; n_done < 40;) {
        soti_work item = {.sequence = sequence,
                          .tokens = tokens + n_done,
                          .n_tokens = 40 - n_done,
                          .is_prompt = 1,
                          .want_pick = 1,
                          .pick = {.temperature = 0.8f,
                                   .top_p = 0.9f,
                                   .top_k = 20,
                                   .repetition_penalty = 1.2f,
                                   .recent = tokens,
                                   .n_recent = 40},
                          .logits = logits};
        assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
        n_done += item.n_taken;
    }
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, sequence, 39, &child), SOT_OK);
    assert_int_equal(soti_alloc_fail_at(-1), 0); /* it has not struck */
    soti_engine_free(engine);
    soti_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_random_has_tokenizer_and_weights),
        cmocka_unit_test(model_of_files_without_tokenizer_has_none),
        cmocka_unit_test(model_lives_until_the_last_reference_goes),
        cmocka_unit_test(model_devices_other_than_cpu_are_refused),
        cmocka_unit_test(model_path_that_is_not_there_is_named),
        cmocka_unit_test(model_progress_runs_once_from_nothing_to_all),
        cmocka_unit_test(model_progress_can_cancel_at_any_call),
        cmocka_unit_test(model_conversion_of_a_copy_can_be_cancelled),
        cmocka_unit_test(model_open_survives_every_failed_allocation),
        cmocka_unit_test(model_engine_survives_every_failed_allocation),
        cmocka_unit_test(model_is_shared_by_threads_that_leave_in_any_order),
        cmocka_unit_test(model_steps_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
