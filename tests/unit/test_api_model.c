/* The exported model functions, on the smallest random models and on paths that lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sot/sot.h"

static const char tiny[] = "random:64x2x4x96x300";

static void load_arguments_are_checked(void **state)
{
    (void)state;
    sot_model *model = (sot_model *)&tiny;
    assert_int_equal(sot_model_load(NULL, NULL, &model), SOT_ERR_ARGUMENT);
    assert_null(model);
    assert_int_equal(sot_model_load("", NULL, &model), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_model_load(tiny, NULL, NULL), SOT_ERR_ARGUMENT);
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.flags = SOT_MODEL_COPY | SOT_MODEL_LOCK | 4;
    assert_int_equal(sot_model_load(tiny, &params, &model), SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(sot_error_message(), "flags 0x7, only 0x3"));
    params = (sot_model_params){0};
    assert_int_equal(sot_model_load(tiny, &params, &model), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "struct_size is 0"));
    params = (sot_model_params)SOT_MODEL_PARAMS_INIT;
    params.device = "abacus";
    assert_int_not_equal(sot_model_load(tiny, &params, &model), SOT_OK);
    assert_non_null(strstr(sot_error_message(), "abacus"));
    assert_null(model);
}

static void load_of_nothing_names_the_path(void **state)
{
    (void)state;
    sot_model *model = (sot_model *)&tiny;
    assert_int_equal(sot_model_load("/no/such/model.gguf", NULL, &model), SOT_ERR_IO);
    assert_null(model);
    assert_non_null(strstr(sot_error_message(), "/no/such/model.gguf"));
}

static int32_t stop_loading(uint64_t done, uint64_t total, void *user)
{
    uint32_t *n_calls = user;
    assert_true(done <= total);
    return ++*n_calls >= 2;
}

static void load_stopped_by_progress_is_cancelled(void **state)
{
    (void)state;
    uint32_t n_calls = 0;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.progress = stop_loading;
    params.progress_user = &n_calls;
    sot_model *model = (sot_model *)&tiny;
    assert_int_equal(sot_model_load(tiny, &params, &model), SOT_ERR_CANCELLED);
    assert_null(model);
    assert_int_equal(n_calls, 2);
}

static void info_tells_the_shape(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_model_info info = SOT_MODEL_INFO_INIT;
    assert_int_equal(sot_model_load(tiny, NULL, &model), SOT_OK);
    assert_int_equal(sot_model_get_info(model, &info), SOT_OK);
    assert_int_equal(info.d_model, 64);
    assert_int_equal(info.n_layer, 2);
    assert_int_equal(info.n_head, 4);
    assert_int_equal(info.n_kv, 4);
    assert_int_equal(info.d_head, 16);
    assert_int_equal(info.d_ff, 96);
    assert_int_equal(info.n_vocab, 300);
    assert_int_equal(info.has_tokenizer, 1);
    assert_string_equal(info.device, "cpu");
    assert_string_equal(info.conversation, "none");
    /* Per layer four d x d, three d x ff and two norms; two embeddings; the last norm. */
    uint64_t n_parameters = 2 * (4 * 64 * 64 + 3 * 64 * 96 + 2 * 64) + 2 * 300 * 64 + 64;
    assert_int_equal(info.n_parameters, n_parameters);
    assert_int_equal(info.converted_bytes, 0);
    assert_int_equal(sot_model_get_info(NULL, &info), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_model_get_info(model, NULL), SOT_ERR_ARGUMENT);
    info.struct_size = 0;
    assert_int_equal(sot_model_get_info(model, &info), SOT_ERR_ARGUMENT);
    sot_model_free(model);
}

static void model_outlives_its_owner_in_a_session(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_answer *answer = NULL;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    session_params.n_threads = 1;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = 3;
    assert_int_equal(sot_model_load(tiny, NULL, &model), SOT_OK);
    assert_int_equal(sot_session_create(model, &session_params, &session), SOT_OK);
    sot_model_free(model);
    assert_int_equal(sot_generate(session, "hello", &params, &answer), SOT_OK);
    sot_session_free(session);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_LENGTH); /* and so does the answer */
    sot_answer_free(answer);
}

static void frees_of_null_do_nothing(void **state)
{
    (void)state;
    sot_model_free(NULL);
    sot_session_free(NULL);
    sot_session_cancel(NULL);
    sot_answer_free(NULL);
    sot_points_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_arguments_are_checked),
        cmocka_unit_test(load_of_nothing_names_the_path),
        cmocka_unit_test(load_stopped_by_progress_is_cancelled),
        cmocka_unit_test(info_tells_the_shape),
        cmocka_unit_test(model_outlives_its_owner_in_a_session),
        cmocka_unit_test(frees_of_null_do_nothing),
    };
    return cmocka_run_group_tests_name("api_model", tests, NULL, NULL);
}
