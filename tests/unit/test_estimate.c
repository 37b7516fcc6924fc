/* Estimates on a profile of known formulas, against sums worked out here, pass by pass. */
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

static const uint32_t tails[] = {10, 10, 10};
static const uint32_t tokens[] = {3, 1, 2};

/* Two points, from a prompt of 48 tokens in common: whole pages. */
static sot_lengths base_lengths(void)
{
    return (sot_lengths){.normal_prompt = 20,
                         .normal_tokens = 3,
                         .skeleton_prompt = 40,
                         .skeleton_tokens = 2,
                         .common_prompt = 48,
                         .point_prompt_tails = tails,
                         .point_tokens = tokens,
                         .n_points = 3};
}

static sot_estimate estimate_of(const sot_lengths *lengths)
{
    sot_profile *profile = case_profile();
    sot_estimate estimate;
    assert_int_equal(soti_lengths_check(lengths), SOT_OK);
    assert_int_equal(soti_estimate(profile, lengths, &estimate), SOT_OK);
    soti_profile_free(profile);
    return estimate;
}

static void check_ns(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fabs(expected) + 1e-3)) {
        fail_msg("%.3f ns, expected %.3f", found, expected);
    }
}

static double logits(double n)
{
    return 0.1 * case_decode(n, 1);
}

/* r rows of one prompt behind p tokens. */
static double pass(double r, double p, int with_token)
{
    return case_past(r, p) - (with_token ? 0 : logits(1));
}

static void estimate_of_a_text_is_its_prompt_and_a_step_for_each_further_token(void **state)
{
    (void)state;
    sot_lengths lengths = base_lengths();
    sot_estimate estimate = estimate_of(&lengths);
    check_ns(estimate.normal_ns, pass(20, 0, 1) + case_decode(1, 20) + case_decode(1, 21));
    lengths.normal_tokens = 1;
    estimate = estimate_of(&lengths);
    check_ns(estimate.normal_ns, pass(20, 0, 1));
}

static void estimate_of_a_long_prompt_is_passes_of_chunk_rows(void **state)
{
    (void)state;
    sot_lengths lengths = base_lengths();
    lengths.skeleton_prompt = 2 * CASE_CHUNK + 6;
    sot_estimate estimate = estimate_of(&lengths);
    check_ns(estimate.skeleton_ns, pass(32, 0, 0) + pass(32, 32, 0) + pass(6, 64, 1) +
                                       case_decode(1, 2 * CASE_CHUNK + 6));
    lengths.skeleton_found = 50;
    estimate = estimate_of(&lengths);
    check_ns(estimate.skeleton_ns, pass(20, 50, 1) + case_decode(1, 2 * CASE_CHUNK + 6));
}

static void estimate_of_expansions_shares_the_beginning_and_drops_ended_rows(void **state)
{
    (void)state;
    const sot_lengths lengths = base_lengths();
    sot_estimate estimate = estimate_of(&lengths);
    double expected = pass(32, 0, 0) + pass(16, 32, 0); /* 48 in common, behind it no token */
    /* 30 rows of three ends, each behind 48 tokens and those of its own end before it; the table's
     * 30 rows of one prompt are behind 0 to 29. */
    double extra = 30 * 48 + 3 * 45 - 30 * 29 / 2.0;
    expected += case_rows(30) + CASE_UNIT * 0.25 * extra + logits(3) - logits(1);
    /* The second has its one token; the others decode behind 10 own tokens. */
    expected += case_decode(2, 10) + CASE_UNIT * 48 / 4.0;
    expected += case_decode(1, 48 + 11); /* and the first alone */
    check_ns(estimate.expand_ns, expected);
    check_ns(estimate.sot_ns, estimate.skeleton_ns + estimate.expand_ns);
    check_ns(estimate.speedup, estimate.normal_ns / estimate.sot_ns);
    assert_int_equal(estimate.extrapolated, 0);
}

