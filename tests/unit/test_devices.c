/* Which device a model gets, by the public API of copies of libsot.so that lie beside plugins made
 * for it (tests/plugins/): a plugin is looked for in the folder that libsot was loaded from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "model/devices.h"
#include "sot/sot.h"

#define MODEL SOT_TEST_DIR "/golden/data/mha/hf"

enum { LOG_BYTES = 4096, CALLS_MAX = 200, VOCAB_MAX = 512 };

/* A folder with a copy of libsot and perhaps a plugin, and what loading there came to. */
typedef struct place {
    char folder[64];
    void *library;
    char log[LOG_BYTES];
    uint64_t done[CALLS_MAX], total[CALLS_MAX];
    int n_calls, stop_at;
    char device[24];
    char sentence[1100];
    float logits[VOCAB_MAX];
} place;

static void copy_file(const char *from, const char *folder, const char *name)
{
    char command[1024];
    snprintf(command, sizeof command, "cp '%s' '%s/%s'", from, folder, name);
    assert_int_equal(system(command), 0);
}

/* plugin: a file to be libsot-cuda.so, or NULL. */
static place *open_place(const char *plugin)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    strcpy(p->folder, "/tmp/sot-devices-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    copy_file(SOT_LIBRARY, p->folder, "libsot.so");
    if (plugin != NULL) {
        copy_file(plugin, p->folder, "libsot-cuda.so");
    }
    char path[128];
    snprintf(path, sizeof path, "%s/libsot.so", p->folder);
    p->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (p->library == NULL) {
        fail_msg("%s", dlerror());
    }
    unsetenv("FAKE_CUDA_DEVICES");
    unsetenv("FAKE_CUDA_FULL");
    return p;
}

static void close_place(place *p)
{
    char command[128];
    assert_int_equal(dlclose(p->library), 0);
    snprintf(command, sizeof command, "rm -r '%s'", p->folder);
    assert_int_equal(system(command), 0);
    free(p);
}

/* Calls through pointers of the right type, since dlsym returns none of a function. */
#define FIND(p, name)                                                                              \
    __typeof__(&name) name##_there;                                                                \
    do {                                                                                           \
        void *symbol = dlsym((p)->library, #name);                                                 \
        assert_non_null(symbol);                                                                   \
        memcpy(&name##_there, &symbol, sizeof symbol);                                             \
    } while (0)

static void note_line(int32_t level, const char *line, void *user)
{
    place *p = user;
    size_t n = strlen(p->log);
    assert_true(level >= SOT_LOG_DEBUG);
    snprintf(p->log + n, sizeof p->log - n, "%s\n", line);
}

static int32_t note_progress(uint64_t done, uint64_t total, void *user)
{
    place *p = user;
    assert_true(p->n_calls < CALLS_MAX);
    p->done[p->n_calls] = done;
    p->total[p->n_calls] = total;
    p->n_calls++;
    return p->n_calls == p->stop_at;
}

/* Loads, computes one row of logits, and frees again. */
static sot_status load(place *p, const char *path, const char *device)
{
    FIND(p, sot_model_load);
    FIND(p, sot_model_free);
    FIND(p, sot_model_get_info);
    FIND(p, sot_session_create);
    FIND(p, sot_session_free);
    FIND(p, sot_logits);
    FIND(p, sot_error_message);
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = device;
    params.log = note_line;
    params.log_user = p;
    params.progress = note_progress;
    params.progress_user = p;
    sot_model *model = NULL;
    p->log[0] = p->device[0] = '\0';
    p->n_calls = 0;
    sot_status status = sot_model_load_there(path, &params, &model);
    snprintf(p->sentence, sizeof p->sentence, "%s", sot_error_message_there());
    if (status != SOT_OK) {
        assert_null(model);
        return status;
    }
    sot_model_info info = SOT_MODEL_INFO_INIT;
    assert_int_equal(sot_model_get_info_there(model, &info), SOT_OK);
    snprintf(p->device, sizeof p->device, "%s", info.device);
    assert_true(info.n_vocab <= VOCAB_MAX);
    const int32_t tokens[] = {1, 7, 30};
    sot_session *session = NULL;
    assert_int_equal(sot_session_create_there(model, NULL, &session), SOT_OK);
    sot_model_free_there(model);
    assert_int_equal(sot_logits_there(session, tokens, 3, p->logits), SOT_OK);
    sot_session_free_there(session);
    return SOT_OK;
}

static void assert_refused(place *p, const char *device, sot_status status, const char *words)
{
    assert_int_equal(load(p, MODEL, device), status);
    if (strstr(p->sentence, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, p->sentence);
    }
}

/* "auto" loads on the CPU and says why; nothing has failed then. */
static void assert_falls_back(place *p, const char *words)
{
    assert_int_equal(load(p, MODEL, "abacus"), SOT_ERR_ARGUMENT);
    char before[sizeof p->sentence];
    memcpy(before, p->sentence, sizeof before);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(load(p, MODEL, i == 0 ? "auto" : NULL), SOT_OK);
        assert_string_equal(p->device, "cpu");
        assert_string_equal(p->sentence, before);
        assert_non_null(strstr(p->log, "not cuda:0 but the CPU: "));
        if (strstr(p->log, words) == NULL) {
            fail_msg("\"%s\" is not in \"%s\"", words, p->log);
        }
    }
}

static void device_without_plugin_is_the_cpu(void **state)
{
    (void)state;
    place *p = open_place(NULL);
    assert_refused(p, "cuda", SOT_ERR_DEVICE, "device \"cuda\": the CUDA plugin was not found");
    assert_non_null(strstr(p->sentence, p->folder));
    assert_int_equal(p->n_calls, 0); /* known before anything was read */
    assert_refused(p, "cuda:3", SOT_ERR_DEVICE, "device \"cuda:3\": the CUDA plugin");
    assert_falls_back(p, "the CUDA plugin was not found");
    assert_int_equal(load(p, MODEL, "cpu"), SOT_OK);
    assert_string_equal(p->device, "cpu");
    assert_string_equal(p->log, "");
    close_place(p);
}

static void device_names_are_read_strictly(void **state)
{
    (void)state;
    place *p = open_place(NULL);
    const char *const bad[] = {"",       "CPU",     "gpu",     "cuda:", "cuda:-1",
                               "cuda:x", "cuda:1x", "cuda: 1", "cuda1", "cuda:99999999999",
                               "auto ",  "cpu:0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_refused(p, bad[i], SOT_ERR_ARGUMENT, "\"cuda:N\" are known");
        assert_non_null(strstr(p->sentence, bad[i]));
    }
    close_place(p);
}

