/* See pool.h. A run is published by a new generation number and is over when n_pending is 0. Who
 * waits for either looks at it for a while and then sleeps; who changes it takes the mutex to wake
 * sleepers only if there are any. No wake-up is lost: a sleeper first says that it sleeps and then
 * looks once more, the other side first changes the number and then looks for sleepers, all of it
 * sequentially consistent, so that at least one of the two sees the other.
 *
 * How long to look: a wake-up takes 25 to 90 us (2 virtual CPUs of a Zen 4). Whoever looks for as
 * long as that, and then sleeps, never pays more than twice what the wiser choice would have cost;
 * so a host that stays away loses IDLE_SPIN_NS of each worker, once. While a run is going on, the
 * host is not away: another thread's share merely takes longer, and a sleeper would come late to
 * the next run, hence BUSY_SPIN_NS, which gives way to other programs. With more threads than CPUs
 * looking would keep the others from working: they sleep at once. */
#include "pool.h"

#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "fail.h"

enum {
    THREADS_MAX = 256,
    CPUS_MAX = 1 << 16, /* as far as the affinity mask is followed */
    STACK_BYTES = 512 * 1024,
    IDLE_SPIN_NS = 50 * 1000,   /* without a run going on */
    BUSY_SPIN_NS = 1000 * 1000, /* at most */
    LOOKS_PER_CLOCK = 16,       /* between two readings of the clock */
    CACHE_LINE = 64
};

typedef struct pool_worker {
    soti_pool *pool;
    uint32_t i_thread;
    pthread_t thread;
} pool_worker;

struct soti_pool {
    uint32_t n_threads;
    uint32_t n_started; /* workers that run */
    uint32_t may_spin;
    int quits;
    pid_t process; /* whose threads the workers are; in a child of fork there are none */
    soti_pool_fn fn;
    void *context;
    pthread_mutex_t mutex; /* held to change n_asleep and caller_sleeps */
    pthread_cond_t has_work;
    pthread_cond_t is_done;
    /* Apart from each other: workers look at the first all the time, and write the second. */
    char gap[CACHE_LINE];
    atomic_uint generation; /* changed once fn, context and quits are written */
    atomic_uint is_running; /* a run is not over */
    atomic_uint n_asleep;   /* workers that sleep or are about to */
    char next_gap[CACHE_LINE];
    atomic_uint n_pending; /* workers still inside fn */
    atomic_uint caller_sleeps;
    char last_gap[CACHE_LINE];
    pool_worker workers[]; /* (n_threads - 1) */
};

/* The CPUs this process may run on; false where the system does not say. */
static bool allowed_cpus(cpu_set_t *sets)
{
    memset(sets, 0, CPUS_MAX / 8);
    return sched_getaffinity(0, CPUS_MAX / 8, sets) == 0;
}

uint32_t soti_pool_cpu_count(void)
{
    cpu_set_t sets[CPUS_MAX / CPU_SETSIZE]; /* the kernel refuses a mask narrower than its own */
    if (allowed_cpus(sets)) {
        return (uint32_t)CPU_COUNT_S(sizeof sets, sets);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks until *value differs from old (differs = 1) or equals it (differs = 0), or it is time to
 * sleep. */
static bool spin_until(const soti_pool *pool, const atomic_uint *value, unsigned old, int differs)
{
    uint64_t start = 0;
    uint64_t quiet_since = 0;
    for (;;) {
        for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
            if ((atomic_load_explicit(value, memory_order_acquire) != old) == differs) {
                return true;
            }
            if (!pool->may_spin) {
                return false;
            }
            pause_briefly();
        }
        uint64_t now = soti_clock_ns();
        start = start == 0 ? now : start;
        if (atomic_load_explicit(&pool->is_running, memory_order_relaxed) || quiet_since == 0) {
            quiet_since = now;
        }
        if (now - quiet_since > IDLE_SPIN_NS || now - start > BUSY_SPIN_NS) {
            return false;
        }
        if (now - start > IDLE_SPIN_NS) {
            sched_yield();
        }
    }
}

static void sleep_until_work(soti_pool *pool, unsigned seen)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_asleep, 1);
    while (atomic_load(&pool->generation) == seen) {
        pthread_cond_wait(&pool->has_work, &pool->mutex);
    }
    atomic_fetch_sub(&pool->n_asleep, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void publish(soti_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->n_asleep) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->has_work);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void sleep_until_done(soti_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    /* Not a store: qemu's AArch64 on x86 lets the load below overtake a store-release. */
    atomic_exchange(&pool->caller_sleeps, 1);
    while (atomic_load(&pool->n_pending) != 0) {
        pthread_cond_wait(&pool->is_done, &pool->mutex);
    }
    atomic_store(&pool->caller_sleeps, 0);
    pthread_mutex_unlock(&pool->mutex);
}

