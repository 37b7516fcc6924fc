/* The thread pool: every thread runs once, writes are seen, shares cover, failure undoes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/pool.h"

enum { COUNTS_MAX = 256 };

/* pthread_create of the whole program, so that a test can make the n-th one fail. */
static int create_countdown = -1;
static atomic_int n_created;

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    static create_fn next;
    if (next == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&next, &symbol, sizeof next);
    }
    if (create_countdown >= 0 && create_countdown-- == 0) {
        return EAGAIN;
    }
    atomic_fetch_add(&n_created, 1);
    return next(thread, attributes, start, argument);
}

/* pthread_setaffinity_np likewise. */
static int pin_countdown = -1;

typedef int (*pin_fn)(pthread_t, size_t, const cpu_set_t *);

int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
    static pin_fn next;
    if (next == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_setaffinity_np");
        memcpy(&next, &symbol, sizeof next);
    }
    return pin_countdown >= 0 && pin_countdown-- == 0 ? EINVAL : next(thread, size, set);
}

typedef struct tally {
    uint32_t counts[COUNTS_MAX];
    uint32_t n_threads;
    atomic_uint n_wrong;
} tally;

static void count_thread(void *context, uint32_t i_thread, uint32_t n_threads)
{
    tally *sums = context;
    sums->counts[i_thread]++;
    if (n_threads != sums->n_threads) {
        atomic_fetch_add(&sums->n_wrong, 1);
    }
}

static void check_runs(uint32_t n_threads, uint32_t n_runs)
{
    static tally sums;
    memset(&sums, 0, sizeof sums);
    sums.n_threads = n_threads;
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(n_threads, 0, &pool), SOT_OK);
    assert_int_equal(soti_pool_size(pool), n_threads);
    for (uint32_t i = 0; i < n_runs; i++) {
        soti_pool_run(pool, count_thread, &sums);
        assert_int_equal(sums.counts[n_threads - 1], i + 1);
        assert_int_equal(sums.counts[n_threads / 2], i + 1);
    }
    soti_pool_free(pool);
    for (uint32_t i = 0; i < COUNTS_MAX; i++) {
        assert_int_equal(sums.counts[i], i < n_threads ? n_runs : 0);
    }
    assert_int_equal(atomic_load(&sums.n_wrong), 0);
}

static void pool_every_size_runs_each_thread_once(void **state)
{
    (void)state;
    check_runs(1, 1000);
    check_runs(2, 2000);
    check_runs(3, 500);
    check_runs(7, 300);
    check_runs(33, 50);
    check_runs(256, 5);
}

static void pool_pauses_between_runs_wakes_sleepers(void **state)
{
    (void)state;
    static tally sums;
    memset(&sums, 0, sizeof sums);
    sums.n_threads = 2;
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(2, 0, &pool), SOT_OK);
    for (uint32_t i = 0; i < 50; i++) { /* around the spinning time, where sleep and work race */
        struct timespec rest = {0, 5000L * i};
        nanosleep(&rest, NULL);
        soti_pool_run(pool, count_thread, &sums);
        assert_int_equal(sums.counts[1], i + 1);
    }
    soti_pool_free(pool);
}

static void wait_long(void *context, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    if (i_thread != 0) {
        struct timespec rest = {0, 3000000};
        nanosleep(&rest, NULL);
    }
    count_thread(context, i_thread, n_threads);
}

static void pool_slow_worker_is_waited_for(void **state)
{
    (void)state;
    static tally sums;
    memset(&sums, 0, sizeof sums);
    sums.n_threads = 3;
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(3, 0, &pool), SOT_OK);
    for (uint32_t i = 0; i < 10; i++) {
        soti_pool_run(pool, wait_long, &sums);
        assert_int_equal(sums.counts[1], i + 1);
        assert_int_equal(sums.counts[2], i + 1);
    }
    soti_pool_free(pool);
}

static void pool_size_zero_takes_every_cpu(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(soti_pool_cpu_count(), CPU_COUNT(&set));
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(0, 0, &pool), SOT_OK);
    uint32_t n_cpus = (uint32_t)CPU_COUNT(&set);
    assert_int_equal(soti_pool_size(pool), n_cpus < COUNTS_MAX ? n_cpus : COUNTS_MAX);
    soti_pool_free(pool);
}