static void estimate_counts_the_last_page_of_the_beginning_as_each_ones_own(void **state)
{
    (void)state;
    static const uint32_t two[] = {4, 4};
    sot_lengths lengths = base_lengths();
    lengths.common_prompt = 53;
    lengths.common_found = 53; /* nothing to compute */
    lengths.n_points = 2;
    lengths.point_tokens = two;
    sot_estimate estimate = estimate_of(&lengths);
    double extra = 20 * 53 + 2 * 45 - 20 * 19 / 2.0;
    double expected = case_rows(20) + CASE_UNIT * 0.25 * extra + logits(2) - logits(1);
    for (int i = 0; i < 3; i++) {
        expected += case_decode(2, 5 + 10 + i) + CASE_UNIT * 48 / 4.0;
    }
    check_ns(estimate.expand_ns, expected);
}

static void estimate_of_ends_beyond_a_pass_decodes_beside_the_rest(void **state)
{
    (void)state;
    static const uint32_t long_tails[] = {20, 20};
    static const uint32_t two[] = {2, 2};
    sot_lengths lengths = base_lengths();
    lengths.common_prompt = lengths.common_found = 16;
    lengths.n_points = 2;
    lengths.point_prompt_tails = long_tails;
    lengths.point_tokens = two;
    sot_estimate estimate = estimate_of(&lengths);
    /* 20 rows of the first, 12 of the second; then 8 of the second beside the first's token; then
     * the second's. */
    double before = 20 * (16 + 9.5) + 12 * (16 + 5.5);
    double expected = case_rows(32) + CASE_UNIT * 0.25 * (before - 32 * 31 / 2.0);
    before = 8 * (16 + 12 + 3.5);
    expected += case_rows(9) + logits(2) - logits(1) + CASE_UNIT * 0.25 * (before - 9 * 8 / 2.0) +
                case_decode(1, 16 + 20) - case_decode(1, 1);
    expected += case_decode(1, 16 + 20);
    check_ns(estimate.expand_ns, expected);
}

static void estimate_of_more_points_than_the_batch_lets_them_wait(void **state)
{
    (void)state;
    static const uint32_t ones[] = {1, 1, 1, 1, 1, 1};
    static const uint32_t lasting[] = {2, 1, 2, 2, 2, 1};
    sot_lengths lengths = base_lengths();
    lengths.common_prompt = 0;
    lengths.n_points = 6;
    lengths.point_prompt_tails = ones;
    lengths.point_tokens = lasting;
    sot_estimate estimate = estimate_of(&lengths);
    /* Four at first (the batch); the second leaves and the fifth comes; then the other three have
     * two tokens and the sixth comes. Rows of one prompt token are prompts, behind nothing. */
    double expected = case_rows(4) + logits(4) - logits(1) - CASE_UNIT * 0.25 * 6;
    expected += case_rows(4) + logits(4) - logits(1) - CASE_UNIT * 0.25 * 6; /* 3 decode, 1 */
    expected += case_rows(2) + logits(2) - logits(1) - CASE_UNIT * 0.25 * 1; /* 5th, 6th */
    check_ns(estimate.expand_ns, expected);
}

static void estimate_of_one_point_is_one_text(void **state)
{
    (void)state;
    sot_lengths lengths = base_lengths();
    lengths.n_points = 1;
    lengths.common_prompt = 20;
    lengths.common_found = 5;
    sot_estimate estimate = estimate_of(&lengths);
    check_ns(estimate.expand_ns, pass(25, 5, 1) + case_decode(1, 30) + case_decode(1, 31));
}

static void estimate_without_points_is_the_skeleton(void **state)
{
    (void)state;
    sot_lengths lengths = base_lengths();
    lengths.n_points = 0;
    lengths.point_prompt_tails = lengths.point_tokens = NULL;
    sot_estimate estimate = estimate_of(&lengths);
    check_ns(estimate.expand_ns, 0);
    check_ns(estimate.sot_ns, estimate.skeleton_ns);
    check_ns(estimate.paper_expand_ns, 0);
    check_ns(estimate.paper_expand_flops, 0);
}

