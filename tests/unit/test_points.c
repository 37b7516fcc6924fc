/* The skeleton parser on cases a reader can check by eye, on hostile texts, and without memory.
 * Agreement with Python's re on generated strings: tests/golden/test_points_golden.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"
#include "sot/points.h"

static sot_points *parse_bytes(const char *text, size_t size, uint32_t max_points)
{
    sot_points *points;
    assert_int_equal(sot_points_parse(text, size, max_points, &points), SOT_OK);
    assert_non_null(points);
    return points;
}

static sot_points *parse(const char *text)
{
    return parse_bytes(text, strlen(text), 0);
}

/* expected: index, text, index, text, ... */
static void check_points(const char *text, size_t n, const char *const *expected)
{
    sot_points *points = parse(text);
    assert_int_equal(sot_points_count(points), n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(sot_points_index(points, i), expected[2 * i]);
        assert_string_equal(sot_points_text(points, i), expected[2 * i + 1]);
        assert_int_equal(sot_points_text_size(points, i), strlen(expected[2 * i + 1]));
    }
    assert_int_equal(sot_points_dropped(points), 0);
    assert_string_equal(sot_points_source(points), text);
    assert_int_equal(sot_points_source_size(points), strlen(text));
    sot_points_free(points);
}

#define CHECK(text, ...)                                                                           \
    do {                                                                                           \
        const char *const expected[] = {__VA_ARGS__};                                              \
        check_points(text, sizeof expected / sizeof *expected / 2, expected);                      \
    } while (0)

static void points_paper_example_is_parsed(void **state)
{
    (void)state;
    CHECK(" 1. Active listening. \n2. Empathy. \n3. Compromise.", "1", "Active listening. ", "2",
          "Empathy. ", "3", "Compromise.");
}

static void points_none_is_success(void **state)
{
    (void)state;
    static const char *const texts[] = {"",  "\n", "No list here.", "1) one\n2) two", "12",
                                        ".", "1."};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sot_points *points = parse(texts[i]);
        assert_int_equal(sot_points_count(points), 0);
        assert_string_equal(sot_points_source(points), texts[i]);
        sot_points_free(points);
    }
}

static void points_repeated_index_keeps_first(void **state)
{
    (void)state;
    CHECK("1. a\n2. b\n1. c\n3. d\n2. e\n", "1", "a", "2", "b", "3", "d");
    CHECK("1. a\n01. b\n", "1", "a", "01", "b"); /* the index is a text, not a number */
}

static void points_repeated_skeleton_adds_nothing(void **state)
{
    (void)state;
    CHECK("1. Plan. \n2. Do. \n\nSkeleton:\n1. Other. \n2. Words. \n", "1", "Plan. ", "2", "Do. ");
}

static void points_prose_below_a_point_is_left_out(void **state)
{
    (void)state;
    CHECK("1. Plan.\nFirst of all you plan, which takes long.\n2. Do.\n", "1", "Plan.", "2", "Do.");
    CHECK("1. Costs about 3.5 million\n2. b", "1", "Costs about 3.5 million", "2", "b");
    CHECK("1. Plan.\nIt costs 3.5 million.\n2. Do.", "1", "Plan.", "3", "5 million.", "2", "Do.");
}

static void points_nested_numbers_split_at_the_first_dot(void **state)
{
    (void)state;
    CHECK("1.2. x\n1. y\n", "1", "2. x");
}

static void points_text_takes_at_least_one_character(void **state)
{
    (void)state;
    CHECK("1. ", "1", " ");
    CHECK("1.\n", "1", "\n");
    CHECK("1.\n2. b", "1", "2. b");    /* \s? takes the newline */
    CHECK("1. \n2. b", "1", "\n2. b"); /* ... or the blank, and one newline is the text */
    CHECK("1.\n\n\n2. b", "1", "\n", "2", "b");
    CHECK("1.  two blanks", "1", " two blanks");
}

static void points_python_white_space_is_skipped(void **state)
{
    (void)state;
    CHECK("1.\x1cx\n2.\x1fx\n3.\xc2\x85x\n4.\xc2\xa0x\n5.\xe1\x9a\x80x\n6.\xe3\x80\x80x\n7.\vx\n"
          "8.\fx\n9.\rx\n10.\tx",
          "1", "x", "2", "x", "3", "x", "4", "x", "5", "x", "6", "x", "7", "x", "8", "x", "9", "x",
          "10", "x");
    CHECK("1.\xe1\xa0\x8ex\n2.\xe2\x80\x8bx\n3.\xef\xbb\xbfx", "1", "\xe1\xa0\x8ex", "2",
          "\xe2\x80\x8bx", "3", "\xef\xbb\xbfx");
}

static void points_digits_of_other_scripts_are_indexes(void **state)
{
    (void)state;
    CHECK("\xd9\xa1. a\n\xef\xbc\x92\xef\xbc\x93. b\n\xf0\x9d\x9f\x8f. c\n", "\xd9\xa1", "a",
          "\xef\xbc\x92\xef\xbc\x93", "b", "\xf0\x9d\x9f\x8f", "c");
    CHECK("\xc2\xb2. superscript\n\xe2\x85\xa0. roman\n1. one", "1", "one"); /* No, Nl: not Nd */
}

