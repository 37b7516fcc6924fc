/* The exported sot_points functions at their border; what is parsed is test_points.c's matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sot/sot.h"

static void points_bad_arguments_are_named(void **state)
{
    (void)state;
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("1. A", 4, 0, NULL), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "out is NULL"));
    assert_int_equal(sot_points_parse(NULL, 4, 0, &points), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "text is NULL"));
    assert_null(points);
}

static void points_of_no_text_are_none(void **state)
{
    (void)state;
    sot_points *points;
    assert_int_equal(sot_points_parse(NULL, 0, 0, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), 0);
    assert_int_equal(sot_points_source_size(points), 0);
    assert_string_equal(sot_points_source(points), "");
    sot_points_free(points);
}

static void points_out_of_range_are_null(void **state)
{
    (void)state;
    sot_points *points;
    assert_int_equal(sot_points_parse("7. Noodles.\n8. Tofu.", 20, 1, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), 1);
    assert_int_equal(sot_points_dropped(points), 1);
    assert_string_equal(sot_points_index(points, 0), "7");
    assert_string_equal(sot_points_text(points, 0), "Noodles.");
    assert_int_equal(sot_points_text_size(points, 0), 8);
    assert_null(sot_points_index(points, 1));
    assert_null(sot_points_text(points, 1));
    assert_int_equal(sot_points_text_size(points, 1), 0);
    sot_points_free(points);
}

static void points_that_are_null_are_empty(void **state)
{
    (void)state;
    assert_int_equal(sot_points_count(NULL), 0);
    assert_int_equal(sot_points_dropped(NULL), 0);
    assert_null(sot_points_index(NULL, 0));
    assert_null(sot_points_text(NULL, 0));
    assert_int_equal(sot_points_text_size(NULL, 0), 0);
    assert_null(sot_points_source(NULL));
    assert_int_equal(sot_points_source_size(NULL), 0);
    sot_points_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_bad_arguments_are_named),
        cmocka_unit_test(points_of_no_text_are_none),
        cmocka_unit_test(points_out_of_range_are_null),
        cmocka_unit_test(points_that_are_null_are_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
