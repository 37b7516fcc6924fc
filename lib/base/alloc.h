/* All host memory of the library comes from here, so that sizes are checked once and tests can make
 * any allocation fail. A failure returns NULL and has already called soti_fail(). */
#ifndef SOTI_BASE_ALLOC_H
#define SOTI_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

/* Zeroed memory for count items; count * size is checked. count 0 gives a valid pointer. */
void *soti_alloc(size_t count, size_t size);

/* Grows or shrinks an array; the old block stays valid when NULL is returned. New bytes are not
 * zeroed. */
void *soti_realloc(void *block, size_t count, size_t size);

/* A NUL-terminated copy of n bytes. */
char *soti_copy_text(const char *text, size_t n);

void soti_free(void *block);

/* Large zeroed memory straight from the system, page-aligned, touched by nobody yet; bytes > 0. */
void *soti_map_alloc(size_t bytes);
void soti_map_free(void *block, size_t bytes);

/* Brings the pages of a mapped range in and keeps them in memory until they are unmapped. Returns
 * MEMORY, with what the system allows. */
sot_status soti_map_lock(const void *block, size_t bytes);

/* *result = a * b or a + b; false if that overflows. */
static inline bool soti_mul(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

static inline bool soti_add(size_t a, size_t b, size_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

/* For tests: the n-th allocation from now (0: the next) fails, once. Negative: none does. Returns
 * what was left of the earlier countdown, negative if it had struck or was off. */
long soti_alloc_fail_at(long n);

#endif
