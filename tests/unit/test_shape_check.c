/* Which dimensions are taken. */
#include "model_files.h"

#include "io/tensor_list.h"

static const soti_shape good = {.n_layer = 32,
                                .n_head = 32,
                                .n_kv = 8,
                                .d_head = 128,
                                .d_model = 4096,
                                .d_ff = 11008,
                                .n_vocab = 32001,
                                .rope_theta = 10000.0f,
                                .rope_scale = 1.0f,
                                .norm_eps = 1e-5f};

static void shape_of_published_models_is_taken(void **state)
{
    (void)state;
    soti_shape shape = good;
    assert_int_equal(soti_shape_check(&shape), SOT_OK);
    shape = (soti_shape){60, 52, 52, 128, 6656, 17920, 32000, 0, 10000.0f, 1.0f, 1e-6f};
    assert_int_equal(soti_shape_check(&shape), SOT_OK);
    shape = (soti_shape){1, 1, 1, 2, 1, 1, 1, 0, 5e5f, 8.0f, 0.0f};
    assert_int_equal(soti_shape_check(&shape), SOT_OK);
}

static void shape_zero_or_huge_dimensions_are_refused(void **state)
{
    (void)state;
    static const size_t offsets[] = {offsetof(soti_shape, n_layer), offsetof(soti_shape, n_head),
                                     offsetof(soti_shape, n_kv),    offsetof(soti_shape, d_head),
                                     offsetof(soti_shape, d_model), offsetof(soti_shape, d_ff),
                                     offsetof(soti_shape, n_vocab)};
    static const uint32_t numbers[] = {0, 1u << 30, UINT32_MAX};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (size_t j = 0; j < 3; j++) {
            soti_shape shape = good;
            char number[16];
            memcpy((char *)&shape + offsets[i], &numbers[j], sizeof numbers[j]);
            snprintf(number, sizeof number, "is %u,", numbers[j]);
            assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
            assert_non_null(strstr(soti_fail_message(), number));
        }
    }
}

static void shape_heads_must_divide_and_be_even(void **state)
{
    (void)state;
    soti_shape shape = good;
    shape.n_kv = 5;
    assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "32 attention heads cannot be shared out to 5 key/value heads");
    shape.n_kv = 64;
    assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
    shape = good;
    shape.d_head = 127;
    assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
    shape.d_head = 514;
    assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
}

static void shape_real_numbers_must_make_sense(void **state)
{
    (void)state;
    static const float bad[] = {0.0f, -1.0f, 1.0f / 0.0f, 0.0f / 0.0f};
    for (size_t i = 0; i < 4; i++) {
        soti_shape shape = good;
        shape.rope_theta = bad[i];
        assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
        shape = good;
        shape.rope_scale = bad[i];
        assert_int_equal(soti_shape_check(&shape), SOT_ERR_FORMAT);
        shape = good;
        shape.norm_eps = bad[i];
        assert_int_equal(soti_shape_check(&shape), i == 0 ? SOT_OK : SOT_ERR_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_of_published_models_is_taken),
        cmocka_unit_test(shape_zero_or_huge_dimensions_are_refused),
        cmocka_unit_test(shape_heads_must_divide_and_be_even),
        cmocka_unit_test(shape_real_numbers_must_make_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
