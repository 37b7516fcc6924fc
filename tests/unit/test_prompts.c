/* Prompt templates: checking and filling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/prompts.h"
#include "sot/wordings.h"

#define TEXT(literal)                                                                              \
    (soti_text)                                                                                    \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static void prompts_broken_template_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        soti_prompt_kind kind;
        const char *text;
        const char *message;
    } cases[] = {
        {SOTI_PROMPT_SKELETON, "", "skeleton template: {request} is missing"},
        {SOTI_PROMPT_ROUTER, "A, B or C?", "router template: {request} is missing"},
        {SOTI_PROMPT_ROUTER, "{request} {point}", "router template: {point} has no meaning here"},
        {SOTI_PROMPT_SKELETON, "{Request} { request}", "skeleton template: {request} is missing"},
        {SOTI_PROMPT_SKELETON, "{request}{outline}",
         "skeleton template: {outline} has no meaning here"},
        {SOTI_PROMPT_SKELETON, "{request}{point_outline}",
         "skeleton template: {point_outline} has no meaning here"},
        {SOTI_PROMPT_POINT, "{request}{point}{point_outline}",
         "point template: {outline} is missing"},
        {SOTI_PROMPT_POINT, "{request}{outline}{point_outline}",
         "point template: {point} is missing"},
        {SOTI_PROMPT_POINT, "{request}{outline}{point}",
         "point template: {point_outline} is missing"},
        {SOTI_PROMPT_POINT, "{outline}{point}{point_outline}",
         "point template: {request} is missing"},
        {SOTI_PROMPT_CHAINED_POINT, "{point}",
         "chained point template: {point_outline} is missing"},
        {SOTI_PROMPT_CHAINED_POINT, "{point_outline}",
         "chained point template: {point} is missing"},
        {SOTI_PROMPT_CHAINED_POINT, "{point}{point_outline}{request}",
         "chained point template: {request} has no meaning here"},
        {SOTI_PROMPT_CHAINED_POINT, "{point}{point_outline}{outline}",
         "chained point template: {outline} has no meaning here"},
        {SOTI_PROMPT_SKELETON, "{request}[ROLESWITCHING user:]",
         "skeleton template, byte 9: the role can be switched to the assistant only, by "
         "\"[ROLESWITCHING assistant:]\""},
        {SOTI_PROMPT_SKELETON,
         "{request}[ROLESWITCHING assistant:] 1.[ROLESWITCHING assistant:] 2.",
         "skeleton template, byte 38: a second \"[ROLESWITCHING assistant:]\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(soti_prompt_check(cases[i].kind, cases[i].text), SOT_ERR_ARGUMENT);
        assert_string_equal(soti_fail_message(), cases[i].message);
    }
}

static void check_fill(const char *text, const soti_prompt_values *values, const char *user,
                       const char *partial, size_t constant)
{
    soti_request request = {0};
    assert_int_equal(soti_prompt_fill(text, values, &request), SOT_OK);
    assert_string_equal(soti_buffer_text(&request.user), user);
    assert_string_equal(soti_buffer_text(&request.partial), partial);
    assert_int_equal(request.constant, constant);
    soti_request_free(&request);
}

static void prompts_fill_places_every_value(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("Why?"),
                                 .outline = TEXT(" 1. A. \n2. B."),
                                 .point = TEXT("2"),
                                 .point_outline = TEXT("B.")};
    check_fill("Q: {request}\nS:{outline}\n{point}, {point_outline} [ROLESWITCHING "
               "assistant:]{point}. {point_outline}",
               &values, "Q: Why?\nS: 1. A. \n2. B.\n2, B. ", "2. B.", 3);
    check_fill("{point}{point}{point_outline}{point}", &values, "22B.2", "", 0);
}

static void prompts_fill_of_the_paper_keeps_white_space(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("Why?")};
    soti_request request = {0};
    assert_int_equal(soti_prompt_fill(soti_wording_find(NULL)->skeleton, &values, &request),
                     SOT_OK);
    assert_string_equal(soti_buffer_text(&request.partial), " 1.");
    static const char end[] = "for the following question.\nWhy?\nSkeleton:\n ";
    assert_true(request.user.size > sizeof end);
    assert_string_equal(request.user.data + request.user.size - (sizeof end - 1), end);
    assert_int_equal(request.constant, strstr(soti_wording_find(NULL)->skeleton, "{request}") -
                                           soti_wording_find(NULL)->skeleton);
    soti_request_free(&request);
}

static void prompts_filled_text_is_not_read_again(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("{outline} [ROLESWITCHING assistant:] {request}"),
                                 .outline = TEXT("{request}{point}"),
                                 .point = TEXT("{"),
                                 .point_outline = TEXT("request}")};
    check_fill("a{request}b{outline}c{point}{point_outline}", &values,
               "a{outline} [ROLESWITCHING assistant:] {request}b{request}{point}c{request}", "", 1);
}

static void prompts_other_braces_and_brackets_are_plain(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("Q")};
    check_fill("int f(void) { return a[0]; } {{request}} {foo} {point_ {Request} [ROLE] {", &values,
               "int f(void) { return a[0]; } {Q} {foo} {point_ {Request} [ROLE] {", "", 30);
}

static void prompts_constant_covers_the_user_part_only(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("Q")};
    check_fill("Hello.[ROLESWITCHING assistant:]On {request}:", &values, "Hello.", "On Q:", 6);
    check_fill("Hello.", &values, "Hello.", "", 6);
}

static void prompts_values_may_hold_nul(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("a\0b")};
    soti_request request = {0};
    assert_int_equal(soti_prompt_fill("<{request}>", &values, &request), SOT_OK);
    assert_int_equal(request.user.size, 5);
    assert_memory_equal(request.user.data, "<a\0b>", 6);
    soti_request_free(&request);
}

static void prompts_allocation_failure_is_reported(void **state)
{
    (void)state;
    soti_prompt_values values = {.request = TEXT("Q"),
                                 .outline = TEXT("1. P"),
                                 .point = TEXT("1"),
                                 .point_outline = TEXT("P")};
    long n_failed = 0;
    for (;; n_failed++) {
        soti_request request = {0};
        soti_alloc_fail_at(n_failed);
        sot_status status = soti_prompt_fill(soti_wording_find(NULL)->point, &values, &request);
        bool struck = soti_alloc_fail_at(-1) < 0;
        soti_request_free(&request);
        if (!struck) {
            assert_int_equal(status, SOT_OK);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
    }
    assert_true(n_failed >= 2); /* both parts are allocated */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_broken_template_is_refused_by_name),
        cmocka_unit_test(prompts_fill_places_every_value),
        cmocka_unit_test(prompts_fill_of_the_paper_keeps_white_space),
        cmocka_unit_test(prompts_filled_text_is_not_read_again),
        cmocka_unit_test(prompts_other_braces_and_brackets_are_plain),
        cmocka_unit_test(prompts_constant_covers_the_user_part_only),
        cmocka_unit_test(prompts_values_may_hold_nul),
        cmocka_unit_test(prompts_allocation_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
