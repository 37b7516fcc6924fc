/* Stage 2 as the next round of stage 1's conversation: what is computed of it, and where points
 * come from that do not know theirs. That batching and reuse change no expansion is a property:
 * tests/property/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"
#include "sot/points.h"

/* Of stage 2 only the end of the turn, the user's next one and the points are computed: each byte
 * is a token, the template none puts a newline between rounds. */
static const size_t n_chained_round = 1 + sizeof "Point:" - 1 + sizeof " " - 1;

static void generate_chained_goes_on_from_the_skeleton(void **state)
{
    (void)state;
    script_three_points();
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "chained";
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer),
                        "1. Alpha. first.\n2. Beta. second one.\n3. Gamma. third");
    sot_stats stats = stats_of(answer);
    const char *source = sot_points_source(sot_answer_points(answer));
    assert_int_equal(stats.prefill_tokens[2], n_chained_round + strlen("1. Alpha.") +
                                                  strlen("2. Beta.") + strlen("3. Gamma."));
    size_t n_chain = stats.prefill_tokens[1] - strlen(" 1.") + strlen(source);
    assert_int_equal(stats.reused_tokens[2], 3 * n_chain + 2 * n_chained_round);
    /* Stage 2 by itself, in the same session and in another one: the same requests. */
    sot_session *other = scripted_session_open(NULL);
    sot_stats again = SOT_STATS_INIT;
    for (int i = 0; i < 2; i++) {
        sot_answer *second = NULL;
        assert_int_equal(sot_expand_batch(i == 0 ? session : other, "What?",
                                          sot_answer_points(answer), &params, &second),
                         SOT_OK);
        assert_string_equal(sot_answer_text(second), sot_answer_text(answer));
        again = stats_of(second);
        sot_answer_free(second);
        assert_int_equal(again.prefill_tokens[2] + again.reused_tokens[2],
                         stats.prefill_tokens[2] + stats.reused_tokens[2]);
        assert_int_equal(again.prefill_tokens[2], stats.prefill_tokens[2] + (i == 0 ? 0 : n_chain));
    }
    sot_answer_free(answer);
    scripted_session_close(other);
    scripted_session_close(session);
}

/* What the template's constant part costs is paid once, however often the skeleton changes. */
static void generate_chained_keeps_the_constant_beginning(void **state)
{
    (void)state;
    static const char *const questions[] = {"Alpha?", "Beta?", "Gamma?", "Delta?"};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "chained";
    params.forced_skeleton = " One\n2. Two";
    sot_session *session = scripted_session_open(NULL);
    for (size_t i = 0; i < 4; i++) {
        sot_answer *answer = NULL;
        assert_int_equal(sot_generate(session, questions[i], &params, &answer), SOT_OK);
        sot_stats stats = stats_of(answer);
        sot_answer_free(answer);
        /* The forced skeleton's last byte was never fed. */
        assert_int_equal(stats.prefill_tokens[2],
                         1 + n_chained_round + strlen("1. One") + strlen("2. Two"));
        if (i > 0) {
            assert_int_equal(stats.prefill_tokens[1], strlen(questions[i]) + strlen(" 1."));
        }
    }
    scripted_session_close(session);
}

/* Points that know no conversation, or another one, are expanded behind their text. */
static void expand_chained_without_a_conversation_encodes_the_texts(void **state)
{
    (void)state;
    static const char source[] = " 1. Alpha.\n2. Beta.\n3. Gamma.";
    script_three_points();
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "chained";
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    sot_points *parsed = NULL;
    assert_int_equal(sot_points_parse(source, strlen(source), 0, &parsed), SOT_OK);
    const struct {
        const sot_points *points;
        const char *question;
    } cases[] = {{parsed, "What?"}, {sot_answer_points(answer), "Other"}};
    for (size_t i = 0; i < 2; i++) {
        sot_answer *second = NULL;
        assert_int_equal(
            sot_expand_batch(session, cases[i].question, cases[i].points, &params, &second),
            SOT_OK);
        assert_string_equal(sot_answer_text(second), sot_answer_text(answer));
        sot_stats other = stats_of(second);
        sot_answer_free(second);
        assert_int_equal(other.prefill_tokens[2] + other.reused_tokens[2],
                         stats.prefill_tokens[2] + stats.reused_tokens[2]);
        /* The script writes a space as a byte, the tokenizer has a piece for it: so from the first
         * space behind the partial answer on nothing that was generated is found. */
        size_t n_new = i == 0 ? strlen(source) - strlen(" 1.") : strlen("Other") + strlen(source);
        assert_int_equal(other.prefill_tokens[2], stats.prefill_tokens[2] + n_new);
    }
    sot_points_free(parsed);
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* What ended the skeleton is no part of the conversation: a stop id, a stop string in pages. */
static void expand_chained_goes_on_in_front_of_the_stop(void **state)
{
    (void)state;
    script_text(SOTI_STREAM_SKELETON, " Alpha\n2. Beta##END and more", true);
    const char *const stops[] = {"##END"};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "chained";
    params.stop_strings = stops;
    params.n_stop_strings = 1;
    sot_session *session = scripted_session_open(NULL);
    sot_points *points = NULL;
    assert_int_equal(sot_skeleton(session, "What?", &params, &points), SOT_OK);
    assert_string_equal(sot_points_source(points), " 1. Alpha\n2. Beta");
    assert_int_equal(points->conversation.count, points->n_prompt + strlen(" Alpha\n2. Beta"));
    assert_int_equal(points->n_said, points->source_size);
    sot_answer *answer = NULL;
    assert_int_equal(sot_expand_batch(session, "What?", points, &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.prefill_tokens[2],
                     n_chained_round + strlen("1. Alpha") + strlen("2. Beta"));
    sot_answer_free(answer);
    sot_points_free(points);
    scripted_session_close(session);
}

/* In a conversation, and where router, skeleton and normal answer began together, it is the same.
 */
static void generate_chained_goes_on_behind_a_history_and_after_a_race(void **state)
{
    (void)state;
    static const char *const history[] = {"Before?", "That."};
    for (int i = 0; i < 2; i++) {
        scripted.n_scripts = 0;
        script_three_points();
        script_text(SOTI_STREAM_ROUTE, "A", false);
        script_text(SOTI_STREAM_NORMAL, "a normal answer", true);
        sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
        params.wording = "chained";
        params.history = i == 0 ? history : NULL;
        params.n_history = i == 0 ? 2 : 0;
        params.mode = i == 0 ? SOT_MODE_SOT : SOT_MODE_ROUTED;
        params.flags = i == 0 ? 0 : SOT_GENERATE_CONCURRENT;
        params.router = SOT_ROUTER_PROMPTING;
        sot_session *session = scripted_session_open(NULL);
        sot_answer *answer = NULL;
        assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
        assert_string_equal(sot_answer_text(answer),
                            "1. Alpha. first.\n2. Beta. second one.\n3. Gamma. third");
        sot_stats stats = stats_of(answer);
        assert_int_equal(stats.prefill_tokens[2], n_chained_round + strlen("1. Alpha.") +
                                                      strlen("2. Beta.") + strlen("3. Gamma."));
        sot_answer_free(answer);
        scripted_session_close(session);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(generate_chained_goes_on_from_the_skeleton),
        TEST(generate_chained_keeps_the_constant_beginning),
        TEST(expand_chained_without_a_conversation_encodes_the_texts),
        TEST(expand_chained_goes_on_in_front_of_the_stop),
        TEST(generate_chained_goes_on_behind_a_history_and_after_a_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
