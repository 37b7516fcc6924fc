/* What becomes of a model when its file does: mapped, copied (SOT_MODEL_COPY) and locked
 * (SOT_MODEL_LOCK) models while the file is cut, overwritten, replaced and removed. What ends a
 * process is done in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitized.h"
#include "sot/sot.h"

enum { N_VOCAB_MAX = 4096, CUT_BYTES = 4096, CHILD_DIFFERS = 3 };

static const char demo[] = SOT_SOURCE_DIR "/examples/model/demo.gguf"; /* FP16 */
static const char bfloats[] = SOT_TEST_DIR "/golden/data/bf16/hf";     /* converted */

static char folder[] = "/tmp/sot-test-XXXXXX";
static char path[64];

static void copy_file(const char *from, const char *to)
{
    char command[1024];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'", to,
             from, to, to);
    assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static sot_status load(const char *from, uint32_t flags, sot_model **out)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = "cpu";
    params.flags = flags;
    return sot_model_load(from, &params, out);
}

static sot_model *load_or_fail(const char *from, uint32_t flags)
{
    sot_model *model = NULL;
    if (load(from, flags, &model) != SOT_OK) {
        fail_msg("%s", sot_error_message());
    }
    return model;
}

/* By every weight that a model has. */
static sot_status compute(sot_model *model, float *logits)
{
    static const int32_t tokens[] = {1, 5, 9, 13, 17};
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = 1;
    params.n_ctx = 64;
    sot_session *session = NULL;
    sot_status status = sot_session_create(model, &params, &session);
    if (status == SOT_OK) {
        status = sot_logits(session, tokens, sizeof tokens / sizeof *tokens, logits);
    }
    sot_session_free(session);
    return status;
}

static float expected[N_VOCAB_MAX];
static float found[N_VOCAB_MAX];

static size_t compute_expected(const char *from)
{
    sot_model *model = load_or_fail(from, 0);
    sot_model_info info = SOT_MODEL_INFO_INIT;
    assert_int_equal(sot_model_get_info(model, &info), SOT_OK);
    assert_true(info.n_vocab <= N_VOCAB_MAX);
    assert_int_equal(compute(model, expected), SOT_OK);
    sot_model_free(model);
    return info.n_vocab * sizeof *expected;
}

/* How a child ends that loads the file, cuts it off behind its header and then computes: 0 with the
 * right logits, CHILD_DIFFERS with others; negative: killed by that signal. */
static int end_of_child_with_a_cut_file(uint32_t flags, size_t logits_bytes)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sot_model *model;
        signal(SIGBUS, SIG_DFL); /* a sanitizer's own would report it as something else */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        if (load(path, flags, &model) != SOT_OK || truncate(path, CUT_BYTES) != 0 ||
            compute(model, found) != SOT_OK) {
            _exit(1);
        }
        _exit(memcmp(found, expected, logits_bytes) == 0 ? 0 : CHILD_DIFFERS);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void mapped_model_of_a_file_cut_off_is_sigbus(void **state)
{
    (void)state;
    copy_file(demo, path);
    size_t bytes = compute_expected(path);
    assert_int_equal(end_of_child_with_a_cut_file(0, bytes), -SIGBUS);
}

static void copied_model_of_a_file_cut_off_goes_on(void **state)
{
    (void)state;
    copy_file(demo, path);
    size_t bytes = compute_expected(path);
    assert_int_equal(end_of_child_with_a_cut_file(SOT_MODEL_COPY, bytes), 0);
}

static void converted_model_of_a_file_cut_off_goes_on(void **state)
{
    (void)state;
    char weights[128];
    copy_file(bfloats, path);
    size_t bytes = compute_expected(path);
    sot_model *model = load_or_fail(path, 0);
    snprintf(weights, sizeof weights, "%s/model.safetensors", path);
    assert_int_equal(truncate(weights, 0), 0);
    assert_int_equal(compute(model, found), SOT_OK);
    assert_memory_equal(found, expected, bytes);
    sot_model_free(model);
}

static bool cannot_lock(void)
{
    sot_model *model = NULL;
    if (SANITIZED) {
        print_message("skipped: sanitizers do not lock memory\n");
        return true;
    }
    if (load(demo, SOT_MODEL_LOCK, &model) != SOT_OK) {
        print_message("skipped: %s\n", sot_error_message());
        return true;
    }
    sot_model_free(model);
    return false;
}

static void locked_model_of_a_file_cut_off_is_sigbus_all_the_same(void **state)
{
    (void)state;
    if (cannot_lock()) {
        skip();
    }
    copy_file(demo, path);
    size_t bytes = compute_expected(path);
    assert_int_equal(end_of_child_with_a_cut_file(SOT_MODEL_LOCK, bytes), -SIGBUS);
    copy_file(demo, path);
    assert_int_equal(end_of_child_with_a_cut_file(SOT_MODEL_LOCK | SOT_MODEL_COPY, bytes), 0);
}