static void finish_share(soti_pool *pool)
{
    if (atomic_fetch_sub(&pool->n_pending, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_signal(&pool->is_done);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void *worker_main(void *argument)
{
    pool_worker *worker = argument;
    soti_pool *pool = worker->pool;
    unsigned seen = 0;
    fesetenv(FE_DFL_ENV); /* the creator's was inherited */
    for (;;) {
        if (!spin_until(pool, &pool->generation, seen, 1)) {
            sleep_until_work(pool, seen);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (pool->quits) {
            return NULL;
        }
        pool->fn(pool->context, worker->i_thread, pool->n_threads);
        finish_share(pool);
    }
}

/* Signals are for the host's threads: workers are born with all of them blocked. */
static int start_workers(soti_pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return error;
    }
    size_t stack_bytes = STACK_BYTES;
    if (stack_bytes < (size_t)PTHREAD_STACK_MIN) {
        stack_bytes = (size_t)PTHREAD_STACK_MIN;
    }
    error = pthread_attr_setstacksize(&attributes, stack_bytes);
    sigfillset(&all);
    if (error == 0) {
        error = pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    if (error == 0) {
        for (uint32_t i = 0; i + 1 < pool->n_threads && error == 0; i++) {
            pool_worker *worker = &pool->workers[i];
            worker->pool = pool;
            worker->i_thread = i + 1;
            error = pthread_create(&worker->thread, &attributes, worker_main, worker);
            pool->n_started += error == 0;
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    return error;
}

/* Worker i to the i-th CPU of those allowed, round and round; the caller's thread is the host's and
 * stays where it is, with CPU 0 of them left to it. */
static sot_status pin_workers(soti_pool *pool)
{
    cpu_set_t allowed[CPUS_MAX / CPU_SETSIZE];
    cpu_set_t one[CPUS_MAX / CPU_SETSIZE];
    if (!allowed_cpus(allowed)) {
        return soti_fail(SOT_ERR_THREAD, "the CPUs of this process are not known");
    }
    uint32_t cpu = CPUS_MAX - 1;
    for (uint32_t i = 0; i < pool->n_threads; i++) {
        do {
            cpu = (cpu + 1) % CPUS_MAX;
        } while (!CPU_ISSET_S(cpu, sizeof allowed, allowed));
        if (i == 0) {
            continue;
        }
        memset(one, 0, sizeof one);
        CPU_SET_S(cpu, sizeof one, one);
        int error = pthread_setaffinity_np(pool->workers[i - 1].thread, sizeof one, one);
        if (error != 0) {
            return soti_fail(SOT_ERR_THREAD, "thread %u could not be pinned to CPU %u: error %d",
                             i + 1, cpu, error);
        }
    }
    return SOT_OK;
}

static void close_locks(soti_pool *pool)
{
    pthread_cond_destroy(&pool->is_done);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->mutex);
}

/* All of them or none. */
static int open_locks(soti_pool *pool)
{
    int error = pthread_mutex_init(&pool->mutex, NULL);
    if (error != 0) {
        return error;
    }
    error = pthread_cond_init(&pool->has_work, NULL);
    if (error != 0) {
        pthread_mutex_destroy(&pool->mutex);
        return error;
    }
    error = pthread_cond_init(&pool->is_done, NULL);
    if (error != 0) {
        pthread_cond_destroy(&pool->has_work);
        pthread_mutex_destroy(&pool->mutex);
    }
    return error;
}

sot_status soti_pool_create(uint32_t n_threads, uint32_t pin_threads, soti_pool **out)
{
    *out = NULL;
    uint32_t n_cpus = soti_pool_cpu_count();
    if (n_threads == 0) {
        n_threads = n_cpus < THREADS_MAX ? n_cpus : THREADS_MAX;
    }
    if (n_threads > THREADS_MAX) {
        return soti_fail(SOT_ERR_ARGUMENT, "%u threads asked for, %d are possible", n_threads,
                         THREADS_MAX);
    }
    soti_pool *pool = soti_alloc(1, sizeof *pool + (n_threads - 1) * sizeof pool->workers[0]);
    if (pool == NULL) {
        return SOT_ERR_MEMORY;
    }
    pool->n_threads = n_threads;
    pool->process = getpid();
    pool->may_spin = n_threads <= n_cpus;
    int error = open_locks(pool);
    if (error != 0) {
        soti_free(pool);
        return soti_fail(SOT_ERR_THREAD, "no lock could be made for %u threads: error %d",
                         n_threads, error);
    }
    error = start_workers(pool);
    if (error != 0) {
        uint32_t n_started = pool->n_started;
        soti_pool_free(pool);
        return soti_fail(SOT_ERR_THREAD, "thread %u of %u could not be started: error %d",
                         n_started + 2, n_threads, error);
    }
    if (pin_threads && pin_workers(pool) != SOT_OK) {
        soti_pool_free(pool);
        return SOT_ERR_THREAD;
    }
    *out = pool;
    return SOT_OK;
}

sot_status soti_pool_create_any(soti_pool **out)
{
    sot_status status = soti_pool_create(0, 0, out);
    return status == SOT_ERR_THREAD ? soti_pool_create(1, 0, out) : status;
}

void soti_pool_free(soti_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    /* In a child of fork nobody is to be waited for, and who held the lock is not known. */
    if (pool->process == getpid()) {
        pool->quits = 1;
        publish(pool);
        for (uint32_t i = 0; i < pool->n_started; i++) {
            pthread_join(pool->workers[i].thread, NULL);
        }
        close_locks(pool);
    }
    soti_free(pool);
}

uint32_t soti_pool_size(const soti_pool *pool)
{
    return pool->n_threads;
}

void soti_pool_run_here(soti_pool_fn fn, void *context)
{
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    fn(context, 0, 1);
    fesetenv(&before);
}

void soti_pool_run(soti_pool *pool, soti_pool_fn fn, void *context)
{
    if (pool->n_threads == 1) {
        soti_pool_run_here(fn, context);
        return;
    }
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    pool->fn = fn;
    pool->context = context;
    atomic_store_explicit(&pool->n_pending, pool->n_threads - 1, memory_order_relaxed);
    atomic_store_explicit(&pool->is_running, 1, memory_order_relaxed);
    publish(pool);
    fn(context, 0, pool->n_threads);
    if (!spin_until(pool, &pool->n_pending, 0, 0)) {
        sleep_until_done(pool);
    }
    atomic_store_explicit(&pool->is_running, 0, memory_order_relaxed);
    fesetenv(&before);
}
