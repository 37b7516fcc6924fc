/* The routers, on a model that says what the test wrote: what each decides and how the host hears
 * of it, what the model is asked, and the answer that follows. Side by side: test_racing.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "event_log.h"
#include "scripted_model.h"
#include "sot/classifier.h"
#include "sot/routing.h"

static sot_generate_params params;
static event_log events;

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    events = (event_log){0};
    params = (sot_generate_params)SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_ROUTED;
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

static void script_answers(void)
{
    script_three_points();
    script_text(SOTI_STREAM_NORMAL, "Just so.", false);
}

static void prompt_equals_the_published_one(void **state)
{
    (void)state;
    const char *shared = getenv("SOT_SHARED_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/data/prompt_router.json",
             shared ? shared : SOT_SOURCE_DIR "/../shared");
    json_error_t error;
    json_t *prompts = json_load_file(path, 0, &error);
    if (prompts == NULL) {
        print_message("SKIPPED: %s: %s (set SOT_SHARED_DIR)\n", path, error.text);
        skip();
    }
    assert_string_equal(soti_prompt_router, json_string_value(json_object_get(prompts, "prompt")));
    json_decref(prompts);
}

static void route_letter_decides_in_one_pass_behind_the_prompt(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t letter, label;
    } cases[] = {{"A", 'A', SOT_LABEL_SOT},
                 {"B", 'B', SOT_LABEL_NORMAL},
                 {"C. Because", 'C', SOT_LABEL_NORMAL}};
    sot_session *session = scripted_session_open(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        script_anew();
        script_route(cases[i].text, 2.0f, 1.0f, 0.5f);
        sot_decision decision = SOT_DECISION_INIT;
        assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
        assert_int_equal(decision.router, SOT_ROUTER_PROMPTING);
        assert_int_equal(decision.letter, cases[i].letter);
        assert_int_equal(decision.label, cases[i].label);
        assert_int_equal(decision.n_tokens, 1);
        double share = exp(2.0) / (exp(2.0) + exp(1.0) + exp(0.5));
        assert_true(fabs((double)decision.score - share) < 1e-6);
        assert_true(decision.latency_ns > 0);
        assert_int_equal(scripted.n_picks, 1); /* with the prompt's last pass */
        assert_int_equal(scripted.n_logit_reads, 1);
    }
    scripted_session_close(session);
}

static void route_other_text_decides_by_its_first_word(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t letter, label, n_tokens;
    } cases[] = {
        {"\n (B)", 'B', SOT_LABEL_NORMAL, 4}, /* a letter at its token */
        {" \"A\"", 'A', SOT_LABEL_SOT, 3},
        {"The answer is A", 0, SOT_LABEL_UNDECIDED, 8}, /* too late */
        {"I say A", 0, SOT_LABEL_UNDECIDED, 7},         /* not the first word */
        {"1. 2. 3. 4.", 0, SOT_LABEL_UNDECIDED, 8},
        {"", 0, SOT_LABEL_UNDECIDED, 1}, /* at once the end */
    };
    sot_session *session = scripted_session_open(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        script_anew();
        script_route(cases[i].text, 0.0f, 0.0f, 0.0f);
        sot_decision decision = SOT_DECISION_INIT;
        assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
        assert_int_equal(decision.letter, cases[i].letter);
        assert_int_equal(decision.label, cases[i].label);
        assert_int_equal(decision.n_tokens, cases[i].n_tokens);
        assert_true(fabs((double)decision.score - 1.0 / 3) < 1e-6);
    }
    scripted_session_close(session);
}