static void device_with_a_broken_plugin_says_what_is_wrong(void **state)
{
    (void)state;
    place *p = open_place(SOT_TEST_DIR "/golden/data/mha/hf/config.json");
    assert_refused(p, "cuda", SOT_ERR_DEVICE,
                   "device \"cuda\": the CUDA plugin cannot be loaded: ");
    assert_non_null(strstr(p->sentence, p->folder));
    assert_falls_back(p, "cannot be loaded");
    close_place(p);
    p = open_place(SOT_PLUGINS "/no_symbol.so");
    assert_refused(p, "cuda", SOT_ERR_DEVICE, "it has no soti_cuda_plugin");
    assert_falls_back(p, "it has no soti_cuda_plugin");
    close_place(p);
}

static void device_with_a_plugin_of_another_version_is_refused(void **state)
{
    (void)state;
    const char *const tables[] = {"none", "older", "shorter"};
    for (int i = 0; i < 3; i++) {
        place *p = open_place(SOT_PLUGINS "/wrong_version.so");
        setenv("FAKE_CUDA_TABLE", tables[i], 1);
        assert_refused(p, "cuda", SOT_ERR_DEVICE, "belongs to another libsot");
        assert_falls_back(p, "belongs to another libsot");
        close_place(p);
    }
}

static void device_without_driver_is_the_cpu(void **state)
{
    (void)state;
    place *p = open_place(SOT_PLUGINS "/fake_cuda.so");
    assert_refused(p, "cuda", SOT_ERR_DEVICE, "device \"cuda\": this machine has no fake driver");
    assert_falls_back(p, "this machine has no fake driver");
    close_place(p);
}

static void device_of_the_plugin_computes(void **state)
{
    (void)state;
    place *p = open_place(SOT_PLUGINS "/fake_cuda.so");
    const char *const names[][2] = {
        {"cuda", "cuda:0"}, {"cuda:0", "cuda:0"}, {"cuda:1", "cuda:1"}, {"auto", "cuda:0"}};
    assert_int_equal(load(p, MODEL, "cpu"), SOT_OK);
    float expected[VOCAB_MAX];
    memcpy(expected, p->logits, sizeof expected);
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    for (int i = 0; i < 4; i++) {
        memset(p->logits, 0, sizeof p->logits);
        assert_int_equal(load(p, MODEL, names[i][0]), SOT_OK);
        assert_string_equal(p->device, names[i][1]);
        assert_string_equal(p->log, "");
        assert_memory_equal(p->logits, expected, sizeof expected);
    }
    assert_refused(p, "cuda:2", SOT_ERR_DEVICE, "device \"cuda:2\": there is no fake device 2");
    assert_int_equal(load(p, "/no/such/model", "auto"), SOT_ERR_IO);
    close_place(p);
}

