/* Every call of the system that the library makes fails once, each in its turn, in every operation:
 * a status with a sentence, nothing lost, and the same operation then works. Calls that a signal
 * interrupts or that move little at a time are no failure. A file that shrinks in a model's opening
 * is a status, as long as something is being opened. */
#include "faults/holdings.h"
#include "faults/interposed.h"
#include "faults/operations.h"
#include "sanitized.h"

typedef struct fault_case {
    fault_kind kind;
    int error;
    sot_status status; /* where the operation fails by it */
    bool may_succeed;  /* what is done without it serves as well */
} fault_case;

/* A thread that is not to be had: conversion does without, a session does not. stat: where a file's
 * kind cannot be told, opening it will say more. Behind its bytes a folder is synced if it can be.
 * A pool whose CPUs are not known counts those online. */
static const fault_case cases[] = {
    {FAULT_OPEN, EACCES, SOT_ERR_IO, true},
    {FAULT_OPEN, ENOMEM, SOT_ERR_MEMORY, true},
    {FAULT_STAT, EIO, SOT_ERR_IO, true},
    {FAULT_FSTAT, EIO, SOT_ERR_IO, false},
    {FAULT_MMAP, ENOMEM, SOT_ERR_MEMORY, false},
    {FAULT_MADVISE, EINVAL, SOT_OK, true},
    {FAULT_MLOCK, EPERM, SOT_ERR_MEMORY, false},
    {FAULT_READ, EIO, SOT_ERR_IO, false},
    {FAULT_WRITE, ENOSPC, SOT_ERR_IO, false},
    {FAULT_FSYNC, EIO, SOT_ERR_IO, true},
    {FAULT_CLOSE, EIO, SOT_ERR_IO, true},
    {FAULT_RENAME, EXDEV, SOT_ERR_IO, false},
    {FAULT_UNLINK, EIO, SOT_OK, true},
    {FAULT_AFFINITY, EINVAL, SOT_ERR_THREAD, true},
    {FAULT_PINNING, EINVAL, SOT_ERR_THREAD, true},
    {FAULT_ATTRIBUTES, ENOMEM, SOT_ERR_THREAD, true},
    {FAULT_STACK_SIZE, EINVAL, SOT_ERR_THREAD, true},
    {FAULT_SIGMASK, EINVAL, SOT_ERR_THREAD, true},
    {FAULT_MUTEX, EAGAIN, SOT_ERR_THREAD, true},
    {FAULT_CONDITION, ENOMEM, SOT_ERR_THREAD, true},
    {FAULT_THREAD, EAGAIN, SOT_ERR_THREAD, true},
};

static bool locks(const operation *each)
{
    return strstr(each->name, "lock") != NULL;
}

static bool may_lock;

static void run_well(const operation *each)
{
    sot_status status = each->run();
    if (status != SOT_OK) {
        fail_msg("%s: %s", each->name, sot_error_message());
    }
    each->check(status);
}

static void check_failure(const operation *each, const fault_case *how, long n, sot_status status)
{
    const char *sentence = sot_error_message();
    if (status != how->status && !(status == SOT_OK && how->may_succeed)) {
        fail_msg("%s, %s call %ld: status %d, %s", each->name, fault_names[how->kind], n, status,
                 sentence);
    }
    assert_true(status == SOT_OK || sentence[0] != '\0');
    /* What is wrong with a file names the file. */
    assert_true(status != SOT_ERR_IO || strchr(sentence, '/') != NULL);
    each->check(status);
}

static long fail_each_call(const operation *each, const fault_case *how)
{
    const holdings before = holdings_now(!SANITIZED);
    for (long n = 0;; n++) {
        fault_arm(how->kind, n, how->error);
        sot_status status = each->run();
        if (!fault_disarm()) {
            assert_int_equal(status, SOT_OK);
            each->check(status);
            return n;
        }
        check_failure(each, how, n, status);
        holdings_check(&before, each->name);
        run_well(each);
    }
}

static void operations_survive_every_failed_call(void **state)
{
    (void)state;
    long n_all = 0;
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        if (locks(&operations[i]) && !may_lock) {
            print_message("left out: %s\n", operations[i].name);
            continue;
        }
        run_well(&operations[i]);
        long n = 0;
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
            n += fail_each_call(&operations[i], &cases[j]);
        }
        print_message("%5ld calls: %s\n", n, operations[i].name);
        n_all += n;
    }
    print_message("%5ld in all\n", n_all);
    assert_true(n_all > 200);
}

