/* What jansson is kept from: texts whose values would take all memory, and a shortage of memory
 * that is none. Texts, their faults and the places of those are test_json_file.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/json_parse.h"

static json_error_t error;

/* n times the unit in an array; its comma is dropped behind the last. */
static char *repeat(const char *unit, size_t n, size_t *size)
{
    size_t length = strlen(unit);
    *size = n * length + 1;
    char *text = malloc(*size);
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i < n; i++) {
        memcpy(text + 1 + i * length, unit, length);
    }
    text[*size - 1] = ']';
    return text;
}

static void json_values_of_more_than_a_gibibyte_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        size_t n; /* with this many jansson 2.14 takes more than 0.9 GiB */
    } cases[] = {{"{},", 4200000}, {"[],", 7000000}, {"\"\",", 11000000}, {"1,", 23000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *text = repeat(cases[i].unit, cases[i].n, &size);
        memset(&error, 0xA5, sizeof error);
        assert_null(soti_json_load(text, size, &error));
        assert_int_equal(error.line, 1);
        assert_int_equal(error.column, 1);
        assert_int_equal(error.position, 0);
        assert_string_equal(error.text, "the values need more than 1 GiB of memory");
        free(text);
    }
}

static void json_text_in_quotes_is_no_value(void **state)
{
    (void)state;
    static const char unit[] = "{[,\\\"";
    size_t n = 2800000; /* as values they would be refused */
    size_t length = sizeof unit - 1;
    char *text = malloc(n * length + 2);
    assert_non_null(text);
    text[0] = text[n * length + 1] = '"';
    for (size_t i = 0; i < n; i++) {
        memcpy(text + 1 + i * length, unit, length);
    }
    json_t *value = soti_json_load(text, n * length + 2, &error);
    assert_non_null(value);
    assert_int_equal(json_string_length(value), n * (length - 1));
    json_decref(value);
    free(text);
}

static void json_numbers_of_a_large_profile_are_read(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    size_t size;
    char *text = repeat("7,", N, &size);
    json_t *value = soti_json_load(text, size, &error);
    assert_non_null(value);
    assert_int_equal(json_array_size(value), N);
    json_decref(value);
    free(text);
}

/* ---- memory ---- */

static long n_before; /* allocations before the one that is meant */
static bool fails;    /* that one and all behind it, instead of only leaving ENOMEM behind */

static void *allocate(size_t bytes)
{
    long left = n_before--;
    void *block = left <= 0 && fails ? NULL : malloc(bytes);
    if (left == 0 || block == NULL) {
        errno = ENOMEM;
    }
    return block;
}

static const char sound[] =
    "{\"a\": [1, 2.5, \"text of a length that makes more than one buffer\"]}";
static const char unsound[] = "{\"a\": [1, 2.5, x]}";

static json_t *load_with_allocation(const char *text, long n, bool fails_there)
{
    json_malloc_t before;
    json_free_t release;
    n_before = n;
    fails = fails_there;
    json_get_alloc_funcs(&before, &release);
    json_set_alloc_funcs(allocate, free);
    json_t *value = soti_json_load(text, strlen(text), &error);
    json_set_alloc_funcs(before, release);
    return value;
}

/* As where brk fails and mmap serves. */
static void json_allocation_that_leaves_enomem_behind_is_none_that_failed(void **state)
{
    (void)state;
    for (long n = 0; n < 60; n++) {
        json_t *value = load_with_allocation(sound, n, false);
        assert_non_null(value);
        assert_int_equal(json_array_size(json_object_get(value, "a")), 3);
        json_decref(value);
        assert_null(load_with_allocation(unsound, n, false));
        assert_non_null(strstr(error.text, "near 'x'"));
    }
}

static void json_without_memory_has_no_words(void **state)
{
    (void)state;
    long n = 0;
    for (;; n++) {
        json_t *value = load_with_allocation(sound, n, true);
        if (value != NULL) {
            json_decref(value);
            break;
        }
        assert_string_equal(error.text, "");
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_values_of_more_than_a_gibibyte_are_refused),
        cmocka_unit_test(json_text_in_quotes_is_no_value),
        cmocka_unit_test(json_numbers_of_a_large_profile_are_read),
        cmocka_unit_test(json_allocation_that_leaves_enomem_behind_is_none_that_failed),
        cmocka_unit_test(json_without_memory_has_no_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
