/* The exported calls that generate, at the border: arguments, modes, sessions in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"

static sot_session *session;
static sot_points *points;

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    assert_int_equal(sot_session_create(&scripted_model, NULL, &session), SOT_OK);
    assert_int_equal(sot_points_parse("1. A\n2. B", 9, 0, &points), SOT_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sot_points_free(points);
    sot_session_free(session);
    scripted_model_close();
    return 0;
}

/* Every call with the same arguments; all must return this status and NULL. */
static void refuse_all(sot_session *of, const char *question, const sot_generate_params *params,
                       sot_status expected)
{
    sot_answer *answer = (sot_answer *)&scripted;
    sot_points *out = (sot_points *)&scripted;
    assert_int_equal(sot_generate(of, question, params, &answer), expected);
    assert_null(answer);
    answer = (sot_answer *)&scripted;
    assert_int_equal(sot_expand_batch(of, question, points, params, &answer), expected);
    assert_null(answer);
    assert_int_equal(sot_skeleton(of, question, params, &out), expected);
    assert_null(out);
    assert_int_equal(scripted.n_steps, 0);
}

static void generate_arguments_are_checked(void **state)
{
    (void)state;
    sot_answer *answer = (sot_answer *)&scripted;
    refuse_all(NULL, "What?", NULL, SOT_ERR_ARGUMENT);
    refuse_all(session, NULL, NULL, SOT_ERR_ARGUMENT);
    refuse_all(session, "", NULL, SOT_ERR_ARGUMENT);
    refuse_all(session, "bad \xff", NULL, SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "question: byte 4"));
    refuse_all(session, "What?", &(sot_generate_params){0}, SOT_ERR_ARGUMENT);
    assert_int_equal(sot_generate(session, "What?", NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_skeleton(session, "What?", NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_expand_batch(session, "What?", points, NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_expand_batch(session, "What?", NULL, NULL, &answer), SOT_ERR_ARGUMENT);
    assert_null(answer);
}

static void refuse_router(const sot_generate_params *params, const char *sentence)
{
    sot_decision decision = SOT_DECISION_INIT;
    sot_answer *answer = (sot_answer *)&scripted;
    decision.label = SOT_LABEL_SOT;
    assert_int_equal(sot_route(session, "What?", params, &decision), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), sentence));
    assert_int_equal(decision.label, SOT_LABEL_UNDECIDED);
    assert_int_equal(sot_generate(session, "What?", params, &answer), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), sentence));
    assert_null(answer);
    assert_int_equal(scripted.n_steps, 0);
}

static void routed_without_what_its_router_needs_is_refused(void **state)
{
    (void)state;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    params.mode = SOT_MODE_ROUTED;
    params.router = SOT_ROUTER_TRAINED;
    refuse_router(&params, "trained_router is NULL");
    params.router = SOT_ROUTER_CALLBACK;
    refuse_router(&params, "on_route is NULL");
    params.router = SOT_ROUTER_CALLBACK + 1;
    refuse_router(&params, "router is 6, which is no SOT_ROUTER_*");
    params.mode = SOT_MODE_NORMAL; /* which asks no router */
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    sot_answer_free(answer);
}

static void route_arguments_are_checked(void **state)
{
    (void)state;
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_route(session, "What?", NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_route(NULL, "What?", NULL, &decision), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_route(session, "", NULL, &decision), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_route(session, "What?", NULL, &(sot_decision){0}), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "decision: struct_size is 0"));
    assert_int_equal(scripted.n_steps, 0);
}

/* A caller from before a field was added has a shorter struct, one from after it a longer. */
static void route_fills_what_the_caller_s_decision_has(void **state)
{
    (void)state;
    struct {
        sot_decision decision;
        uint64_t more;
    } longer = {{.struct_size = sizeof longer}, 7};
    script_route("B", 0, 1, 0);
    assert_int_equal(sot_route(session, "What?", NULL, &longer.decision), SOT_OK);
    assert_int_equal(longer.decision.letter, 'B');
    assert_int_equal(longer.decision.struct_size, sizeof longer);
    assert_int_equal(longer.more, 0);
    sot_decision shorter = {.struct_size = 16, .n_tokens = 77};
    assert_int_equal(sot_route(session, "What?", NULL, &shorter), SOT_OK);
    assert_int_equal(shorter.letter, 'B');
    assert_int_equal(shorter.n_tokens, 77);
}

static void generate_without_a_tokenizer_is_unsupported(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = scripted_model.tokenizer;
    scripted_model.tokenizer = NULL;
    refuse_all(session, "What?", NULL, SOT_ERR_UNSUPPORTED);
    scripted_model.tokenizer = tokenizer;
}

/* What a callback gets that calls back into its own session. */
static int32_t call_again(const sot_event *event, void *user)
{
    sot_status *statuses = user;
    sot_answer *answer = NULL;
    float logits[SCRIPT_VOCAB];
    const int32_t id = 1;
    (void)event;
    statuses[0] = sot_generate(session, "Again?", NULL, &answer);
    statuses[1] = sot_logits(session, &id, 1, logits);
    return 0;
}

static void session_in_use_is_busy(void **state)
{
    (void)state;
    sot_status statuses[2] = {SOT_OK, SOT_OK};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    params.on_event = call_again;
    params.event_user = statuses;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    assert_int_equal(statuses[0], SOT_ERR_BUSY);
    assert_int_equal(statuses[1], SOT_ERR_BUSY);
    sot_answer_free(answer);
}

static void cancel_request_survives_a_call_that_was_refused(void **state)
{
    (void)state;
    sot_answer *answer = NULL;
    sot_session_cancel(session);
    assert_int_equal(sot_generate(session, "", NULL, &answer), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_ERR_CANCELLED);
    sot_answer_free(answer);
    assert_int_equal(sot_generate(session, "What?", NULL, &answer), SOT_OK);
    sot_answer_free(answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(generate_arguments_are_checked),
        TEST(routed_without_what_its_router_needs_is_refused),
        TEST(route_arguments_are_checked),
        TEST(route_fills_what_the_caller_s_decision_has),
        TEST(generate_without_a_tokenizer_is_unsupported),
        TEST(session_in_use_is_busy),
        TEST(cancel_request_survives_a_call_that_was_refused),
    };
    return cmocka_run_group_tests_name("api_generate", tests, NULL, NULL);
}