/* By a signal's handler: the call is made again. A close is over all the same. */
static void calls_that_are_interrupted_are_made_again(void **state)
{
    (void)state;
    static const fault_kind kinds[] = {FAULT_OPEN, FAULT_READ, FAULT_WRITE, FAULT_FSYNC,
                                       FAULT_CLOSE};
    long n_all = 0;
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            bool struck = !locks(&operations[i]) || may_lock;
            for (long n = 0; struck; n++) {
                fault_arm(kinds[j], n, EINTR);
                run_well(&operations[i]);
                struck = fault_disarm();
                n_all += struck;
            }
        }
    }
    print_message("%ld calls were interrupted\n", n_all);
    assert_true(n_all > 50);
}

static void calls_may_move_little_at_a_time(void **state)
{
    (void)state;
    static const size_t sizes[] = {1009, 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fault.bytes_max = sizes[i];
        for (size_t j = 0; j < N_OPERATIONS; j++) {
            if (!locks(&operations[j]) || may_lock) {
                run_well(&operations[j]);
            }
        }
    }
    fault.bytes_max = 0;
}

static char shrinking_path[80];
static off_t left_bytes;

static void shrink_file(void)
{
    assert_int_equal(truncate(shrinking_path, left_bytes), 0);
}

static void copy_model(void)
{
    char command[256];
    snprintf(command, sizeof command, "cp '%s' '%s'", world.model_path, shrinking_path);
    assert_int_equal(system(command), 0);
}

/* Before each call of that kind that loading makes, the file becomes shorter. */
static long shrink_before_each_call(fault_kind kind, uint32_t flags)
{
    for (long n = 0;; n++) {
        copy_model();
        fault.hook = shrink_file;
        fault_arm(kind, n, 0);
        sot_status status = load(shrinking_path, flags);
        bool struck = fault_disarm();
        fault.hook = NULL;
        if (!struck) {
            assert_int_equal(status, SOT_OK);
            check_loaded(status);
            return n;
        }
        if (status != SOT_ERR_IO && status != SOT_ERR_FORMAT) {
            fail_msg("%s call %ld: status %d", fault_names[kind], n, status);
        }
        assert_non_null(strstr(sot_error_message(), "shrinking"));
        check_loaded(status);
    }
}

static void file_that_shrinks_while_it_is_opened_is_a_status(void **state)
{
    (void)state;
    static const off_t sizes[] = {0, 1, 3000, 20000};
    snprintf(shrinking_path, sizeof shrinking_path, "%s/shrinking.gguf", world.folder);
    fault.bytes_max = 10000; /* so that there are several reads */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        left_bytes = sizes[i];
        assert_int_equal(shrink_before_each_call(FAULT_MMAP, 0), 1);
        assert_int_equal(shrink_before_each_call(FAULT_FSTAT, 0), 2);
        assert_true(shrink_before_each_call(FAULT_MMAP, SOT_MODEL_COPY) > 0);
        assert_int_equal(shrink_before_each_call(FAULT_FSTAT, SOT_MODEL_COPY), 2);
        assert_true(shrink_before_each_call(FAULT_READ, SOT_MODEL_COPY) > 2);
    }
    fault.bytes_max = 0;
}

/* An empty file is a conversation that has not begun; one that becomes empty must not pass for it,
 * or the host's next save wipes what was said. */
static void chat_that_is_cut_while_it_is_read_is_io(void **state)
{
    (void)state;
    static const char round[] = "{\"question\": \"q\", \"answer\": \"a\"}\n";
    static const struct {
        fault_kind kind;
        long n; /* calls of that kind before */
    } calls[] = {{FAULT_READ, 0}, {FAULT_FSTAT, 1}};
    snprintf(shrinking_path, sizeof shrinking_path, "%s/shrinking.jsonl", world.folder);
    left_bytes = 0;
    for (size_t i = 0; i < 2; i++) {
        sot_chat *read_chat = NULL;
        world_write(shrinking_path, round);
        fault.hook = shrink_file;
        fault_arm(calls[i].kind, calls[i].n, 0);
        sot_status status = sot_chat_load(shrinking_path, NULL, &read_chat);
        assert_true(fault_disarm());
        fault.hook = NULL;
        assert_int_equal(status, SOT_ERR_IO);
        assert_null(read_chat);
        assert_non_null(strstr(sot_error_message(), shrinking_path));
    }
}

static int setup(void **state)
{
    if (world_setup(state) != 0) {
        return -1;
    }
    may_lock = load_locked() == SOT_OK;
    if (!may_lock) {
        print_message("locking is left out: %s\n", sot_error_message());
    }
    sot_model_free(loaded);
    loaded = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_survive_every_failed_call),
        cmocka_unit_test(calls_that_are_interrupted_are_made_again),
        cmocka_unit_test(calls_may_move_little_at_a_time),
        cmocka_unit_test(file_that_shrinks_while_it_is_opened_is_a_status),
        cmocka_unit_test(chat_that_is_cut_while_it_is_read_is_io),
    };
    return cmocka_run_group_tests_name("failing system calls", tests, setup, world_teardown);
}
