/* Every allocation of every operation fails, each in its turn, alone or with all behind it, whoever
 * makes it: the library, jansson, PCRE2, libc. Each time there is a status with a sentence and
 * nothing else; not a byte is lost; and the same operation then works on the same objects with the
 * result it always has. */
#include "sanitized.h"

#if !SANITIZED && defined(__linux__)
#include "faults/allocator.h"
#endif

#include <jansson.h>
#include <stdlib.h>

#include "faults/holdings.h"
#include "faults/operations.h"

#if !SANITIZED

/* The first run leaves what libc and libraries keep for good. */
static void warm_up(const operation *each)
{
    sot_status status = each->run();
    if (status != SOT_OK) {
        fail_msg("%s: %s", each->name, sot_error_message());
    }
    each->check(status);
}

static long fail_each_allocation(const operation *each, bool stays_short)
{
    warm_up(each);
    warm_up(each);
    const holdings before = holdings_now(true);
    const long n_blocks = atomic_load(&heap_blocks);
    const long n_bytes = atomic_load(&heap_bytes);
    for (long n = 0;; n++) {
        heap_arm(n, stays_short);
        sot_status status = each->run();
        if (!heap_disarm()) {
            assert_int_equal(status, SOT_OK);
            each->check(status);
            holdings_check(&before, each->name);
            return n;
        }
        /* Some make things faster, and can be done without. */
        if (status != SOT_OK && status != SOT_ERR_MEMORY &&
            !(status == SOT_ERR_THREAD && each->has_threads)) {
            fail_msg("%s, allocation %ld: status %d, %s", each->name, n, status,
                     sot_error_message());
        }
        assert_true(status != SOT_ERR_MEMORY || strstr(sot_error_message(), "memory") != NULL);
        each->check(status);
        warm_up(each);
        if (atomic_load(&heap_blocks) != n_blocks || atomic_load(&heap_bytes) != n_bytes) {
            fail_msg("%s, allocation %ld: %ld blocks and %ld bytes are lost", each->name, n,
                     atomic_load(&heap_blocks) - n_blocks, atomic_load(&heap_bytes) - n_bytes);
        }
    }
}

static void fail_each_of_all(bool stays_short)
{
    long n_all = 0;
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        long n = fail_each_allocation(&operations[i], stays_short);
        print_message("%5ld allocations: %s\n", n, operations[i].name);
        assert_true(n > 0);
        n_all += n;
    }
    print_message("%5ld in all\n", n_all);
}

static void operations_survive_every_failed_allocation(void **state)
{
    (void)state;
    fail_each_of_all(false);
}

static void operations_survive_memory_that_ends(void **state)
{
    (void)state;
    fail_each_of_all(true);
}

#else

static void operations_survive_every_failed_allocation(void **state)
{
    (void)state;
    print_message("skipped: a sanitizer allocates itself; test_allocation_failure makes the "
                  "library's own allocations fail under it\n");
    skip();
}

static void operations_survive_memory_that_ends(void **state)
{
    operations_survive_every_failed_allocation(state);
}

#endif

/* A host may give jansson an allocator, whose blocks are not libc's. */
enum { ALLOCATOR_MARK = 64 };

static void *allocate_marked(size_t bytes)
{
    char *block = malloc(bytes + ALLOCATOR_MARK);
    return block != NULL ? block + ALLOCATOR_MARK : NULL;
}

static void free_marked(void *block)
{
    if (block != NULL) {
        free((char *)block - ALLOCATOR_MARK);
    }
}

static void allocator_of_jansson_may_be_the_hosts(void **state)
{
    (void)state;
    json_malloc_t allocate;
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    json_set_alloc_funcs(allocate_marked, free_marked);
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        if (strstr(operations[i].name, "lock") == NULL) {
            sot_status status = operations[i].run();
            assert_int_equal(status, SOT_OK);
            operations[i].check(status);
        }
    }
    json_set_alloc_funcs(allocate, release);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_survive_every_failed_allocation),
        cmocka_unit_test(operations_survive_memory_that_ends),
        cmocka_unit_test(allocator_of_jansson_may_be_the_hosts),
    };
    return cmocka_run_group_tests_name("failing allocations", tests, world_setup, world_teardown);
}
