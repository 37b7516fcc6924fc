/* Rounds of a conversation on a model that says what the test wrote: what is sent, what is found in
 * pages, what is dropped when a context is full. A token is a byte here, so what a round must
 * compute follows from literal prompts alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "scripted_model.h"
#include "sot/conversing.h"

static sot_session *session;
static sot_chat *chat;
static sot_conversation brackets; /* <question>[answer] */
static sot_prompts prompts;
static sot_generate_params params;

typedef struct drop_log {
    uint32_t n_events, n_dropped_events, n_done, n_total;
    bool first; /* DROPPED came before all others */
    bool stop;
} drop_log;

static drop_log dropped;

static int32_t record(const sot_event *event, void *user)
{
    drop_log *log = user;
    log->n_events++;
    if (event->type == SOT_EVENT_DROPPED) {
        log->first = log->n_events == 1;
        log->n_dropped_events++;
        log->n_done = event->n_done;
        log->n_total = event->n_total;
    }
    return log->stop;
}

static void open_chat(uint32_t flags, uint32_t n_reserve)
{
    sot_chat_params chat_params = SOT_CHAT_PARAMS_INIT;
    chat_params.flags = flags;
    chat_params.reserve_tokens = n_reserve;
    sot_chat_free(chat);
    assert_int_equal(sot_chat_create(&chat_params, &chat), SOT_OK);
}

static void open_session(uint32_t n_ctx)
{
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = n_ctx;
    sot_session_free(session);
    session = scripted_session_open(&session_params);
}

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    brackets = (sot_conversation)SOT_CONVERSATION_INIT;
    brackets.user_tag = "<";
    brackets.user_end = ">";
    brackets.assistant_tag = "[";
    brackets.assistant_end = "]";
    prompts = (sot_prompts)SOT_PROMPTS_INIT;
    prompts.skeleton = "List {request}[ROLESWITCHING assistant:]1.";
    prompts.point = "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point_outline}";
    params = (sot_generate_params)SOT_GENERATE_PARAMS_INIT;
    params.custom_conversation = &brackets;
    params.prompts = &prompts;
    dropped = (drop_log){0};
    session = NULL;
    chat = NULL;
    open_session(2048);
    open_chat(0, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_session_close(session);
    sot_chat_free(chat);
    scripted_model_close();
    return 0;
}

/* One round that succeeds; its statistics. */
static sot_stats round_of(const char *question, uint32_t mode)
{
    sot_answer *answer = NULL;
    params.mode = mode;
    sot_status status = sot_chat_generate(chat, session, question, &params, &answer);
    if (status != SOT_OK) {
        fail_msg("%s", sot_error_message());
    }
    sot_stats stats = stats_of(answer);
    sot_answer_free(answer);
    return stats;
}

static void say(const char *text)
{
    scripted.n_scripts = 0;
    script_text(SOTI_STREAM_NORMAL, text, false);
}

static void say_two_points(void)
{
    scripted.n_scripts = 0;
    script_skeleton(" A.\n2. B.");
    script_text(0, " first", false);
    script_text(1, " second", false);
}

static const char two_points[] = "1. A. first\n2. B. second";

static void round_becomes_history_when_it_succeeds(void **state)
{
    (void)state;
    say("  yes \n");
    round_of("Q1", SOT_MODE_NORMAL);
    assert_int_equal(sot_chat_count(chat), 1);
    assert_string_equal(sot_chat_question(chat, 0), "Q1");
    assert_string_equal(sot_chat_answer(chat, 0), "yes");
    say_two_points();
    round_of("Q2", SOT_MODE_SOT);
    assert_int_equal(sot_chat_count(chat), 2);
    assert_string_equal(sot_chat_question(chat, 1), "Q2");
    assert_string_equal(sot_chat_answer(chat, 1), two_points);
    assert_null(sot_chat_question(chat, 2));
    assert_null(sot_chat_answer(chat, 2));
}