static void overwrite(const char *name)
{
    static uint8_t bytes[1 << 16];
    int descriptor = open(name, O_RDWR | O_CLOEXEC);
    assert_true(descriptor >= 0);
    off_t size = lseek(descriptor, 0, SEEK_END);
    memset(bytes, 0x11, sizeof bytes);
    for (off_t at = size / 2; at < size; at += (off_t)sizeof bytes) {
        size_t n = size - at < (off_t)sizeof bytes ? (size_t)(size - at) : sizeof bytes;
        assert_int_equal(pwrite(descriptor, bytes, n, at), n);
    }
    close(descriptor);
}

static void model_of_a_file_overwritten_changes_unless_copied(void **state)
{
    (void)state;
    copy_file(demo, path);
    size_t bytes = compute_expected(path);
    sot_model *copied = load_or_fail(path, SOT_MODEL_COPY);
    sot_model *mapped = load_or_fail(path, 0);
    overwrite(path);
    assert_int_equal(compute(copied, found), SOT_OK);
    assert_memory_equal(found, expected, bytes);
    assert_int_equal(compute(mapped, found), SOT_OK);
    assert_memory_not_equal(found, expected, bytes);
    sot_model_free(copied);
    sot_model_free(mapped);
}

static void mapped_model_of_a_file_replaced_or_removed_goes_on(void **state)
{
    (void)state;
    char other[80];
    snprintf(other, sizeof other, "%s.new", path);
    copy_file(demo, path);
    copy_file(demo, other);
    overwrite(other);
    size_t bytes = compute_expected(path);
    sot_model *model = load_or_fail(path, 0);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(compute(model, found), SOT_OK);
    assert_memory_equal(found, expected, bytes);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(compute(model, found), SOT_OK);
    assert_memory_equal(found, expected, bytes);
    sot_model_free(model);
}

static long status_kib(const char *format)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, format, &kib) != 1) {
    }
    fclose(file);
    return kib;
}

static void locked_model_stays_in_memory_while_it_lives(void **state)
{
    (void)state;
    static const char *const paths[] = {demo, bfloats, "random:64x2x4x96x300"};
    static const uint32_t flags[] = {SOT_MODEL_LOCK, SOT_MODEL_LOCK | SOT_MODEL_COPY};
    if (cannot_lock()) {
        skip();
    }
    for (size_t i = 0; i < 6; i++) {
        sot_model_info info = SOT_MODEL_INFO_INIT;
        long before = status_kib("VmLck: %ld");
        sot_model *model = load_or_fail(paths[i / 2], flags[i % 2]);
        assert_int_equal(sot_model_get_info(model, &info), SOT_OK);
        long locked = status_kib("VmLck: %ld") - before;
        assert_true((uint64_t)locked * 1024 >= info.weight_bytes);
        sot_model_free(model);
        assert_int_equal(status_kib("VmLck: %ld"), before);
    }
}

/* This process may lock no more than that, root or not. */
static void limit_locking(rlim_t bytes)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    const struct rlimit limit = {bytes, bytes};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || syscall(SYS_capget, &header, data) != 0) {
        _exit(2);
    }
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    if (syscall(SYS_capset, &header, data) != 0) {
        _exit(2);
    }
}

static void locked_model_beyond_the_limit_is_memory(void **state)
{
    (void)state;
    static const rlim_t limits[] = {0, 65536};
    if (SANITIZED) {
        print_message("skipped: sanitizers do not lock memory\n");
        skip();
    }
    for (size_t i = 0; i < 4; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            sot_model *model;
            char words[64];
            limit_locking(limits[i % 2]);
            snprintf(words, sizeof words, "RLIMIT_MEMLOCK lets this process lock %llu in all",
                     (unsigned long long)limits[i % 2]);
            sot_status status = load(i < 2 ? demo : bfloats, SOT_MODEL_LOCK, &model);
            _exit(status == SOT_ERR_MEMORY && strstr(sot_error_message(), words) != NULL ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapped_model_of_a_file_cut_off_is_sigbus),
        cmocka_unit_test(copied_model_of_a_file_cut_off_goes_on),
        cmocka_unit_test(converted_model_of_a_file_cut_off_goes_on),
        cmocka_unit_test(locked_model_of_a_file_cut_off_is_sigbus_all_the_same),
        cmocka_unit_test(model_of_a_file_overwritten_changes_unless_copied),
        cmocka_unit_test(mapped_model_of_a_file_replaced_or_removed_goes_on),
        cmocka_unit_test(locked_model_stays_in_memory_while_it_lives),
        cmocka_unit_test(locked_model_beyond_the_limit_is_memory),
    };
    return cmocka_run_group_tests_name("model file", tests, setup, teardown);
}
