/* Shapes that no backend can take are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/fail.h"
#include "base/shape.h"

static const soti_shape whole = {
    .n_layer = 1, .n_head = 4, .n_kv = 2, .d_head = 6, .d_model = 5, .d_ff = 3, .n_vocab = 1};

static void expect_refused(const soti_shape *shape, const char *words)
{
    assert_int_equal(soti_shape_check_usable(shape), SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(soti_fail_message(), words));
}

static void shape_with_every_dimension_is_taken(void **state)
{
    (void)state;
    assert_int_equal(soti_shape_check_usable(&whole), SOT_OK);
}

static void shape_with_nothing_of_something_is_refused(void **state)
{
    (void)state;
    const size_t dimensions[] = {offsetof(soti_shape, n_layer), offsetof(soti_shape, n_head),
                                 offsetof(soti_shape, d_model), offsetof(soti_shape, d_ff),
                                 offsetof(soti_shape, n_vocab)};
    for (size_t i = 0; i < sizeof dimensions / sizeof dimensions[0]; i++) {
        soti_shape shape = whole;
        memset((char *)&shape + dimensions[i], 0, sizeof(uint32_t));
        expect_refused(&shape, "is empty");
    }
}

static void shape_with_heads_that_do_not_fit_is_refused(void **state)
{
    (void)state;
    soti_shape shape = whole;
    shape.n_kv = 3;
    expect_refused(&shape, "4 heads cannot share 3 key/value heads");
    shape.n_kv = 0;
    expect_refused(&shape, "4 heads cannot share 0 key/value heads");
    shape.n_kv = 2;
    shape.d_head = 7;
    expect_refused(&shape, "heads of 7 dimensions");
    shape.d_head = 0;
    expect_refused(&shape, "heads of 0 dimensions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_with_every_dimension_is_taken),
        cmocka_unit_test(shape_with_nothing_of_something_is_refused),
        cmocka_unit_test(shape_with_heads_that_do_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