static void pool_too_many_threads_are_refused(void **state)
{
    (void)state;
    soti_pool *pool = (soti_pool *)state;
    assert_int_equal(soti_pool_create(257, 0, &pool), SOT_ERR_ARGUMENT);
    assert_null(pool);
    assert_non_null(strstr(soti_fail_message(), "257"));
}

static void do_nothing(void *context, uint32_t i_thread, uint32_t n_threads)
{
    (void)context;
    (void)i_thread;
    (void)n_threads;
}

/* They sleep at once, so a lost wake-up is most likely here; it would hang the test. */
static void pool_of_more_threads_than_cpus_loses_no_wake_up(void **state)
{
    (void)state;
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(soti_pool_cpu_count() + 1, 0, &pool), SOT_OK);
    for (int i = 0; i < 30000; i++) {
        soti_pool_run(pool, do_nothing, NULL);
    }
    soti_pool_free(pool);
}

static void pool_free_of_null_does_nothing(void **state)
{
    (void)state;
    soti_pool_free(NULL);
}

static void pool_out_of_memory_is_reported(void **state)
{
    (void)state;
    soti_pool *pool = (soti_pool *)state;
    soti_alloc_fail_at(0);
    assert_int_equal(soti_pool_create(4, 0, &pool), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
    assert_null(pool);
}

static void pool_failing_thread_undoes_the_others(void **state)
{
    for (int n = 0; n < 4; n++) {
        soti_pool *pool = (soti_pool *)state;
        create_countdown = n;
        int before = atomic_load(&n_created);
        assert_int_equal(soti_pool_create(5, 0, &pool), SOT_ERR_THREAD);
        assert_null(pool);
        assert_int_equal(atomic_load(&n_created) - before, n);
        assert_non_null(strstr(soti_fail_message(), "of 5 could not be started"));
    }
    create_countdown = -1;
}

static void remember_signals(void *context, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    sigset_t *sets = context;
    pthread_sigmask(SIG_SETMASK, NULL, &sets[i_thread]);
}

static void pool_workers_block_signals_and_caller_keeps_its_own(void **state)
{
    (void)state;
    sigset_t sets[2];
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(2, 0, &pool), SOT_OK);
    soti_pool_run(pool, remember_signals, sets);
    assert_false(sigismember(&sets[0], SIGINT));
    assert_true(sigismember(&sets[1], SIGINT));
    assert_true(sigismember(&sets[1], SIGTERM));
    assert_true(sigismember(&sets[1], SIGCHLD));
    soti_pool_free(pool);
}

static void remember_rounding(void *context, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    int *modes = context;
    modes[i_thread] = fegetround();
}

static void pool_rounding_of_the_host_is_kept_out(void **state)
{
    (void)state;
    int modes[2] = {-1, -1};
    int here = -1;
    soti_pool *pool = NULL;
    assert_int_equal(fesetround(FE_UPWARD), 0);
    assert_int_equal(soti_pool_create(2, 0, &pool), SOT_OK);
    soti_pool_run(pool, remember_rounding, modes);
    soti_pool_run_here(remember_rounding, &here);
    int after = fegetround();
    fesetround(FE_TONEAREST);
    soti_pool_free(pool);
    assert_int_equal(modes[0], FE_TONEAREST);
    assert_int_equal(modes[1], FE_TONEAREST);
    assert_int_equal(here, FE_TONEAREST);
    assert_int_equal(after, FE_UPWARD);
}

static void pool_shares_cover_every_item_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 4097};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (uint32_t n_threads = 1; n_threads < 20; n_threads++) {
            size_t next = 0;
            for (uint32_t i = 0; i < n_threads; i++) {
                size_t first;
                size_t end;
                soti_pool_share(sizes[s], 16, i, n_threads, &first, &end);
                assert_true(first == next && end >= first);
                assert_true(first % 16 == 0 || first == sizes[s]);
                next = end;
            }
            assert_int_equal(next, sizes[s]);
        }
    }
}

static void remember_cpus(void *context, uint32_t i_thread, uint32_t n_threads)
{
    (void)n_threads;
    cpu_set_t *sets = context;
    sched_getaffinity(0, sizeof *sets, &sets[i_thread]);
}

/* The i-th CPU of a set, round and round. */
static uint32_t cpu_of(const cpu_set_t *set, uint32_t i)
{
    uint32_t cpu = UINT32_MAX;
    for (uint32_t n = 0; n <= i % (uint32_t)CPU_COUNT(set); n++) {
        do {
            cpu++;
        } while (!CPU_ISSET(cpu, set));
    }
    return cpu;
}

