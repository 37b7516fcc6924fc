/* Router, skeleton and normal answer side by side, on a model that says what the test wrote: RACE-1
 * to RACE-3, what is counted, and what stops it. A token is a byte here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event_log.h"
#include "scripted_model.h"
#include "sot/racing.h"
#include "sot/wordings.h"

enum { BOS = 1, QUESTION = 5 };

static const char question[] = "What?";
static sot_generate_params params;
static sot_prompts prompts;
static event_log events;

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    events = (event_log){0};
    prompts = (sot_prompts)SOT_PROMPTS_INIT;
    prompts.skeleton = "List {request}[ROLESWITCHING assistant:]1.";
    prompts.router = "Is {request} fit?";
    params = (sot_generate_params)SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_ROUTED;
    params.flags = SOT_GENERATE_CONCURRENT;
    params.prompts = &prompts;
    params.on_event = event_log_record;
    params.event_user = &events;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    event_log_free(&events);
    scripted_model_close();
    return 0;
}

static void script_answers(const char *letter)
{
    script_anew();
    script_three_points();
    script_text(SOTI_STREAM_NORMAL, "Just so.", false);
    script_route(letter, 0, 0, 0);
}

static const char three_points[] = "1. Alpha. first.\n2. Beta. second one.\n3. Gamma. third";

/* All prompts in one pass, which also picks the first token of each text. */
static void letter_in_the_first_pass_leaves_one_token_of_the_loser(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    script_answers("A");
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), three_points);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.mode, SOT_MODE_SOT);
    assert_int_equal(stats.decode_tokens[0], 1);
    assert_int_equal(stats.prefill_tokens[0], BOS + QUESTION);
    assert_int_equal(stats.spent_tokens, BOS + QUESTION + 1);
    assert_int_equal(stats.decode_tokens[3], 1);
    assert_int_equal(stats.decode_steps[0], 0);
    assert_int_equal(stats.decode_tokens[1], strlen(" Alpha.\n2. Beta.\n3. Gamma.") + 1);
    assert_int_equal(stats.decode_steps[1], stats.decode_tokens[1] - 1);
    assert_true(stats.route_ns > 0);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void loser_leaves_the_batch_when_the_decision_falls(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    script_answers("\n (B");
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    assert_null(sot_answer_points(answer));
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.mode, SOT_MODE_NORMAL);
    assert_int_equal(stats.spent_tokens, BOS + strlen("List What?1.") + 4);
    assert_int_equal(stats.decode_tokens[1], 4);
    /* One pass for the prompts, 3 with three rows, and the rest of "Just so." and its end alone. */
    assert_int_equal(scripted.n_steps, 1 + 3 + 5);
    assert_int_equal(scripted.n_rows - scripted.n_prompt_rows, 3 * 3 + 5);
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* RACE-1, and that the events are those of one after the other. */
static void host_hears_of_the_winner_alone_and_from_its_beginning(void **state)
{
    (void)state;
    static const char *const letters[] = {"A", "B", "\n\n\n(A", "well"};
    sot_session *session = scripted_session_open(NULL);
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        event_log first = {0};
        sot_answer *answer = NULL;
        params.flags = 0;
        params.event_user = &first;
        script_answers(letters[i]);
        assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
        sot_answer_free(answer);
        event_log beside = {0};
        params.flags = SOT_GENERATE_CONCURRENT;
        params.event_user = &beside;
        script_answers(letters[i]);
        assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
        assert_int_equal(beside.stages, first.stages);
        assert_int_equal(beside.n_of_type[SOT_EVENT_DECISION], 1);
        assert_int_equal(beside.decision.label, first.decision.label);
        assert_int_equal(beside.decision.letter, first.decision.letter);
        assert_int_equal(beside.decision.n_tokens, first.decision.n_tokens);
        for (int stage = 0; stage < 5; stage++) {
            assert_string_equal(soti_buffer_text(&beside.texts[stage]),
                                soti_buffer_text(&first.texts[stage]));
        }
        assert_string_equal(soti_buffer_text(&beside.outlines), soti_buffer_text(&first.outlines));
        for (int k = 0; k < 3; k++) {
            assert_string_equal(soti_buffer_text(&beside.expansions[k]),
                                soti_buffer_text(&first.expansions[k]));
            assert_int_equal(beside.n_ends[k], first.n_ends[k]);
        }
        assert_int_equal(beside.n_done, beside.n_total);
        sot_answer_free(answer);
        event_log_free(&first);
        event_log_free(&beside);
    }
    scripted_session_close(session);
}

typedef struct page_watch {
    soti_kv *kv;
    bool is_decided;
    uint32_t n_text;  /* bytes of the winner's text so far */
    uint32_t n_other; /* pages that are not the winner's */
    uint32_t n_checked;
} page_watch;

static uint32_t pages_of(size_t n_tokens)
{
    return (uint32_t)((n_tokens + SOTI_PAGE_TOKENS - 1) / SOTI_PAGE_TOKENS);
}

