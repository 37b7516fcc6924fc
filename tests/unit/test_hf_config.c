/* config.json: keys, defaults, and what is refused by name. */
#include "hf_folder.h"

#include "io/hf_config.h"

static hf_config config;
static soti_checkpoint found;

static int begin_config(void **state)
{
    (void)state;
    config_begin(&config);
    return 0;
}

static sot_status read_config(void)
{
    config_write(&config);
    found = (soti_checkpoint){.bos_id = -1, .eos_id = -1};
    sot_status status = soti_hf_config_read(test_folder, &found);
    soti_free(found.name);
    found.name = NULL;
    return status;
}

/* One member set this way is refused; the sentence names it. */
static void check_member_refused(const char *key, const char *value, sot_status expected,
                                 const char *part)
{
    begin_config(NULL);
    config_set(&config, key, value);
    sot_status status = read_config();
    if (status != expected || strstr(soti_fail_message(), part) == NULL ||
        strstr(soti_fail_message(), "config.json") == NULL) {
        fail_msg("%s = %s: status %d, message \"%s\"", key, value ? value : "missing", status,
                 soti_fail_message());
    }
}

static void config_good_file_gives_shape(void **state)
{
    (void)state;
    assert_int_equal(read_config(), SOT_OK);
    check_tiny_shape(&found.shape);
    assert_int_equal(found.shape.rope_layout, SOTI_ROPE_HALF_SPLIT);
    assert_true(found.shape.rope_theta == 10000.0f);
    assert_true(found.shape.rope_scale == 1.0f);
    assert_int_equal(found.n_ctx_train, 64);
    assert_int_equal(found.tied_output, 0);
    assert_int_equal(found.bos_id, -1);
    assert_int_equal(found.eos_id, -1);
}

static void config_missing_members_have_transformers_defaults(void **state)
{
    (void)state;
    static const char *const keys[] = {"architectures", "hidden_act",
                                       "head_dim",      "num_key_value_heads",
                                       "rms_norm_eps",  "max_position_embeddings"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        config_set(&config, keys[i], i % 2 ? "null" : NULL); /* null means the same */
    }
    assert_int_equal(read_config(), SOT_OK);
    assert_int_equal(found.shape.d_head, 4);
    assert_int_equal(found.shape.n_kv, 2);
    assert_true(found.shape.norm_eps == 1e-6f);
    assert_int_equal(found.n_ctx_train, 0);
}

static void config_rope_of_both_styles_is_read(void **state)
{
    (void)state;
    config_set(&config, "rope_theta", "500000.0");
    config_set(&config, "rope_scaling", "{\"type\": \"linear\", \"factor\": 4.0}");
    assert_int_equal(read_config(), SOT_OK);
    assert_true(found.shape.rope_theta == 500000.0f);
    assert_true(found.shape.rope_scale == 4.0f);

    config_set(&config, "rope_theta", "1000000");
    config_set(&config, "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 8}");
    assert_int_equal(read_config(), SOT_OK);
    assert_true(found.shape.rope_theta == 1000000.0f);
    assert_true(found.shape.rope_scale == 8.0f);

    config_set(&config, "rope_theta", NULL);
    config_set(&config, "rope_scaling", "null");
    config_set(&config, "rope_parameters",
               "{\"rope_type\": \"linear\", \"rope_theta\": 500000.0, \"factor\": 2.5}");
    assert_int_equal(read_config(), SOT_OK);
    assert_true(found.shape.rope_theta == 500000.0f);
    assert_true(found.shape.rope_scale == 2.5f);

    config_set(&config, "rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 2e4}");
    assert_int_equal(read_config(), SOT_OK);
    assert_true(found.shape.rope_theta == 20000.0f);
    assert_true(found.shape.rope_scale == 1.0f);
}

static void config_ids_tie_name_and_context_are_read(void **state)
{
    (void)state;
    config_set(&config, "bos_token_id", "5");
    config_set(&config, "eos_token_id", "[6, 2]");
    config_set(&config, "tie_word_embeddings", "true");
    config_set(&config, "_name_or_path", "\"lmsys/vicuna-7b-v1.5-16k\"");
    config_set(&config, "max_sequence_length", "256");
    config_write(&config);
    found = (soti_checkpoint){.bos_id = -1, .eos_id = -1};
    assert_int_equal(soti_hf_config_read(test_folder, &found), SOT_OK);
    assert_int_equal(found.bos_id, 5);
    assert_int_equal(found.eos_id, 6);
    assert_int_equal(found.tied_output, 1);
    assert_int_equal(found.n_ctx_train, 256);
    assert_string_equal(found.name, "vicuna-7b-v1.5-16k");
    soti_free(found.name);
}

static void config_what_we_cannot_compute_is_unsupported(void **state)
{
    (void)state;
    static const char *const members[][3] = {
        {"model_type", "\"mistral\"", "model_type is \"mistral\", supported is \"llama\""},
        {"architectures", "[\"LlamaForSequenceClassification\"]", "LlamaForSequenceClassification"},
        {"hidden_act", "\"gelu\"", "hidden_act is \"gelu\", supported is \"silu\""},
        {"attention_bias", "true", "attention_bias is true, supported is false"},
        {"mlp_bias", "true", "mlp_bias is true, supported is false"},
        {"quantization_config", "{\"quant_method\": \"gptq\"}", "quantization_config"},
        {"rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8.0}", "llama3"},
        {"rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2.0}", "dynamic"},
        {"rope_parameters", "{\"rope_type\": \"yarn\", \"rope_theta\": 1e4}", "yarn"},
        {"rope_parameters", "{\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}",
         "partial_rotary_factor is 0.5"},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        check_member_refused(members[i][0], members[i][1], SOT_ERR_UNSUPPORTED, members[i][2]);
    }
}