static void normal_round_computes_what_is_new_alone(void **state)
{
    (void)state;
    say("yes");
    sot_stats stats = round_of("Q1", SOT_MODE_NORMAL);
    assert_int_equal(stats.prefill_tokens[0], 1 + strlen("<Q1>["));
    stats = round_of("Q2", SOT_MODE_NORMAL);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q1>[yes"));
    assert_int_equal(stats.prefill_tokens[0], strlen("]<Q2>["));
    stats = round_of("Q3", SOT_MODE_NORMAL);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q1>[yes]<Q2>[yes"));
    assert_int_equal(stats.prefill_tokens[0], strlen("]<Q3>["));
}

/* Where generated tokens are computed in another way, they do not begin a prompt. */
static void normal_round_on_unlike_rows_computes_the_answer_again(void **state)
{
    (void)state;
    soti_backend unlike = scripted_backend;
    unlike.rows_alike = 0;
    scripted_model.placement.backend = &unlike;
    open_session(2048);
    say("yes");
    round_of("Q1", SOT_MODE_NORMAL);
    sot_stats stats = round_of("Q2", SOT_MODE_NORMAL);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q1>["));
    assert_int_equal(stats.prefill_tokens[0], strlen("yes]<Q2>["));
    open_session(2048);
    scripted_model.placement.backend = &scripted_backend;
}

static void sot_round_computes_an_answer_once_for_all_stages(void **state)
{
    (void)state;
    say_two_points();
    round_of("Q1", SOT_MODE_SOT);
    sot_stats stats = round_of("Q2", SOT_MODE_SOT);
    const size_t n_first = strlen("<Q1>[") + sizeof two_points - 1 + strlen("]<");
    /* BOS and "<" are what the templates of a single question begin with, too. */
    assert_int_equal(stats.reused_tokens[1], 1 + strlen("<"));
    assert_int_equal(stats.prefill_tokens[1], n_first - 1 + strlen("List Q2>[1."));
    const size_t n_common = strlen("On Q2 1. A.\n2. B. write ");
    const size_t n_own = strlen("1>[A.");
    assert_int_equal(stats.prefill_tokens[2], n_common + 2 * n_own);
    assert_int_equal(stats.reused_tokens[2], (1 + n_first) + (1 + n_first + n_common));
    /* The third round has the first in pages. */
    stats = round_of("Q3", SOT_MODE_SOT);
    const size_t n_second = strlen("Q2>[") + sizeof two_points - 1 + strlen("]<");
    assert_int_equal(stats.reused_tokens[1], 1 + n_first);
    assert_int_equal(stats.prefill_tokens[1], n_second + strlen("List Q3>[1."));
    assert_int_equal(stats.prefill_tokens[2], n_common + 2 * n_own);
}

/* The router is asked behind the rounds, too, and what it computed of them serves the answer. */
static void routed_round_computes_the_rounds_once(void **state)
{
    (void)state;
    say("yes");
    round_of("Q1", SOT_MODE_NORMAL);
    script_route("B", 0, 0, 0);
    prompts.router = "Is {request} fit?";
    sot_stats stats = round_of("Q2", SOT_MODE_ROUTED);
    assert_int_equal(stats.mode, SOT_MODE_NORMAL);
    assert_int_equal(stats.reused_tokens[3], 1 + strlen("<Q1>[yes"));
    assert_int_equal(stats.prefill_tokens[3], strlen("]<Is Q2 fit?>["));
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q1>[yes]<"));
    assert_int_equal(stats.prefill_tokens[0], strlen("Q2>["));
    assert_int_equal(sot_chat_count(chat), 2);
    assert_string_equal(sot_chat_answer(chat, 1), "yes");
}

static void modes_take_turns_in_one_conversation(void **state)
{
    (void)state;
    say("yes");
    round_of("Q1", SOT_MODE_NORMAL);
    say_two_points();
    sot_stats stats = round_of("Q2", SOT_MODE_SOT);
    assert_int_equal(stats.prefill_tokens[1], strlen("]<List Q2>[1."));
    assert_int_equal(stats.reused_tokens[1], 1 + strlen("<Q1>[yes"));
    say("no");
    stats = round_of("Q3", SOT_MODE_NORMAL);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q1>[yes]<"));
    assert_int_equal(stats.prefill_tokens[0],
                     strlen("Q2>[") + sizeof two_points - 1 + strlen("]<Q3>["));
}

static void conversations_and_templates_leave_each_other_s_pages(void **state)
{
    (void)state;
    sot_answer *answer = NULL;
    say_two_points();
    params.mode = SOT_MODE_SOT;
    assert_int_equal(sot_generate(session, "Q", &params, &answer), SOT_OK);
    sot_answer_free(answer);
    sot_chat *chats[SOTI_CONVERSATIONS_MAX];
    for (int i = 0; i < SOTI_CONVERSATIONS_MAX; i++) {
        char first[] = "a asks";
        first[0] = (char)('a' + i);
        open_chat(0, 0);
        say_two_points();
        round_of(first, SOT_MODE_SOT);
        round_of("Q2", SOT_MODE_SOT);
        chats[i] = chat;
        chat = NULL;
    }
    params.mode = SOT_MODE_SOT;
    assert_int_equal(sot_generate(session, "R", &params, &answer), SOT_OK);
    sot_stats stats = stats_of(answer);
    sot_answer_free(answer);
    assert_int_equal(stats.reused_tokens[1], 1 + strlen("<List "));
    assert_int_equal(stats.prefill_tokens[1], strlen("R>[1."));
    assert_int_equal(stats.prefill_tokens[2],
                     strlen("R 1. A.\n2. B. write ") + 2 * strlen("1>[A."));
    for (int i = 0; i < SOTI_CONVERSATIONS_MAX; i++) {
        chat = chats[i];
        stats = round_of("Q3", SOT_MODE_SOT);
        assert_int_equal(stats.reused_tokens[1],
                         1 + strlen("<a asks>[") + sizeof two_points - 1 + strlen("]<"));
        sot_chat_free(chat);
        chat = NULL;
    }
}

static void chat_moves_to_another_session(void **state)
{
    (void)state;
    say("yes");
    round_of("Q1", SOT_MODE_NORMAL);
    open_session(1024);
    sot_stats stats = round_of("Q2", SOT_MODE_NORMAL);
    assert_int_equal(stats.reused_tokens[0], 0);
    assert_int_equal(stats.prefill_tokens[0], 1 + strlen("<Q1>[yes]<Q2>["));
    assert_int_equal(sot_chat_count(chat), 2);
}

static void partial_answer_is_no_round(void **state)
{
    (void)state;
    sot_answer *answer = NULL;
    say("yes");
    round_of("Q1", SOT_MODE_NORMAL);
    sot_session_cancel(session);
    assert_int_equal(sot_chat_generate(chat, session, "Q2", &params, &answer), SOT_ERR_CANCELLED);
    assert_non_null(answer);
    assert_int_equal(sot_chat_count(chat), 1);
    assert_int_equal(sot_chat_append(chat, "Q2", sot_answer_text(answer)), SOT_OK);
    sot_answer_free(answer);
    scripted.fail_at_step = scripted.n_steps + 1;
    assert_int_equal(sot_chat_generate(chat, session, "Q3", &params, &answer), SOT_ERR_DEVICE);
    assert_null(answer);
    assert_int_equal(sot_chat_count(chat), 2);
    scripted.fail_at_step = 0;
    sot_stats stats = round_of("Q3", SOT_MODE_NORMAL);
    assert_int_equal(stats.prefill_tokens[0] + stats.reused_tokens[0],
                     1 + strlen("<Q1>[yes]<Q2>[]<Q3>["));
}

static void answer_that_is_no_text_becomes_text(void **state)
{
    (void)state;
    assert_int_equal(soti_chat_append(chat, "Q", "a\0b\xff\xe4\xb8", 6), SOT_OK);
    assert_string_equal(sot_chat_answer(chat, 0), "a\xef\xbf\xbd"
                                                  "b\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(soti_chat_append(chat, "Q", NULL, 0), SOT_OK);
    assert_string_equal(sot_chat_answer(chat, 1), "");
}

/* Rounds of 10 tokens, "<Qa>[five]", "<Qb>[five]" and so on. */
static void append_rounds(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const char question[] = {'Q', (char)('a' + i), '\0'};
        assert_int_equal(sot_chat_append(chat, question, "five"), SOT_OK);
    }
}

static void full_context_drops_rounds_down_to_half_the_room(void **state)
{
    (void)state;
    open_session(200);
    open_chat(0, 40);
    say("five");
    params.on_event = record;
    params.event_user = &dropped;
    /* BOS, 15 rounds, "<Qn>[" and 40: 196 of 200. */
    append_rounds(15);
    sot_stats stats = round_of("Qn", SOT_MODE_NORMAL);
    assert_int_equal(dropped.n_dropped_events, 0);
    assert_int_equal(stats.prefill_tokens[0], 1 + 150 + 5);
    /* 16 rounds make it 206. The room for rounds is 200 - 40 - 6 = 154, half of it 77. */
    stats = round_of("Qo", SOT_MODE_NORMAL);
    assert_int_equal(dropped.n_dropped_events, 1);
    assert_true(dropped.n_done == 9 && dropped.n_total == 16);
    assert_int_equal(stats.prefill_tokens[0] + stats.reused_tokens[0], 1 + 70 + 5);
    assert_int_equal(stats.reused_tokens[0], 1 + strlen("<Q"));
    assert_int_equal(sot_chat_dropped(chat), 9);
    assert_int_equal(sot_chat_count(chat), 17); /* nothing is lost */
    /* From there on the chat grows again, and finds its pages. */
    stats = round_of("Qp", SOT_MODE_NORMAL);
    assert_int_equal(dropped.n_dropped_events, 1);
    assert_int_equal(stats.prefill_tokens[0], strlen("]<Qp>["));
    assert_int_equal(stats.reused_tokens[0], 1 + 70 + strlen("<Qn>[five"));
    assert_int_equal(sot_chat_clear(chat), SOT_OK);
    assert_int_equal(sot_chat_dropped(chat), 0);
    assert_int_equal(sot_chat_count(chat), 0);
}

static void dropping_is_told_before_all_else(void **state)
{
    (void)state;
    open_session(200);
    say("five");
    params.on_event = record;
    params.event_user = &dropped;
    append_rounds(20);
    round_of("Qn", SOT_MODE_NORMAL);
    assert_true(dropped.first);
    assert_int_equal(dropped.n_dropped_events, 1);
    assert_true(dropped.n_events > 1);
}

static void dropping_that_is_not_liked_stops_the_round(void **state)
{
    (void)state;
    open_session(200);
    params.on_event = record;
    params.event_user = &dropped;
    params.mode = SOT_MODE_NORMAL;
    dropped.stop = true;
    append_rounds(20);
    sot_answer *answer = NULL;
    assert_int_equal(sot_chat_generate(chat, session, "Qn", &params, &answer), SOT_ERR_CANCELLED);
    assert_non_null(answer);
    sot_answer_free(answer);
    assert_int_equal(dropped.n_events, 1);
    assert_int_equal(sot_chat_count(chat), 20);
    assert_int_equal(scripted.n_steps, 0);
}

static void question_that_leaves_no_room_drops_every_round(void **state)
{
    (void)state;
    static const char question[] = "A question of eighty bytes, which leaves no room for rounds "
                                   "beside what is reserved.";
    open_session(128);
    open_chat(0, 60);
    say("yes");
    append_rounds(3);
    params.on_event = record;
    params.event_user = &dropped;
    sot_stats stats = round_of(question, SOT_MODE_NORMAL);
    assert_int_equal(stats.prefill_tokens[0], 1 + strlen("<>[") + sizeof question - 1);
    assert_true(dropped.n_done == 3 && dropped.n_total == 3);
}

static void single_question_too_long_is_context_full(void **state)
{
    (void)state;
    char question[300];
    memset(question, 'q', sizeof question);
    question[sizeof question - 1] = '\0';
    open_session(128);
    sot_answer *answer = NULL;
    params.mode = SOT_MODE_NORMAL;
    for (uint32_t flags = 0; flags <= SOT_CHAT_KEEP_ALL; flags++) {
        open_chat(flags, 0);
        assert_int_equal(sot_chat_generate(chat, session, question, &params, &answer),
                         SOT_ERR_CONTEXT_FULL);
        assert_non_null(strstr(sot_error_message(), "303 tokens, the context holds 128"));
        sot_answer_free(answer);
        assert_int_equal(sot_chat_count(chat), 0);
    }
}

static void keep_all_refuses_and_changes_nothing(void **state)
{
    (void)state;
    open_session(200);
    open_chat(SOT_CHAT_KEEP_ALL, 40);
    say("five");
    append_rounds(15);
    round_of("Qn", SOT_MODE_NORMAL);
    sot_answer *answer = NULL;
    uint32_t n_steps = scripted.n_steps;
    assert_int_equal(sot_chat_generate(chat, session, "Qn", &params, &answer),
                     SOT_ERR_CONTEXT_FULL);
    assert_null(answer);
    assert_string_equal(sot_error_message(),
                        "16 rounds and the question make a prompt of 166 tokens; with 40 kept free "
                        "for the answer that is more than the context of 200");
    assert_int_equal(scripted.n_steps, n_steps);
    assert_int_equal(sot_chat_count(chat), 16);
    assert_int_equal(sot_chat_dropped(chat), 0);
}

static void reserve_is_a_quarter_of_the_context_by_default(void **state)
{
    (void)state;
    open_session(200);
    say("five");
    append_rounds(14); /* 1 + 140 + 5 + 50 = 196 */
    round_of("Qn", SOT_MODE_NORMAL);
    assert_int_equal(sot_chat_dropped(chat), 0);
    round_of("Qn", SOT_MODE_NORMAL); /* 206 */
    assert_true(sot_chat_dropped(chat) > 0);
}

static void sot_round_fits_its_longest_template(void **state)
{
    (void)state;
    open_session(300);
    open_chat(0, 100);
    append_rounds(16);
    say_two_points();
    /* "On Qn  write >[", 15, is longer than "List Qn>[1.", 11. With BOS, "<" and 160: 177. */
    round_of("Qn", SOT_MODE_SOT);
    assert_int_equal(sot_chat_dropped(chat), 0);
    assert_int_equal(sot_chat_clear(chat), SOT_OK);
    append_rounds(19); /* 201 and 203 of 200 */
    sot_chat_params wide = SOT_CHAT_PARAMS_INIT;
    wide.flags = SOT_CHAT_KEEP_ALL;
    sot_chat *strict = NULL;
    assert_int_equal(sot_chat_create(&wide, &strict), SOT_OK);
    strict->reserve_tokens = 280;
    assert_int_equal(sot_chat_append(strict, "Qn", "five"), SOT_OK);
    sot_answer *answer = NULL;
    assert_int_equal(sot_chat_generate(strict, session, "Qn", &params, &answer),
                     SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(sot_error_message(), "a prompt of 27 tokens"));
    sot_chat_free(strict);
}

static void reserve_of_the_whole_context_is_refused(void **state)
{
    (void)state;
    for (uint32_t n_reserve = 199; n_reserve <= 201; n_reserve++) {
        open_session(200);
        open_chat(0, n_reserve);
        say("five");
        sot_answer *answer = NULL;
        sot_status status = sot_chat_generate(chat, session, "Qn", &params, &answer);
        assert_int_equal(status, n_reserve < 200 ? SOT_OK : SOT_ERR_ARGUMENT);
        if (status != SOT_OK) {
            char sentence[128];
            snprintf(sentence, sizeof sentence,
                     "reserve_tokens: is %u, which leaves nothing of the context of 200 for a "
                     "prompt",
                     n_reserve);
            assert_string_equal(sot_error_message(), sentence);
            assert_null(answer);
            assert_int_equal(sot_chat_count(chat), 0);
        }
        sot_answer_free(answer);
    }
}

/* 1 + 1 rounds of 8 tokens are shared with a pool that is smaller than the context. */
static void small_page_pool_counts_as_the_context(void **state)
{
    (void)state;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = 2048;
    session_params.kv_tokens = 208;
    sot_session_free(session);
    session = scripted_session_open(&session_params);
    open_chat(0, 40);
    say("five");
    append_rounds(30);
    round_of("Qn", SOT_MODE_NORMAL);
    assert_int_equal(sot_chat_dropped(chat), 30 - 8); /* (208 - 40 - 6) / 2 = 81 */
}

static sot_answer *failing_answer;

static void round_with_any_allocation_failing_loses_nothing(void **state)
{
    (void)state;
    for (uint32_t mode = SOT_MODE_NORMAL; mode <= SOT_MODE_SOT; mode++) {
        open_session(200);
        open_chat(0, 20);
        say_two_points();
        script_text(SOTI_STREAM_NORMAL, "yes", false);
        params.mode = mode;
        append_rounds(8); /* so that the ninth round makes the array grow */
        for (long n = 0;; n++) {
            size_t n_rounds = sot_chat_count(chat);
            soti_alloc_fail_at(n);
            sot_status status = sot_chat_generate(chat, session, "Qn", &params, &failing_answer);
            bool struck = soti_alloc_fail_at(-1) < 0;
            assert_int_equal(failing_answer != NULL, status == SOT_OK);
            assert_int_equal(sot_chat_count(chat), n_rounds + (status == SOT_OK));
            assert_true(status == SOT_OK || status == SOT_ERR_MEMORY);
            sot_answer_free(failing_answer);
            if (!struck) {
                assert_true(n > 20);
                break;
            }
        }
        assert_true(sot_chat_dropped(chat) <= sot_chat_count(chat));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(round_becomes_history_when_it_succeeds),
        TEST(normal_round_computes_what_is_new_alone),
        TEST(normal_round_on_unlike_rows_computes_the_answer_again),
        TEST(sot_round_computes_an_answer_once_for_all_stages),
        TEST(routed_round_computes_the_rounds_once),
        TEST(modes_take_turns_in_one_conversation),
        TEST(conversations_and_templates_leave_each_other_s_pages),
        TEST(chat_moves_to_another_session),
        TEST(partial_answer_is_no_round),
        TEST(answer_that_is_no_text_becomes_text),
        TEST(full_context_drops_rounds_down_to_half_the_room),
        TEST(dropping_is_told_before_all_else),
        TEST(dropping_that_is_not_liked_stops_the_round),
        TEST(question_that_leaves_no_room_drops_every_round),
        TEST(single_question_too_long_is_context_full),
        TEST(keep_all_refuses_and_changes_nothing),
        TEST(reserve_is_a_quarter_of_the_context_by_default),
        TEST(reserve_of_the_whole_context_is_refused),
        TEST(sot_round_fits_its_longest_template),
        TEST(small_page_pool_counts_as_the_context),
        TEST(round_with_any_allocation_failing_loses_nothing),
    };
    return cmocka_run_group_tests_name("conversing", tests, NULL, NULL);
}
