/* Aggregation, trimming and the finish of an answer made of parts. Expected trimmings are those of
 * Python's str.strip(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sot/answer.h"

static sot_answer *make_answer(const char *source, const char *const *expansions, size_t n)
{
    sot_answer *answer = soti_alloc(1, sizeof *answer);
    assert_non_null(answer);
    assert_int_equal(soti_points_parse(source, strlen(source), 0, &answer->points), SOT_OK);
    if (n > 0) {
        assert_int_equal(answer->points->n_points, n);
        answer->expansions = soti_alloc(n, sizeof *answer->expansions);
        assert_non_null(answer->expansions);
        answer->n_expansions = n;
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(soti_buffer_append_text(&answer->expansions[i].text, expansions[i]),
                         SOT_OK);
    }
    return answer;
}

static void aggregate_points_puts_one_space_and_newlines(void **state)
{
    (void)state;
    const char *const expansions[] = {"  They are small.\n", "", "x"};
    sot_answer *answer = make_answer("1. Dim Sum. \n4. Noodles.\n10. Wonton", expansions, 3);
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK);
    /* {b}. {point skeleton}, one space, the expansion trimmed: to the letter. */
    assert_string_equal(soti_buffer_text(&answer->text),
                        "1. Dim Sum.  They are small.\n4. Noodles. \n10. Wonton x");
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK); /* once more is no more */
    assert_string_equal(soti_buffer_text(&answer->text),
                        "1. Dim Sum.  They are small.\n4. Noodles. \n10. Wonton x");
    soti_answer_free(answer);
}

static void aggregate_says_a_repeated_point_once_where_it_was_asked_for(void **state)
{
    (void)state;
    const char *const expansions[] = {" 1. Dim Sum. They are small.", "2. Noodles of rice.\n",
                                      "3. Wonton.", "5. Tofu is soft.", "Fried"};
    sot_answer *answer =
        make_answer("1. Dim Sum. \n2. Noodles\n3. Wonton.\n4. Tofu\n5. Rice", expansions, 5);
    answer->repeats_points = true;
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK);
    assert_string_equal(soti_buffer_text(&answer->text),
                        "1. Dim Sum.  They are small.\n2. Noodles of rice.\n3. Wonton. \n"
                        "4. Tofu 5. Tofu is soft.\n5. Rice Fried");
    answer->repeats_points = false; /* the paper's two-shot wording: what is there was written */
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK);
    assert_string_equal(soti_buffer_text(&answer->text),
                        "1. Dim Sum.  1. Dim Sum. They are small.\n2. Noodles 2. Noodles of rice.\n"
                        "3. Wonton. 3. Wonton.\n4. Tofu 5. Tofu is soft.\n5. Rice Fried");
    soti_answer_free(answer);
}

static void aggregate_without_expansions_is_the_skeleton(void **state)
{
    (void)state;
    sot_answer *answer = make_answer(" Nothing to list. ", NULL, 0);
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK);
    assert_string_equal(soti_buffer_text(&answer->text), " Nothing to list. ");
    soti_answer_free(answer);
    answer = make_answer("", NULL, 0);
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK);
    assert_string_equal(soti_buffer_text(&answer->text), "");
    soti_answer_free(answer);
}

static void aggregate_out_of_memory_says_so(void **state)
{
    (void)state;
    const char *const expansions[] = {"a"};
    sot_answer *answer = make_answer("1. A", expansions, 1);
    soti_alloc_fail_at(0);
    assert_int_equal(soti_answer_aggregate(answer), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
    assert_int_equal(soti_answer_aggregate(answer), SOT_OK);
    assert_string_equal(soti_buffer_text(&answer->text), "1. A a");
    soti_answer_free(answer);
}

static void trim_takes_white_space_of_any_script(void **state)
{
    (void)state;
    static const struct {
        const char *text, *trimmed;
    } cases[] = {
        {"", ""},
        {" \t\r\n\v\f", ""},
        {"a", "a"},
        {" a b ", "a b"},
        {"\x1c\x1d\x1e\x1f"
         "a\x1f",
         "a"},
        {"\xc2\xa0\xe3\x80\x80zwei\xe2\x80\xa8", "zwei"}, /* U+00A0, U+3000, U+2028 */
        {"\xc2\x85"
         "a\xe1\x9a\x80",
         "a"}, /* U+0085, U+1680 */
        {"\xe2\x80\x8b"
         "a",
         "\xe2\x80\x8b"
         "a"}, /* U+200B is no space */
        {"\xef\xbb\xbf"
         "a",
         "\xef\xbb\xbf"
         "a"}, /* nor is U+FEFF */
        {"\xe2\x80\x80\xe2\x80\x8a"
         "a\xe2\x80\xaf\xe2\x81\x9f",
         "a"}, /* U+2000, 200A, 202F, 205F */
        {"\xc3\xa4 ", "\xc3\xa4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text);
        const char *trimmed = soti_answer_trim(cases[i].text, &size);
        assert_int_equal(size, strlen(cases[i].trimmed));
        assert_memory_equal(trimmed, cases[i].trimmed, size);
    }
}

static void trim_keeps_nul_inside(void **state)
{
    (void)state;
    size_t size = 5;
    const char *trimmed = soti_answer_trim(" a\0b ", &size);
    assert_int_equal(size, 3);
    assert_memory_equal(trimmed, "a\0b", 3);
}

static void finish_of_parts_is_the_one_that_tells_most(void **state)
{
    (void)state;
    const uint32_t order[] = {SOT_FINISH_CANCELLED, SOT_FINISH_CONTEXT, SOT_FINISH_LENGTH,
                              SOT_FINISH_STOP, SOT_FINISH_NONE};
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++) {
            assert_int_equal(soti_answer_worse_finish(order[a], order[b]), order[a < b ? a : b]);
        }
    }
}

static void answer_free_of_null_does_nothing(void **state)
{
    (void)state;
    soti_answer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregate_points_puts_one_space_and_newlines),
        cmocka_unit_test(aggregate_says_a_repeated_point_once_where_it_was_asked_for),
        cmocka_unit_test(aggregate_without_expansions_is_the_skeleton),
        cmocka_unit_test(aggregate_out_of_memory_says_so),
        cmocka_unit_test(trim_takes_white_space_of_any_script),
        cmocka_unit_test(trim_keeps_nul_inside),
        cmocka_unit_test(finish_of_parts_is_the_one_that_tells_most),
        cmocka_unit_test(answer_free_of_null_does_nothing),
    };
    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