static void points_crlf_keeps_the_carriage_return(void **state)
{
    (void)state;
    CHECK("1. a\r\n2. b\r\n", "1", "a\r", "2", "b\r");
    CHECK("1. a\r2. b", "1", "a\r2. b"); /* only \n ends a point */
}

static void points_nul_bytes_are_text(void **state)
{
    (void)state;
    sot_points *points = parse_bytes("1. a\0b\n\0002. c", 12, 0);
    assert_int_equal(sot_points_count(points), 2);
    assert_int_equal(sot_points_text_size(points, 0), 3);
    assert_memory_equal(sot_points_text(points, 0), "a\0b", 4);
    assert_string_equal(sot_points_index(points, 1), "2");
    assert_int_equal(sot_points_source_size(points), 12);
    assert_memory_equal(sot_points_source(points), "1. a\0b\n\0002. c", 13);
    sot_points_free(points);
}

static void points_ill_formed_bytes_become_replacement_characters(void **state)
{
    (void)state;
    sot_points *points = parse("1. a\xff\xe2\x82z\n\xc0\x80"
                               "2.\xf0\x9f\x98");
    assert_int_equal(sot_points_count(points), 2);
    assert_string_equal(sot_points_text(points, 0), "a\xef\xbf\xbd\xef\xbf\xbdz");
    assert_string_equal(sot_points_index(points, 1), "2");
    assert_string_equal(sot_points_text(points, 1), "\xef\xbf\xbd");
    assert_string_equal(sot_points_source(points),
                        "1. a\xef\xbf\xbd\xef\xbf\xbdz\n\xef\xbf\xbd\xef\xbf\xbd"
                        "2.\xef\xbf\xbd");
    sot_points_free(points);
}

static char *numbered(size_t n, size_t *size)
{
    char *text = malloc(n * 32 + 1);
    assert_non_null(text);
    *size = 0;
    for (size_t i = 1; i <= n; i++) {
        *size += (size_t)sprintf(text + *size, "%zu. Point %zu.\n", i, i);
    }
    return text;
}

static void points_cap_drops_and_reports(void **state)
{
    (void)state;
    size_t size;
    char *text = numbered(5000, &size);
    static const struct {
        uint32_t max_points;
        size_t n_kept;
    } cases[] = {{0, 64}, {1, 1}, {64, 64}, {4999, 4999}, {5000, 5000}, {UINT32_MAX, 5000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_points *points = parse_bytes(text, size, cases[i].max_points);
        assert_int_equal(sot_points_count(points), cases[i].n_kept);
        assert_int_equal(sot_points_dropped(points), 5000 - cases[i].n_kept);
        sot_points_free(points);
    }
    free(text);
    sot_points *points = parse_bytes("1. a\n2. b\n1. c\n3. d\n3. e\n", 25, 2);
    assert_int_equal(sot_points_count(points), 2);
    assert_int_equal(sot_points_dropped(points), 1); /* repeated indexes are not counted */
    sot_points_free(points);
}

/* A megabyte takes milliseconds when the time is linear and minutes when it is quadratic. */
static void points_hostile_megabyte_takes_linear_time(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *repeated;
        const char *tail;
        size_t n_points;
    } cases[] = {
        {"", "7", "", 0},           {"", "7", " .", 0},      {"", "\xd9\xa1", " .", 0},
        {"1.x", "\n", "", 1},       {"1.x", "\n", "2.x", 2}, {"1.", "\n", "", 1},
        {"1. ", "x", "", 1},        {"", "\n", "", 0},       {"", "1.\n", "", 1},
        {"1.x", "\nx", ".", 1},     {"", "1. x\n", "", 1},   {"", "1 ", ".", 0},
        {"", " 1.", "", 1},         {"", "\xff", "", 0},     {"", "12345678 ", "", 0},
        {"1.", "\xff", "", 1},      {"1.x", "\n1", ".y", 1}, {"", "1.x\n2.x\n", "", 2},
        {"", "777777777", ",.", 0},
    };
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE + 8);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n_repeated = strlen(cases[i].repeated);
        size_t size = strlen(cases[i].head);
        memcpy(text, cases[i].head, size);
        while (size + n_repeated <= SIZE) {
            memcpy(text + size, cases[i].repeated, n_repeated);
            size += n_repeated;
        }
        memcpy(text + size, cases[i].tail, strlen(cases[i].tail));
        size += strlen(cases[i].tail);
        uint64_t start = soti_clock_ns();
        sot_points *points = parse_bytes(text, size, 0);
        uint64_t took = soti_clock_ns() - start;
        if (sot_points_count(points) != cases[i].n_points || took > 5000000000u) {
            fail_msg("case %zu: %zu points in %.3f s", i, sot_points_count(points),
                     (double)took * 1e-9);
        }
        sot_points_free(points);
    }
    free(text);
}

