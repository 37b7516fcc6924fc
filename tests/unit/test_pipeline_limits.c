/* What stops the two stages on their way: context, page pool, cancelling, a failing device. Each
 * time what was written is kept, and the session is as good as before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "event_log.h"
#include "scripted_model.h"

/* 40 points through a batch of 4 and a pool that holds even fewer at their full length. */
static void expand_more_points_than_room_joins_as_others_finish(void **state)
{
    (void)state;
    soti_buffer source = {0};
    static char names[40][8];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        char line[16];
        int n = snprintf(line, sizeof line, "%d. P\n", i + 1);
        assert_int_equal(soti_buffer_append(&source, line, (size_t)n), SOT_OK);
        script_text((uint64_t)i, names[i], false);
    }
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse(source.data, source.size, 0, &points), SOT_OK);
    soti_buffer_free(&source);
    const struct {
        uint32_t max_batch, kv_tokens, least_rows, most_rows;
    } cases[] = {{4, 0, 4, 4}, {40, 20000, 40, 40}, {40, 3072, 2, 39}, {1, 0, 1, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.n_ctx = 1024;
        session_params.chunk_rows = 8192;
        session_params.max_batch = cases[c].max_batch;
        session_params.kv_tokens = cases[c].kv_tokens;
        sot_session *session = scripted_session_open(&session_params);
        sot_answer *answer = NULL;
        assert_int_equal(sot_expand_batch(session, "What?", points, NULL, &answer), SOT_OK);
        sot_stats stats = stats_of(answer);
        assert_in_range(stats.max_rows[2], cases[c].least_rows, cases[c].most_rows);
        assert_true(stats.peak_page_tokens <=
                    SOTI_PAGE_TOKENS *
                        (uint64_t)soti_kv_page_count(soti_engine_kv(session->engine)));
        for (size_t i = 0; i < 40; i++) {
            assert_string_equal(sot_answer_point(answer, i), names[i]);
        }
        sot_answer_free(answer);
        scripted_session_close(session);
    }
    sot_points_free(points);
}

/* Texts that would end at once by each kind of stop run to their limits, and stream as they go. */
static void generate_ignoring_stops_runs_each_text_to_its_limit(void **state)
{
    (void)state;
    static const char *const stop_strings[] = {"ab", "c"};
    static const int32_t stop_ids[] = {SCRIPT_FIRST_BYTE + 'a', SCRIPT_FIRST_BYTE + 'x'};
    static const uint32_t limits[] = {7, 0, 1};
    event_log log = {0};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.flags = SOT_GENERATE_IGNORE_STOPS;
    params.stop_strings = stop_strings;
    params.n_stop_strings = 2;
    params.stop_ids = stop_ids;
    params.n_stop_ids = 2;
    params.max_tokens = 9;
    params.max_skeleton_tokens = 40;
    params.max_point_tokens = 5;
    params.point_limits = limits;
    params.n_point_limits = 3;
    params.on_event = event_log_record;
    params.event_user = &log;
    script_skeleton(" A.\n2. B.\n3. C.\n4. D."); /* 22 tokens, the rest are ends of sequence */
    script_text(0, "abcabcabcabc", false);
    script_text(1, "xyzzy is magic", false);
    script_text(2, "c", false);
    script_text(3, "ab", false); /* then three ends of sequence, which have no text */
    script_text(SOTI_STREAM_NORMAL, "abc", false);
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.decode_tokens[1], 40);
    assert_int_equal(sot_answer_point_count(answer), 4);
    static const char *const texts[] = {"abcabca", "xyzzy", "c", "ab"};
    static const uint32_t n_tokens[] = {7, 5, 1, 5};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(sot_answer_point(answer, i), texts[i]);
        assert_string_equal(soti_buffer_text(&log.expansions[i]), texts[i]);
        assert_int_equal(sot_answer_point_tokens(answer, i), n_tokens[i]);
        assert_int_equal(sot_answer_point_finish(answer, i), SOT_FINISH_LENGTH);
        assert_int_equal(log.finishes[i], SOT_FINISH_LENGTH);
    }
    sot_answer_free(answer);
    params.mode = SOT_MODE_NORMAL;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    stats = stats_of(answer);
    assert_int_equal(stats.decode_tokens[0], 9);
    assert_string_equal(sot_answer_text(answer), "abc");
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_LENGTH);
    sot_answer_free(answer);
    event_log_free(&log);
    scripted_session_close(session);
}

