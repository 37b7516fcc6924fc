/* What a pass takes, against the formulas that the tables were made by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "profile_case.h"

static void check_pass(const sot_profile *profile, soti_pass_shape pass, double expected,
                       bool expected_outside)
{
    bool outside = false;
    double ns = soti_pass_ns(profile, &pass, &outside);
    assert_true(fabs(ns - expected) < 1e-3);
    assert_int_equal(outside, expected_outside);
}

/* A tenth of a step: 2 bytes * 100 pieces * width 32 of 64000 bytes. */
static double logits(double n)
{
    return 0.1 * case_decode(n, 1);
}

static void pass_of_decode_rows_is_a_step(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    check_pass(profile, (soti_pass_shape){.n_decode = 3, .n_own = 50}, case_decode(3, 50), false);
    check_pass(profile, (soti_pass_shape){.n_decode = 1, .n_own = 2000}, case_decode(1, 2000),
               true);
    check_pass(profile, (soti_pass_shape){.n_decode = 6, .n_own = 50}, case_decode(6, 50), true);
    soti_profile_free(profile);
}

static void pass_on_shared_pages_adds_what_they_cost_together(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    check_pass(profile, (soti_pass_shape){.n_decode = 4, .n_own = 50, .n_shared = 320},
               case_decode(4, 50) + CASE_UNIT * 80, false);
    /* A single row shares with nobody. */
    check_pass(profile, (soti_pass_shape){.n_decode = 1, .n_own = 50, .n_shared = 320},
               case_decode(1, 370), false);
    soti_profile_free(profile);
}

static void pass_of_a_prompt_is_its_rows_and_what_is_before_them(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    double alone = 20 * 19 / 2.0; /* each row behind those before it */
    check_pass(profile, (soti_pass_shape){.n_prompt = 20, .n_logits = 1, .n_before = alone},
               case_rows(20), false);
    check_pass(profile,
               (soti_pass_shape){.n_prompt = 20, .n_logits = 1, .n_before = alone + 20 * 100},
               case_past(20, 100), false);
    check_pass(profile, (soti_pass_shape){.n_prompt = 20, .n_logits = 0, .n_before = alone},
               case_rows(20) - logits(1), false);
    soti_profile_free(profile);
}

static void pass_of_prompts_and_decode_rows_is_one_pass(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    const soti_pass_shape pass = {.n_prompt = 20,
                                  .n_decode = 2,
                                  .n_logits = 4,
                                  .n_before = 22 * 21 / 2.0,
                                  .n_own = 31,
                                  .n_shared = 256};
    check_pass(profile, pass,
               case_rows(22) + logits(4) - logits(1) + case_decode(2, 31) - case_decode(2, 1) +
                   CASE_UNIT * 64,
               false);
    soti_profile_free(profile);
}

static void pass_without_the_tables_of_context_is_still_one(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    soti_grid_free(&profile->tables[SOTI_TABLE_PAST]);
    soti_grid_free(&profile->tables[SOTI_TABLE_SHARED]);
    check_pass(profile, (soti_pass_shape){.n_prompt = 20, .n_logits = 1, .n_before = 5000},
               case_rows(20), true);
    check_pass(profile, (soti_pass_shape){.n_decode = 4, .n_own = 50, .n_shared = 320},
               case_decode(4, 50), true);
    soti_profile_free(profile);
}

static void profile_info_names_the_largest_cells(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    assert_int_equal(profile->info.n_cells, 9 + 9 + 3 + 6 + 6);
    assert_int_equal(profile->info.prefill_max_batch, 4);
    assert_int_equal(profile->info.prefill_max_tokens, 691);
    assert_int_equal(profile->info.decode_max_batch, 4);
    assert_int_equal(profile->info.decode_max_context, 1000);
    *soti_grid_find(&profile->tables[SOTI_TABLE_DECODE], 4, 1) = 0;
    *soti_grid_find(&profile->tables[SOTI_TABLE_DECODE], 4, 100) = 0;
    *soti_grid_find(&profile->tables[SOTI_TABLE_DECODE], 4, 1000) = 0;
    soti_profile_complete(profile);
    assert_int_equal(profile->info.decode_max_batch, 2);
    assert_int_equal(profile->info.n_cells, 30);
    soti_profile_free(profile);
}

static void profile_copy_survives_every_allocation_failing(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_profile *copy = NULL;
    long n = 0;
    for (;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = soti_profile_copy(profile, &copy);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(copy);
    }
    assert_true(n > 20);
    assert_string_equal(copy->info.machine, profile->info.machine);
    assert_ptr_not_equal(copy->info.machine, profile->info.machine);
    soti_profile_free(profile);
    check_pass(copy, (soti_pass_shape){.n_decode = 3, .n_own = 50}, case_decode(3, 50), false);
    soti_profile_free(copy);
    soti_profile_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pass_of_decode_rows_is_a_step),
        cmocka_unit_test(pass_on_shared_pages_adds_what_they_cost_together),
        cmocka_unit_test(pass_of_a_prompt_is_its_rows_and_what_is_before_them),
        cmocka_unit_test(pass_of_prompts_and_decode_rows_is_one_pass),
        cmocka_unit_test(pass_without_the_tables_of_context_is_still_one),
        cmocka_unit_test(profile_info_names_the_largest_cells),
        cmocka_unit_test(profile_copy_survives_every_allocation_failing),
    };
    return cmocka_run_group_tests_name("profile tables", tests, NULL, NULL);
}