static void points_all_distinct_megabyte_takes_linear_time(void **state)
{
    (void)state;
    size_t size;
    char *text = numbered(60000, &size);
    uint64_t start = soti_clock_ns();
    sot_points *points = parse_bytes(text, size, 0);
    assert_true(soti_clock_ns() - start < 5000000000u);
    assert_int_equal(sot_points_dropped(points), 60000 - 64);
    sot_points_free(points);
    free(text);
}

static void points_copy_equals_and_outlives_the_original(void **state)
{
    (void)state;
    sot_points *points = parse_bytes("1. a\0\n2. b\n3. c", 15, 2);
    sot_points *copy;
    assert_int_equal(soti_points_copy(points, &copy), SOT_OK);
    sot_points_free(points);
    assert_int_equal(sot_points_count(copy), 2);
    assert_int_equal(sot_points_dropped(copy), 1);
    assert_int_equal(sot_points_text_size(copy, 0), 2);
    assert_memory_equal(sot_points_text(copy, 0), "a\0", 3);
    assert_string_equal(sot_points_index(copy, 1), "2");
    assert_int_equal(sot_points_source_size(copy), 15);
    assert_memory_equal(sot_points_source(copy), "1. a\0\n2. b\n3. c", 16);
    sot_points_free(copy);
}

static void points_wrong_arguments_are_refused(void **state)
{
    (void)state;
    sot_points *points = (sot_points *)&points;
    assert_int_equal(sot_points_parse(NULL, 1, 0, &points), SOT_ERR_ARGUMENT);
    assert_null(points);
    assert_non_null(strstr(soti_fail_message(), "text is NULL"));
    assert_int_equal(sot_points_parse("1. a", 4, 0, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_points_parse(NULL, 0, 0, &points), SOT_OK);
    assert_string_equal(sot_points_source(points), "");
    assert_null(sot_points_index(points, 0));
    assert_null(sot_points_text(points, 0));
    assert_int_equal(sot_points_text_size(points, 0), 0);
    sot_points_free(points);
    sot_points_free(NULL);
    assert_int_equal(sot_points_count(NULL), 0);
    assert_int_equal(sot_points_dropped(NULL), 0);
    assert_null(sot_points_source(NULL));
    assert_int_equal(sot_points_source_size(NULL), 0);
}

/* Every allocation fails once. An allocation that PCRE2 can do without may fail unnoticed. */
static void points_allocation_failure_is_reported(void **state)
{
    (void)state;
    size_t size;
    char *text = numbered(200, &size);
    text[size - 2] = '\xff';
    long n_failed = 0;
    for (long n = 0;; n++) {
        sot_points *points;
        soti_alloc_fail_at(n);
        sot_status status = sot_points_parse(text, size, 100, &points);
        bool struck = soti_alloc_fail_at(-1) < 0;
        if (status == SOT_OK) {
            assert_int_equal(sot_points_count(points), 100);
            sot_points_free(points);
        } else {
            assert_int_equal(status, SOT_ERR_MEMORY);
            assert_true(strlen(soti_fail_message()) > 0);
            assert_null(points);
            n_failed++;
        }
        if (!struck) {
            break;
        }
    }
    assert_true(n_failed > 200); /* two for each point kept */
    sot_points *points = parse_bytes(text, size, 3);
    for (long n = 0; n < 9; n++) { /* the struct, source, points, and two for each of three */
        sot_points *copy;
        soti_alloc_fail_at(n);
        assert_int_equal(soti_points_copy(points, &copy), SOT_ERR_MEMORY);
        assert_null(copy);
        assert_true(soti_alloc_fail_at(-1) < 0);
    }
    sot_points_free(points);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_paper_example_is_parsed),
        cmocka_unit_test(points_none_is_success),
        cmocka_unit_test(points_repeated_index_keeps_first),
        cmocka_unit_test(points_repeated_skeleton_adds_nothing),
        cmocka_unit_test(points_prose_below_a_point_is_left_out),
        cmocka_unit_test(points_nested_numbers_split_at_the_first_dot),
        cmocka_unit_test(points_text_takes_at_least_one_character),
        cmocka_unit_test(points_python_white_space_is_skipped),
        cmocka_unit_test(points_digits_of_other_scripts_are_indexes),
        cmocka_unit_test(points_crlf_keeps_the_carriage_return),
        cmocka_unit_test(points_nul_bytes_are_text),
        cmocka_unit_test(points_ill_formed_bytes_become_replacement_characters),
        cmocka_unit_test(points_cap_drops_and_reports),
        cmocka_unit_test(points_hostile_megabyte_takes_linear_time),
        cmocka_unit_test(points_all_distinct_megabyte_takes_linear_time),
        cmocka_unit_test(points_copy_equals_and_outlives_the_original),
        cmocka_unit_test(points_wrong_arguments_are_refused),
        cmocka_unit_test(points_allocation_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
