/* A fixed set of threads that run one function together and wait for each other at its end. The
 * calling thread is thread 0, so a pool of one starts no thread. One run at a time per pool.
 *
 * fn runs in the default floating-point environment on every thread, the caller's included, whose
 * own is put back: a host that rounds otherwise or flushes subnormals must not change a result. */
#ifndef SOTI_BASE_POOL_H
#define SOTI_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

typedef struct soti_pool soti_pool;

/* What one thread does; it must not call soti_pool_run on the same pool. */
typedef void (*soti_pool_fn)(void *context, uint32_t i_thread, uint32_t n_threads);

/* CPUs this process may run on, at least 1. */
uint32_t soti_pool_cpu_count(void);

/* n_threads 0: one per CPU. At most 256. pin_threads 1: thread i > 0 stays on the i-th CPU (from 0,
 * round and round) this process may run on; thread 0 is the caller's own and is left alone.
 * Returns ARGUMENT, MEMORY, THREAD. */
sot_status soti_pool_create(uint32_t n_threads, uint32_t pin_threads, soti_pool **out);
/* One thread per CPU, or the calling one alone where no other can be had. Returns MEMORY. */
sot_status soti_pool_create_any(soti_pool **out);
/* NULL: nothing. In a child of fork() there are none of its threads: it joins nobody there. */
void soti_pool_free(soti_pool *pool);
uint32_t soti_pool_size(const soti_pool *pool);

/* Runs fn once on every thread; all their writes are visible when it returns. Workers block all
 * signals, spin briefly between runs, then sleep. */
void soti_pool_run(soti_pool *pool, soti_pool_fn fn, void *context);

/* fn(context, 0, 1) on the calling thread alone, for work too small to wake anybody. */
void soti_pool_run_here(soti_pool_fn fn, void *context);

/* The share [*first, *end) of n items in blocks of grain items that thread i of n_threads takes. */
static inline void soti_pool_share(size_t n, size_t grain, uint32_t i_thread, uint32_t n_threads,
                                   size_t *first, size_t *end)
{
    size_t n_blocks = (n + grain - 1) / grain;
    size_t from = n_blocks * i_thread / n_threads * grain;
    size_t to = n_blocks * (i_thread + 1) / n_threads * grain;
    *first = from < n ? from : n;
    *end = to < n ? to : n;
}

#endif
