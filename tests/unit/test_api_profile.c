/* The latency model at the border, and once from measuring to deciding on a real, tiny model. */
#include "model_files.h"

#include "profile_case.h"
#include "sot/sot.h"

static void profile_arguments_are_checked(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_profile *out = profile;
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    sot_estimate estimate = SOT_ESTIMATE_INIT;
    sot_break_even found = SOT_BREAK_EVEN_INIT;
    sot_lengths lengths = SOT_LENGTHS_INIT;
    assert_int_equal(sot_profile_measure(NULL, NULL, &out), SOT_ERR_ARGUMENT);
    assert_null(out);
    assert_int_equal(sot_profile_measure(NULL, NULL, NULL), SOT_ERR_ARGUMENT);
    out = profile;
    assert_int_equal(sot_profile_refresh(NULL, NULL, &out), SOT_ERR_ARGUMENT);
    assert_null(out);
    assert_int_equal(sot_profile_refresh(profile, NULL, &out), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_refresh(profile, NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_save(NULL, "x.json"), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_save(profile, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_save(profile, ""), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_load(NULL, &out), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_load("", &out), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_load("x.json", NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_get_info(NULL, &info), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_get_info(profile, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_estimate(NULL, &lengths, &estimate), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_estimate(profile, &lengths, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_estimate(profile, NULL, &estimate), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_estimate(profile, &lengths, &estimate), SOT_ERR_ARGUMENT);
    lengths.flags = 1;
    assert_int_equal(sot_profile_estimate(profile, &lengths, &estimate), SOT_ERR_UNSUPPORTED);
    assert_int_equal(sot_profile_break_even(NULL, NULL, &found), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_profile_break_even(profile, NULL, NULL), SOT_ERR_ARGUMENT);
    sot_profile_free(profile);
    sot_profile_free(NULL);
}

static void profile_lookups_are_the_tables(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    assert_true(fabs(sot_profile_prefill_ns(profile, 3, 60) - case_prefill(3, 60)) < 1e-3);
    assert_true(fabs(sot_profile_decode_ns(profile, 3, 60) - case_decode(3, 60)) < 1e-3);
    assert_true(sot_profile_prefill_ns(NULL, 3, 60) == 0);
    assert_true(sot_profile_prefill_ns(profile, 0, 60) == 0);
    assert_true(sot_profile_decode_ns(profile, 3, 0) == 0);
    sot_profile_free(profile);
}

/* A caller's struct of an older version is filled as far as it goes. */
static void estimate_of_a_shorter_struct_ends_with_it(void **state)
{
    (void)state;
    static const uint32_t ones[] = {5, 5};
    sot_profile *profile = case_profile();
    sot_estimate estimate = SOT_ESTIMATE_INIT;
    sot_lengths lengths = SOT_LENGTHS_INIT;
    lengths.normal_prompt = lengths.normal_tokens = lengths.skeleton_prompt = 9;
    lengths.skeleton_tokens = lengths.common_prompt = 9;
    lengths.point_prompt_tails = lengths.point_tokens = ones;
    lengths.n_points = 2;
    estimate.struct_size = offsetof(sot_estimate, expand_ns);
    estimate.expand_ns = 77;
    assert_int_equal(sot_profile_estimate(profile, &lengths, &estimate), SOT_OK);
    assert_true(estimate.normal_ns > 0 && estimate.skeleton_ns > 0);
    assert_true(estimate.expand_ns == 77);
    sot_profile_free(profile);
}

static void break_even_defaults_are_those_of_the_header(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_break_even_params params = SOT_BREAK_EVEN_PARAMS_INIT;
    sot_break_even by_default = SOT_BREAK_EVEN_INIT;
    sot_break_even by_hand = SOT_BREAK_EVEN_INIT;
    params.point_tokens = 64;
    params.normal_per_point = 64;
    params.skeleton_per_point = 8.43f;
    params.normal_prompt = 13;
    params.skeleton_prompt = 171;
    params.common_prompt = 40;
    params.point_tail = 23;
    params.max_points = 16;
    assert_int_equal(sot_profile_break_even(profile, NULL, &by_default), SOT_OK);
    assert_int_equal(sot_profile_break_even(profile, &params, &by_hand), SOT_OK);
    assert_memory_equal(&by_default, &by_hand, sizeof by_hand);
    assert_true(by_default.n_points > 0);
    const float bad[] = {-1, NAN, INFINITY};
    for (size_t i = 0; i < 3; i++) {
        sot_break_even_params changed = params;
        changed.normal_per_point = bad[i];
        assert_int_equal(sot_profile_break_even(profile, &changed, &by_hand), SOT_ERR_ARGUMENT);
        changed = params;
        changed.skeleton_per_point = bad[i];
        assert_int_equal(sot_profile_break_even(profile, &changed, &by_hand), SOT_ERR_ARGUMENT);
    }
    params.max_points = 257;
    assert_int_equal(sot_profile_break_even(profile, &params, &by_hand), SOT_ERR_ARGUMENT);
    params.max_points = 16;
    params.flags = 1;
    assert_int_equal(sot_profile_break_even(profile, &params, &by_hand), SOT_ERR_UNSUPPORTED);
    sot_profile_free(profile);
}

static int32_t stop(uint64_t done, uint64_t total, void *user)
{
    (void)user;
    return 2 * done > total;
}

static void profile_of_a_real_model_goes_from_measuring_to_deciding(void **state)
{
    (void)state;
    sot_model *model;
    sot_session *session;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    sot_profile_params params = SOT_PROFILE_PARAMS_INIT;
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    sot_profile *profile;
    sot_profile *loaded;
    session_params.n_ctx = 128;
    session_params.max_batch = 4;
    session_params.n_threads = 1;
    params.max_batch = 8;
    params.max_context = 100;
    params.cell_ns = 1000000;
    params.machine = "test";
    assert_int_equal(sot_model_load("random:64x2x4x128x300", NULL, &model), SOT_OK);
    assert_int_equal(sot_session_create(model, &session_params, &session), SOT_OK);
    params.progress = stop;
    assert_int_equal(sot_profile_measure(session, &params, &profile), SOT_ERR_CANCELLED);
    assert_null(profile);
    params.progress = NULL;
    params.machine = "\xff";
    assert_int_equal(sot_profile_measure(session, &params, &profile), SOT_ERR_ARGUMENT);
    params.machine = "test";
    params.flags = 2;
    assert_int_equal(sot_profile_measure(session, &params, &profile), SOT_ERR_UNSUPPORTED);
    params.flags = 0;
    sot_session_cancel(session);
    assert_int_equal(sot_profile_measure(session, &params, &profile), SOT_ERR_CANCELLED);
    assert_int_equal(sot_profile_measure(session, &params, &profile), SOT_OK);
    assert_int_equal(sot_profile_get_info(profile, &info), SOT_OK);
    assert_string_equal(info.machine, "test");
    assert_string_equal(info.device, "cpu");
    assert_string_equal(info.libsot, sot_version_string());
    assert_int_equal(info.n_layer, 2);
    assert_int_equal(info.n_threads, 1);
    assert_int_equal(info.decode_max_batch, 4); /* the session's */
    assert_int_equal(info.n_cells, 2 * 3 + 4 * 2 + 12 + 3 * 2 + 2 * 2);
    assert_int_equal(info.n_cells_left_out, 3 + 2 * 2 + 2); /* those of 6 and 8 sequences */
    assert_true(sot_profile_decode_ns(profile, 1, 50) > 100);
    assert_int_equal(sot_profile_save(profile, path_of("p.json")), SOT_OK);
    sot_profile_free(profile);
    assert_int_equal(sot_profile_load(path_of("p.json"), &loaded), SOT_OK);
    assert_int_equal(sot_profile_refresh(loaded, session, &profile), SOT_OK);
    sot_break_even found = SOT_BREAK_EVEN_INIT;
    assert_int_equal(sot_profile_break_even(profile, NULL, &found), SOT_OK);
    assert_true(found.max_speedup > 0 && found.best_points > 0);
    sot_profile_free(profile);
    sot_profile_free(loaded);
    sot_session_free(session);
    sot_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profile_arguments_are_checked),
        cmocka_unit_test(profile_lookups_are_the_tables),
        cmocka_unit_test(estimate_of_a_shorter_struct_ends_with_it),
        cmocka_unit_test(break_even_defaults_are_those_of_the_header),
        cmocka_unit_test_setup_teardown(profile_of_a_real_model_goes_from_measuring_to_deciding,
                                        folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests_name("api profile", tests, NULL, NULL);
}
