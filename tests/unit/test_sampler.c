/* Which parameters a sampler takes, and what it hands to the backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "base/fail.h"
#include "model/sampler.h"

static void assert_refused(soti_sampler_params params, const char *name)
{
    soti_sampler sampler;
    assert_int_equal(soti_sampler_init(&sampler, &params, 0), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), name));
}

static void sampler_values_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    assert_refused((soti_sampler_params){.temperature = NAN}, "temperature");
    assert_refused((soti_sampler_params){.temperature = -0.1f}, "temperature is -0.1");
    assert_refused((soti_sampler_params){.temperature = INFINITY}, "temperature");
    assert_refused((soti_sampler_params){.top_p = NAN}, "top_p");
    assert_refused((soti_sampler_params){.top_p = -0.5f}, "top_p is -0.5");
    assert_refused((soti_sampler_params){.top_p = 1.5f}, "top_p is 1.5; it must be from 0 to 1");
    assert_refused((soti_sampler_params){.repetition_penalty = NAN}, "repetition_penalty");
    assert_refused((soti_sampler_params){.repetition_penalty = -1.0f}, "repetition_penalty");
    assert_refused((soti_sampler_params){.repetition_penalty = INFINITY}, "repetition_penalty");
}

static void sampler_zero_means_off(void **state)
{
    (void)state;
    soti_sampler sampler;
    assert_int_equal(soti_sampler_init(&sampler, &(soti_sampler_params){0}, 3), SOT_OK);
    soti_pick pick = soti_sampler_pick(&sampler, 0, NULL, 0);
    assert_true(pick.temperature == 0.0f);
    assert_true(pick.top_p == 1.0f);
    assert_true(pick.repetition_penalty == 1.0f);
    assert_int_equal(pick.top_k, 0);
}

static void sampler_pick_carries_parameters_stream_and_history(void **state)
{
    (void)state;
    const soti_sampler_params params = {.temperature = 0.7f,
                                        .top_p = 0.9f,
                                        .repetition_penalty = 1.1f,
                                        .top_k = 40,
                                        .seed = 0x123456789ABCDEFu};
    soti_sampler sampler;
    assert_int_equal(soti_sampler_init(&sampler, &params, 0xFEDCBA9876u), SOT_OK);
    const int32_t ids[] = {4, 5, 6};
    soti_pick pick = soti_sampler_pick(&sampler, 9, ids, 3);
    assert_int_equal(pick.i_logit, 9);
    assert_true(pick.temperature == 0.7f && pick.top_p == 0.9f);
    assert_true(pick.repetition_penalty == 1.1f);
    assert_int_equal(pick.top_k, 40);
    assert_true(pick.seed == params.seed);
    assert_true(pick.stream == 0xFEDCBA9876u);
    assert_int_equal(pick.counter, 3); /* one draw per token, none repeated */
    assert_ptr_equal(pick.recent, ids);
    assert_int_equal(pick.n_recent, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampler_values_out_of_range_are_refused_by_name),
        cmocka_unit_test(sampler_zero_means_off),
        cmocka_unit_test(sampler_pick_carries_parameters_stream_and_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
