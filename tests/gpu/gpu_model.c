/* Whole models on a CUDA device through the public API, beside the CPU backend: logits, greedy
 * answers, batch-invariance, four sessions on four threads, too little memory, a device that fails.
 * Run by tests/gpu.sh.
 *
 * Environment: SOT_GPU_MODEL (default: random:2048x24x16x5504x32000), the model whose logits are
 * compared; SOT_GPU_DEVICE (default: cuda); SOT_GPU_SANITIZED, set under compute-sanitizer. Exit
 * code 77: there is no such device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sot/sot.h>

enum { NO_DEVICE = 77, N_PROMPT = 40, N_GREEDY = 6, N_THREADS = 4, TOKENS_MOST = 4096 };

/* FP16 rounds what goes into a product by 2^-12 at most: some seven times a layer, so that after 60
 * layers logits are off by 1% of their own size; the farthest of 32,000 by five times that. */
static const double far_share = 0.05;
static const double least_cosine = 0.9995;

static const char question[] = "What is a library?";
static const char skeleton[] = "1. Books to read.\n2. A quiet place.\n3. People who help.\n"
                               "4. Films and music.\n5. Rooms to meet in.\n";

static const char *device_name;
static sot_model *demo[2]; /* on the CPU, on the device */

static void expect_ok(sot_status status)
{
    if (status != SOT_OK) {
        fail_msg("%s: %s", sot_status_name(status), sot_error_message());
    }
}

static sot_model *open_model(const char *path, const char *device)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model = NULL;
    params.device = device;
    expect_ok(sot_model_load(path, &params, &model));
    return model;
}

static sot_session *open_session(sot_model *model, uint32_t max_batch)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session *session = NULL;
    params.n_ctx = 1024;
    params.max_batch = max_batch;
    expect_ok(sot_session_create(model, &params, &session));
    return session;
}

/* --- Logits -------------------------------------------------------------------------------------
 */

static double size_of(const float *logits, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)logits[i] * (double)logits[i];
    }
    return sqrt(sum / n);
}

static uint32_t largest_of(const float *logits, uint32_t n)
{
    uint32_t largest = 0;
    for (uint32_t i = 1; i < n; i++) {
        largest = logits[i] > logits[largest] ? i : largest;
    }
    return largest;
}

/* The same function of the same tokens: the angle, the farthest, and the choice where it is clear.
 */
static uint32_t compare_logits(const float *cpu, const float *cuda, uint32_t n)
{
    double product = 0;
    double farthest = 0;
    double size = size_of(cpu, n);
    for (uint32_t i = 0; i < n; i++) {
        product += (double)cpu[i] * (double)cuda[i];
        farthest = fmax(farthest, fabs((double)cpu[i] - (double)cuda[i]));
    }
    double cosine = product / (size * size_of(cuda, n) * n);
    uint32_t choice = largest_of(cpu, n);
    uint32_t other = largest_of(cuda, n);
    if (!(cosine >= least_cosine) || !(farthest <= far_share * size)) {
        fail_msg("cosine %.6f, farthest %.3g of a size of %.3g", cosine, farthest, size);
    }
    if (choice != other && (double)cpu[choice] - (double)cpu[other] > 2 * farthest) {
        fail_msg("token %u where the CPU backend chooses %u", other, choice);
    }
    return choice;
}

static void compare_model(sot_model *on_cpu, sot_model *on_device)
{
    sot_model_info info = SOT_MODEL_INFO_INIT;
    int32_t tokens[N_PROMPT + N_GREEDY];
    expect_ok(sot_model_get_info(on_device, &info));
    assert_int_equal(strncmp(info.device, device_name, strlen(device_name)), 0);
    sot_session *sessions[] = {open_session(on_cpu, 1), open_session(on_device, 1)};
    float *logits[] = {malloc(info.n_vocab * sizeof(float)), malloc(info.n_vocab * sizeof(float))};
    assert_true(logits[0] && logits[1]);
    for (uint32_t i = 0; i < N_PROMPT; i++) {
        tokens[i] = (int32_t)(i * 7919 % info.n_vocab);
    }
    for (uint32_t n = N_PROMPT; n < N_PROMPT + N_GREEDY; n++) {
        for (int i = 0; i < 2; i++) {
            expect_ok(sot_logits(sessions[i], tokens, n, logits[i]));
        }
        tokens[n] = (int32_t)compare_logits(logits[0], logits[1], info.n_vocab);
    }
    for (int i = 0; i < 2; i++) {
        free(logits[i]);
        sot_session_free(sessions[i]);
    }
}

static void logits_of_the_demo_equal_the_cpu_backend(void **state)
{
    (void)state;
    compare_model(demo[0], demo[1]);
}

static void logits_of_a_large_model_equal_the_cpu_backend(void **state)
{
    (void)state;
    const char *path = getenv("SOT_GPU_MODEL");
    path = path && path[0] ? path : "random:2048x24x16x5504x32000";
    sot_model *on_cpu = open_model(path, "cpu");
    sot_model *on_device = open_model(path, device_name);
    compare_model(on_cpu, on_device);
    sot_model_free(on_device);
    sot_model_free(on_cpu);
}

