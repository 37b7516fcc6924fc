/* A whole Hugging Face directory. Its files one by one: test_hf_config.c, test_hf_index.c,
 * test_safetensors.c, test_hf_vocabulary.c. */
#include "hf_folder.h"

static hf_config config;
static st_image image;
static soti_checkpoint checkpoint;

static int begin_folder(void **state)
{
    (void)state;
    hf_folder_begin(&config, &image);
    return 0;
}

static void huggingface_good_folder_gives_model(void **state)
{
    (void)state;
    char path[80];
    for (int i = 0; i < 2; i++) { /* with and without a slash behind it */
        snprintf(path, sizeof path, "%s%s", test_folder, i ? "/" : "");
        assert_int_equal(open_model(path, &checkpoint), SOT_OK);
        check_tiny_shape(&checkpoint.shape);
        check_tiny_tensors(&checkpoint);
        assert_int_equal(checkpoint.shape.rope_layout, SOTI_ROPE_HALF_SPLIT);
        assert_string_equal(checkpoint.path, test_folder);
        assert_string_equal(checkpoint.tensors[0].file, "model.safetensors");
        assert_string_equal(checkpoint.name, "");
        assert_string_equal(checkpoint.conversation, "none");
        soti_checkpoint_close(&checkpoint);
    }
}

static void huggingface_tied_output_needs_no_matrix(void **state)
{
    (void)state;
    config_set(&config, "tie_word_embeddings", "true");
    config_write(&config);
    for (int i = 0; i < 2; i++) { /* ignored where it is there */
        assert_int_equal(open_model(test_folder, &checkpoint), SOT_OK);
        assert_int_equal(checkpoint.tied_output, 1);
        check_tiny_tensors(&checkpoint);
        soti_checkpoint_close(&checkpoint);
        if (i == 0) {
            st_remove(&image, "lm_head.weight");
            st_write(&image, "model.safetensors");
        }
    }
    config_set(&config, "tie_word_embeddings", "false");
    config_write(&config);
    check_refused(test_folder, SOT_ERR_FORMAT, "lm_head.weight", "missing", NULL);
}

static void huggingface_shape_that_does_not_fit_the_tensors_is_refused(void **state)
{
    (void)state;
    static const char *const keys[][3] = {
        {"hidden_size", "10", "expected [7, 10]"},
        {"intermediate_size", "12", "shape [10, 8], expected [12, 8]"},
        {"num_hidden_layers", "2", "model.layers.1.input_layernorm.weight is missing"},
        {"num_attention_heads", "3", "shape [12, 8], expected [18, 8]"},
        {"num_key_value_heads", "2", "shape [6, 8], expected [12, 8]"},
        {"vocab_size", "8", "shape [7, 8], expected [8, 8]"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        begin_folder(NULL);
        config_set(&config, keys[i][0], keys[i][1]);
        config_write(&config);
        check_refused(test_folder, SOT_ERR_FORMAT, keys[i][2], NULL);
    }
}

static void check_line(int32_t level, const char *line, void *user)
{
    assert_int_equal(level, SOT_LOG_INFO);
    assert_string_equal(line, "model.safetensors: tensor model.layers.9.x is not used");
    ++*(int *)user;
}

static void huggingface_unknown_tensor_is_logged_and_ignored(void **state)
{
    (void)state;
    int n_lines = 0;
    soti_log log = {check_line, &n_lines};
    image.more = "\"model.layers.9.x\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,0]},";
    st_write(&image, "model.safetensors");
    assert_int_equal(soti_checkpoint_open(test_folder, 0, &log, NULL, NULL, &checkpoint), SOT_OK);
    assert_int_equal(n_lines, 1);
    soti_checkpoint_close(&checkpoint);
}

static void huggingface_weights_that_are_no_file_are_refused(void **state)
{
    (void)state;
    unlink(path_of("model.safetensors"));
    assert_int_equal(mkfifo(path_of("model.safetensors"), 0600), 0);
    alarm(20);
    check_refused(test_folder, SOT_ERR_IO, "model.safetensors", "a FIFO", NULL);
    alarm(0);
    unlink(path_of("config.json"));
    check_refused(test_folder, SOT_ERR_IO, "config.json", "cannot be opened", NULL);
    assert_int_equal(mkfifo(path_of("config.json"), 0600), 0);
    alarm(20);
    check_refused(test_folder, SOT_ERR_IO, "config.json", "a FIFO", NULL);
    alarm(0);
}

static void huggingface_any_allocation_may_fail(void **state)
{
    (void)state;
    check_every_allocation(test_folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(huggingface_good_folder_gives_model, begin_folder),
        cmocka_unit_test_setup(huggingface_tied_output_needs_no_matrix, begin_folder),
        cmocka_unit_test_setup(huggingface_shape_that_does_not_fit_the_tensors_is_refused,
                               begin_folder),
        cmocka_unit_test_setup(huggingface_unknown_tensor_is_logged_and_ignored, begin_folder),
        cmocka_unit_test_setup(huggingface_weights_that_are_no_file_are_refused, begin_folder),
        cmocka_unit_test_setup(huggingface_any_allocation_may_fail, begin_folder),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