static void device_too_small_gives_way_to_the_next_and_to_the_cpu(void **state)
{
    (void)state;
    place *p = open_place(SOT_PLUGINS "/fake_cuda.so");
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    setenv("FAKE_CUDA_FULL", "0", 1);
    assert_refused(p, "cuda", SOT_ERR_MEMORY, "need 1000 bytes, 999 are free");
    assert_int_equal(load(p, MODEL, "auto"), SOT_OK);
    assert_string_equal(p->device, "cuda:1");
    assert_non_null(strstr(p->log, "not cuda:0 but cuda:1: the weights need 1000 bytes"));
    setenv("FAKE_CUDA_FULL", "01", 1);
    assert_int_equal(load(p, MODEL, "auto"), SOT_OK);
    assert_string_equal(p->device, "cpu");
    assert_non_null(strstr(p->log, "not cuda:1 but the CPU: the weights need 1000 bytes"));
    assert_int_equal(p->done[p->n_calls - 1], p->total[p->n_calls - 1]);
    close_place(p);
}

static void assert_progress_is_orderly(const place *p)
{
    assert_true(p->n_calls > 2);
    for (int i = 0; i < p->n_calls; i++) {
        assert_int_equal(p->total[i], p->total[0]);
        assert_true(i == 0 || p->done[i] >= p->done[i - 1]);
    }
    assert_int_equal(p->done[p->n_calls - 1], p->total[0]);
    assert_true(p->n_calls < 2 || p->done[p->n_calls - 2] < p->total[0]);
}

static void device_progress_counts_reading_and_upload(void **state)
{
    (void)state;
    place *p = open_place(SOT_PLUGINS "/fake_cuda.so");
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    const char *const paths[] = {MODEL, "random:64x2x4x96x300"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(load(p, paths[i], "cpu"), SOT_OK);
        assert_progress_is_orderly(p);
        uint64_t on_cpu = p->total[0];
        int n_on_cpu = p->n_calls;
        assert_int_equal(load(p, paths[i], "cuda"), SOT_OK);
        assert_progress_is_orderly(p);
        assert_int_equal(p->total[0], 2 * on_cpu);
        assert_int_equal(p->n_calls, n_on_cpu + 4);
        assert_int_equal(p->done[n_on_cpu - 1], on_cpu);
        assert_int_equal(p->done[n_on_cpu + 1], on_cpu + on_cpu / 2); /* two parts of four */
    }
    close_place(p);
}

static void device_progress_cancels_at_any_call(void **state)
{
    (void)state;
    place *p = open_place(SOT_PLUGINS "/fake_cuda.so");
    setenv("FAKE_CUDA_DEVICES", "1", 1);
    for (int full = 0; full < 2; full++) {
        if (full) {
            setenv("FAKE_CUDA_FULL", "0", 1); /* the last call comes from the CPU's taking over */
        }
        p->stop_at = 0;
        assert_int_equal(load(p, MODEL, "auto"), SOT_OK);
        int n_calls = p->n_calls;
        for (p->stop_at = 1; p->stop_at <= n_calls; p->stop_at++) {
            assert_int_equal(load(p, MODEL, "auto"), SOT_ERR_CANCELLED);
            assert_int_equal(p->n_calls, p->stop_at); /* not called again */
        }
    }
    close_place(p);
}

static void device_cpu_survives_every_failed_allocation(void **state)
{
    (void)state;
    const soti_log silence = {0};
    long n = 0;
    for (;; n++) {
        soti_placement placement;
        soti_alloc_fail_at(n);
        sot_status status = soti_placement_open("cpu", &silence, NULL, NULL, &placement);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        soti_placement_close(&placement);
        if (passed_all) {
            break;
        }
    }
    assert_true(n >= 1);
}

/* Last, because what is loaded stays: a library of this name is then found wherever one looks. */
static void device_plugin_elsewhere_is_found_by_the_loader(void **state)
{
    (void)state;
    place *p = open_place(NULL);
    setenv("FAKE_CUDA_DEVICES", "1", 1);
    assert_refused(p, "cuda", SOT_ERR_DEVICE, "was not found");
    void *plugin = dlopen(SOT_PLUGINS "/named_fake_cuda.so", RTLD_NOW | RTLD_LOCAL);
    assert_non_null(plugin);
    assert_int_equal(load(p, MODEL, "cuda"), SOT_OK);
    assert_string_equal(p->device, "cuda:0");
    assert_int_equal(dlclose(plugin), 0);
    close_place(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_without_plugin_is_the_cpu),
        cmocka_unit_test(device_names_are_read_strictly),
        cmocka_unit_test(device_with_a_broken_plugin_says_what_is_wrong),
        cmocka_unit_test(device_with_a_plugin_of_another_version_is_refused),
        cmocka_unit_test(device_without_driver_is_the_cpu),
        cmocka_unit_test(device_of_the_plugin_computes),
        cmocka_unit_test(device_too_small_gives_way_to_the_next_and_to_the_cpu),
        cmocka_unit_test(device_progress_counts_reading_and_upload),
        cmocka_unit_test(device_progress_cancels_at_any_call),
        cmocka_unit_test(device_cpu_survives_every_failed_allocation),
        cmocka_unit_test(device_plugin_elsewhere_is_found_by_the_loader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
