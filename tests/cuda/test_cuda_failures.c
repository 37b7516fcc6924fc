/* What lib/cuda/ does when things go wrong: no driver, no device, too little memory, each single
 * call of CUDA failing, a kernel that faults, the host that cancels. Each time a status, a sentence
 * with CUDA's own words, and nothing left behind. Needs the layer that runs CUDA on the host, which
 * can be told to fail. */
#include <pthread.h>

#include "base/alloc.h"
#include "cuda_rig.h"
#include "on_host_control.h"

enum { N_PROMPT = 5 };

static const soti_shape tiny = {1,        2,    1,    16, 18, 20, 30, SOTI_ROPE_INTERLEAVED,
                                10000.0f, 1.0f, 1e-5f};

static cpu_model model;
static const soti_backend *backend;

static int prepare(void **state)
{
    (void)state;
    on_host_reset();
    on_host_forget_errors();
    backend = soti_cuda_plugin(SOTI_BACKEND_VERSION);
    memset(&said, 0, sizeof said);
    cpu_model_make(&model, &tiny, 0);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    cpu_model_free(&model);
    on_host_reset();
    return 0;
}

static soti_context_params small_params(void)
{
    return (soti_context_params){
        .n_rows_max = 8, .n_logits_max = 2, .n_sequences_max = 2, .n_pages = 4, .n_table_max = 2};
}

/* A prompt, then a generated token; the token picked behind it. */
static sot_status generate(rig *all, int32_t *token)
{
    static _Thread_local rig_sequence sequence;
    static _Thread_local rig_batch batch;
    rig_sequence_make(&sequence, NULL, 0, 1, 2, 4, tiny.n_vocab);
    rig_batch_clear(&batch);
    rig_batch_add(&batch, &sequence, 0, N_PROMPT, 1);
    RETURN_IF_ERROR(rig_run(all, &batch));
    RETURN_IF_ERROR(all->backend->page_copy(all->context, 1, 2, N_PROMPT));
    sequence.pages[0] = 1;
    rig_batch_clear(&batch);
    rig_batch_add(&batch, &sequence, N_PROMPT, 1, 0);
    RETURN_IF_ERROR(rig_run(all, &batch));
    float logits[RIG_VOCAB_MAX];
    RETURN_IF_ERROR(all->backend->read_logits(all->context, 0, logits));
    soti_pick pick = {.top_p = 1, .repetition_penalty = 1};
    return all->backend->pick(all->context, &pick, 1, token);
}

static sot_status run_all(int32_t *token)
{
    rig all;
    soti_context_params params = small_params();
    sot_status status = rig_try(&all, backend, &model, 0, &params);
    if (status == SOT_OK) {
        status = generate(&all, token);
    }
    rig_close(&all);
    return status;
}

static void plugin_of_another_version_is_not_given(void **state)
{
    (void)state;
    assert_null(soti_cuda_plugin(SOTI_BACKEND_VERSION + 1));
    assert_null(soti_cuda_plugin(0));
    assert_int_equal(backend->version, SOTI_BACKEND_VERSION);
    assert_int_equal(backend->table_size, sizeof *backend);
    assert_string_equal(backend->name, "cuda");
}

static void check_not_opened(uint32_t i_device, const char *words)
{
    soti_device *device = (void *)&model;
    assert_int_equal(backend->device_open(i_device, &rig_host, &device), SOT_ERR_DEVICE);
    assert_null(device);
    rig_check_said(SOT_ERR_DEVICE, words);
    assert_int_equal(on_host_live_count(), 0);
}

static void device_that_cannot_be_had_is_refused_with_the_reason(void **state)
{
    (void)state;
    on_host_set_driver_version(0);
    check_not_opened(0, "this machine has no NVIDIA driver");
    on_host_set_driver_version(11040);
    check_not_opened(0, "NVIDIA's driver is too old: it knows CUDA 11.4, CUDA 13.0 is needed");
    on_host_set_driver_version(13000);
    on_host_set_devices(2);
    check_not_opened(2, "there is no CUDA device 2; the last is number 1");
    on_host_set_capability(0, 7, 5);
    check_not_opened(0, "has compute capability 7.5; 8.0 is needed");
}

static void device_of_any_capability_from_8_gives_the_same_token(void **state)
{
    int32_t first = -1;
    int32_t second = -2;
    (void)state;
    assert_int_equal(run_all(&first), SOT_OK);
    on_host_set_capability(0, 8, 0);
    assert_int_equal(run_all(&second), SOT_OK);
    assert_int_equal(first, second);
}