static int32_t watch_pages(const sot_event *event, void *user)
{
    page_watch *watch = user;
    uint32_t n_used = soti_kv_page_count(watch->kv) - soti_kv_free_pages(watch->kv);
    if (event->type == SOT_EVENT_DECISION) {
        watch->is_decided = true;
    } else if (event->type == SOT_EVENT_TEXT) {
        assert_true(watch->is_decided);
        watch->n_text += (uint32_t)event->text_size;
        /* The token just picked has no position yet. */
        assert_int_equal(n_used, pages_of(BOS + QUESTION + watch->n_text - 1) + watch->n_other);
        watch->n_checked++;
    }
    return 0;
}

/* The normal text grows to many pages; of the others, what is kept of their templates remains. */
static void loser_s_pages_are_free_at_once(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    page_watch watch = {.kv = soti_engine_kv(session->engine)};
    watch.n_other = pages_of(BOS + strlen("List ")) + pages_of(BOS + strlen("Is "));
    params.on_event = watch_pages;
    params.event_user = &watch;
    params.max_tokens = 100;
    script_route("\n (B", 0, 0, 0);
    script_text(SOTI_STREAM_NORMAL, "0123456789", true);
    script_text(SOTI_STREAM_SKELETON, "0123456789", true);
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_int_equal(sot_answer_text_size(answer), 100);
    assert_int_equal(watch.n_checked, 1 + 97); /* the first three tokens are told at once */
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* Both are shorter than what the model answers the router. */
static void candidates_that_finish_before_the_decision_are_kept(void **state)
{
    (void)state;
    static const char *const letters[] = {"\n\n\n\n\n(A", "\n\n\n\n\n(B"};
    sot_session *session = scripted_session_open(NULL);
    for (size_t i = 0; i < 2; i++) {
        sot_answer *answer = NULL;
        event_log_free(&events);
        scripted.n_scripts = 0;
        script_route(letters[i], 0, 0, 0);
        script_skeleton(" A");
        script_text(SOTI_STREAM_NORMAL, "x", false);
        script_text(0, "y", false);
        assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
        assert_string_equal(sot_answer_text(answer), i == 0 ? "1. A y" : "x");
        assert_int_equal(sot_answer_finish(answer), SOT_FINISH_STOP);
        assert_int_equal(events.stages, i == 0 ? 423 : 41);
        assert_string_equal(
            soti_buffer_text(&events.texts[i == 0 ? SOT_STAGE_SKELETON : SOT_STAGE_NORMAL]),
            i == 0 ? "1. A" : "x");
        sot_answer_free(answer);
    }
    scripted_session_close(session);
}

/* A batch of one or two: some wait until the router has decided, and may never begin. */
static void batch_too_small_for_all_gives_the_same_answers(void **state)
{
    (void)state;
    static const char *const letters[] = {"A", "B", "\n\n(A", "\n\n(B"};
    for (uint32_t max_batch = 1; max_batch <= 3; max_batch++) {
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.max_batch = max_batch;
        sot_session *session = scripted_session_open(&session_params);
        for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
            sot_answer *answer = NULL;
            event_log_free(&events);
            script_answers(letters[i]);
            assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
            assert_string_equal(sot_answer_text(answer), i % 2 == 0 ? three_points : "Just so.");
            sot_stats stats = stats_of(answer);
            bool began = max_batch == 3 || (max_batch == 2 && i % 2 == 1);
            assert_int_equal(stats.spent_tokens > 0, began);
            sot_answer_free(answer);
        }
        scripted_session_close(session);
    }
}

/* RACE-3: with the paper's prompts of one byte a token, the skeleton's is the longest. */
static void loser_without_room_does_not_fail_the_answer(void **state)
{
    (void)state;
    sot_answer *answer = NULL;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    size_t n_skeleton = strlen(soti_wording_find(NULL)->skeleton);
    size_t n_router = strlen(soti_prompt_router);
    assert_true(n_skeleton > n_router + 100);
    params.prompts = NULL;
    session_params.n_ctx = (uint32_t)(n_router + n_skeleton) / 2;
    sot_session *session = scripted_session_open(&session_params);
    script_answers("B");
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    sot_answer_free(answer);
    script_answers("A");
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(sot_error_message(), "skeleton: the prompt has"));
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CONTEXT);
    assert_string_equal(sot_answer_text(answer), " 1.");
    sot_answer_free(answer);
    scripted_session_close(session);
    /* Not even the router has room: it is undecided, as it is one after the other. */
    session_params.n_ctx = 256;
    session = scripted_session_open(&session_params);
    script_answers("A");
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    assert_int_equal(events.decision.label, SOT_LABEL_UNDECIDED);
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* One page holds the router's question and two tokens behind it: the race is given up, and it is
 * asked again by itself. */
static void router_that_is_asked_again_is_told_once(void **state)
{
    (void)state;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.kv_tokens = SOTI_PAGE_TOKENS;
    sot_session *session = scripted_session_open(&session_params);
    sot_answer *answer = NULL;
    script_answers("\n\n(A");
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    assert_int_equal(events.stages, 41);
    assert_int_equal(events.n_of_type[SOT_EVENT_DECISION], 1);
    sot_answer_free(answer);
    scripted_session_close(session);
}

