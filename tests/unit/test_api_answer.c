/* The exported answer functions: what they give for an answer, for an index too far, for NULL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"

static sot_session *session;
static sot_answer *answer;

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    script_skeleton(" A.\n2. B.");
    script_text(0, "one", false);
    script_text(1, "", false);
    assert_int_equal(sot_session_create(&scripted_model, NULL, &session), SOT_OK);
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sot_answer_free(answer);
    sot_session_free(session);
    scripted_model_close();
    return 0;
}

static void answer_gives_text_and_points(void **state)
{
    (void)state;
    assert_string_equal(sot_answer_text(answer), "1. A. one\n2. B. ");
    assert_int_equal(sot_answer_text_size(answer), 16);
    assert_int_equal(sot_points_count(sot_answer_points(answer)), 2);
    assert_int_equal(sot_answer_point_count(answer), 2);
    assert_string_equal(sot_answer_point(answer, 0), "one");
    assert_string_equal(sot_answer_point(answer, 1), "");
    assert_int_equal(sot_answer_point_size(answer, 0), 3);
    assert_int_equal(sot_answer_point_size(answer, 1), 0);
    assert_int_equal(sot_answer_point_tokens(answer, 0), 4);
    assert_int_equal(sot_answer_point_tokens(answer, 1), 1);
    assert_int_equal(sot_answer_point_finish(answer, 1), SOT_FINISH_STOP);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_STOP);
}

static void answer_index_too_far_gives_nothing(void **state)
{
    (void)state;
    assert_null(sot_answer_point(answer, 2));
    assert_null(sot_answer_point(answer, SIZE_MAX));
    assert_int_equal(sot_answer_point_size(answer, 2), 0);
    assert_int_equal(sot_answer_point_tokens(answer, 2), 0);
    assert_int_equal(sot_answer_point_finish(answer, 2), SOT_FINISH_NONE);
}

static void answer_null_gives_nothing(void **state)
{
    (void)state;
    assert_string_equal(sot_answer_text(NULL), "");
    assert_int_equal(sot_answer_text_size(NULL), 0);
    assert_null(sot_answer_points(NULL));
    assert_int_equal(sot_answer_point_count(NULL), 0);
    assert_null(sot_answer_point(NULL, 0));
    assert_int_equal(sot_answer_point_tokens(NULL, 0), 0);
    assert_int_equal(sot_answer_finish(NULL), SOT_FINISH_NONE);
}

static void stats_are_written_as_far_as_asked(void **state)
{
    (void)state;
    sot_stats stats = SOT_STATS_INIT;
    assert_int_equal(sot_answer_get_stats(answer, &stats), SOT_OK);
    assert_int_equal(stats.struct_size, sizeof stats);
    assert_int_equal(stats.n_points, 2);
    assert_int_equal(stats.decode_tokens[1], strlen(" A.\n2. B.") + 1);
    assert_int_equal(stats.decode_tokens[2], 5);
    assert_int_equal(stats.longest_expansion, 4);
    assert_int_equal(stats.decode_tokens[0], 0);
    assert_true(stats.total_ns >= stats.prefill_ns[1] + stats.decode_ns[2]);
    assert_true(stats.peak_page_tokens >= stats.prefill_tokens[1]);
    sot_stats small;
    memset(&small, 0xFF, sizeof small);
    small.struct_size = 16;
    assert_int_equal(sot_answer_get_stats(answer, &small), SOT_OK);
    assert_int_equal(small.n_points, 2);
    assert_true(small.prefill_ns[0] == UINT64_MAX); /* untouched */
    assert_int_equal(sot_answer_get_stats(NULL, &stats), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_answer_get_stats(answer, NULL), SOT_ERR_ARGUMENT);
    stats.struct_size = 0;
    assert_int_equal(sot_answer_get_stats(answer, &stats), SOT_ERR_ARGUMENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answer_gives_text_and_points),
        TEST(answer_index_too_far_gives_nothing),
        TEST(answer_null_gives_nothing),
        TEST(stats_are_written_as_far_as_asked),
    };
    return cmocka_run_group_tests_name("api_answer", tests, NULL, NULL);
}