static void check_pinned(uint32_t n_threads)
{
    cpu_set_t sets[8];
    cpu_set_t before;
    soti_pool *pool = NULL;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(soti_pool_create(n_threads, 1, &pool), SOT_OK);
    soti_pool_run(pool, remember_cpus, sets);
    soti_pool_free(pool);
    assert_memory_equal(&sets[0], &before, sizeof before);
    for (uint32_t i = 1; i < n_threads; i++) {
        assert_int_equal(CPU_COUNT(&sets[i]), 1);
        assert_true(CPU_ISSET(cpu_of(&before, i), &sets[i]));
    }
}

static void pool_pinned_workers_stay_on_their_cpu_and_the_caller_is_left_alone(void **state)
{
    (void)state;
    check_pinned(1);
    check_pinned(2);
    check_pinned(7); /* more than this machine may have */
}

static void pool_unpinned_workers_may_run_where_the_caller_may(void **state)
{
    (void)state;
    cpu_set_t sets[2];
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(2, 0, &pool), SOT_OK);
    soti_pool_run(pool, remember_cpus, sets);
    soti_pool_free(pool);
    assert_memory_equal(&sets[0], &sets[1], sizeof sets[0]);
}

static void pool_failing_pin_names_the_cpu(void **state)
{
    cpu_set_t before;
    char text[64];
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (int n = 0; n < 3; n++) {
        soti_pool *pool = (soti_pool *)state;
        pin_countdown = n;
        assert_int_equal(soti_pool_create(4, 1, &pool), SOT_ERR_THREAD);
        assert_null(pool);
        snprintf(text, sizeof text, "thread %d could not be pinned to CPU %u:", n + 2,
                 cpu_of(&before, (uint32_t)n + 1));
        assert_non_null(strstr(soti_fail_message(), text));
    }
    pin_countdown = -1;
}

static double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* 20 rests of 10 ms; workers may look for the next run for 50 us each, and a machine that measures
 * time in ticks may count 10 times as much. */
static void check_idle(uint32_t n_threads)
{
    static tally sums;
    memset(&sums, 0, sizeof sums);
    sums.n_threads = n_threads;
    soti_pool *pool = NULL;
    assert_int_equal(soti_pool_create(n_threads, 0, &pool), SOT_OK);
    double start = cpu_seconds();
    for (int i = 0; i < 20; i++) {
        struct timespec rest = {0, 10000000};
        soti_pool_run(pool, count_thread, &sums);
        nanosleep(&rest, NULL);
    }
    double used = cpu_seconds() - start;
    soti_pool_free(pool);
    if (used > 0.05 * (n_threads - 1)) {
        fail_msg("%u threads used %g s of 0.2 s of rest", n_threads, used);
    }
}

static void pool_idle_workers_burn_no_cpu(void **state)
{
    (void)state;
    check_idle(2);
    check_idle(soti_pool_cpu_count() < 200 ? soti_pool_cpu_count() + 1 : 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_every_size_runs_each_thread_once),
        cmocka_unit_test(pool_pauses_between_runs_wakes_sleepers),
        cmocka_unit_test(pool_slow_worker_is_waited_for),
        cmocka_unit_test(pool_size_zero_takes_every_cpu),
        cmocka_unit_test(pool_too_many_threads_are_refused),
        cmocka_unit_test(pool_of_more_threads_than_cpus_loses_no_wake_up),
        cmocka_unit_test(pool_free_of_null_does_nothing),
        cmocka_unit_test(pool_out_of_memory_is_reported),
        cmocka_unit_test(pool_failing_thread_undoes_the_others),
        cmocka_unit_test(pool_workers_block_signals_and_caller_keeps_its_own),
        cmocka_unit_test(pool_rounding_of_the_host_is_kept_out),
        cmocka_unit_test(pool_shares_cover_every_item_once),
        cmocka_unit_test(pool_pinned_workers_stay_on_their_cpu_and_the_caller_is_left_alone),
        cmocka_unit_test(pool_unpinned_workers_may_run_where_the_caller_may),
        cmocka_unit_test(pool_failing_pin_names_the_cpu),
        cmocka_unit_test(pool_idle_workers_burn_no_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
