/* What a race has won, on passes whose times and rows are made up, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sot/race_times.h"

enum {
    NORMAL = SOT_STAGE_NORMAL - 1,
    SKELETON = SOT_STAGE_SKELETON - 1,
    ROUTE = SOT_STAGE_ROUTE - 1
};

static void won_decoding_rides_along_for_nothing(void **state)
{
    (void)state;
    soti_race_times times = {0};
    soti_pass pass = {.ns = 100};
    pass.n_decode[ROUTE] = pass.n_decode[NORMAL] = pass.n_decode[SKELETON] = 1;
    for (int i = 0; i < 5; i++) {
        soti_race_times_add(&times, &pass, false);
    }
    /* One after the other: 5 passes of the router, 5 of the winner; 5 were taken. */
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_NORMAL), 500);
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_SKELETON), 500);
}

static void won_the_loser_s_prompt_costs_what_its_rows_took(void **state)
{
    (void)state;
    soti_race_times times = {0};
    soti_pass pass = {.ns = 1000};
    pass.n_prompt[ROUTE] = 60;
    pass.n_prompt[NORMAL] = 10;
    pass.n_prompt[SKELETON] = 30;
    soti_race_times_add(&times, &pass, false);
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_NORMAL), 600 + 100 - 1000);
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_SKELETON), 600 + 300 - 1000);
    /* A prompt of few rows takes a pass over the weights all the same. */
    soti_pass plain = {.ns = 400};
    plain.n_decode[NORMAL] = 1;
    soti_race_times_add(&times, &plain, true);
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_NORMAL), 600 + 400 - 1000);
}

/* What happens behind the decision is no part of the race, but tells what decoding costs. */
static void won_decoding_beside_prompts_costs_passes_of_its_own(void **state)
{
    (void)state;
    soti_race_times times = {0};
    soti_pass pass = {.ns = 1000};
    pass.n_prompt[ROUTE] = 98;
    pass.n_decode[NORMAL] = pass.n_decode[SKELETON] = 1;
    soti_race_times_add(&times, &pass, false);
    soti_pass plain = {.ns = 290};
    plain.n_decode[NORMAL] = 1;
    soti_race_times_add(&times, &plain, true);
    plain.ns = 310;
    soti_race_times_add(&times, &plain, true);
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_NORMAL), 980 + 300 - 1000);
}

static void won_without_any_pass_is_nothing(void **state)
{
    (void)state;
    const soti_race_times times = {0};
    assert_int_equal(soti_race_times_won(&times, SOT_STAGE_NORMAL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(won_decoding_rides_along_for_nothing),
        cmocka_unit_test(won_the_loser_s_prompt_costs_what_its_rows_took),
        cmocka_unit_test(won_decoding_beside_prompts_costs_passes_of_its_own),
        cmocka_unit_test(won_without_any_pass_is_nothing),
    };
    return cmocka_run_group_tests_name("race_times", tests, NULL, NULL);
}