/* The numbers of a sentence, in order. */
static size_t number_in(const char *sentence, int i_number)
{
    for (const char *at = sentence; *at != '\0'; at++) {
        if (*at >= '0' && *at <= '9') {
            char *end;
            size_t value = strtoull(at, &end, 10);
            if (i_number-- == 0) {
                return value;
            }
            at = end - 1;
        }
    }
    return 0;
}

static void weights_that_do_not_fit_are_refused_with_both_numbers(void **state)
{
    soti_device *device;
    soti_device_weights *weights = (void *)&model;
    (void)state;
    on_host_set_memory(0, 20000);
    assert_int_equal(backend->device_open(0, &rig_host, &device), SOT_OK);
    assert_int_equal(
        backend->weights_create(device, &model.shape, &model.view, NULL, NULL, &weights),
        SOT_ERR_MEMORY);
    assert_null(weights);
    rig_check_said(SOT_ERR_MEMORY, "the weights need ");
    rig_check_said(SOT_ERR_MEMORY, "which has 20000 free of 20000");
    size_t needed = number_in(said.sentence, 0);
    assert_in_range(needed, 20001, 100000);
    assert_int_equal(on_host_peak_device_bytes(), 0);
    on_host_set_memory(0, needed + 4096); /* the layer rounds each allocation up to 256 bytes */
    assert_int_equal(
        backend->weights_create(device, &model.shape, &model.view, NULL, NULL, &weights), SOT_OK);
    backend->weights_free(weights);
    backend->device_close(device);
    assert_int_equal(on_host_live_count(), 0);
}

static void context_that_does_not_fit_is_refused_with_both_numbers(void **state)
{
    rig all;
    soti_context_params params = small_params();
    (void)state;
    assert_int_equal(rig_try(&all, backend, &model, 0, &params), SOT_OK);
    uint64_t bytes = backend->context_bytes(all.context);
    backend->context_free(all.context);
    uint64_t before = on_host_live_count();
    uint64_t device_bytes = on_host_live_allocations().device_bytes;
    on_host_set_memory(0, device_bytes + bytes / 2);
    assert_int_equal(backend->context_create(all.weights, &params, &all.context), SOT_ERR_MEMORY);
    assert_null(all.context);
    rig_check_said(SOT_ERR_MEMORY, "a session's pages and activations need ");
    assert_in_range(number_in(said.sentence, 0), bytes / 2 + 1, bytes);
    assert_int_equal(number_in(said.sentence, 3), bytes / 2);
    assert_int_equal(on_host_live_count(), before);
    rig_close(&all);
    assert_int_equal(on_host_live_count(), 0);
}

static void context_bytes_are_what_a_context_takes(void **state)
{
    rig all;
    soti_context_params params = small_params();
    (void)state;
    assert_int_equal(rig_try(&all, backend, &model, 0, &params), SOT_OK);
    on_host_live with = on_host_live_allocations();
    uint64_t bytes = backend->context_bytes(all.context);
    backend->context_free(all.context);
    all.context = NULL;
    on_host_live without = on_host_live_allocations();
    uint64_t taken =
        with.device_bytes + with.pinned_bytes - without.device_bytes - without.pinned_bytes;
    uint64_t n = with.device_allocations - without.device_allocations;
    assert_in_range(bytes, taken - n * 256, taken + 8192); /* rounded up; and on the host */
    rig_close(&all);
}

static void check_each_call(cudaError_t error, const char *name)
{
    int32_t token = -1;
    uint64_t before = on_host_call_count();
    assert_int_equal(run_all(&token), SOT_OK);
    uint64_t n_calls = on_host_call_count() - before;
    assert_in_range(n_calls, 100, 10000);
    uint64_t n_failed = 0;
    for (uint64_t n = 1; n <= n_calls; n++) {
        on_host_reset();
        memset(&said, 0, sizeof said);
        on_host_fail_at(n, error);
        sot_status status = run_all(&token);
        on_host_fail_at(0, error);
        n_failed += status != SOT_OK;
        if (status != SOT_OK) {
            assert_true(status == SOT_ERR_DEVICE || status == SOT_ERR_MEMORY);
            assert_int_equal(said.status, status);
            if (strstr(said.sentence, name) == NULL &&
                strstr(said.sentence, "CUBLAS_STATUS_") == NULL) {
                fail_msg("call %llu: \"%s\" does not say %s", (unsigned long long)n, said.sentence,
                         name);
            }
        }
        if (on_host_live_count() != 0) {
            fail_msg("call %llu failed with %s: %s: something is left", (unsigned long long)n, name,
                     said.sentence);
        }
        if (error == cudaErrorMemoryAllocation) { /* one that passes is not to meet the host */
            assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
        }
    }
    /* All but those that give something back, or the device. */
    assert_true(n_failed > n_calls / 2);
    print_message("%llu of %llu calls failed a session\n", (unsigned long long)n_failed,
                  (unsigned long long)n_calls);
}

