/* The list of tensors that a LLaMA needs, against names and shapes written out by hand. */
#include "model_files.h"

#include "io/tensor_names.h"

static const soti_shape shape = {
    .n_layer = 1, .n_head = 2, .n_kv = 1, .d_head = 6, .d_model = 8, .d_ff = 10, .n_vocab = 7};

static void names_are_those_of_both_schemes(void **state)
{
    (void)state;
    assert_int_equal(soti_expected_tensor_count(&shape, 0), N_TINY);
    for (size_t i = 0; i < N_TINY; i++) {
        soti_expected_tensor expected;
        soti_expected_tensor_get(&shape, i, &expected);
        size_t t = 0;
        while (t < N_TINY && strcmp(tiny_tensors[t].name, expected.name) != 0) {
            t++;
        }
        assert_true(t < N_TINY);
        assert_string_equal(expected.gguf_name, tiny_tensors[t].gguf_name);
        assert_int_equal(expected.n_dims, tiny_tensors[t].dims[1] ? 2 : 1);
        assert_int_equal(expected.dims[0], tiny_tensors[t].dims[0]);
        assert_int_equal(expected.dims[1], tiny_tensors[t].dims[1]);
    }
}

static void names_tied_output_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(soti_expected_tensor_count(&shape, 1), N_TINY - 1);
    for (size_t i = 0; i < N_TINY - 1; i++) {
        soti_expected_tensor expected;
        soti_expected_tensor_get(&shape, i, &expected);
        assert_string_not_equal(expected.name, "lm_head.weight");
    }
}

static void names_layers_are_numbered(void **state)
{
    (void)state;
    soti_shape large = {.n_layer = 60,
                        .n_head = 52,
                        .n_kv = 52,
                        .d_head = 128,
                        .d_model = 6656,
                        .d_ff = 17920,
                        .n_vocab = 32000};
    uint64_t n_parameters = 0;
    bool found = false;
    assert_int_equal(soti_expected_tensor_count(&large, 0), 543);
    for (size_t i = 0; i < 543; i++) {
        soti_expected_tensor expected;
        soti_expected_tensor_get(&large, i, &expected);
        n_parameters += expected.dims[0] * (expected.n_dims == 2 ? expected.dims[1] : 1);
        if (strcmp(expected.name, "model.layers.59.mlp.down_proj.weight") == 0) {
            found = true;
            assert_string_equal(expected.gguf_name, "blk.59.ffn_down.weight");
            assert_int_equal(expected.dims[0], 6656);
            assert_int_equal(expected.dims[1], 17920);
            assert_int_equal(expected.role, SOTI_ROLE_RESIDUAL);
        }
    }
    assert_true(found);
    assert_int_equal(n_parameters, 32528943616); /* LLaMA 33B, as Transformers counts it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_both_schemes),
        cmocka_unit_test(names_tied_output_is_left_out),
        cmocka_unit_test(names_layers_are_numbered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
