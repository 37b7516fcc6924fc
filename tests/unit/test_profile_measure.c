/* Measuring a profile on a backend that computes nothing: which cells come out, how it is stopped,
 * and what happens when something fails. The times themselves mean nothing here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "profile_case.h"
#include "scripted_model.h"
#include "sot/profile_measure.h"

static sot_session *open_session(uint32_t n_ctx, uint32_t max_batch)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = n_ctx;
    params.max_batch = max_batch;
    params.chunk_rows = 16;
    return scripted_session_open(&params);
}

/* Nothing is repeated longer than it must be. */
static const sot_profile_params brief = {.max_batch = 2, .max_context = 24, .cell_ns = 1};

typedef struct watch {
    uint64_t n_calls, stop_at, done, total;
    uint64_t strike_at;     /* before this call's cell the device breaks, ... */
    sot_session *cancelled; /* ... or, where there is one, a session is cancelled */
} watch;

static int32_t look(uint64_t done, uint64_t total, void *user)
{
    watch *seen = user;
    assert_true(done >= seen->done && done <= total);
    assert_true(seen->total == 0 || seen->total == total);
    seen->done = done;
    seen->total = total;
    seen->n_calls++;
    if (seen->n_calls == seen->strike_at && seen->cancelled != NULL) {
        sot_session_cancel(seen->cancelled);
    } else if (seen->n_calls == seen->strike_at) {
        scripted.fail_at_step = scripted.n_steps + 1;
    }
    return seen->n_calls == seen->stop_at;
}

static void profile_sparse_has_every_cell_there_is_room_for(void **state)
{
    (void)state;
    sot_session *session = open_session(64, 2);
    sot_profile *profile;
    watch seen = {0};
    sot_profile_params params = brief;
    params.machine = "here";
    params.progress = look;
    params.progress_user = &seen;
    assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_OK);
    const sot_profile_info *info = &profile->info;
    assert_string_equal(info->machine, "here");
    assert_int_equal(info->n_ctx, 64);
    assert_int_equal(info->chunk_rows, 16);
    assert_int_equal(info->n_vocab, SCRIPT_VOCAB);
    assert_int_equal(info->n_cells_left_out, 0);
    assert_int_equal(info->decode_max_batch, 2);
    assert_int_equal(info->decode_max_context, 24);
    /* Prompts 1, 11; contexts 1, 24; rows 1 to 16; behind 0, 24; shared 0, 16. */
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_PREFILL]), 4);
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_DECODE]), 4);
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_ROWS]), 8);
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_PAST]), 4);
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_SHARED]), 2);
    assert_int_equal(seen.n_calls, 7 * 22 + 1);
    assert_int_equal(seen.done, seen.total);
    soti_profile_free(profile);
    scripted_session_close(session);
}

static void profile_full_measures_every_context(void **state)
{
    (void)state;
    sot_session *session = open_session(256, 2);
    sot_profile *profile;
    sot_profile_params params = brief;
    params.flags = SOT_PROFILE_FULL;
    params.max_context = 200;
    assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_OK);
    assert_int_equal(profile->info.flags, SOT_PROFILE_FULL);
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_DECODE]), 2 * 200);
    assert_int_equal(soti_grid_count(&profile->tables[SOTI_TABLE_PREFILL]), 2 * 20);
    soti_profile_free(profile);
    scripted_session_close(session);
}

static void profile_params_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        sot_profile_params params;
        const char *name;
    } cases[] = {
        {{.max_batch = 4097}, "max_batch is 4097"},
        {{.flags = SOT_PROFILE_FULL, .max_context = 4097}, "max_context is 4097"},
        {{.n_decode_repeats = 1001}, "n_decode_repeats is 1001"},
        {{.n_prefill_repeats = 2}, "n_prefill_repeats is 2"},
        {{.n_prefill_repeats = 1001}, "n_prefill_repeats is 1001"},
    };
    sot_session *session = open_session(64, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_profile *profile;
        assert_int_equal(soti_profile_measure(session, &cases[i].params, &profile),
                         SOT_ERR_ARGUMENT);
        assert_null(profile);
        assert_non_null(strstr(soti_fail_message(), cases[i].name));
    }
    scripted_session_close(session);
}

