/* See pool.h. A run is published by a new generation number, under the mutex so that no wake-up is
 * lost; the last worker to finish wakes the caller. Both sides look at an atomic for SPIN_NS before
 * they sleep, unless there are more threads than CPUs, where looking would only keep them busy. */
#include "pool.h"

#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "fail.h"

enum {
    THREADS_MAX = 256,
    CPUS_MAX = 1 << 16, /* as far as the affinity mask is followed */
    STACK_BYTES = 512 * 1024,
    SPIN_NS = 30000,
    PAUSES_PER_LOOK = 32
};

typedef struct pool_worker {
    soti_pool *pool;
    uint32_t i_thread;
    pthread_t thread;
} pool_worker;

struct soti_pool {
    uint32_t n_threads;
    uint32_t n_started; /* workers that run */
    uint32_t spin_ns;
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    pthread_cond_t is_done;
    atomic_uint generation; /* changed under the mutex; what follows is written before it */
    soti_pool_fn fn;
    void *context;
    int quits;
    atomic_uint n_pending; /* workers still inside fn */
    pool_worker workers[]; /* (n_threads - 1) */
};

uint32_t soti_pool_cpu_count(void)
{
    cpu_set_t sets[CPUS_MAX / CPU_SETSIZE]; /* the kernel refuses a mask narrower than its own */
    memset(sets, 0, sizeof sets);
    if (sched_getaffinity(0, sizeof sets, sets) == 0) {
        return (uint32_t)CPU_COUNT_S(sizeof sets, sets);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

static void pause_briefly(void)
{
    for (int i = 0; i < PAUSES_PER_LOOK; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* Looks until *value differs from old (differs = 1) or equals it (differs = 0), spin_ns at most. */
static int spin_until(const atomic_uint *value, unsigned old, int differs, uint32_t spin_ns)
{
    uint64_t start = 0;
    for (;;) {
        if ((atomic_load_explicit(value, memory_order_acquire) != old) == differs) {
            return 1;
        }
        if (spin_ns == 0) {
            return 0;
        }
        uint64_t now = soti_clock_ns();
        if (start == 0) {
            start = now;
        } else if (now - start > spin_ns) {
            return 0;
        }
        pause_briefly();
    }
}

static void *worker_main(void *argument)
{
    pool_worker *worker = argument;
    soti_pool *pool = worker->pool;
    unsigned seen = 0;
    fesetenv(FE_DFL_ENV); /* the creator's was inherited */
    for (;;) {
        if (!spin_until(&pool->generation, seen, 1, pool->spin_ns)) {
            pthread_mutex_lock(&pool->mutex);
            while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen) {
                pthread_cond_wait(&pool->has_work, &pool->mutex);
            }
            pthread_mutex_unlock(&pool->mutex);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (pool->quits) {
            return NULL;
        }
        pool->fn(pool->context, worker->i_thread, pool->n_threads);
        if (atomic_fetch_sub_explicit(&pool->n_pending, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->is_done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

static void publish(soti_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
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

sot_status soti_pool_create(uint32_t n_threads, uint32_t pin_threads, soti_pool **out)
{
    (void)pin_threads;
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
    pool->spin_ns = n_threads <= n_cpus ? SPIN_NS : 0;
    /* With default attributes these cannot fail on Linux. */
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    pthread_cond_init(&pool->is_done, NULL);
    int error = start_workers(pool);
    if (error != 0) {
        uint32_t n_started = pool->n_started;
        soti_pool_free(pool);
        return soti_fail(SOT_ERR_THREAD, "thread %u of %u could not be started: error %d",
                         n_started + 2, n_threads, error);
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
    pool->quits = 1;
    publish(pool);
    for (uint32_t i = 0; i < pool->n_started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->is_done);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->mutex);
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
    publish(pool);
    fn(context, 0, pool->n_threads);
    if (!spin_until(&pool->n_pending, 0, 0, pool->spin_ns)) {
        pthread_mutex_lock(&pool->mutex);
        while (atomic_load_explicit(&pool->n_pending, memory_order_acquire) != 0) {
            pthread_cond_wait(&pool->is_done, &pool->mutex);
        }
        pthread_mutex_unlock(&pool->mutex);
    }
    fesetenv(&before);
}
