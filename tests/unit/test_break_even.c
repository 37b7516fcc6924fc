/* The number of points from which on SoT is faster, against estimates one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "profile_case.h"
#include "sot/estimate.h"

enum { MAX_POINTS = 12 };

static sot_break_even_params params_of(uint32_t point_tokens)
{
    return (sot_break_even_params){.point_tokens = point_tokens,
                                   .normal_per_point = (float)point_tokens,
                                   .skeleton_per_point = 2.5f,
                                   .normal_prompt = 13,
                                   .skeleton_prompt = 171,
                                   .skeleton_found = 100,
                                   .common_prompt = 40,
                                   .common_found = 20,
                                   .point_tail = 23,
                                   .max_points = MAX_POINTS};
}

static double speedup_of(const sot_profile *profile, uint32_t point_tokens, uint32_t n_points)
{
    uint32_t tails[MAX_POINTS];
    uint32_t tokens[MAX_POINTS];
    uint32_t n_skeleton = (5 * n_points + 1) / 2; /* 2.5 a point, halves rounded up */
    for (uint32_t i = 0; i < n_points; i++) {
        tails[i] = 23;
        tokens[i] = point_tokens;
    }
    const sot_lengths lengths = {.normal_prompt = 13,
                                 .normal_tokens = n_points * point_tokens,
                                 .skeleton_prompt = 171,
                                 .skeleton_found = 100,
                                 .skeleton_tokens = n_skeleton,
                                 .common_prompt = 40 + n_skeleton,
                                 .common_found = 20,
                                 .point_prompt_tails = tails,
                                 .point_tokens = tokens,
                                 .n_points = n_points};
    sot_estimate estimate;
    assert_int_equal(soti_estimate(profile, &lengths, &estimate), SOT_OK);
    return estimate.speedup;
}

static void break_even_is_the_first_number_from_which_all_are_faster(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    uint32_t n_different = 0;
    uint32_t n_last = UINT32_MAX;
    for (uint32_t m = 2; m <= 256; m *= 2) {
        const sot_break_even_params params = params_of(m);
        sot_break_even found;
        uint32_t n_expected = MAX_POINTS + 1;
        double most = 0;
        while (n_expected > 1 && speedup_of(profile, m, n_expected - 1) > 1) {
            n_expected--;
        }
        for (uint32_t n = 1; n <= MAX_POINTS; n++) {
            double speedup = speedup_of(profile, m, n);
            most = speedup > most ? speedup : most;
        }
        assert_int_equal(soti_break_even(profile, &params, &found), SOT_OK);
        assert_int_equal(found.n_points, n_expected > MAX_POINTS ? 0 : n_expected);
        double expected = speedup_of(profile, m, found.n_points ? found.n_points : MAX_POINTS);
        assert_true(fabs(found.speedup - expected) < 1e-12);
        assert_true(fabs(found.max_speedup - most) < 1e-12);
        assert_true(fabs(speedup_of(profile, m, found.best_points) - most) < 1e-12);
        n_different += found.n_points != n_last;
        n_last = found.n_points;
    }
    assert_true(n_different >= 3); /* the case says something */
    soti_profile_free(profile);
}

static void break_even_of_lengths_out_of_range_is_refused(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_break_even found;
    sot_break_even_params params = params_of(64);
    params.normal_per_point = SOTI_LENGTH_MAX;
    assert_int_equal(soti_break_even(profile, &params, &found), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "normal_tokens"));
    params = params_of(64);
    params.common_prompt = UINT32_MAX;
    assert_int_equal(soti_break_even(profile, &params, &found), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "common_prompt"));
    soti_profile_free(profile);
}

static void break_even_survives_every_allocation_failing(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    const sot_break_even_params params = params_of(8);
    for (long n = 0;; n++) {
        sot_break_even found;
        soti_alloc_fail_at(n);
        sot_status status = soti_break_even(profile, &params, &found);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        if (passed_all) {
            assert_int_equal(n, 1 + 2 * (MAX_POINTS - 1)); /* one point needs none */
            break;
        }
    }
    soti_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(break_even_is_the_first_number_from_which_all_are_faster),
        cmocka_unit_test(break_even_of_lengths_out_of_range_is_refused),
        cmocka_unit_test(break_even_survives_every_allocation_failing),
    };
    return cmocka_run_group_tests_name("break even", tests, NULL, NULL);
}
