/* The exported session functions and sot_logits at the border. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>

#include <cmocka.h>

#include "scripted_model.h"

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_model_close();
    return 0;
}

static void create_arguments_are_checked(void **state)
{
    (void)state;
    sot_session *session = (sot_session *)&scripted;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    assert_int_equal(sot_session_create(NULL, NULL, &session), SOT_ERR_ARGUMENT);
    assert_null(session);
    assert_int_equal(sot_session_create(&scripted_model, NULL, NULL), SOT_ERR_ARGUMENT);
    params.struct_size = 7;
    assert_int_equal(sot_session_create(&scripted_model, &params, &session), SOT_ERR_ARGUMENT);
    assert_null(session);
}

static void create_takes_a_struct_of_any_version(void **state)
{
    (void)state;
    sot_session *session = NULL;
    struct {
        sot_session_params params;
        uint64_t later;
    } newer = {.params = {.struct_size = sizeof newer, .n_ctx = 64}};
    assert_int_equal(sot_session_create(&scripted_model, &newer.params, &session), SOT_OK);
    sot_session_free(session);
    newer.later = 1;
    assert_int_equal(sot_session_create(&scripted_model, &newer.params, &session),
                     SOT_ERR_UNSUPPORTED);
    newer.params.struct_size = 16; /* knows n_ctx and max_batch, not what is behind */
    newer.params.kv_tokens = UINT32_MAX;
    newer.params.chunk_rows = UINT32_MAX;
    assert_int_equal(sot_session_create(&scripted_model, &newer.params, &session), SOT_OK);
    assert_int_equal(soti_engine_context_size(session->engine), 64);
    sot_session_free(session);
}

static void logits_arguments_are_checked(void **state)
{
    (void)state;
    sot_session *session = NULL;
    float logits[SCRIPT_VOCAB];
    int32_t ids[] = {1, 2, SCRIPT_VOCAB};
    assert_int_equal(sot_session_create(&scripted_model, NULL, &session), SOT_OK);
    assert_int_equal(sot_logits(NULL, ids, 1, logits), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_logits(session, NULL, 1, logits), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_logits(session, ids, 1, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_logits(session, ids, 0, logits), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_logits(session, ids, 3, logits), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "token 2 is 300"));
    ids[1] = -1;
    assert_int_equal(sot_logits(session, ids, 2, logits), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_logits(session, ids, 1, logits), SOT_OK);
    assert_true(logits[1] == 1.0f);
    sot_session_free(session);
}

static void logits_beyond_the_context_say_both_numbers(void **state)
{
    (void)state;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session *session = NULL;
    float logits[SCRIPT_VOCAB];
    int32_t ids[50] = {0};
    params.n_ctx = 49;
    assert_int_equal(sot_session_create(&scripted_model, &params, &session), SOT_OK);
    assert_int_equal(sot_logits(session, ids, 50, logits), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(sot_error_message(), "50"));
    assert_non_null(strstr(sot_error_message(), "49"));
    assert_int_equal(sot_logits(session, ids, 49, logits), SOT_OK);
    sot_session_free(session);
}

static void logits_on_a_failing_device_can_be_asked_again(void **state)
{
    (void)state;
    sot_session *session = NULL;
    float logits[SCRIPT_VOCAB];
    int32_t ids[300] = {0};
    assert_int_equal(sot_session_create(&scripted_model, NULL, &session), SOT_OK);
    scripted.fail_at_step = 2;
    assert_int_equal(sot_logits(session, ids, 300, logits), SOT_ERR_DEVICE);
    assert_int_equal(sot_logits(session, ids, 300, logits), SOT_OK);
    sot_session_free(session);
}

static sot_session *signalled;

static void cancel_on_signal(int number)
{
    (void)number;
    sot_session_cancel(signalled);
}

static void cancel_from_a_signal_handler_stops_the_next_call(void **state)
{
    (void)state;
    float logits[SCRIPT_VOCAB];
    const int32_t ids[] = {1, 2};
    assert_int_equal(sot_session_create(&scripted_model, NULL, &signalled), SOT_OK);
    assert_true(signal(SIGUSR1, cancel_on_signal) != SIG_ERR);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(sot_logits(signalled, ids, 2, logits), SOT_ERR_CANCELLED);
    assert_int_equal(sot_logits(signalled, ids, 2, logits), SOT_OK); /* it is used up */
    signal(SIGUSR1, SIG_DFL);
    sot_session_free(signalled);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(create_arguments_are_checked),
        TEST(create_takes_a_struct_of_any_version),
        TEST(logits_arguments_are_checked),
        TEST(logits_beyond_the_context_say_both_numbers),
        TEST(logits_on_a_failing_device_can_be_asked_again),
        TEST(cancel_from_a_signal_handler_stops_the_next_call),
    };
    return cmocka_run_group_tests_name("api_session", tests, NULL, NULL);
}
