/* See alloc.h. */
#include "alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "fail.h"

static atomic_long fail_countdown = -1; /* tests only; negative means off */

static bool must_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0) {
        return false;
    }
    return atomic_fetch_sub(&fail_countdown, 1) == 0;
}

long soti_alloc_fail_at(long n)
{
    return atomic_exchange(&fail_countdown, n);
}

void *soti_alloc(size_t count, size_t size)
{
    void *block = must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1);
    if (block == NULL) {
        soti_fail(SOT_ERR_MEMORY, "out of memory: %zu items of %zu bytes", count, size);
    }
    return block;
}

void *soti_realloc(void *block, size_t count, size_t size)
{
    size_t bytes;
    void *grown = NULL;
    if (soti_mul(count, size, &bytes) && !must_fail()) {
        grown = realloc(block, bytes ? bytes : 1);
    }
    if (grown == NULL) {
        soti_fail(SOT_ERR_MEMORY, "out of memory: %zu items of %zu bytes", count, size);
    }
    return grown;
}

char *soti_copy_text(const char *text, size_t n)
{
    size_t bytes;
    char *copy = soti_add(n, 1, &bytes) ? soti_alloc(bytes, 1) : NULL;
    if (copy != NULL && n > 0) {
        memcpy(copy, text, n);
    }
    return copy;
}

void soti_free(void *block)
{
    free(block);
}

void *soti_map_alloc(size_t bytes)
{
    void *block = MAP_FAILED;
    if (!must_fail()) {
        block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (block == MAP_FAILED) {
        soti_fail(SOT_ERR_MEMORY, "out of memory: %zu bytes could not be mapped", bytes);
        return NULL;
    }
    /* A hint: 512 times fewer page faults and address translations. */
    madvise(block, bytes, MADV_HUGEPAGE);
    return block;
}

void soti_map_free(void *block, size_t bytes)
{
    if (block != NULL) {
        munmap(block, bytes);
    }
}

static sot_status fail_lock(size_t bytes, int error_number)
{
    char reason[128];
    struct rlimit limit;
    const char *text = strerror_r(error_number, reason, sizeof reason);
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return soti_fail(SOT_ERR_MEMORY, "%zu bytes of memory cannot be locked: %s", bytes, text);
    }
    return soti_fail(SOT_ERR_MEMORY,
                     "%zu bytes of memory cannot be locked: %s; RLIMIT_MEMLOCK lets this process "
                     "lock %llu in all",
                     bytes, text, (unsigned long long)limit.rlim_cur);
}

/* mlock also reads what is not in memory yet, and rounds to pages itself. */
sot_status soti_map_lock(const void *block, size_t bytes)
{
    return mlock(block, bytes) == 0 ? SOT_OK : fail_lock(bytes, errno);
}
