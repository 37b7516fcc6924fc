/* The two stages from question to answer, on a model that says what the test wrote: what is made of
 * skeletons and expansions, what is shared and counted. What stops them: test_pipeline_limits.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event_log.h"
#include "scripted_model.h"
#include "sot/wordings.h"

static void generate_three_points_aggregates_as_the_paper(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer),
                        "1. Alpha. first.\n2. Beta. second one.\n3. Gamma. third");
    assert_int_equal(sot_answer_text_size(answer), strlen(sot_answer_text(answer)));
    assert_string_equal(sot_points_source(sot_answer_points(answer)),
                        " 1. Alpha.\n2. Beta.\n3. Gamma.");
    assert_int_equal(sot_answer_point_count(answer), 3);
    assert_string_equal(sot_answer_point(answer, 1), "\n second one. \n");
    assert_null(sot_answer_point(answer, 3));
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_STOP);
    assert_int_equal(sot_answer_point_finish(answer, 2), SOT_FINISH_STOP);
    assert_int_equal(sot_answer_point_tokens(answer, 2), strlen(" third") + 1);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_events_tell_the_whole_story(void **state)
{
    (void)state;
    script_three_points();
    event_log log = {0};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.on_event = event_log_record;
    params.event_user = &log;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_int_equal(log.stages, 23); /* skeleton, expand */
    assert_string_equal(soti_buffer_text(&log.texts[SOT_STAGE_SKELETON]),
                        sot_points_source(sot_answer_points(answer)));
    assert_string_equal(soti_buffer_text(&log.outlines), "1|Alpha./2|Beta./3|Gamma./");
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(soti_buffer_text(&log.expansions[i]), sot_answer_point(answer, i));
        assert_int_equal(log.finishes[i], SOT_FINISH_STOP);
        assert_int_equal(log.n_ends[i], 1);
    }
    assert_true(log.n_of_type[SOT_EVENT_PREFILL] >= 2);
    assert_int_equal(log.n_done, log.n_total);
    sot_answer_free(answer);
    event_log_free(&log);
    scripted_session_close(session);
}

static void generate_normal_answers_without_stages(void **state)
{
    (void)state;
    script_text(SOTI_STREAM_NORMAL, "  Just so.\n", false);
    event_log log = {0};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    params.on_event = event_log_record;
    params.event_user = &log;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "Why?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    assert_null(sot_answer_points(answer));
    assert_int_equal(sot_answer_point_count(answer), 0);
    assert_int_equal(log.stages, 1);
    assert_string_equal(soti_buffer_text(&log.texts[SOT_STAGE_NORMAL]), "  Just so.\n");
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.mode, SOT_MODE_NORMAL);
    assert_int_equal(stats.decode_tokens[0], strlen("  Just so.\n") + 1);
    assert_int_equal(stats.decode_steps[0],
                     stats.decode_tokens[0] - 1); /* one came with the prompt */
    assert_int_equal(stats.max_rows[0], 1);
    assert_int_equal(stats.prefill_tokens[0] + stats.reused_tokens[0], 1 + strlen("Why?"));
    sot_answer_free(answer);
    event_log_free(&log);
    scripted_session_close(session);
}

