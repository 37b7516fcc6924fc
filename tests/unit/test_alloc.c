/* Allocation: zeroed memory, checked sizes, and the countdown that makes one allocation fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

static void alloc_memory_is_zeroed(void **state)
{
    (void)state;
    for (size_t n = 1; n < 3000; n += 177) {
        unsigned char *block = soti_alloc(n, 3);
        assert_non_null(block);
        for (size_t i = 0; i < 3 * n; i++) {
            assert_int_equal(block[i], 0);
            block[i] = 0xAB;
        }
        soti_free(block);
    }
}

static void alloc_of_nothing_is_a_valid_pointer(void **state)
{
    (void)state;
    void *a = soti_alloc(0, 8);
    void *b = soti_alloc(8, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(a != b);
    a = soti_realloc(a, 0, 8);
    assert_non_null(a);
    soti_free(a);
    soti_free(b);
    soti_free(NULL);
}

static void alloc_size_overflow_is_a_failure(void **state)
{
    (void)state;
    soti_fail_clear();
    assert_null(soti_alloc(SIZE_MAX / 2, 3));
    assert_non_null(strstr(soti_fail_message(), "out of memory"));
    char *block = soti_alloc(4, 1);
    memcpy(block, "abc", 4);
    assert_null(soti_realloc(block, SIZE_MAX / 2, 3));
    assert_string_equal(block, "abc"); /* the old block stays valid */
    assert_null(soti_copy_text(block, SIZE_MAX));
    soti_free(block);
}

static void alloc_realloc_keeps_contents(void **state)
{
    (void)state;
    char *block = soti_realloc(NULL, 4, 1);
    memcpy(block, "abc", 4);
    block = soti_realloc(block, 100000, 1);
    assert_string_equal(block, "abc");
    block = soti_realloc(block, 2, 1);
    assert_memory_equal(block, "ab", 2);
    soti_free(block);
}

static void alloc_copy_text_ends_with_nul(void **state)
{
    (void)state;
    char *copy = soti_copy_text("abcdef", 3);
    assert_string_equal(copy, "abc");
    soti_free(copy);
    copy = soti_copy_text(NULL, 0);
    assert_string_equal(copy, "");
    soti_free(copy);
}

static void alloc_map_is_zeroed_and_page_aligned(void **state)
{
    (void)state;
    enum { BYTES = 3 * 4096 + 1 };
    unsigned char *block = soti_map_alloc(BYTES);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 4096, 0);
    assert_int_equal(block[0], 0);
    assert_int_equal(block[BYTES - 1], 0);
    block[BYTES - 1] = 1;
    soti_map_free(block, BYTES);
    soti_map_free(NULL, BYTES);
    assert_null(soti_map_alloc(SIZE_MAX / 2));
    assert_non_null(strstr(soti_fail_message(), "could not be mapped"));
}

/* True if the call numbered n (0 first) of the five that allocate fails, and no other. */
static bool only_fails_at(long n)
{
    void *blocks[5];
    soti_alloc_fail_at(n);
    blocks[0] = soti_alloc(1, 1);
    blocks[1] = soti_realloc(NULL, 1, 1);
    blocks[2] = soti_copy_text("a", 1);
    blocks[3] = soti_map_alloc(1);
    blocks[4] = soti_alloc(1, 1);
    bool right = true;
    for (long i = 0; i < 5; i++) {
        right = right && (blocks[i] == NULL) == (i == n);
    }
    soti_map_free(blocks[3], 1);
    blocks[3] = NULL;
    for (int i = 0; i < 5; i++) {
        soti_free(blocks[i]);
    }
    return right;
}

static void alloc_fail_at_strikes_once(void **state)
{
    (void)state;
    for (long n = -1; n < 5; n++) {
        assert_true(only_fails_at(n));
        assert_true(soti_alloc_fail_at(-1) < 0); /* it had struck, or was off */
    }
    assert_true(only_fails_at(7));
    assert_int_equal(soti_alloc_fail_at(-1), 2); /* five of seven are gone */
}

static void alloc_checked_arithmetic_finds_overflow(void **state)
{
    (void)state;
    size_t result;
    assert_true(soti_mul(3, 5, &result));
    assert_int_equal(result, 15);
    assert_true(soti_mul(0, SIZE_MAX, &result));
    assert_false(soti_mul(SIZE_MAX / 2 + 1, 2, &result));
    assert_true(soti_add(SIZE_MAX - 1, 1, &result));
    assert_true(result == SIZE_MAX);
    assert_false(soti_add(SIZE_MAX, 1, &result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alloc_memory_is_zeroed),
        cmocka_unit_test(alloc_of_nothing_is_a_valid_pointer),
        cmocka_unit_test(alloc_size_overflow_is_a_failure),
        cmocka_unit_test(alloc_realloc_keeps_contents),
        cmocka_unit_test(alloc_copy_text_ends_with_nul),
        cmocka_unit_test(alloc_map_is_zeroed_and_page_aligned),
        cmocka_unit_test(alloc_fail_at_strikes_once),
        cmocka_unit_test(alloc_checked_arithmetic_finds_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