/* Without the flag, a limit of one point's own only bounds it: stops go on ending texts. */
static void expand_point_limits_bound_each_point(void **state)
{
    (void)state;
    static const uint32_t limits[] = {3};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.point_limits = limits;
    params.n_point_limits = 1;
    script_text(0, "endless", true);
    script_text(1, "until it ends", false);
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("1. A\n2. B", 9, 0, &points), SOT_OK);
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    assert_int_equal(sot_expand_batch(session, "What?", points, &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_point(answer, 0), "end");
    assert_int_equal(sot_answer_point_finish(answer, 0), SOT_FINISH_LENGTH);
    assert_string_equal(sot_answer_point(answer, 1), "until it ends");
    assert_int_equal(sot_answer_point_finish(answer, 1), SOT_FINISH_STOP);
    sot_answer_free(answer);
    sot_points_free(points);
    scripted_session_close(session);
}

static void expand_in_a_pool_for_one_goes_one_by_one(void **state)
{
    (void)state;
    script_text(0, "one", false);
    script_text(1, "two", false);
    script_text(2, "three", false);
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("1. A\n2. B\n3. C", 14, 0, &points), SOT_OK);
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = 1024;
    session_params.kv_tokens = 512; /* the prompt has about 450 */
    sot_session *session = scripted_session_open(&session_params);
    sot_answer *answer = NULL;
    assert_int_equal(sot_expand_batch(session, "What?", points, NULL, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "1. A one\n2. B two\n3. C three");
    sot_stats stats = stats_of(answer);
    assert_int_equal(stats.max_rows[2], 1);
    sot_answer_free(answer);
    sot_points_free(points);
    scripted_session_close(session);
}

static void generate_prompt_beyond_the_context_says_both_numbers(void **state)
{
    (void)state;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = 100;
    sot_session *session = scripted_session_open(&session_params);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(sot_error_message(), "100"));
    assert_non_null(strstr(sot_error_message(), "prompt has "));
    assert_non_null(answer);
    assert_string_equal(sot_answer_text(answer), " 1.");
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CONTEXT);
    assert_int_equal(scripted.n_steps, 0);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_context_full_keeps_what_was_written(void **state)
{
    (void)state;
    const char prompt_text[] = "Why?";
    script_text(SOTI_STREAM_NORMAL, "abcdefghij", true);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    const struct {
        uint32_t n_ctx, kv_tokens;
        size_t n_tokens;
    } cases[] = {
        /* the last token needs no position of its own */
        {40, 0, 40 - 1 - 4 + 1},
        {5, 0, 1},
        {400, 64, 64 - 1 - 4 + 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.n_ctx = cases[c].n_ctx;
        session_params.kv_tokens = cases[c].kv_tokens;
        sot_session *session = scripted_session_open(&session_params);
        sot_answer *answer = NULL;
        assert_int_equal(sot_generate(session, prompt_text, &params, &answer),
                         SOT_ERR_CONTEXT_FULL);
        assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CONTEXT);
        assert_int_equal(sot_answer_text_size(answer), cases[c].n_tokens);
        assert_non_null(strstr(sot_error_message(), "is full"));
        sot_answer_free(answer);
        /* The session can be used again. */
        params.max_tokens = 1;
        assert_int_equal(sot_generate(session, prompt_text, &params, &answer), SOT_OK);
        params.max_tokens = 0;
        sot_answer_free(answer);
        scripted_session_close(session);
    }
}