/* --- Answers ------------------------------------------------------------------------------------
 */

static char *answer_of(sot_session *session)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = 64;
    expect_ok(sot_generate(session, question, &params, &answer));
    char *text = strdup(sot_answer_text(answer));
    assert_non_null(text);
    sot_answer_free(answer);
    return text;
}

/* How the CPU backend sees the place where two texts part: its two best choices must be so near
 * each other that rounding may exchange them. */
static void check_parting(const char *text, const char *other)
{
    char prompt[4096];
    int32_t tokens[TOKENS_MOST];
    size_t n_same = 0;
    size_t n_tokens = 0;
    sot_model_info info = SOT_MODEL_INFO_INIT;
    while (text[n_same] && text[n_same] == other[n_same]) {
        n_same++;
    }
    print_message("texts part behind %zu bytes\n", n_same);
    snprintf(prompt, sizeof prompt, "%s\n%.*s", question, (int)n_same, text);
    expect_ok(sot_model_get_info(demo[0], &info));
    expect_ok(sot_tokenize(demo[0], prompt, strlen(prompt), SOT_TOKENIZE_BOS, tokens, TOKENS_MOST,
                           &n_tokens));
    float *logits = malloc(info.n_vocab * sizeof *logits);
    assert_non_null(logits);
    sot_session *session = open_session(demo[0], 1);
    expect_ok(sot_logits(session, tokens, n_tokens, logits));
    uint32_t first = largest_of(logits, info.n_vocab);
    double best = (double)logits[first];
    double size = size_of(logits, info.n_vocab);
    logits[first] = -INFINITY;
    double gap = best - (double)logits[largest_of(logits, info.n_vocab)];
    if (gap > 2 * far_share * size) {
        fail_msg("the choice there is clear: %.3g, logits of size %.3g", gap, size);
    }
    sot_session_free(session);
    free(logits);
}

static void answer_parts_from_the_cpu_backend_only_at_a_tie(void **state)
{
    (void)state;
    sot_session *sessions[] = {open_session(demo[0], 1), open_session(demo[1], 1)};
    char *texts[] = {answer_of(sessions[0]), answer_of(sessions[1])};
    if (strcmp(texts[0], texts[1]) != 0) {
        check_parting(texts[0], texts[1]);
    }
    for (int i = 0; i < 2; i++) {
        free(texts[i]);
        sot_session_free(sessions[i]);
    }
}

static char *expansions_of(sot_model *model, uint32_t max_batch, float temperature)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_points *points = NULL;
    sot_answer *answer = NULL;
    sot_session *session = open_session(model, max_batch);
    params.temperature = temperature;
    params.top_p = temperature > 0 ? 0.9f : 0;
    params.seed = 5;
    params.max_point_tokens = 48;
    expect_ok(sot_points_parse(skeleton, sizeof skeleton - 1, 0, &points));
    expect_ok(sot_expand_batch(session, question, points, &params, &answer));
    assert_int_equal(sot_answer_point_count(answer), 5);
    char *text = strdup(sot_answer_text(answer));
    assert_non_null(text);
    sot_answer_free(answer);
    sot_points_free(points);
    sot_session_free(session);
    return text;
}

static void expansions_do_not_depend_on_their_batch(void **state)
{
    (void)state;
    static const float temperatures[] = {0, 0.8f};
    for (size_t t = 0; t < 2; t++) {
        char *alone = expansions_of(demo[1], 1, temperatures[t]);
        for (uint32_t max_batch = 2; max_batch <= 16; max_batch *= 2) {
            char *together = expansions_of(demo[1], max_batch, temperatures[t]);
            assert_string_equal(together, alone);
            free(together);
        }
        free(alone);
    }
}

static void *expand_on_a_thread(void *argument)
{
    (void)argument;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_session *session = NULL;
    sot_answer *answer = NULL;
    char *text = NULL;
    session_params.n_ctx = 1024;
    params.mode = SOT_MODE_SOT;
    params.max_skeleton_tokens = 64;
    params.max_point_tokens = 32;
    if (sot_session_create(demo[1], &session_params, &session) == SOT_OK &&
        sot_generate(session, question, &params, &answer) == SOT_OK) {
        text = strdup(sot_answer_text(answer));
    } else {
        print_message("%s\n", sot_error_message());
    }
    sot_answer_free(answer);
    sot_session_free(session);
    return text;
}

static void sessions_on_four_threads_answer_alike(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    char *expected = expand_on_a_thread(NULL);
    assert_non_null(expected);
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, expand_on_a_thread, NULL), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        void *text = NULL;
        assert_int_equal(pthread_join(threads[i], &text), 0);
        assert_non_null(text);
        assert_string_equal(text, expected);
        free(text);
    }
    free(expected);
}

/* --- Failures -----------------------------------------------------------------------------------
 */