static void profile_stopped_anywhere_is_cancelled_and_gives_its_pages_back(void **state)
{
    (void)state;
    sot_session *session = open_session(64, 2);
    uint32_t n_free = soti_kv_free_pages(soti_engine_kv(session->engine));
    sot_profile *profile;
    for (uint64_t i = 1; i <= 7 * 22 + 1; i += 17) {
        watch seen = {.stop_at = i};
        sot_profile_params params = brief;
        params.progress = look;
        params.progress_user = &seen;
        assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_ERR_CANCELLED);
        assert_null(profile);
        assert_int_equal(soti_kv_free_pages(soti_engine_kv(session->engine)), n_free);
    }
    watch seen = {.strike_at = 5, .cancelled = session};
    sot_profile_params params = brief;
    params.progress = look;
    params.progress_user = &seen;
    assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_ERR_CANCELLED);
    assert_int_equal(seen.n_calls, 5);
    assert_null(profile);
    assert_int_equal(soti_kv_free_pages(soti_engine_kv(session->engine)), n_free);
    scripted_session_close(session);
}

static void profile_on_a_failing_device_is_none(void **state)
{
    (void)state;
    sot_session *session = open_session(64, 2);
    for (uint32_t flags = 0; flags <= SOT_PROFILE_FULL; flags++) {
        sot_profile *profile;
        sot_profile_params params = brief;
        watch seen = {.strike_at = 3};
        params.flags = flags;
        params.progress = look;
        params.progress_user = &seen;
        assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_ERR_DEVICE);
        assert_null(profile);
        assert_int_equal(seen.n_calls, 3);
    }
    scripted_session_close(session);
}

static void profile_survives_every_allocation_failing(void **state)
{
    (void)state;
    sot_session *session = open_session(2, 1);
    for (uint32_t flags = 0; flags <= SOT_PROFILE_FULL; flags++) {
        sot_profile_params params = brief;
        params.flags = flags;
        for (long n = 0;; n++) {
            sot_profile *profile;
            soti_alloc_fail_at(n);
            sot_status status = soti_profile_measure(session, &params, &profile);
            bool passed_all = soti_alloc_fail_at(-1) >= 0;
            assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
            assert_int_equal(profile != NULL, passed_all);
            if (passed_all) {
                assert_true(n > 30);
                soti_profile_free(profile);
                break;
            }
        }
    }
    scripted_session_close(session);
}

/* ---- Refreshing --------------------------------------------------------------------------------
 */

static void set_all(sot_profile *profile, uint64_t ns)
{
    for (uint32_t i = 0; i < SOTI_N_TABLES; i++) {
        const soti_profile_grid *grid = &profile->tables[i];
        for (uint32_t k = 0; k < grid->n_batches * grid->n_lengths; k++) {
            grid->ns[k] = grid->ns[k] != 0 ? ns : 0;
        }
    }
}

/* All cells of one time: what comes out then is that time, scaled by three factors. */
static void refresh_scales_each_cell_by_its_rows(void **state)
{
    (void)state;
    enum { LONG_NS = 1000000000 };
    sot_session *session = open_session(64, 4);
    sot_profile *profile;
    sot_profile *now;
    sot_profile_params params = brief;
    params.max_batch = 4;
    assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_OK);
    set_all(profile, LONG_NS);
    *soti_grid_find(&profile->tables[SOTI_TABLE_DECODE], 3, 24) = 0;
    assert_int_equal(soti_profile_refresh(profile, session, &now), SOT_OK);
    const soti_profile_grid *decode = &now->tables[SOTI_TABLE_DECODE];
    const soti_profile_grid *rows = &now->tables[SOTI_TABLE_ROWS];
    const soti_profile_grid *prefill = &now->tables[SOTI_TABLE_PREFILL];
    double one = (double)*soti_grid_find(decode, 1, 1);
    double four = (double)*soti_grid_find(decode, 4, 1);
    double sixteen = (double)*soti_grid_find(rows, 1, 16);
    assert_true(one > 0 && one < LONG_NS / 10 && four > 0 && sixteen > 0);
    assert_int_equal(*soti_grid_find(decode, 1, 24), *soti_grid_find(decode, 1, 1));
    assert_true(fabs((double)*soti_grid_find(decode, 2, 1) - (one + (four - one) / 3)) < 2);
    assert_int_equal(*soti_grid_find(decode, 3, 24), 0); /* what was not measured still is not */
    assert_true(fabs((double)*soti_grid_find(rows, 1, 8) - (four + (sixteen - four) / 3)) < 2);
    assert_true(fabs((double)*soti_grid_find(prefill, 4, 11) - sixteen) < 2);
    assert_int_equal(*soti_grid_find(&profile->tables[SOTI_TABLE_DECODE], 1, 1), LONG_NS);
    soti_profile_free(now);
    soti_profile_free(profile);
    scripted_session_close(session);
}

