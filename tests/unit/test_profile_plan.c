/* Which cells are measured: the paper's grid, the sparse one, and what has no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/profile_plan.h"

static const soti_plan_limits plenty = {.max_batch = 16,
                                        .max_context = 1024,
                                        .session_batch = 16,
                                        .n_ctx = 4096,
                                        .n_pages = 1 << 20,
                                        .chunk_rows = 128,
                                        .n_decode_runs = 4,
                                        .n_prefill_runs = 7};

static sot_profile *empty_profile(void)
{
    sot_profile *profile;
    assert_int_equal(soti_profile_create(&(sot_profile_info){0}, &profile), SOT_OK);
    return profile;
}

static void check_axis(const uint32_t *values, uint32_t n, const uint32_t *expected,
                       uint32_t n_expected)
{
    assert_int_equal(n, n_expected);
    assert_memory_equal(values, expected, n * sizeof *values);
}

static void plan_full_is_the_papers_grid(void **state)
{
    (void)state;
    soti_plan_limits limits = plenty;
    soti_plan plan;
    limits.is_full = 1;
    sot_profile *profile = empty_profile();
    assert_int_equal(soti_plan_make(&limits, profile, &plan), SOT_OK);
    const soti_profile_grid *prefill = &profile->tables[SOTI_TABLE_PREFILL];
    const soti_profile_grid *decode = &profile->tables[SOTI_TABLE_DECODE];
    assert_int_equal(prefill->n_batches, 16);
    assert_int_equal(prefill->n_lengths, 70);
    assert_int_equal(prefill->lengths[1], 11);
    assert_int_equal(prefill->lengths[69], 691);
    assert_int_equal(decode->n_batches, 16);
    assert_int_equal(decode->n_lengths, 1024);
    assert_int_equal(decode->lengths[0], 1);
    assert_int_equal(decode->lengths[1023], 1024);
    uint32_t n_planned[SOTI_N_TABLES] = {0};
    uint64_t work = 0;
    for (uint32_t i = 0; i < plan.n_cells; i++) {
        n_planned[plan.cells[i].i_table] += plan.cells[i].n_lengths;
        work += plan.cells[i].work;
    }
    assert_int_equal(n_planned[SOTI_TABLE_PREFILL], 16 * 70);
    assert_int_equal(n_planned[SOTI_TABLE_DECODE], 16 * 1024);
    assert_int_equal(work, plan.work);
    assert_int_equal(plan.n_left_out, 0);
    soti_plan_free(&plan);
    soti_profile_free(profile);
}

static void plan_sparse_has_some_of_its_cells(void **state)
{
    (void)state;
    static const uint32_t prompts[] = {1, 11, 61, 121, 251, 691}, prompt_batches[] = {1, 4, 16};
    static const uint32_t contexts[] = {1, 256, 1024};
    static const uint32_t batches[] = {1, 2, 3, 4, 6, 8, 12, 16};
    static const uint32_t rows[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128};
    static const uint32_t pasts[] = {0, 512}, past_rows[] = {1, 16, 128};
    static const uint32_t shared[] = {0, 1024}, together[] = {2, 4, 8, 16};
    soti_plan plan;
    sot_profile *profile = empty_profile();
    const soti_profile_grid *tables = profile->tables;
    assert_int_equal(soti_plan_make(&plenty, profile, &plan), SOT_OK);
    check_axis(tables[SOTI_TABLE_PREFILL].batches, tables[SOTI_TABLE_PREFILL].n_batches,
               prompt_batches, 3);
    check_axis(tables[SOTI_TABLE_PREFILL].lengths, tables[SOTI_TABLE_PREFILL].n_lengths, prompts,
               6);
    check_axis(tables[SOTI_TABLE_DECODE].batches, tables[SOTI_TABLE_DECODE].n_batches, batches, 8);
    check_axis(tables[SOTI_TABLE_DECODE].lengths, tables[SOTI_TABLE_DECODE].n_lengths, contexts, 3);
    check_axis(tables[SOTI_TABLE_ROWS].lengths, tables[SOTI_TABLE_ROWS].n_lengths, rows, 14);
    check_axis(tables[SOTI_TABLE_PAST].batches, tables[SOTI_TABLE_PAST].n_batches, past_rows, 3);
    check_axis(tables[SOTI_TABLE_PAST].lengths, tables[SOTI_TABLE_PAST].n_lengths, pasts, 2);
    check_axis(tables[SOTI_TABLE_SHARED].batches, tables[SOTI_TABLE_SHARED].n_batches, together, 4);
    check_axis(tables[SOTI_TABLE_SHARED].lengths, tables[SOTI_TABLE_SHARED].n_lengths, shared, 2);
    /* Of prompts together, those of at most 512 tokens: 4 x 1, 11, 61, 121 and 16 x 1, 11. */
    assert_int_equal(plan.n_cells, 6 + 4 + 2 + 8 * 3 + 14 + 3 * 2 + 4 * 2);
    assert_int_equal(plan.n_left_out, 0);
    soti_plan_free(&plan);
    soti_profile_free(profile);
}

