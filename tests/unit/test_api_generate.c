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

static void generate_routed_is_unsupported_yet(void **state)
{
    (void)state;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = (sot_answer *)&scripted;
    params.mode = SOT_MODE_ROUTED;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_ERR_UNSUPPORTED);
    assert_null(answer);
    assert_non_null(strstr(sot_error_message(), "router"));
    params.mode = SOT_MODE_SOT;
    assert_int_equal(sot_generate(session, "What?", &params, &answer), SOT_OK);
    sot_answer_free(answer);
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
        TEST(generate_routed_is_unsupported_yet),
        TEST(generate_without_a_tokenizer_is_unsupported),
        TEST(session_in_use_is_busy),
        TEST(cancel_request_survives_a_call_that_was_refused),
    };
    return cmocka_run_group_tests_name("api_generate", tests, NULL, NULL);
}
