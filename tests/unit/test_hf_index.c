/* model.safetensors.index.json and the files it lists. */
#include "hf_folder.h"

static hf_config config;
static st_image first;
static st_image second;
static soti_checkpoint checkpoint;
static const char index_file[] = "model.safetensors.index.json";
static const char first_file[] = "model-00001-of-00002.safetensors";
static const char second_file[] = "model-00002-of-00002.safetensors";

enum { N_FIRST = 5 };

/* Writes the index; tensor i_other's file is other_file (NULL: as it should be). */
static void write_index(size_t i_other, const char *other_file)
{
    static char text[8192];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "{\"metadata\":{\"total_size\":1},"
                                   "\"weight_map\":{");
    for (size_t t = 0; t < N_TINY; t++) {
        const char *file = t < N_FIRST ? first_file : second_file;
        file = t == i_other && other_file != NULL ? other_file : file;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\"%s\":\"%s\"", t ? "," : "",
                                 tiny_tensors[t].name, file);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "}}");
    write_file(path_of(index_file), text, used);
}

static int begin_shards(void **state)
{
    (void)state;
    hf_folder_begin(&config, &first);
    unlink(path_of("model.safetensors"));
    st_begin(&first, 0, N_FIRST);
    st_write(&first, first_file);
    st_begin(&second, N_FIRST, N_TINY);
    st_write(&second, second_file);
    write_index(0, NULL);
    return 0;
}

static void index_joins_its_shards(void **state)
{
    (void)state;
    assert_int_equal(open_model(test_folder, &checkpoint), SOT_OK);
    assert_int_equal(checkpoint.n_maps, 2);
    check_tiny_tensors(&checkpoint);
    assert_string_equal(soti_checkpoint_find(&checkpoint, "lm_head.weight")->file, second_file);
    soti_checkpoint_close(&checkpoint);
}

static void index_gives_way_to_a_single_file(void **state)
{
    (void)state;
    write_file(path_of(index_file), "nonsense", 8);
    st_begin(&first, 0, N_TINY);
    st_write(&first, "model.safetensors");
    assert_int_equal(open_model(test_folder, &checkpoint), SOT_OK);
    assert_int_equal(checkpoint.n_maps, 1);
    soti_checkpoint_close(&checkpoint);
}

static void index_missing_shard_is_named(void **state)
{
    (void)state;
    unlink(path_of(second_file));
    check_refused(test_folder, SOT_ERR_IO, second_file, "cannot be opened", NULL);
    assert_int_equal(mkdir(path_of(second_file), 0700), 0);
    check_refused(test_folder, SOT_ERR_IO, second_file, "a directory", NULL);
}

static void index_name_outside_the_directory_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "../model.safetensors",  "/etc/passwd",        "..", ".", "",
        "sub/model.safetensors", "./model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        write_index(3, names[i]);
        check_refused(test_folder, SOT_ERR_FORMAT, index_file, tiny_tensors[3].name, names[i],
                      NULL);
    }
}

static void index_tensor_in_another_shard_is_named(void **state)
{
    (void)state;
    write_index(3, second_file);
    check_refused(test_folder, SOT_ERR_FORMAT, index_file, tiny_tensors[3].name, second_file, NULL);
}

static void index_tensor_in_two_shards_is_named(void **state)
{
    (void)state;
    st_add_tiny(&second, 2, SOTI_TYPE_BF16);
    st_write(&second, second_file);
    check_refused(test_folder, SOT_ERR_FORMAT, tiny_tensors[2].name, first_file, second_file, NULL);
}

static void index_malformed_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{",
        "[]",
        "{}",
        "{\"weight_map\": []}",
        "{\"weight_map\": {}}",
        "{\"weight_map\": {\"a\": 1}}",
        "{\"weight_map\": {\"a\": null}}",
        "{\"weight_map\": {\"a\\u0001\": \"model-00001-of-00002.safetensors\"}}",
        "{\"weight_map\": {\"a\": \"x.safetensors\", \"a\": \"y.safetensors\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file(path_of(index_file), texts[i], strlen(texts[i]));
        check_refused(test_folder, SOT_ERR_FORMAT, index_file, NULL);
    }
    write_file(path_of(index_file), "", 0);
    check_refused(test_folder, SOT_ERR_FORMAT, index_file, "empty", NULL);
}

static void index_that_leaves_a_tensor_out_is_noticed(void **state)
{
    (void)state;
    static const char text[] = "{\"weight_map\": {\"model.embed_tokens.weight\": "
                               "\"model-00001-of-00002.safetensors\"}}";
    write_file(path_of(index_file), text, sizeof text - 1);
    check_refused(test_folder, SOT_ERR_FORMAT, "model.layers.0.", "missing", NULL);
}

static void index_and_single_file_missing_is_said(void **state)
{
    (void)state;
    unlink(path_of(index_file));
    check_refused(test_folder, SOT_ERR_IO, test_folder, "model.safetensors", index_file, NULL);
}

static void index_any_allocation_may_fail(void **state)
{
    (void)state;
    check_every_allocation(test_folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(index_joins_its_shards, begin_shards),
        cmocka_unit_test_setup(index_gives_way_to_a_single_file, begin_shards),
        cmocka_unit_test_setup(index_missing_shard_is_named, begin_shards),
        cmocka_unit_test_setup(index_name_outside_the_directory_is_refused, begin_shards),
        cmocka_unit_test_setup(index_tensor_in_another_shard_is_named, begin_shards),
        cmocka_unit_test_setup(index_tensor_in_two_shards_is_named, begin_shards),
        cmocka_unit_test_setup(index_malformed_is_refused, begin_shards),
        cmocka_unit_test_setup(index_that_leaves_a_tensor_out_is_noticed, begin_shards),
        cmocka_unit_test_setup(index_and_single_file_missing_is_said, begin_shards),
        cmocka_unit_test_setup(index_any_allocation_may_fail, begin_shards),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