/* RACE-2 with every size of the pool, from one that holds no prompt to one that holds all. */
static void page_pool_of_any_size_gives_the_same_answers(void **state)
{
    (void)state;
    static const char *const letters[] = {"A", "\n\n(A", "B", "\n\n(B"};
    uint32_t n_full = 0;
    params.on_event = NULL;
    params.max_tokens = params.max_skeleton_tokens = 120;
    params.max_point_tokens = 30;
    for (uint32_t n_pages = 1; n_pages <= 40; n_pages++) {
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.n_ctx = 400;
        session_params.kv_tokens = n_pages * SOTI_PAGE_TOKENS;
        sot_session *session = scripted_session_open(&session_params);
        for (size_t i = 0; i < 2 * sizeof letters / sizeof *letters; i++) {
            sot_answer *answers[2];
            sot_status statuses[2];
            for (uint32_t way = 0; way < 2; way++) {
                scripted.n_scripts = 0;
                script_route(letters[i / 2], 0, 0, 0);
                script_text(SOTI_STREAM_NORMAL, "0123456789", true);
                script_text(SOTI_STREAM_SKELETON, " Ab.\n2. Cd.\n3. Ef.\n4.", i % 2 == 0);
                script_text(0, "0123456789", true);
                script_text(1, "0123456789", false);
                while (i % 2 == 1 && soti_session_make_room(session)) {
                }
                params.flags = way == 0 ? 0 : SOT_GENERATE_CONCURRENT;
                statuses[way] = sot_generate(session, question, &params, &answers[way]);
            }
            assert_int_equal(statuses[0], statuses[1]);
            n_full += statuses[0] == SOT_ERR_CONTEXT_FULL;
            assert_string_equal(sot_answer_text(answers[0]), sot_answer_text(answers[1]));
            assert_int_equal(sot_answer_finish(answers[0]), sot_answer_finish(answers[1]));
            assert_int_equal(stats_of(answers[0]).mode, stats_of(answers[1]).mode);
            sot_answer_free(answers[0]);
            sot_answer_free(answers[1]);
        }
        scripted_session_close(session);
    }
    assert_in_range(n_full, 20, 300); /* some pools are too small, not all */
}

/* Stopped by the n-th event, or at the n-th pass, for every n: what was told of the winner is what
 * there is, and before the decision that is nothing. */
static void stopped_anywhere_keeps_what_was_decided(void **state)
{
    (void)state;
    static const char *const letters[] = {"\n\n(A", "\n\n(B"};
    sot_session *session = scripted_session_open(NULL);
    for (uint32_t way = 0; way < 4; way++) {
        bool is_done = false;
        for (uint32_t n = 1; !is_done; n++) {
            sot_answer *answer = NULL;
            assert_true(n < 200);
            event_log_free(&events);
            script_answers(letters[way % 2]);
            events.stop_at = way < 2 ? n : 0;
            scripted.cancel_at_step = way < 2 ? 0 : n;
            scripted.cancels = session;
            sot_status status = sot_generate(session, question, &params, &answer);
            is_done = status == SOT_OK;
            assert_true(is_done || status == SOT_ERR_CANCELLED);
            bool is_told = events.n_of_type[SOT_EVENT_DECISION] > 0;
            sot_decision decision = SOT_DECISION_INIT;
            assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
            assert_int_equal(decision.router, SOT_ROUTER_PROMPTING);
            if (!is_done) {
                assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CANCELLED);
            }
            if (!is_done && !is_told && way >= 2) {
                assert_int_equal(sot_answer_text_size(answer), 0);
                assert_null(sot_answer_points(answer));
            }
            sot_answer_free(answer);
        }
    }
    scripted_session_close(session);
}

static void device_that_fails_anywhere_fails_the_call(void **state)
{
    (void)state;
    static const char *const letters[] = {"\n\n(A", "\n\n(B"};
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t n = 1; n < 8; n++) {
            sot_session *session = scripted_session_open(NULL);
            sot_answer *answer = NULL;
            script_answers(letters[i]);
            scripted.fail_at_step = n;
            assert_int_equal(sot_generate(session, question, &params, &answer), SOT_ERR_DEVICE);
            assert_null(answer);
            scripted_session_close(session);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(letter_in_the_first_pass_leaves_one_token_of_the_loser),
        TEST(loser_leaves_the_batch_when_the_decision_falls),
        TEST(host_hears_of_the_winner_alone_and_from_its_beginning),
        TEST(loser_s_pages_are_free_at_once),
        TEST(candidates_that_finish_before_the_decision_are_kept),
        TEST(batch_too_small_for_all_gives_the_same_answers),
        TEST(loser_without_room_does_not_fail_the_answer),
        TEST(router_that_is_asked_again_is_told_once),
        TEST(page_pool_of_any_size_gives_the_same_answers),
        TEST(stopped_anywhere_keeps_what_was_decided),
        TEST(device_that_fails_anywhere_fails_the_call),
    };
    return cmocka_run_group_tests_name("racing", tests, NULL, NULL);
}