static void any_call_out_of_memory_is_said_and_leaves_nothing(void **state)
{
    (void)state;
    check_each_call(cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation");
}

static void any_call_on_a_broken_device_is_said_and_leaves_nothing(void **state)
{
    (void)state;
    check_each_call(cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable");
}

static void any_host_allocation_that_fails_leaves_nothing(void **state)
{
    int32_t token;
    (void)state;
    for (long n = 0;; n++) {
        memset(&said, 0, sizeof said);
        soti_alloc_fail_at(n);
        sot_status status = run_all(&token);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_true(n > 4);
            return;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        rig_check_said(SOT_ERR_MEMORY, "out of memory");
        assert_int_equal(on_host_live_count(), 0);
    }
}

/* A kernel's fault shows at the next synchronisation, and from then on in each call. */
static void session_says_again_what_broke_its_device(void **state)
{
    rig all;
    rig other;
    int32_t token = -1;
    soti_context_params params = small_params();
    (void)state;
    on_host_set_devices(2);
    assert_int_equal(rig_try(&all, backend, &model, 0, &params), SOT_OK);
    on_host_fail_work_at(3, cudaErrorIllegalAddress);
    assert_int_equal(generate(&all, &token), SOT_ERR_DEVICE);
    rig_check_said(SOT_ERR_DEVICE, "cudaErrorIllegalAddress");
    soti_rows rows = {.n_rows = 0};
    soti_pick pick = {.top_p = 1};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(backend->batch_begin(all.context, &rows), SOT_ERR_DEVICE);
        rig_check_said(SOT_ERR_DEVICE, "the device failed earlier and cannot go on: ");
        rig_check_said(SOT_ERR_DEVICE, "cudaErrorIllegalAddress");
        assert_int_equal(backend->logits(all.context), SOT_ERR_DEVICE);
        assert_int_equal(backend->page_copy(all.context, 0, 1, 1), SOT_ERR_DEVICE);
        assert_int_equal(backend->pick(all.context, &pick, 1, &token), SOT_ERR_DEVICE);
    }
    assert_int_equal(rig_try(&other, backend, &model, 1, &params), SOT_OK);
    assert_int_equal(generate(&other, &token), SOT_OK);
    rig_close(&other);
    rig_close(&all);
    assert_int_equal(on_host_live_count(), 0);
}

static void current_device_of_the_host_is_put_back(void **state)
{
    rig all;
    int32_t token;
    int current = -1;
    soti_context_params params = small_params();
    (void)state;
    on_host_set_devices(3);
    assert_int_equal(cudaSetDevice(2), cudaSuccess);
    assert_int_equal(rig_try(&all, backend, &model, 1, &params), SOT_OK);
    assert_int_equal(cudaGetDevice(&current), cudaSuccess);
    assert_int_equal(current, 2);
    assert_int_equal(generate(&all, &token), SOT_OK);
    assert_int_equal(cudaGetDevice(&current), cudaSuccess);
    assert_int_equal(current, 2);
    rig_close(&all);
    assert_int_equal(cudaGetDevice(&current), cudaSuccess);
    assert_int_equal(current, 2);
    assert_int_equal(cudaSetDevice(0), cudaSuccess);
}

typedef struct progress_log {
    uint64_t done[64];
    uint64_t total;
    uint32_t n_calls;
    uint32_t cancel_at;
} progress_log;

static int32_t log_progress(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    progress_log *log = user;
    assert_true(log->n_calls < 64);
    log->done[log->n_calls++] = done_bytes;
    log->total = total_bytes;
    return log->n_calls == log->cancel_at;
}

static void upload_reports_from_nothing_to_all(void **state)
{
    progress_log log = {.n_calls = 0};
    soti_device *device;
    soti_device_weights *weights;
    (void)state;
    assert_int_equal(backend->device_open(0, &rig_host, &device), SOT_OK);
    assert_int_equal(
        backend->weights_create(device, &model.shape, &model.view, log_progress, &log, &weights),
        SOT_OK);
    assert_in_range(log.n_calls, 10, 64);
    assert_int_equal(log.done[0], 0);
    for (uint32_t i = 1; i < log.n_calls; i++) {
        assert_true(log.done[i] > log.done[i - 1]);
    }
    assert_int_equal(log.done[log.n_calls - 1], log.total);
    backend->weights_free(weights);
    backend->device_close(device);
}

static void upload_cancelled_at_any_report_leaves_nothing(void **state)
{
    soti_device *device;
    soti_device_weights *weights;
    (void)state;
    assert_int_equal(backend->device_open(0, &rig_host, &device), SOT_OK);
    for (uint32_t n = 1;; n++) {
        progress_log log = {.cancel_at = n};
        sot_status status = backend->weights_create(device, &model.shape, &model.view, log_progress,
                                                    &log, &weights);
        if (log.n_calls < n) {
            assert_int_equal(status, SOT_OK);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(status, SOT_ERR_CANCELLED);
        assert_null(weights);
        rig_check_said(SOT_ERR_CANCELLED, "cancelled when ");
        assert_int_equal(on_host_live_count(), 0);
    }
    backend->weights_free(weights);
    backend->device_close(device);
}

static void shapes_that_kernels_do_not_know_are_refused(void **state)
{
    soti_device *device;
    soti_device_weights *weights;
    soti_shape shape = tiny;
    (void)state;
    assert_int_equal(backend->device_open(0, &rig_host, &device), SOT_OK);
    shape.d_head = 130;
    assert_int_equal(backend->weights_create(device, &shape, &model.view, NULL, NULL, &weights),
                     SOT_ERR_UNSUPPORTED);
    rig_check_said(SOT_ERR_UNSUPPORTED, "heads of 130 dimensions: on CUDA a head has at most 128");
    shape = tiny;
    shape.d_ff = UINT32_MAX;
    assert_int_equal(backend->weights_create(device, &shape, &model.view, NULL, NULL, &weights),
                     SOT_ERR_UNSUPPORTED);
    rig_check_said(SOT_ERR_UNSUPPORTED, "a matrix of 8589934590 rows is too large for CUDA");
    shape = tiny;
    shape.n_kv = 0;
    assert_int_equal(backend->weights_create(device, &shape, &model.view, NULL, NULL, &weights),
                     SOT_ERR_UNSUPPORTED);
    backend->device_close(device);
    assert_int_equal(on_host_live_count(), 0);
}

/* A step that is given up between two layers, as lib/model/forward.c does it. */
static void step_cut_short_leaves_the_next_one_right(void **state)
{
    rig all;
    static rig_sequence sequence;
    static rig_batch batch;
    int32_t expected = -1;
    int32_t token = -2;
    soti_context_params params = small_params();
    (void)state;
    assert_int_equal(run_all(&expected), SOT_OK);
    assert_int_equal(rig_try(&all, backend, &model, 0, &params), SOT_OK);
    for (int is_prompt = 0; is_prompt < 2; is_prompt++) {
        rig_sequence_make(&sequence, NULL, 0, 1, 3, 9, tiny.n_vocab);
        rig_batch_clear(&batch);
        rig_batch_add(&batch, &sequence, 0, 1, is_prompt);
        assert_int_equal(backend->batch_begin(all.context, &batch.rows), SOT_OK);
        assert_int_equal(backend->embed(all.context), SOT_OK);
        assert_int_equal(backend->qkv(all.context, 0), SOT_OK);
        assert_int_equal(generate(&all, &token), SOT_OK);
        assert_int_equal(token, expected);
    }
    rig_close(&all);
}

typedef struct thread_work {
    int32_t token;
    sot_status status;
} thread_work;

static void *run_thread(void *argument)
{
    thread_work *work = argument;
    work->status = run_all(&work->token);
    return NULL;
}

static void sessions_on_threads_choose_what_one_alone_does(void **state)
{
    enum { N_THREADS = 4 };
    pthread_t threads[N_THREADS];
    thread_work work[N_THREADS];
    int32_t expected = -1;
    (void)state;
    assert_int_equal(run_all(&expected), SOT_OK);
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_thread, &work[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(work[i].status, SOT_OK);
        assert_int_equal(work[i].token, expected);
    }
    assert_int_equal(on_host_live_count(), 0);
    assert_string_equal(on_host_errors(), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plugin_of_another_version_is_not_given),
        TEST(device_that_cannot_be_had_is_refused_with_the_reason),
        TEST(device_of_any_capability_from_8_gives_the_same_token),
        TEST(weights_that_do_not_fit_are_refused_with_both_numbers),
        TEST(context_that_does_not_fit_is_refused_with_both_numbers),
        TEST(context_bytes_are_what_a_context_takes),
        TEST(any_call_out_of_memory_is_said_and_leaves_nothing),
        TEST(any_call_on_a_broken_device_is_said_and_leaves_nothing),
        TEST(any_host_allocation_that_fails_leaves_nothing),
        TEST(session_says_again_what_broke_its_device),
        TEST(current_device_of_the_host_is_put_back),
        TEST(upload_reports_from_nothing_to_all),
        TEST(upload_cancelled_at_any_report_leaves_nothing),
        TEST(shapes_that_kernels_do_not_know_are_refused),
        TEST(step_cut_short_leaves_the_next_one_right),
        TEST(sessions_on_threads_choose_what_one_alone_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
