/* The paper's equations against sums in closed form, and by its own example of what they count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile_case.h"
#include "sot/estimate.h"

static const uint32_t tails[] = {12, 30, 9};
static const uint32_t tokens[] = {64, 20, 51};
static const sot_lengths lengths = {.normal_prompt = 17,
                                    .normal_tokens = 100,
                                    .skeleton_prompt = 205,
                                    .skeleton_found = 150,
                                    .skeleton_tokens = 40,
                                    .common_prompt = 260,
                                    .common_found = 100,
                                    .point_prompt_tails = tails,
                                    .point_tokens = tokens,
                                    .n_points = 3};

/* The sum of t_D(B, k) over k = l_i .. l_i + l_o - 1. */
static double steps(double l_i, double l_o, double b)
{
    double sum_k = l_o * l_i + l_o * (l_o - 1) / 2;
    return CASE_UNIT * (l_o * (900 + 20 * b) + b * sum_k);
}

static sot_estimate estimate_case(bool *outside)
{
    sot_profile *profile = case_profile();
    sot_estimate estimate = {0};
    *outside = false;
    soti_estimate_paper(profile, &lengths, &estimate, outside);
    soti_profile_free(profile);
    return estimate;
}

static void check(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * expected)) {
        fail_msg("%.6g, expected %.6g", found, expected);
    }
}

static void paper_latencies_are_equations_1_to_3(void **state)
{
    (void)state;
    bool outside;
    sot_estimate estimate = estimate_case(&outside);
    assert_false(outside);
    double normal = case_prefill(1, 11) + steps(17, 100, 1); /* 17 is looked up as 11 */
    double skeleton = case_prefill(1, 201) + steps(205, 40, 1);
    double expand = case_prefill(3, 291) + steps(290, 64, 3); /* the longest of each */
    check(estimate.paper_normal_ns, normal);
    check(estimate.paper_skeleton_ns, skeleton);
    check(estimate.paper_expand_ns, expand);
    check(estimate.paper_speedup, normal / (skeleton + expand));
}

/* The case's model: 2 layers of width 32, 4 heads of 8 for queries and 2 for keys and values, 64
 * hidden, 100 pieces. */
static double flops(double l_i, double l_o, double b)
{
    double weights = 2 * (32 * 32 + 32 * 16 + 32 * 16 + 32 * 32 + 3 * 32 * 64) + 32 * 100;
    double sum_attended = l_o * (l_i + 1) + l_o * (l_o - 1) / 2;
    return b * (l_o * 2 * weights + 4 * 2 * 32 * sum_attended);
}

static void paper_rate_of_decoding_is_equation_4(void **state)
{
    (void)state;
    bool outside;
    sot_estimate estimate = estimate_case(&outside);
    check(estimate.paper_normal_flops, flops(17, 100, 1) / (steps(17, 100, 1) / 1e9));
    check(estimate.paper_expand_flops, flops(290, 64, 3) / (steps(290, 64, 3) / 1e9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paper_latencies_are_equations_1_to_3),
        cmocka_unit_test(paper_rate_of_decoding_is_equation_4),
    };
    return cmocka_run_group_tests_name("estimate paper", tests, NULL, NULL);
}