/* Under a vocabulary with the piece "(A" the logits tell nothing of the letter. */
static void route_letter_within_a_token_is_read_from_the_text(void **state)
{
    (void)state;
    static const char *const pieces[] = {"(A", "(B"};
    for (size_t i = 0; i < 2; i++) {
        int32_t id = script_piece(pieces[i]);
        sot_session *session = scripted_session_open(NULL);
        script_anew();
        script_route("?).", 1.0f, 2.0f, 3.0f);
        scripted.first_id = id; /* in place of the question mark */
        sot_decision decision = SOT_DECISION_INIT;
        assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
        assert_int_equal(decision.letter, i == 0 ? 'A' : 'B');
        assert_int_equal(decision.label, i == 0 ? SOT_LABEL_SOT : SOT_LABEL_NORMAL);
        assert_true(decision.score == (i == 0 ? 1.0f : 0.0f));
        assert_int_equal(decision.n_tokens, 4);
        scripted_session_close(session);
    }
}

/* Stop strings and ids are the answer's; the model may begin its letter with a newline. */
static void route_is_not_stopped_by_the_caller_s_stops(void **state)
{
    (void)state;
    static const char *const stop_strings[] = {"\n"};
    static const int32_t stop_ids[] = {SCRIPT_FIRST_BYTE + '('};
    params.stop_strings = stop_strings;
    params.n_stop_strings = 1;
    params.stop_ids = stop_ids;
    params.n_stop_ids = 1;
    script_route("\n(A", 0, 0, 0);
    sot_session *session = scripted_session_open(NULL);
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
    assert_int_equal(decision.letter, 'A');
    params.flags = SOT_GENERATE_IGNORE_STOPS;
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
    assert_int_equal(decision.letter, 'A');
    scripted_session_close(session);
}

/* History and system message go before the question, and stay in pages. */
static void route_asks_in_the_conversation(void **state)
{
    (void)state;
    static const char *const history[] = {"one", "two"};
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.router = "Is {request} fit?[ROLESWITCHING assistant:] It is";
    params.prompts = &prompts;
    params.conversation = "stablevicuna";
    params.history = history;
    params.n_history = 2;
    params.system_message = "Be.";
    script_route("A", 0, 0, 0);
    sot_session *session = scripted_session_open(NULL);
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
    static const char prompt[] = "### Human: Be.\n\none\n### Assistant: two\n### Human: Is What? "
                                 "fit?\n### Assistant: It is";
    assert_int_equal(scripted.n_prompt_rows, 1 + strlen(prompt));
    assert_int_equal(sot_route(session, "Who?", &params, &decision), SOT_OK);
    assert_int_equal(scripted.n_prompt_rows,
                     1 + strlen(prompt) + strlen(strstr(prompt, "Is What")) - 1);
    scripted_session_close(session);
}

static void generate_routed_writes_what_was_decided(void **state)
{
    (void)state;
    static const struct {
        const char *letter;
        const char *text;
        uint32_t mode, stages;
    } cases[] = {
        {"A", "1. Alpha. first.\n2. Beta. second one.\n3. Gamma. third", SOT_MODE_SOT, 423},
        {"B", "Just so.", SOT_MODE_NORMAL, 41},
        {"perhaps", "Just so.", SOT_MODE_NORMAL, 41},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        event_log_free(&events);
        script_anew();
        script_answers();
        script_route(cases[i].letter, 0, 0, 0);
        sot_session *session = scripted_session_open(NULL);
        sot_answer *answer = NULL;
        sot_decision decision = SOT_DECISION_INIT;
        assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
        assert_string_equal(sot_answer_text(answer), cases[i].text);
        assert_int_equal(events.stages, cases[i].stages);
        assert_int_equal(events.texts[SOT_STAGE_ROUTE].size, 0); /* not for the host */
        assert_int_equal(events.n_of_type[SOT_EVENT_DECISION], 1);
        assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
        assert_memory_equal(&decision, &events.decision, sizeof decision);
        sot_stats stats = stats_of(answer);
        assert_int_equal(stats.mode, cases[i].mode);
        assert_true(stats.route_ns == decision.latency_ns);
        assert_true(stats.route_ns <= stats.total_ns);
        assert_int_equal(stats.decode_tokens[3], decision.n_tokens);
        assert_int_equal(stats.prefill_tokens[3] + stats.reused_tokens[3],
                         1 + strlen(soti_prompt_router) - strlen("{request}") + strlen("What?"));
        assert_int_equal(stats.spent_tokens, 0);
        assert_int_equal(stats.won_ns, 0);
        sot_answer_free(answer);
        scripted_session_close(session);
    }
}

