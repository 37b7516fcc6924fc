/* The exported session functions and sot_logits at the border. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>

#include <cmocka.h>

#include "scripted_model.h"

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

static void create_refuses_what_is_not_defined(void **state)
{
    (void)state;
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.flags = 2;
    assert_int_equal(sot_session_create(&scripted_model, &params, &session), SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(sot_error_message(), "session parameters: flags 0x2"));
    params.flags = 0;
    params.pin_threads = 2;
    assert_int_equal(sot_session_create(&scripted_model, &params, &session), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "pin_threads is 2"));
    assert_null(session);
    params.pin_threads = 1;
    assert_int_equal(sot_session_create(&scripted_model, &params, &session), SOT_OK);
    sot_session_free(session);
}

static void info_tells_what_was_chosen(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session_info info = SOT_SESSION_INFO_INIT;
    assert_int_equal(sot_model_load("random:32x1x2x32x300", NULL, &model), SOT_OK);
    params.n_threads = 2;
    params.n_ctx = 100;
    params.max_batch = 3;
    params.kv_tokens = 161; /* in eleven pages of 16 */
    params.chunk_rows = 40;
    params.isa = "portable";
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    assert_int_equal(sot_session_get_info(session, &info), SOT_OK);
    assert_int_equal(info.n_threads, 2);
    assert_int_equal(info.n_ctx, 100);
    assert_int_equal(info.max_batch, 3);
    assert_int_equal(info.kv_tokens, 176);
    assert_int_equal(info.chunk_rows, 40);
    assert_string_equal(info.isa, "portable");
    assert_true(info.session_bytes > 176 * 32 * 2 * sizeof(uint16_t)); /* the pages alone */
    assert_int_equal(sot_session_get_info(session, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_session_get_info(NULL, &info), SOT_ERR_ARGUMENT);
    info.struct_size = 0;
    assert_int_equal(sot_session_get_info(session, &info), SOT_ERR_ARGUMENT);
    sot_session_free(session);
    sot_model_free(model);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(create_arguments_are_checked),
        TEST(create_takes_a_struct_of_any_version),
        TEST(create_refuses_what_is_not_defined),
        TEST(info_tells_what_was_chosen),
        TEST(logits_arguments_are_checked),
        TEST(logits_beyond_the_context_say_both_numbers),
        TEST(logits_on_a_failing_device_can_be_asked_again),
        TEST(cancel_from_a_signal_handler_stops_the_next_call),
    };
    return cmocka_run_group_tests_name("api_session", tests, NULL, NULL);
}