static void generate_without_points_answers_with_the_skeleton(void **state)
{
    (void)state;
    static const char partial_free[] = "{request}[ROLESWITCHING assistant:]";
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.skeleton = partial_free;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.prompts = &prompts;
    script_skeleton(" I cannot list anything. \n");
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), " I cannot list anything. \n");
    assert_non_null(sot_answer_points(answer));
    assert_int_equal(sot_points_count(sot_answer_points(answer)), 0);
    assert_int_equal(sot_answer_point_count(answer), 0);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_STOP);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_repeated_index_expands_the_first_only(void **state)
{
    (void)state;
    script_skeleton(" A.\n1. B.\n2. C.\n1. D.");
    script_text(0, "a", false);
    script_text(1, "c", false);
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "1. A. a\n2. C. c");
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_over_the_cap_reports_what_it_dropped(void **state)
{
    (void)state;
    script_three_points();
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.max_points = 2;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_int_equal(sot_answer_point_count(answer), 2);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.n_points, 2);
    assert_int_equal(stats.n_points_dropped, 1);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_stops_at_strings_ids_and_lengths(void **state)
{
    (void)state;
    script_skeleton(" A.\n2. B.\n3. C.");
    script_text(0, "one STOP two", false);
    script_text(1, "one ~ two", false);
    script_text(2, "abc", true);
    const char *const stop_strings[] = {"STOP"};
    const int32_t stop_ids[] = {SCRIPT_FIRST_BYTE + '~'};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.stop_strings = stop_strings;
    params.n_stop_strings = 1;
    params.stop_ids = stop_ids;
    params.n_stop_ids = 1;
    params.max_point_tokens = 20;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_point(answer, 0), "one ");
    assert_int_equal(sot_answer_point_finish(answer, 0), SOT_FINISH_STOP);
    assert_int_equal(sot_answer_point_tokens(answer, 0), strlen("one STOP"));
    assert_string_equal(sot_answer_point(answer, 1), "one ");
    assert_int_equal(sot_answer_point_finish(answer, 1), SOT_FINISH_STOP);
    assert_int_equal(strlen(sot_answer_point(answer, 2)), 20);
    assert_int_equal(sot_answer_point_finish(answer, 2), SOT_FINISH_LENGTH);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_LENGTH);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_stop_string_is_never_shown(void **state)
{
    (void)state;
    script_text(SOTI_STREAM_NORMAL, "some ### more", false);
    const char *const stop_strings[] = {"###"};
    event_log log = {0};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    params.stop_strings = stop_strings;
    params.n_stop_strings = 1;
    params.on_event = event_log_record;
    params.event_user = &log;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(soti_buffer_text(&log.texts[SOT_STAGE_NORMAL]), "some ");
    sot_answer_free(answer);
    event_log_free(&log);
    scripted_session_close(session);
}

