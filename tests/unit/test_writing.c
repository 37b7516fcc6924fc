/* What is kept of a text when it has been written: which tokens a skeleton's conversation says, and
 * which of a round's pages the next one finds. A token is a byte here, but for one piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"
#include "sot/points.h"

/* The skeleton's one token is "Map##", of which the stop string leaves "Map". */
static void skeleton_cut_within_a_token_says_what_lies_before_it(void **state)
{
    (void)state;
    static const char *const stops[] = {"##"};
    scripted.first_id = script_piece("Map##");
    sot_session *session = scripted_session_open(NULL);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "chained";
    params.stop_strings = stops;
    params.n_stop_strings = 1;
    sot_points *points = NULL;
    assert_int_equal(sot_skeleton(session, "What?", &params, &points), SOT_OK);
    assert_string_equal(sot_points_source(points), " 1.Map");
    assert_int_equal(points->conversation.count, points->n_prompt);
    assert_int_equal(points->n_said, strlen(" 1."));
    /* Stage 2 finds the prompt, and computes the rest of the skeleton and its own round. */
    sot_answer *answer = NULL;
    assert_int_equal(sot_expand_batch(session, "What?", points, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "1. Map Map");
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.reused_tokens[2], points->n_prompt);
    assert_int_equal(stats.prefill_tokens[2], strlen("Map\nPoint: 1. Map"));
    sot_answer_free(answer);
    sot_points_free(points);
    scripted_session_close(session);
}

static void skeleton_ended_by_an_id_says_all_before_it(void **state)
{
    (void)state;
    static const int32_t stop_ids[] = {SCRIPT_FIRST_BYTE + '#'};
    script_skeleton(" Map#");
    sot_session *session = scripted_session_open(NULL);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "chained";
    for (size_t n_stop_ids = 0; n_stop_ids < 2; n_stop_ids++) { /* without it, by EOS */
        sot_points *points = NULL;
        params.stop_ids = stop_ids;
        params.n_stop_ids = n_stop_ids;
        assert_int_equal(sot_skeleton(session, "What?", &params, &points), SOT_OK);
        size_t n_said = strlen(n_stop_ids == 0 ? " Map#" : " Map");
        assert_int_equal(points->conversation.count, points->n_prompt + n_said);
        assert_int_equal(points->n_said, points->source_size);
        sot_points_free(points);
    }
    scripted_session_close(session);
}

static void other_wordings_remember_no_conversation(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    sot_points *points = NULL;
    assert_int_equal(sot_skeleton(session, "What?", NULL, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), 3);
    assert_int_equal(points->conversation.count, 0);
    sot_points_free(points);
    scripted_session_close(session);
}

/* The answer that was broken off is no round, but the prompt is the next attempt's, too. */
static void normal_round_cancelled_keeps_its_prompt(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    sot_chat *chat = NULL;
    sot_answer *answer = NULL;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    script_text(SOTI_STREAM_NORMAL, "What", false); /* what was generated must not be found */
    assert_int_equal(sot_chat_create(NULL, &chat), SOT_OK);
    scripted.cancel_at_step = 3;
    scripted.cancels = session;
    assert_int_equal(sot_chat_generate(chat, session, "Why? ", &params, &answer),
                     SOT_ERR_CANCELLED);
    sot_answer_free(answer);
    assert_int_equal(sot_chat_generate(chat, session, "Why? What", &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("Why? "));
    assert_int_equal(stats.prefill_tokens[0], strlen("What"));
    sot_answer_free(answer);
    sot_chat_free(chat);
    scripted_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(skeleton_cut_within_a_token_says_what_lies_before_it),
        TEST(skeleton_ended_by_an_id_says_all_before_it),
        TEST(other_wordings_remember_no_conversation),
        TEST(normal_round_cancelled_keeps_its_prompt),
    };
    return cmocka_run_group_tests_name("writing", tests, NULL, NULL);
}