static void generate_unrouted_has_no_decision(void **state)
{
    (void)state;
    script_answers();
    params.mode = SOT_MODE_NORMAL;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    sot_decision decision = SOT_DECISION_INIT;
    decision.router = 77;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_DEFAULT);
    assert_int_equal(decision.latency_ns, 0);
    assert_int_equal(sot_answer_get_decision(NULL, &decision), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_answer_get_decision(answer, NULL), SOT_ERR_ARGUMENT);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void routers_that_know_decide_without_the_model(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    sot_decision decision = SOT_DECISION_INIT;
    params.router = SOT_ROUTER_ALWAYS;
    params.flags = SOT_GENERATE_CONCURRENT; /* there is nothing to do at the same time */
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_ALWAYS);
    assert_int_equal(decision.label, SOT_LABEL_SOT);
    assert_true(decision.score == 1.0f);
    params.router = SOT_ROUTER_NEVER;
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_NEVER);
    assert_int_equal(decision.label, SOT_LABEL_NORMAL);
    assert_true(decision.score == 0.0f);
    assert_int_equal(events.n_of_type[SOT_EVENT_DECISION], 2);
    assert_int_equal(events.stages, 44);
    assert_int_equal(scripted.n_steps, 0);
    scripted_session_close(session);
}

/* A classifier that knows no word: its score is the logistic function of its bias, ln 3. */
static void trained_decides_by_its_threshold(void **state)
{
    (void)state;
    sot_router router = {.bias = 1.0986123f, .threshold = 0.7f};
    params.trained_router = &router; /* which makes it the default */
    script_answers();
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_TRAINED);
    assert_int_equal(decision.label, SOT_LABEL_SOT);
    assert_true(fabs((double)decision.score - 0.75) < 1e-6);
    assert_int_equal(sot_answer_point_count(answer), 3);
    assert_int_equal(events.stages, 423);
    sot_answer_free(answer);
    router.threshold = 0.8f;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    sot_answer_free(answer);
    params.router = SOT_ROUTER_PROMPTING;
    script_route("A", 0, 0, 0);
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_PROMPTING);
    scripted_session_close(session);
}

typedef struct asked {
    uint32_t label;
    float score;
    int32_t result;
    char question[32];
} asked;

static int32_t answer_asked(const char *question, sot_decision *decision, void *user)
{
    asked *host = user;
    assert_int_equal(decision->struct_size, sizeof *decision);
    assert_int_equal(decision->router, SOT_ROUTER_CALLBACK);
    assert_int_equal(decision->label, SOT_LABEL_UNDECIDED);
    snprintf(host->question, sizeof host->question, "%s", question);
    decision->label = host->label;
    decision->score = host->score;
    decision->latency_ns = 1; /* which it is not asked for */
    return host->result;
}

static void callback_decides_by_label(void **state)
{
    (void)state;
    asked host = {.label = SOT_LABEL_SOT, .score = 0.75f};
    params.router = SOT_ROUTER_CALLBACK;
    params.on_route = answer_asked;
    params.route_user = &host;
    script_answers();
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(host.question, "What?");
    assert_int_equal(sot_answer_point_count(answer), 3);
    assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_CALLBACK);
    assert_true(decision.score == 0.75f);
    assert_true(decision.latency_ns != 1);
    sot_answer_free(answer);
    host.label = SOT_LABEL_UNDECIDED;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void callback_that_stops_or_makes_no_sense_fails(void **state)
{
    (void)state;
    asked host = {.result = 1};
    params.router = SOT_ROUTER_CALLBACK;
    params.on_route = answer_asked;
    params.route_user = &host;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = NULL;
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_ERR_CANCELLED);
    assert_non_null(strstr(sot_error_message(), "router callback"));
    assert_string_equal(sot_answer_text(answer), "");
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CANCELLED);
    sot_answer_free(answer);
    host = (asked){.label = 3};
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "label is 3"));
    host = (asked){.label = SOT_LABEL_SOT, .score = NAN};
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_ERR_ARGUMENT);
    assert_null(answer);
    assert_int_equal(events.n_of_type[SOT_EVENT_DECISION], 0);
    assert_int_equal(scripted.n_steps, 0);
    scripted_session_close(session);
}

