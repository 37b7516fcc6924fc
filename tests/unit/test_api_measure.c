/* sot_session_measure at the border, and on a real model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"

static void measure_arguments_are_checked(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    sot_measure_params params = SOT_MEASURE_PARAMS_INIT;
    uint64_t times_ns[5];
    assert_int_equal(sot_session_measure(NULL, &params, times_ns), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_session_measure(session, &params, NULL), SOT_ERR_ARGUMENT);
    params.n_repeats = 10001; /* refused before so many times are written */
    assert_int_equal(sot_session_measure(session, &params, times_ns), SOT_ERR_ARGUMENT);
    params.n_repeats = 0;
    params.flags = 1;
    assert_int_equal(sot_session_measure(session, &params, times_ns), SOT_ERR_UNSUPPORTED);
    params.flags = 0;
    params.struct_size = 0;
    assert_int_equal(sot_session_measure(session, &params, times_ns), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_session_measure(session, NULL, times_ns), SOT_OK);
    scripted_session_close(session);
}

static void measure_that_fails_leaves_zeros(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    uint64_t times_ns[] = {1, 2, 3, 4, 5, 6};
    sot_session_cancel(session);
    assert_int_equal(sot_session_measure(session, NULL, times_ns), SOT_ERR_CANCELLED);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(times_ns[i], 0);
    }
    assert_int_equal(times_ns[5], 6);
    assert_int_equal(sot_session_measure(session, NULL, times_ns), SOT_OK); /* it is used up */
    scripted_session_close(session);
}

static void measure_in_use_is_busy(void **state)
{
    (void)state;
    sot_session *session = scripted_session_open(NULL);
    uint64_t times_ns[5];
    assert_int_equal(soti_session_enter(session), SOT_OK);
    assert_int_equal(sot_session_measure(session, NULL, times_ns), SOT_ERR_BUSY);
    soti_session_leave(session);
    scripted_session_close(session);
}

/* A measurement between two calls changes nothing that either computes. */
static void measure_between_calls_changes_no_logits(void **state)
{
    (void)state;
    enum { N_VOCAB = 300, N_TOKENS = 50 };
    static float before[N_VOCAB];
    static float after[N_VOCAB];
    static const sot_measure_params measured[] = {
        {.struct_size = sizeof *measured, .n_sequences = 4, .n_past = 60, .n_shared = 40},
        {.struct_size = sizeof *measured, .n_new = 70, .n_past = 3, .n_repeats = 2},
    };
    int32_t tokens[N_TOKENS];
    uint64_t times_ns[5];
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = 128;
    params.n_threads = 2;
    for (int i = 0; i < N_TOKENS; i++) {
        tokens[i] = i * 5;
    }
    assert_int_equal(sot_model_load("random:32x2x2x48x300", NULL, &model), SOT_OK);
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    assert_int_equal(sot_logits(session, tokens, N_TOKENS, before), SOT_OK);
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        assert_int_equal(sot_session_measure(session, &measured[i], times_ns), SOT_OK);
        assert_true(times_ns[0] > 0 && times_ns[1] > 0);
    }
    assert_int_equal(sot_logits(session, tokens, N_TOKENS, after), SOT_OK);
    assert_memory_equal(before, after, sizeof before);
    sot_session_free(session);
    sot_model_free(model);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(measure_arguments_are_checked),
        TEST(measure_that_fails_leaves_zeros),
        TEST(measure_in_use_is_busy),
        TEST(measure_between_calls_changes_no_logits),
    };
    return cmocka_run_group_tests_name("api_measure", tests, NULL, NULL);
}