static void estimate_beyond_the_tables_says_so(void **state)
{
    (void)state;
    sot_lengths lengths = base_lengths();
    lengths.normal_tokens = 981; /* the last step is behind 999 tokens, the paper's behind 1000 */
    assert_int_equal(estimate_of(&lengths).extrapolated, 0);
    lengths.normal_tokens = 982;
    assert_int_equal(estimate_of(&lengths).extrapolated, SOT_EXTRAPOLATED_PAPER);
    lengths.normal_tokens = 983;
    assert_int_equal(estimate_of(&lengths).extrapolated,
                     SOT_EXTRAPOLATED_LIBSOT | SOT_EXTRAPOLATED_PAPER);
}

static void lengths_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    static const uint32_t zero[] = {10, 0, 10}, long_one[] = {10, SOTI_LENGTH_MAX + 1, 10};
    static const struct {
        size_t offset;
        uint32_t value;
        const char *name;
    } cases[] = {
#define AT(member) offsetof(sot_lengths, member)
        {AT(normal_prompt), 0, "normal_prompt is 0"},
        {AT(normal_tokens), 0, "normal_tokens is 0"},
        {AT(normal_tokens), SOTI_LENGTH_MAX + 1, "normal_tokens is 1048577"},
        {AT(skeleton_prompt), 0, "skeleton_prompt is 0"},
        {AT(skeleton_found), 40, "skeleton_found is 40"},
        {AT(skeleton_tokens), 0, "skeleton_tokens is 0"},
        {AT(common_prompt), UINT32_MAX, "common_prompt is 4294967295"},
        {AT(common_found), 49, "common_found is 49"},
        {AT(n_points), 4097, "n_points is 4097"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_lengths lengths = base_lengths();
        memcpy((char *)&lengths + cases[i].offset, &cases[i].value, sizeof cases[i].value);
        assert_int_equal(soti_lengths_check(&lengths), SOT_ERR_ARGUMENT);
        assert_non_null(strstr(soti_fail_message(), cases[i].name));
    }
    const uint32_t *const arrays[] = {NULL, zero, long_one};
    for (size_t i = 0; i < 6; i++) {
        sot_lengths lengths = base_lengths();
        *(i < 3 ? &lengths.point_prompt_tails : &lengths.point_tokens) = arrays[i % 3];
        assert_int_equal(soti_lengths_check(&lengths), SOT_ERR_ARGUMENT);
        assert_non_null(strstr(soti_fail_message(), i < 3 ? "point_prompt_tails" : "point_tokens"));
    }
}

static void estimate_survives_every_allocation_failing(void **state)
{
    (void)state;
    const sot_lengths lengths = base_lengths();
    sot_profile *profile = case_profile();
    for (long n = 0; n < 2; n++) {
        sot_estimate estimate;
        soti_alloc_fail_at(n);
        assert_int_equal(soti_estimate(profile, &lengths, &estimate), SOT_ERR_MEMORY);
        assert_true(soti_alloc_fail_at(-1) < 0);
    }
    soti_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(estimate_of_a_text_is_its_prompt_and_a_step_for_each_further_token),
        cmocka_unit_test(estimate_of_a_long_prompt_is_passes_of_chunk_rows),
        cmocka_unit_test(estimate_of_expansions_shares_the_beginning_and_drops_ended_rows),
        cmocka_unit_test(estimate_counts_the_last_page_of_the_beginning_as_each_ones_own),
        cmocka_unit_test(estimate_of_ends_beyond_a_pass_decodes_beside_the_rest),
        cmocka_unit_test(estimate_of_more_points_than_the_batch_lets_them_wait),
        cmocka_unit_test(estimate_of_one_point_is_one_text),
        cmocka_unit_test(estimate_without_points_is_the_skeleton),
        cmocka_unit_test(estimate_beyond_the_tables_says_so),
        cmocka_unit_test(lengths_out_of_range_are_refused_by_name),
        cmocka_unit_test(estimate_survives_every_allocation_failing),
    };
    return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