static void generate_token_without_a_piece_has_no_text(void **state)
{
    (void)state;
    script_text(SOTI_STREAM_NORMAL, "?hi", false);
    scripted.first_id = SCRIPT_VOCAB - 1;
    soti_tokenizer_free(scripted_model.tokenizer); /* one that knows fewer ids than the model */
    soti_vocabulary vocabulary = {0};
    assert_int_equal(soti_vocabulary_make_bytes(260, &vocabulary), SOT_OK);
    assert_int_equal(soti_tokenizer_create(&vocabulary, &scripted_model.tokenizer), SOT_OK);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "hi");
    sot_answer_free(answer);
    const int32_t stop_ids[] = {SCRIPT_VOCAB - 1};
    params.stop_ids = stop_ids;
    params.n_stop_ids = 1;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "");
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* The points' tokens at the cost of one: prompts, pages and steps are what sharing promises. */
static void expand_shares_the_common_beginning(void **state)
{
    (void)state;
    sot_points *points = NULL;
    const char source[] = "1. A.\n2. B.\n3. C.\n4. D.";
    assert_int_equal(sot_points_parse(source, strlen(source), 0, &points), SOT_OK);
    for (uint64_t i = 0; i < 4; i++) {
        script_text(i, "0123456789", true);
    }
    static const char template[] = "Constant. {request} {outline} {point} {point_outline}"
                                   "[ROLESWITCHING assistant:]";
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.point = template;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.max_point_tokens = 10;
    params.prompts = &prompts;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    /* BOS, then a token per byte. */
    const uint32_t n_constant = 1 + (uint32_t)strlen("Constant. ");
    const uint32_t n_common = n_constant + (uint32_t)(strlen("Why? ") + strlen(source) + 1);
    const uint32_t n_own = (uint32_t)strlen("1 A.");
    assert_int_equal(sot_expand_batch(session, "Why?", points, &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.prefill_tokens[2], n_common + 4 * n_own);
    assert_int_equal(stats.reused_tokens[2], 3 * n_common);
    assert_int_equal(stats.decode_tokens[2], 40);
    assert_int_equal(stats.decode_steps[2], 9);
    assert_int_equal(stats.max_rows[2], 4);
    assert_int_equal(stats.longest_expansion, 10);
    assert_int_equal(stats.n_points, 4);
    assert_int_equal(stats.mode, SOT_MODE_SOT);
    sot_answer_free(answer);
    /* The second question finds the template's beginning. */
    assert_int_equal(sot_expand_batch(session, "How?", points, &params, &answer), SOT_OK);
    stats = stats_of(answer);
    assert_int_equal(stats.prefill_tokens[2], n_common - n_constant + 4 * n_own);
    assert_int_equal(stats.reused_tokens[2], 3 * n_common + n_constant);
    sot_answer_free(answer);
    sot_points_free(points);
    scripted_session_close(session);
}

static void generate_second_question_reuses_both_templates(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "First?", NULL, &answer), SOT_OK);
    sot_stats first = stats_of(answer);
    sot_answer_free(answer);
    assert_int_equal(sot_generate(session, "Other?", NULL, &answer), SOT_OK);
    sot_stats second = stats_of(answer);
    sot_answer_free(answer);
    /* What is in front of {request}, and BOS. */
    size_t n_skeleton = 1 + strcspn(soti_wording_find(NULL)->skeleton, "{");
    size_t n_point = 1 + strcspn(soti_wording_find(NULL)->point, "{");
    assert_int_equal(first.reused_tokens[1], 0);
    assert_int_equal(second.reused_tokens[1], n_skeleton);
    assert_int_equal(second.prefill_tokens[1], first.prefill_tokens[1] - n_skeleton);
    size_t n_both = 1 + strlen("You're "); /* with which both templates begin */
    assert_int_equal(second.prefill_tokens[2], first.prefill_tokens[2] + n_both - n_point);
    assert_int_equal(second.prefill_tokens[2] + second.reused_tokens[2],
                     first.prefill_tokens[2] + first.reused_tokens[2]);
    scripted_session_close(session);
}

static void generate_forced_skeleton_is_taken_whole(void **state)
{
    (void)state;
    script_three_points(); /* the skeleton of which is not asked for */
    const char *const stops[] = {"Two"};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.forced_skeleton = " One\n2. Two\n3. Three";
    params.max_skeleton_tokens = 3;
    params.stop_strings = stops;
    params.n_stop_strings = 1;
    event_log log = {0};
    params.on_event = event_log_record;
    params.event_user = &log;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer),
                        "1. One first.\n2. Two second one.\n3. Three third");
    assert_string_equal(soti_buffer_text(&log.texts[SOT_STAGE_SKELETON]),
                        " 1. One\n2. Two\n3. Three");
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.decode_tokens[1], strlen(params.forced_skeleton));
    assert_int_equal(stats.decode_steps[1], strlen(params.forced_skeleton) - 1);
    sot_answer_free(answer);
    event_log_free(&log);
    sot_points *points = NULL;
    params.on_event = NULL;
    assert_int_equal(sot_skeleton(session, "What?", &params, &points), SOT_OK);
    assert_string_equal(sot_points_source(points), " 1. One\n2. Two\n3. Three");
    sot_points_free(points);
    scripted_session_close(session);
}