static void generate_context_full_in_a_point_lets_the_others_finish(void **state)
{
    (void)state;
    script_text(0, "short", false);
    script_text(1, "0123456789", true);
    script_text(2, "brief", false);
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("1. A\n2. B\n3. C", 14, 0, &points), SOT_OK);
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = 512;
    sot_session *session = scripted_session_open(&session_params);
    event_log log = {0};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.on_event = event_log_record;
    params.event_user = &log;
    sot_answer *answer = NULL;
    assert_int_equal(sot_expand_batch(session, "What?", points, &params, &answer),
                     SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(sot_error_message(), "point 2: the context of 512"));
    assert_int_equal(sot_answer_point_finish(answer, 0), SOT_FINISH_STOP);
    assert_int_equal(sot_answer_point_finish(answer, 1), SOT_FINISH_CONTEXT);
    assert_int_equal(sot_answer_point_finish(answer, 2), SOT_FINISH_STOP);
    assert_int_equal(log.finishes[1], SOT_FINISH_CONTEXT);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CONTEXT);
    assert_string_equal(sot_answer_point(answer, 2), "brief");
    assert_memory_equal(sot_answer_point(answer, 1), "0123456789", 10);
    sot_answer_free(answer);
    event_log_free(&log);
    sot_points_free(points);
    scripted_session_close(session);
}

static void expand_common_beginning_beyond_the_context_fails_every_point(void **state)
{
    (void)state;
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("1. A\n2. B", 9, 0, &points), SOT_OK);
    const struct {
        uint32_t n_ctx, kv_tokens;
    } cases[] = {{200, 0}, {1000, 200}};
    for (size_t c = 0; c < 2; c++) {
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.n_ctx = cases[c].n_ctx;
        session_params.kv_tokens = cases[c].kv_tokens;
        sot_session *session = scripted_session_open(&session_params);
        sot_answer *answer = NULL;
        assert_int_equal(sot_expand_batch(session, "What?", points, NULL, &answer),
                         SOT_ERR_CONTEXT_FULL);
        assert_non_null(strstr(sot_error_message(), c == 0 ? " 200" : " 208"));
        assert_int_equal(sot_answer_point_count(answer), 2);
        assert_int_equal(sot_answer_point_finish(answer, 1), SOT_FINISH_CONTEXT);
        assert_string_equal(sot_answer_text(answer), "1. A \n2. B ");
        sot_answer_free(answer);
        scripted_session_close(session);
    }
    sot_points_free(points);
}

/* Stops at every event there is, by the callback and by cancelling, and asks again afterwards. */
static void generate_stopped_at_any_event_keeps_what_there_is(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    uint32_t n_stops = 0;
    for (uint32_t n = 1; n_stops == n - 1; n++) {
        for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
            event_log log = {
                .stop_at = by_cancel ? 0 : n, .cancel_at = by_cancel ? n : 0, .cancels = session};
            sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
            params.on_event = event_log_record;
            params.event_user = &log;
            sot_answer *answer = NULL;
            sot_status status = sot_generate(session, "What?", &params, &answer);
            assert_non_null(answer);
            if (status == SOT_ERR_CANCELLED) {
                n_stops += by_cancel == 0;
                assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CANCELLED);
                assert_non_null(strstr(sot_error_message(), by_cancel ? "host" : "callback"));
            } else {
                assert_int_equal(status, SOT_OK); /* the last event, or none at all */
                assert_true(log.n_events <= n);
            }
            for (size_t i = 0; by_cancel && i < sot_answer_point_count(answer); i++) {
                assert_string_equal(soti_buffer_text(&log.expansions[i]),
                                    sot_answer_point(answer, i));
                assert_int_equal(log.n_ends[i], 1);
            }
            sot_answer_free(answer);
            event_log_free(&log);
            session_check_pages(session);
        }
    }
    assert_true(n_stops > 40); /* as many as there are events: a byte each, and the rest */
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer),
                        "1. Alpha. first.\n2. Beta. second one.\n3. Gamma. third");
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void generate_cancelled_in_any_step_keeps_what_there_is(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    uint32_t n_cancelled = 0;
    for (uint64_t n = 1;; n++) {
        sot_answer *answer = NULL;
        scripted.n_steps = 0;
        scripted.cancel_at_step = n;
        scripted.cancels = session;
        sot_status status = sot_generate(session, "What?", NULL, &answer);
        assert_non_null(answer);
        uint32_t n_steps = scripted.n_steps;
        sot_answer_free(answer);
        if (n_steps < n) {
            assert_int_equal(status, SOT_OK);
            break;
        }
        assert_int_equal(status, SOT_ERR_CANCELLED);
        assert_int_equal(n_steps, n); /* nothing was computed after it */
        n_cancelled++;
    }
    assert_true(n_cancelled > 40);
    scripted_session_close(session);
}