static void device_that_is_not_there_is_named(void **state)
{
    (void)state;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model = NULL;
    params.device = "cuda:99";
    assert_int_equal(sot_model_load("random:64x2x4x128x300", &params, &model), SOT_ERR_DEVICE);
    assert_null(model);
    assert_non_null(strstr(sot_error_message(), "99"));
}

/* A terabyte of pages, at 4 KiB a position. Afterwards there is as much room as before. */
static void session_too_large_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session *session = NULL;
    params.n_ctx = 1024;
    params.kv_tokens = 1u << 28;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sot_session_create(demo[1], &params, &session), SOT_ERR_MEMORY);
        assert_null(session);
        print_message("%s\n", sot_error_message());
    }
    session = open_session(demo[1], 4);
    free(answer_of(session));
    sot_session_free(session);
}

/* Makes the device's context fail for good, as a broken kernel would: one that traps, launched by
 * the driver itself in the context that the library uses. */
static int break_device(void)
{
    static const char trap[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                               ".visible .entry break_it() { trap; }\n";
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    void *context = NULL;
    void *module = NULL;
    void *function = NULL;
    const char *number = strchr(device_name, ':');
    int ordinal = number ? (int)strtol(number + 1, NULL, 10) : 0;
    int device = 0;
    if (!driver) {
        return 0;
    }
    struct {
        int (*get)(int *, int);
        int (*retain)(void **, int);
        int (*set)(void *);
        int (*load)(void **, const void *);
        int (*find)(void **, void *, const char *);
        int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      void *, void **, void **);
        int (*wait)(void);
    } cu;
    *(void **)&cu.get = dlsym(driver, "cuDeviceGet");
    *(void **)&cu.retain = dlsym(driver, "cuDevicePrimaryCtxRetain");
    *(void **)&cu.set = dlsym(driver, "cuCtxSetCurrent");
    *(void **)&cu.load = dlsym(driver, "cuModuleLoadData");
    *(void **)&cu.find = dlsym(driver, "cuModuleGetFunction");
    *(void **)&cu.launch = dlsym(driver, "cuLaunchKernel");
    *(void **)&cu.wait = dlsym(driver, "cuCtxSynchronize");
    return cu.get && cu.retain && cu.set && cu.load && cu.find && cu.launch && cu.wait &&
           cu.get(&device, ordinal) == 0 && cu.retain(&context, device) == 0 &&
           cu.set(context) == 0 && cu.load(&module, trap) == 0 &&
           cu.find(&function, module, "break_it") == 0 &&
           cu.launch(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == 0 && cu.wait() != 0;
}

/* The last test: nothing works on the device behind it. */
static void device_that_fails_says_so_at_each_call(void **state)
{
    (void)state;
    sot_session *session = open_session(demo[1], 4);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    free(answer_of(session));
    if (getenv("SOT_GPU_SANITIZED")) {
        print_message("SKIPPED: a sanitizer would report the failure that is made here\n");
        sot_session_free(session);
        skip();
    }
    if (!break_device()) {
        print_message("SKIPPED: NVIDIA's driver gave no way to make its device fail\n");
        sot_session_free(session);
        skip();
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sot_generate(session, question, &params, &answer), SOT_ERR_DEVICE);
        assert_true(strlen(sot_error_message()) > 0);
        print_message("%s\n", sot_error_message());
        sot_answer_free(answer);
        answer = NULL;
    }
    sot_session_free(session);
    session = open_session(demo[0], 4); /* another device works */
    free(answer_of(session));
    sot_session_free(session);
}

static int open_demo(void **state)
{
    (void)state;
    demo[0] = open_model(SOT_SOURCE_DIR "/examples/model/demo.gguf", "cpu");
    demo[1] = open_model(SOT_SOURCE_DIR "/examples/model/demo.gguf", device_name);
    return 0;
}

static int close_demo(void **state)
{
    (void)state;
    sot_model_free(demo[1]);
    sot_model_free(demo[0]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_of_the_demo_equal_the_cpu_backend),
        cmocka_unit_test(logits_of_a_large_model_equal_the_cpu_backend),
        cmocka_unit_test(answer_parts_from_the_cpu_backend_only_at_a_tie),
        cmocka_unit_test(expansions_do_not_depend_on_their_batch),
        cmocka_unit_test(sessions_on_four_threads_answer_alike),
        cmocka_unit_test(device_that_is_not_there_is_named),
        cmocka_unit_test(session_too_large_is_refused_and_leaves_nothing),
        cmocka_unit_test(device_that_fails_says_so_at_each_call),
    };
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model = NULL;
    device_name = getenv("SOT_GPU_DEVICE");
    device_name = device_name && device_name[0] ? device_name : "cuda";
    params.device = device_name;
    if (sot_model_load("random:64x2x4x128x300", &params, &model) != SOT_OK) {
        fprintf(stderr, "SKIPPED: %s\n", sot_error_message());
        return NO_DEVICE;
    }
    sot_model_free(model);
    return cmocka_run_group_tests(tests, open_demo, close_demo);
}