static void generate_forced_skeleton_beyond_the_context_is_full(void **state)
{
    (void)state;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = 64;
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.skeleton = "{request}[ROLESWITCHING assistant:] 1.";
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.prompts = &prompts;
    params.forced_skeleton =
        " one long line that never ends before the sixty-four tokens are all used up";
    sot_session *session = scripted_session_open(&session_params);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CONTEXT);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_zero_shot_has_each_point_once(void **state)
{
    (void)state;
    script_skeleton("1. Alpha.\n2. Beta.");
    script_text(0, "1. Alpha. It is first.", false);
    script_text(1, "It is second.", false);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "zero-shot";
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "1. Alpha. It is first.\n2. Beta. It is second.");
    assert_string_equal(sot_answer_point(answer, 0), "1. Alpha. It is first.");
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* Behind what the requests have in common there are only number and point, each byte a token. */
static void generate_compact_computes_only_the_points_anew(void **state)
{
    (void)state;
    static const char question[] = "What is it?";
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.wording = "compact";
    params.forced_skeleton = " Alpha\n2. Beta\n3. Gamma";
    sot_session *session = scripted_session_open(NULL);
    sot_stats stats = SOT_STATS_INIT;
    for (int round = 0; round < 2; round++) {
        sot_answer *answer = NULL;
        assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
        stats = stats_of(answer);
        sot_answer_free(answer);
    }
    assert_int_equal(stats.prefill_tokens[1], strlen(question) + strlen(" 1."));
    assert_int_equal(stats.prefill_tokens[2], strlen(question) + strlen("\nSkeleton:\n") +
                                                  strlen(" 1. Alpha\n2. Beta\n3. Gamma") +
                                                  strlen(" ") + strlen("1. Alpha") +
                                                  strlen("2. Beta") + strlen("3. Gamma"));
    scripted_session_close(session);
}

static void expand_one_point_keeps_its_beginning_too(void **state)
{
    (void)state;
    script_skeleton(" Only.");
    script_text(0, "text", false);
    sot_session *session = scripted_session_open(NULL);
    sot_stats stats = SOT_STATS_INIT;
    sot_answer *answer = NULL;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
        assert_string_equal(sot_answer_text(answer), "1. Only. text");
        stats = stats_of(answer);
        sot_answer_free(answer);
    }
    assert_int_equal(stats.reused_tokens[2], 1 + strcspn(soti_wording_find(NULL)->point, "{"));
    scripted_session_close(session);
}

static void expand_without_points_answers_with_their_source(void **state)
{
    (void)state;
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("no list", 7, 0, &points), SOT_OK);
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_expand_batch(session, "What?", points, NULL, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "no list");
    assert_int_equal(scripted.n_steps, 0);
    sot_points_free(points);
    assert_int_equal(sot_points_count(sot_answer_points(answer)), 0); /* the answer's own copy */
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void skeleton_alone_gives_the_points(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    sot_points *points = NULL;
    assert_int_equal(sot_skeleton(session, "What?", NULL, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), 3);
    assert_string_equal(sot_points_text(points, 2), "Gamma.");
    sot_points_free(points);
    scripted_session_close(session);
}