static void cancel_before_a_call_stops_that_call_only(void **state)
{
    (void)state;
    script_three_points();
    sot_session *session = scripted_session_open(NULL);
    sot_session_cancel(session);
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_ERR_CANCELLED);
    assert_int_equal(scripted.n_steps, 0);
    assert_string_equal(sot_answer_text(answer), " 1.");
    sot_answer_free(answer);
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    sot_answer_free(answer);
    sot_points *points = NULL;
    sot_session_cancel(session);
    assert_int_equal(sot_skeleton(session, "What?", NULL, &points), SOT_ERR_CANCELLED);
    assert_non_null(points);
    sot_points_free(points);
    scripted_session_close(session);
}

static void generate_on_a_failing_device_gives_no_answer(void **state)
{
    (void)state;
    script_three_points();
    for (uint64_t n = 1; n < 40; n += 3) {
        sot_session *session = scripted_session_open(NULL);
        scripted.n_steps = 0;
        scripted.fail_at_step = n;
        sot_answer *answer = NULL;
        assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_ERR_DEVICE);
        assert_null(answer);
        assert_non_null(strstr(sot_error_message(), "on purpose"));
        scripted_session_close(session);
    }
}

static int32_t fail_at_something_else(const sot_event *event, void *user)
{
    (void)event;
    (void)user;
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse(NULL, 1, 0, &points), SOT_ERR_ARGUMENT);
    return 0;
}

static void error_message_survives_what_the_callback_does(void **state)
{
    (void)state;
    script_three_points();
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.on_event = fail_at_something_else;
    sot_session *session = scripted_session_open(NULL);
    for (uint64_t n = 1; n < 40; n += 3) {
        sot_answer *answer = NULL;
        scripted.n_steps = 0;
        scripted.fail_at_step = n;
        assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_ERR_DEVICE);
        assert_non_null(strstr(sot_error_message(), "on purpose"));
    }
    scripted_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(expand_more_points_than_room_joins_as_others_finish),
        TEST(generate_ignoring_stops_runs_each_text_to_its_limit),
        TEST(expand_point_limits_bound_each_point),
        TEST(expand_in_a_pool_for_one_goes_one_by_one),
        TEST(generate_prompt_beyond_the_context_says_both_numbers),
        TEST(generate_context_full_keeps_what_was_written),
        TEST(generate_context_full_in_a_point_lets_the_others_finish),
        TEST(expand_common_beginning_beyond_the_context_fails_every_point),
        TEST(generate_stopped_at_any_event_keeps_what_there_is),
        TEST(generate_cancelled_in_any_step_keeps_what_there_is),
        TEST(cancel_before_a_call_stops_that_call_only),
        TEST(generate_on_a_failing_device_gives_no_answer),
        TEST(error_message_survives_what_the_callback_does),
    };
    return cmocka_run_group_tests_name("pipeline limits", tests, NULL, NULL);
}
