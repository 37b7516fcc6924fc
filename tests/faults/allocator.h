/* malloc and its family in the test's own program, on top of glibc's: they count what is out, and
 * make the n-th allocation of the whole process fail, those of jansson, PCRE2 and libc included. */
#ifndef TESTS_FAULTS_ALLOCATOR_H
#define TESTS_FAULTS_ALLOCATOR_H

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);
extern void __libc_free(void *block);

static atomic_long heap_blocks;
static atomic_long heap_bytes;
static atomic_long heap_countdown; /* allocations before the one that fails */
static bool heap_is_armed;
static bool heap_stays_short; /* that one and all behind it */

static bool heap_fails(void)
{
    if (!heap_is_armed) {
        return false;
    }
    long left = atomic_fetch_sub(&heap_countdown, 1);
    if (left > 0 || (left < 0 && !heap_stays_short)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

static inline void heap_arm(long n, bool stays_short)
{
    atomic_store(&heap_countdown, n);
    heap_stays_short = stays_short;
    heap_is_armed = true;
}

/* Whether the armed allocation has come. */
static inline bool heap_disarm(void)
{
    heap_is_armed = false;
    return atomic_load(&heap_countdown) < 0;
}

static void *heap_count(void *block)
{
    if (block != NULL) {
        atomic_fetch_add(&heap_blocks, 1);
        atomic_fetch_add(&heap_bytes, (long)malloc_usable_size(block));
    }
    return block;
}

static void heap_forget(long bytes)
{
    atomic_fetch_sub(&heap_blocks, 1);
    atomic_fetch_sub(&heap_bytes, bytes);
}

/* For all of the process: a hidden one would be the program's own. */
#pragma GCC visibility push(default)

void *malloc(size_t bytes)
{
    return heap_fails() ? NULL : heap_count(__libc_malloc(bytes));
}

void *calloc(size_t count, size_t bytes)
{
    return heap_fails() ? NULL : heap_count(__libc_calloc(count, bytes));
}

void *realloc(void *block, size_t bytes)
{
    if (heap_fails()) {
        return NULL;
    }
    long before = block != NULL ? (long)malloc_usable_size(block) : -1;
    void *moved = __libc_realloc(block, bytes);
    if (before >= 0 && (moved != NULL || bytes == 0)) {
        heap_forget(before);
    }
    return heap_count(moved);
}

void free(void *block)
{
    if (block != NULL) {
        heap_forget((long)malloc_usable_size(block));
        __libc_free(block);
    }
}

#pragma GCC visibility pop

#endif