/* The step of one sequence, as a refresh finds it. */
static uint64_t refreshed_step_ns(uint32_t step_ms, uint32_t slow_every, uint32_t slow_ms)
{
    enum { LONG_NS = 1000000000 };
    sot_session *session = open_session(64, 1);
    sot_profile *profile;
    sot_profile *now;
    sot_profile_params params = brief;
    params.max_batch = 1;
    assert_int_equal(soti_profile_measure(session, &params, &profile), SOT_OK);
    set_all(profile, LONG_NS);
    scripted.step_ms = step_ms;
    scripted.slow_every = slow_every;
    scripted.slow_ms = slow_ms;
    assert_int_equal(soti_profile_refresh(profile, session, &now), SOT_OK);
    uint64_t ns = *soti_grid_find(&now->tables[SOTI_TABLE_DECODE], 1, 1);
    soti_profile_free(now);
    soti_profile_free(profile);
    scripted_session_close(session);
    return ns;
}

/* Of ten steps nine take 1 ms and one 20: 2.9 ms each, of which a cell's own mean would be 1 ms. */
static void refresh_counts_what_interrupts_all_the_time(void **state)
{
    (void)state;
    assert_true(refreshed_step_ns(1, 10, 19) > 2000000);
}

/* 30 steps take 20 ms each, and one 600: a mean of 39 ms. */
static void refresh_leaves_a_single_burst_out(void **state)
{
    (void)state;
    assert_in_range(refreshed_step_ns(20, 31, 600), 20000000, 30000000);
}

static void refresh_of_another_model_or_session_is_refused(void **state)
{
    (void)state;
    sot_session *session = open_session(64, 4);
    sot_profile *now;
    sot_profile *other = case_profile();
    assert_int_equal(soti_profile_refresh(other, session, &now), SOT_ERR_ARGUMENT);
    assert_null(now);
    assert_non_null(strstr(soti_fail_message(), "another shape"));
    soti_profile_free(other);
    assert_int_equal(soti_profile_measure(session, &brief, &other), SOT_OK);
    other->info.n_threads = 77;
    assert_int_equal(soti_profile_refresh(other, session, &now), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "77 threads"));
    soti_profile_free(other);
    scripted_session_close(session);
}

static void refresh_survives_every_allocation_failing(void **state)
{
    (void)state;
    sot_session *session = open_session(16, 2);
    sot_profile *profile;
    assert_int_equal(soti_profile_measure(session, &brief, &profile), SOT_OK);
    for (long n = 0;; n++) {
        sot_profile *now;
        soti_alloc_fail_at(n);
        sot_status status = soti_profile_refresh(profile, session, &now);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        assert_int_equal(now != NULL, passed_all);
        if (passed_all) {
            soti_profile_free(now);
            break;
        }
    }
    soti_profile_free(profile);
    scripted_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(profile_sparse_has_every_cell_there_is_room_for),
        TEST(profile_full_measures_every_context),
        TEST(profile_params_out_of_range_are_refused_by_name),
        TEST(profile_stopped_anywhere_is_cancelled_and_gives_its_pages_back),
        TEST(profile_on_a_failing_device_is_none),
        TEST(profile_survives_every_allocation_failing),
        TEST(refresh_scales_each_cell_by_its_rows),
        TEST(refresh_counts_what_interrupts_all_the_time),
        TEST(refresh_leaves_a_single_burst_out),
        TEST(refresh_of_another_model_or_session_is_refused),
        TEST(refresh_survives_every_allocation_failing),
    };
    return cmocka_run_group_tests_name("profile measure", tests, NULL, NULL);
}