static void generate_with_history_puts_answers_into_the_prompt(void **state)
{
    (void)state;
    script_text(SOTI_STREAM_NORMAL, "yes", false);
    const char *const history[] = {"Q1", "1. A a\n2. B b"};
    sot_conversation conversation = SOT_CONVERSATION_INIT;
    conversation.user_tag = "<";
    conversation.user_end = ">";
    conversation.assistant_tag = "[";
    conversation.assistant_end = "]";
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    params.custom_conversation = &conversation;
    params.history = history;
    params.n_history = 2;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "Q2", &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.prefill_tokens[0], 1 + strlen("<Q1>[1. A a\n2. B b]<Q2>["));
    sot_answer_free(answer);
    /* The next round begins with this one's prompt and answer. */
    const char *const longer[] = {"Q1", "1. A a\n2. B b", "Q2", "yes"};
    params.history = longer;
    params.n_history = 4;
    assert_int_equal(sot_generate(session, "Q3", &params, &answer), SOT_OK);
    stats = stats_of(answer);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q1>[1. A a\n2. B b]<Q2>[yes"));
    assert_int_equal(stats.prefill_tokens[0] + stats.reused_tokens[0],
                     1 + strlen("<Q1>[1. A a\n2. B b]<Q2>[yes]<Q3>["));
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void logits_reuse_the_last_call_s_beginning(void **state)
{
    (void)state;
    int32_t tokens[200];
    float logits[SCRIPT_VOCAB];
    for (int i = 0; i < 200; i++) {
        tokens[i] = 3 + i;
    }
    sot_session *session = scripted_session_open(NULL);
    assert_int_equal(sot_logits(session, tokens, 200, logits), SOT_OK);
    assert_true(logits[202] == 1.0f);
    assert_int_equal(scripted.n_rows, 200);
    scripted.n_rows = 0;
    assert_int_equal(sot_logits(session, tokens, 200, logits), SOT_OK);
    assert_int_equal(scripted.n_rows, 1);
    assert_int_equal(scripted.n_prompt_rows, 201); /* a single token, too: it was given */
    assert_int_equal(sot_logits(session, tokens, 100, logits), SOT_OK);
    assert_true(logits[102] == 1.0f);
    tokens[50] = 7;
    scripted.n_rows = 0;
    assert_int_equal(sot_logits(session, tokens, 60, logits), SOT_OK);
    assert_int_equal(scripted.n_rows, 10);
    scripted_session_close(session);
}

static void logits_cancelled_between_chunks_go_on_later(void **state)
{
    (void)state;
    int32_t tokens[300];
    float logits[SCRIPT_VOCAB];
    for (int i = 0; i < 300; i++) {
        tokens[i] = 3 + i % 256;
    }
    sot_session *session = scripted_session_open(NULL); /* chunks of 128 */
    scripted.cancels = session;
    scripted.cancel_at_step = 2;
    assert_int_equal(sot_logits(session, tokens, 300, logits), SOT_ERR_CANCELLED);
    scripted.cancel_at_step = 0;
    scripted.n_rows = 0;
    assert_int_equal(sot_logits(session, tokens, 300, logits), SOT_OK);
    assert_int_equal(scripted.n_rows, 300 - 128);
    scripted_session_close(session);
}

static void logits_take_pages_back_from_beginnings(void **state)
{
    (void)state;
    script_three_points();
    int32_t tokens[2000];
    float logits[SCRIPT_VOCAB];
    for (int i = 0; i < 2000; i++) {
        tokens[i] = 3 + i % 256;
    }
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = 2000;
    params.kv_tokens = 2000;
    sot_session *session = scripted_session_open(&params);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    sot_answer_free(answer);
    assert_int_equal(sot_logits(session, tokens, 2000, logits), SOT_OK);
    /* And generating takes them back from the logits. */
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    sot_answer_free(answer);
    scripted_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(generate_three_points_aggregates_as_the_paper),
        TEST(generate_events_tell_the_whole_story),
        TEST(generate_normal_answers_without_stages),
        TEST(generate_without_points_answers_with_the_skeleton),
        TEST(generate_repeated_index_expands_the_first_only),
        TEST(generate_over_the_cap_reports_what_it_dropped),
        TEST(generate_stops_at_strings_ids_and_lengths),
        TEST(generate_stop_string_is_never_shown),
        TEST(generate_token_without_a_piece_has_no_text),
        TEST(expand_shares_the_common_beginning),
        TEST(generate_second_question_reuses_both_templates),
        TEST(generate_forced_skeleton_is_taken_whole),
        TEST(generate_forced_skeleton_beyond_the_context_is_full),
        TEST(generate_zero_shot_has_each_point_once),
        TEST(generate_compact_computes_only_the_points_anew),
        TEST(expand_one_point_keeps_its_beginning_too),
        TEST(expand_without_points_answers_with_their_source),
        TEST(skeleton_alone_gives_the_points),
        TEST(generate_with_history_puts_answers_into_the_prompt),
        TEST(logits_reuse_the_last_call_s_beginning),
        TEST(logits_cancelled_between_chunks_go_on_later),
        TEST(logits_take_pages_back_from_beginnings),
    };
    return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