/* Wherever it is stopped: nothing written before the decision, and behind it what there is. */
static void generate_routed_cancelled_anywhere_keeps_what_there_is(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    bool is_done = false;
    for (uint32_t n = 1; !is_done; n++) {
        assert_true(n < 500);
        event_log_free(&events);
        script_anew();
        script_answers();
        script_route("A", 0, 0, 0);
        events.stop_at = n;
        sot_answer *answer = NULL;
        sot_status status = sot_generate(session, "What?", &params, &answer);
        is_done = status == SOT_OK;
        assert_true(is_done || status == SOT_ERR_CANCELLED);
        sot_decision decision = SOT_DECISION_INIT;
        assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
        assert_int_equal(decision.router, SOT_ROUTER_PROMPTING);
        if (!is_done) {
            assert_int_equal(sot_answer_finish(answer), SOT_FINISH_CANCELLED);
            assert_true(decision.label != SOT_LABEL_UNDECIDED || sot_answer_text_size(answer) == 0);
        }
        sot_answer_free(answer);
    }
    scripted_session_close(session);
}

/* The router's question is longer than the answer's prompt: too long for the context it leaves the
 * answer as it would be without a router. */
static void question_without_room_is_undecided(void **state)
{
    (void)state;
    script_answers();
    script_route("A", 0, 0, 0);
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_ctx = 256;
    sot_session *session = scripted_session_open(&session_params);
    sot_answer *answer = NULL;
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_route(session, "What?", &params, &decision), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(sot_error_message(), "router's question: the prompt has"));
    assert_int_equal(decision.label, SOT_LABEL_UNDECIDED);
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_string_equal(sot_answer_text(answer), "Just so.");
    assert_int_equal(events.n_of_type[SOT_EVENT_DECISION], 2);
    assert_int_equal(events.decision.label, SOT_LABEL_UNDECIDED);
    sot_answer_free(answer);
    scripted_session_close(session);
}

static void device_that_fails_in_the_router_fails_the_call(void **state)
{
    (void)state;
    script_answers();
    script_route("A", 0, 0, 0);
    scripted.fail_at_step = 1;
    sot_session *session = scripted_session_open(NULL);
    sot_answer *answer = (sot_answer *)&scripted;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_ERR_DEVICE);
    assert_null(answer);
    scripted_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(prompt_equals_the_published_one),
        TEST(route_letter_decides_in_one_pass_behind_the_prompt),
        TEST(route_other_text_decides_by_its_first_word),
        TEST(route_letter_within_a_token_is_read_from_the_text),
        TEST(route_is_not_stopped_by_the_caller_s_stops),
        TEST(route_asks_in_the_conversation),
        TEST(generate_routed_writes_what_was_decided),
        TEST(generate_unrouted_has_no_decision),
        TEST(routers_that_know_decide_without_the_model),
        TEST(trained_decides_by_its_threshold),
        TEST(callback_decides_by_label),
        TEST(callback_that_stops_or_makes_no_sense_fails),
        TEST(generate_routed_cancelled_anywhere_keeps_what_there_is),
        TEST(question_without_room_is_undecided),
        TEST(device_that_fails_in_the_router_fails_the_call),
    };
    return cmocka_run_group_tests_name("routing", tests, NULL, NULL);
}
