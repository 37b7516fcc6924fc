/* The growing buffer: contents, the NUL behind them, limits, and failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fail.h"

static void buffer_empty_is_the_empty_text(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    assert_string_equal(soti_buffer_text(&buffer), "");
    assert_int_equal(soti_buffer_reserve(&buffer, 0), SOT_OK);
    assert_string_equal(soti_buffer_text(&buffer), "");
    soti_buffer_free(&buffer);
    soti_buffer_free(&buffer);
    assert_null(buffer.data);
}

static void buffer_append_keeps_bytes_and_ends_with_nul(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    for (size_t n = 0; n < 5000; n++) {
        char byte = (char)(n % 251);
        assert_int_equal(soti_buffer_append(&buffer, &byte, 1), SOT_OK);
        assert_int_equal(buffer.size, n + 1);
        assert_true(buffer.capacity > buffer.size);
        assert_int_equal(buffer.data[n + 1], 0);
    }
    for (size_t n = 0; n < 5000; n++) {
        assert_int_equal(buffer.data[n], (char)(n % 251));
    }
    assert_int_equal(soti_buffer_append(&buffer, NULL, 0), SOT_OK);
    assert_int_equal(buffer.size, 5000);
    soti_buffer_free(&buffer);
}

static void buffer_append_text_joins(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    assert_int_equal(soti_buffer_append_text(&buffer, "skeleton"), SOT_OK);
    assert_int_equal(soti_buffer_append_text(&buffer, ""), SOT_OK);
    assert_int_equal(soti_buffer_append_text(&buffer, " of thought"), SOT_OK);
    assert_string_equal(soti_buffer_text(&buffer), "skeleton of thought");
    assert_int_equal(buffer.size, 19);
    soti_buffer_free(&buffer);
}

static void buffer_truncate_only_shortens(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    soti_buffer_truncate(&buffer, 0);
    soti_buffer_append_text(&buffer, "abcdef");
    soti_buffer_truncate(&buffer, 9);
    assert_int_equal(buffer.size, 6);
    soti_buffer_truncate(&buffer, 2);
    assert_string_equal(soti_buffer_text(&buffer), "ab");
    soti_buffer_append_text(&buffer, "z");
    assert_string_equal(soti_buffer_text(&buffer), "abz");
    soti_buffer_free(&buffer);
}

static void buffer_grows_by_doubling(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    size_t n_moves = 0;
    size_t capacity = 0;
    for (size_t n = 0; n < 1000000; n++) {
        soti_buffer_append(&buffer, "x", 1);
        n_moves += buffer.capacity != capacity;
        capacity = buffer.capacity;
    }
    assert_true(n_moves <= 16); /* 64 * 2^14 > 10^6 */
    soti_buffer_free(&buffer);
}

static void buffer_reserve_makes_room_for_all(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    soti_buffer_append_text(&buffer, "abc");
    assert_int_equal(soti_buffer_reserve(&buffer, 1000), SOT_OK);
    soti_alloc_fail_at(0); /* no allocation is needed from here on */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(soti_buffer_append(&buffer, "x", 1), SOT_OK);
    }
    soti_alloc_fail_at(-1);
    assert_int_equal(buffer.size, 1003);
    soti_buffer_free(&buffer);
}

static void buffer_take_appends_or_says_that_it_cannot(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    assert_int_equal(soti_buffer_take("abc", 2, &buffer), 0);
    assert_string_equal(soti_buffer_text(&buffer), "ab");
    soti_alloc_fail_at(0);
    static const char many[100];
    assert_int_equal(soti_buffer_take(many, sizeof many, &buffer), -1);
    soti_alloc_fail_at(-1);
    assert_string_equal(soti_buffer_text(&buffer), "ab");
    soti_buffer_free(&buffer);
}

static void buffer_failure_changes_nothing(void **state)
{
    (void)state;
    soti_buffer buffer = {0};
    soti_alloc_fail_at(0);
    assert_int_equal(soti_buffer_append_text(&buffer, "abc"), SOT_ERR_MEMORY);
    assert_string_equal(soti_buffer_text(&buffer), "");
    soti_alloc_fail_at(-1);
    assert_int_equal(soti_buffer_append_text(&buffer, "abc"), SOT_OK);
    assert_int_equal(soti_buffer_reserve(&buffer, SIZE_MAX), SOT_ERR_MEMORY);
    assert_int_equal(soti_buffer_reserve(&buffer, SIZE_MAX - 3), SOT_ERR_MEMORY);
    assert_non_null(strstr(soti_fail_message(), "too long"));
    assert_int_equal(soti_buffer_reserve(&buffer, SIZE_MAX / 2), SOT_ERR_MEMORY);
    assert_string_equal(soti_buffer_text(&buffer), "abc");
    assert_int_equal(buffer.size, 3);
    soti_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_empty_is_the_empty_text),
        cmocka_unit_test(buffer_append_keeps_bytes_and_ends_with_nul),
        cmocka_unit_test(buffer_append_text_joins),
        cmocka_unit_test(buffer_truncate_only_shortens),
        cmocka_unit_test(buffer_grows_by_doubling),
        cmocka_unit_test(buffer_reserve_makes_room_for_all),
        cmocka_unit_test(buffer_take_appends_or_says_that_it_cannot),
        cmocka_unit_test(buffer_failure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