static void config_required_members_are_named(void **state)
{
    (void)state;
    static const char *const keys[] = {"model_type",          "hidden_size",
                                       "intermediate_size",   "num_hidden_layers",
                                       "num_attention_heads", "vocab_size"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        check_member_refused(keys[i], NULL, SOT_ERR_FORMAT, keys[i]);
        check_member_refused(keys[i], "null", SOT_ERR_FORMAT, keys[i]);
        check_member_refused(keys[i], "{}", SOT_ERR_FORMAT, keys[i]);
    }
}

static void config_values_out_of_range_are_refused(void **state)
{
    (void)state;
    static const char *const members[][3] = {
        {"hidden_size", "0", "embedding is 0"},
        {"hidden_size", "-8", "hidden_size is -8"},
        {"hidden_size", "8.0", "hidden_size is a real number"},
        {"hidden_size", "4294967296", "hidden_size is 4294967296"},
        {"hidden_size", "\"8\"", "hidden_size is a string"},
        {"hidden_size", "99999999999999999999", "too big"},
        {"intermediate_size", "0", "feed-forward"},
        {"num_hidden_layers", "1000000", "layers is 1000000"},
        {"num_attention_heads", "0", "heads"},
        {"num_key_value_heads", "0", "heads"},
        {"num_key_value_heads", "3", "2 attention heads cannot be shared out to 3"},
        {"head_dim", "5", "5"},
        {"head_dim", "1024", "1024"},
        {"head_dim", "0", "0"},
        {"vocab_size", "0", "vocabulary"},
        {"vocab_size", "4000000000", "4000000000"},
        {"rms_norm_eps", "-1", "epsilon"},
        {"rms_norm_eps", "\"x\"", "rms_norm_eps is a string"},
        {"rope_theta", "0", "theta"},
        {"rope_theta", "-5", "theta"},
        {"rope_theta", "1e300", "theta"},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 0}", "factor is 0"},
        {"rope_scaling", "{\"type\": \"linear\"}", "factor is missing"},
        {"rope_scaling", "{\"type\": 5}", "type is an integer"},
        {"rope_scaling", "[]", "rope_scaling is not an object"},
        {"bos_token_id", "7", "bos_token_id is 7"},
        {"eos_token_id", "-2", "eos_token_id is -2"},
        {"eos_token_id", "[\"x\"]", "eos_token_id is not an integer"},
        {"tie_word_embeddings", "1", "tie_word_embeddings is an integer"},
        {"attention_bias", "\"no\"", "attention_bias is a string"},
        {"_name_or_path", "[]", "_name_or_path is an array"},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        check_member_refused(members[i][0], members[i][1], SOT_ERR_FORMAT, members[i][2]);
    }
    begin_config(NULL);
    config_set(&config, "head_dim", NULL);
    config_set(&config, "num_attention_heads", "3");
    assert_int_equal(read_config(), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "config.json: hidden_size 8 cannot be divided by num_attention_heads 3");
}

static void config_large_models_are_taken(void **state)
{
    (void)state;
    static const char *const models[][5] = {
        {"4096", "11008", "32", "32", "32000"},
        {"5120", "13824", "40", "40", "32001"},
        {"6656", "17920", "60", "52", "32002"},
    };
    config_set(&config, "head_dim", NULL);
    config_set(&config, "num_key_value_heads", NULL);
    for (size_t i = 0; i < 3; i++) {
        config_set(&config, "hidden_size", models[i][0]);
        config_set(&config, "intermediate_size", models[i][1]);
        config_set(&config, "num_hidden_layers", models[i][2]);
        config_set(&config, "num_attention_heads", models[i][3]);
        config_set(&config, "vocab_size", models[i][4]);
        assert_int_equal(read_config(), SOT_OK);
        assert_int_equal(found.shape.d_head, 128);
        assert_int_equal(found.shape.n_kv, found.shape.n_head);
    }
}

static void config_bad_json_is_placed(void **state)
{
    (void)state;
    write_file(path_of("config.json"), "{\n\"a\": }", 8);
    assert_int_equal(soti_hf_config_read(test_folder, &found), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "config.json: line 2"));
    assert_int_equal(unlink(path_of("config.json")), 0);
    assert_int_equal(soti_hf_config_read(test_folder, &found), SOT_ERR_IO);
    assert_non_null(strstr(soti_fail_message(), "config.json: cannot be opened"));
    assert_non_null(strstr(soti_fail_message(), test_folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(config_good_file_gives_shape, begin_config),
        cmocka_unit_test_setup(config_missing_members_have_transformers_defaults, begin_config),
        cmocka_unit_test_setup(config_rope_of_both_styles_is_read, begin_config),
        cmocka_unit_test_setup(config_ids_tie_name_and_context_are_read, begin_config),
        cmocka_unit_test_setup(config_what_we_cannot_compute_is_unsupported, begin_config),
        cmocka_unit_test_setup(config_required_members_are_named, begin_config),
        cmocka_unit_test_setup(config_values_out_of_range_are_refused, begin_config),
        cmocka_unit_test_setup(config_large_models_are_taken, begin_config),
        cmocka_unit_test_setup(config_bad_json_is_placed, begin_config),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
