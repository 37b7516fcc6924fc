/* sot_router_*: arguments, and that the file in examples/router/ loads and tells apart two
 * questions that nobody would dispute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sot/sot.h"

static const char shipped[] = SOT_SOURCE_DIR "/examples/router/lima.router";

static void router_load_without_out_is_an_argument_error(void **state)
{
    (void)state;
    assert_int_equal(sot_router_load(shipped, NULL), SOT_ERR_ARGUMENT);
    assert_string_equal(sot_error_message(), "sot_router_load: out is NULL");
}

static void router_load_of_nothing_is_an_io_error(void **state)
{
    (void)state;
    sot_router *router = (sot_router *)&state;
    assert_int_equal(sot_router_load("/nonexistent/a.router", &router), SOT_ERR_IO);
    assert_null(router);
    assert_non_null(strstr(sot_error_message(), "/nonexistent/a.router"));
    assert_int_equal(sot_router_load(SOT_SOURCE_DIR "/README.md", &router), SOT_ERR_FORMAT);
    assert_null(router);
    sot_router_free(NULL);
}

static void router_classify_checks_its_arguments(void **state)
{
    (void)state;
    sot_router *router;
    float score = 0.5f;
    uint32_t label = 77;
    assert_int_equal(sot_router_classify(NULL, "Why?", 4, &score, &label), SOT_ERR_ARGUMENT);
    assert_true(score == 0.0f);
    assert_int_equal(label, SOT_LABEL_UNDECIDED);
    assert_int_equal(sot_router_load(shipped, &router), SOT_OK);
    label = 77;
    assert_int_equal(sot_router_classify(router, NULL, 4, &score, &label), SOT_ERR_ARGUMENT);
    assert_int_equal(label, SOT_LABEL_UNDECIDED);
    assert_int_equal(sot_router_classify(router, NULL, 0, &score, &label), SOT_OK);
    assert_true(score > 0.0f && score < 1.0f);
    assert_int_not_equal(label, SOT_LABEL_UNDECIDED);
    assert_int_equal(sot_router_classify(router, "Why?", 4, NULL, NULL), SOT_OK);
    sot_router_free(router);
}

static void router_shipped_one_tells_advice_from_a_program(void **state)
{
    (void)state;
    static const char advice[] = "What are some ways to reduce stress at work?";
    static const char program[] = "Write a Python function that computes the factorial of n.";
    sot_router *router;
    float high, low;
    uint32_t label;
    assert_int_equal(sot_router_load(shipped, &router), SOT_OK);
    assert_int_equal(sot_router_classify(router, advice, strlen(advice), &high, &label), SOT_OK);
    assert_int_equal(label, SOT_LABEL_SOT);
    assert_int_equal(sot_router_classify(router, program, strlen(program), &low, &label), SOT_OK);
    assert_int_equal(label, SOT_LABEL_NORMAL);
    assert_true(low < 0.5f && high > low);
    sot_router_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_load_without_out_is_an_argument_error),
        cmocka_unit_test(router_load_of_nothing_is_an_io_error),
        cmocka_unit_test(router_classify_checks_its_arguments),
        cmocka_unit_test(router_shipped_one_tells_advice_from_a_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