static void plan_without_room_leaves_cells_out_and_counts_them(void **state)
{
    (void)state;
    soti_plan_limits limits = plenty;
    soti_plan plan;
    limits.session_batch = 4;
    limits.n_ctx = 600;
    limits.n_pages = 80; /* 1280 tokens */
    sot_profile *profile = empty_profile();
    assert_int_equal(soti_plan_make(&limits, profile, &plan), SOT_OK);
    assert_true(plan.n_left_out > 0);
    uint32_t n_decode = 0;
    for (uint32_t i = 0; i < plan.n_cells; i++) {
        sot_measure_params params = soti_plan_params(profile, &plan.cells[i]);
        n_decode += plan.cells[i].i_table == SOTI_TABLE_DECODE;
        assert_true(params.n_sequences <= 4);
        assert_true(params.n_past + params.n_new <= 600);
        uint32_t n_own = (params.n_past - params.n_shared + params.n_new + 15) / 16;
        assert_true(params.n_shared / 16 + params.n_sequences * n_own <= 80);
    }
    /* Contexts 1, 256, 599: batches 1 to 4 of the first two, 1 and 2 of the last. */
    assert_int_equal(n_decode, 4 + 4 + 2);
    soti_plan_free(&plan);
    soti_profile_free(profile);
}

static void plan_full_without_room_cuts_stretches(void **state)
{
    (void)state;
    soti_plan_limits limits = plenty;
    soti_plan plan;
    limits.is_full = 1;
    limits.max_batch = 1;
    limits.n_ctx = 101;
    sot_profile *profile = empty_profile();
    assert_int_equal(soti_plan_make(&limits, profile, &plan), SOT_OK);
    uint32_t n_decode = 0;
    for (uint32_t i = 0; i < plan.n_cells; i++) {
        n_decode += plan.cells[i].i_table == SOTI_TABLE_DECODE ? plan.cells[i].n_lengths : 0;
    }
    assert_int_equal(n_decode, 100); /* a step behind 100 tokens fills the context */
    assert_int_equal(plan.n_left_out, (1024 - 100) + (70 - 11));
    soti_plan_free(&plan);
    soti_profile_free(profile);
}

static void plan_for_any_small_session_has_what_estimates_need(void **state)
{
    (void)state;
    for (uint32_t n_ctx = 2; n_ctx < 70; n_ctx++) {
        for (uint32_t is_full = 0; is_full < 2; is_full++) {
            soti_plan_limits limits = plenty;
            soti_plan plan;
            bool has[SOTI_N_TABLES] = {false};
            limits.is_full = is_full;
            limits.n_ctx = n_ctx;
            limits.n_pages = (n_ctx + 15) / 16;
            sot_profile *profile = empty_profile();
            assert_int_equal(soti_plan_make(&limits, profile, &plan), SOT_OK);
            for (uint32_t i = 0; i < plan.n_cells; i++) {
                has[plan.cells[i].i_table] = true;
            }
            assert_true(has[SOTI_TABLE_PREFILL] && has[SOTI_TABLE_DECODE] && has[SOTI_TABLE_ROWS]);
            soti_plan_free(&plan);
            soti_profile_free(profile);
        }
    }
    soti_plan_limits limits = plenty;
    soti_plan plan;
    limits.n_ctx = 1;
    sot_profile *profile = empty_profile();
    assert_int_equal(soti_plan_make(&limits, profile, &plan), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(soti_fail_message(), "2 tokens"));
    soti_plan_free(&plan);
    soti_profile_free(profile);
}

static void plan_asks_for_what_each_table_is_of(void **state)
{
    (void)state;
    soti_plan plan;
    sot_profile *profile = empty_profile();
    assert_int_equal(soti_plan_make(&plenty, profile, &plan), SOT_OK);
    static const struct {
        uint32_t i_table, i_batch, i_length, n_sequences, n_new, n_past, n_shared;
    } cases[] = {
        {SOTI_TABLE_PREFILL, 1, 2, 4, 61, 0, 0}, {SOTI_TABLE_DECODE, 4, 1, 6, 1, 256, 0},
        {SOTI_TABLE_ROWS, 0, 8, 1, 24, 0, 0},    {SOTI_TABLE_PAST, 1, 1, 1, 16, 512, 0},
        {SOTI_TABLE_PAST, 1, 0, 1, 16, 0, 0},    {SOTI_TABLE_SHARED, 1, 1, 4, 1, 1024, 1024},
        {SOTI_TABLE_SHARED, 1, 0, 4, 1, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const soti_plan_cell cell = {cases[i].i_table, cases[i].i_batch, cases[i].i_length, 1, 0};
        sot_measure_params params = soti_plan_params(profile, &cell);
        assert_int_equal(params.n_sequences, cases[i].n_sequences);
        assert_int_equal(params.n_new, cases[i].n_new);
        assert_int_equal(params.n_past, cases[i].n_past);
        assert_int_equal(params.n_shared, cases[i].n_shared);
    }
    soti_plan_free(&plan);
    soti_profile_free(profile);
}

static void plan_survives_every_allocation_failing(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        soti_plan plan;
        sot_profile *profile = empty_profile();
        soti_alloc_fail_at(n);
        sot_status status = soti_plan_make(&plenty, profile, &plan);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        soti_plan_free(&plan);
        soti_profile_free(profile);
        if (passed_all) {
            assert_int_equal(n, 1 + 3 * SOTI_N_TABLES + 1);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_full_is_the_papers_grid),
        cmocka_unit_test(plan_sparse_has_some_of_its_cells),
        cmocka_unit_test(plan_without_room_leaves_cells_out_and_counts_them),
        cmocka_unit_test(plan_full_without_room_cuts_stretches),
        cmocka_unit_test(plan_for_any_small_session_has_what_estimates_need),
        cmocka_unit_test(plan_asks_for_what_each_table_is_of),
        cmocka_unit_test(plan_survives_every_allocation_failing),
    };
    return cmocka_run_group_tests_name("profile plan", tests, NULL, NULL);
}
