/* Comparing what files list with what a LLaMA needs. The readers' tests cover the sentences; this
 * one covers the list itself. */
#include "model_files.h"

#include "io/tensor_list.h"

static uint8_t data[4096];
static soti_filemap maps[2];
static soti_checkpoint checkpoint;
static soti_tensor_list list;

static int begin_list(void **state)
{
    (void)state;
    static char first[] = "folder/a";
    static char second[] = "folder/b";
    static char path[] = "folder";
    maps[0] = (soti_filemap){first, data, sizeof data};
    maps[1] = (soti_filemap){second, data, sizeof data};
    checkpoint = (soti_checkpoint){
        .path = path,
        .maps = maps,
        .n_maps = 2,
        .shape = {.n_layer = 1,
                  .n_head = 2,
                  .n_kv = 1,
                  .d_head = 6,
                  .d_model = 8,
                  .d_ff = 10,
                  .n_vocab = 7},
    };
    uint64_t at = 0;
    for (size_t t = 0; t < N_TINY; t++) {
        soti_tensor_entry entry = {.i_map = t % 2, .type = SOTI_TYPE_F16};
        entry.n_dims = tiny_tensors[t].dims[1] ? 2 : 1;
        entry.dims[0] = tiny_tensors[t].dims[0];
        entry.dims[1] = tiny_tensors[t].dims[1];
        entry.begin = at;
        entry.end = at + 2 * tiny_count(t);
        at = t % 2 ? entry.end : at; /* pairs of tensors at one place of two files */
        at = at < entry.end ? entry.end : at;
        size_t size = strlen(tiny_tensors[t].name);
        assert_int_equal(soti_tensor_list_add(&list, &entry, tiny_tensors[t].name, size), SOT_OK);
    }
    return 0;
}

static int end_list(void **state)
{
    (void)state;
    soti_tensor_list_free(&list);
    for (size_t i = 0; i < checkpoint.n_tensors; i++) {
        soti_free(checkpoint.tensors[i].name);
    }
    soti_free(checkpoint.tensors);
    return 0;
}

static sot_status finish(void)
{
    return soti_tensor_list_finish(&list, SOTI_NAMES_HUGGINGFACE, &no_log, &checkpoint);
}

static void list_complete_becomes_tensors_sorted_by_name(void **state)
{
    (void)state;
    assert_int_equal(finish(), SOT_OK);
    assert_int_equal(checkpoint.n_tensors, N_TINY);
    for (size_t i = 1; i < N_TINY; i++) {
        assert_true(strcmp(checkpoint.tensors[i - 1].name, checkpoint.tensors[i].name) < 0);
    }
    assert_string_equal(soti_checkpoint_find(&checkpoint, "model.embed_tokens.weight")->file, "a");
    assert_string_equal(soti_checkpoint_find(&checkpoint, "lm_head.weight")->file, "b");
    assert_null(soti_checkpoint_find(&checkpoint, "lm_head.weigh"));
}

static void list_same_bytes_of_two_files_do_not_overlap(void **state)
{
    (void)state;
    list.entries[1].begin = list.entries[0].begin;
    list.entries[1].end = list.entries[1].begin + 16;
    assert_int_equal(finish(), SOT_OK);
}

static void list_overlap_with_an_unneeded_tensor_is_refused(void **state)
{
    (void)state;
    soti_tensor_entry entry = {.i_map = 0, .type = SOTI_TYPE_F16, .begin = 0, .end = 1};
    assert_int_equal(soti_tensor_list_add(&list, &entry, "extra", 5), SOT_OK);
    assert_int_equal(finish(), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "a: tensor model.embed_tokens.weight: bytes 0 to 112 overlap those of "
                        "tensor extra, 0 to 1");
}

static void list_empty_tensor_overlaps_nothing(void **state)
{
    (void)state;
    soti_tensor_entry entry = {.i_map = 0, .type = SOTI_TYPE_F16, .begin = 5, .end = 5};
    assert_int_equal(soti_tensor_list_add(&list, &entry, "extra", 5), SOT_OK);
    assert_int_equal(finish(), SOT_OK);
}

static void list_wrong_size_is_refused(void **state)
{
    (void)state;
    list.entries[7].end--;
    assert_int_equal(finish(), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "b: tensor model.layers.0.mlp.gate_proj.weight: 159 bytes, expected 160");
}

static void list_without_tensors_is_refused(void **state)
{
    (void)state;
    soti_tensor_list empty = {NULL, 0, 0};
    assert_int_equal(soti_tensor_list_finish(&empty, SOTI_NAMES_HUGGINGFACE, &no_log, &checkpoint),
                     SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "folder: holds no tensors");
}

static void list_tied_output_ignores_the_matrix(void **state)
{
    (void)state;
    checkpoint.tied_output = 1;
    assert_int_equal(finish(), SOT_OK);
    assert_null(soti_checkpoint_find(&checkpoint, "lm_head.weight"));
}

static void list_names_that_cannot_be_printed_are_refused(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'a', sizeof text);
    assert_int_equal(soti_tensor_name_check("f", 3, text, 255), SOT_OK);
    assert_int_equal(soti_tensor_name_check("f", 3, text, 256), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "f: tensor 3 has a name of 256 bytes, expected 1 to 255");
    assert_int_equal(soti_tensor_name_check("f", 3, text, 0), SOT_ERR_FORMAT);
    assert_int_equal(soti_tensor_name_check("f", 3, "a\x7F", 2), SOT_ERR_FORMAT);
    assert_int_equal(soti_tensor_name_check("f", 3, "a\0b", 3), SOT_ERR_FORMAT);
    assert_int_equal(soti_tensor_name_check("f", 3, "a\xE2\x82", 3), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "f: the name of tensor 3 is not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(list_complete_becomes_tensors_sorted_by_name, begin_list,
                                        end_list),
        cmocka_unit_test_setup_teardown(list_same_bytes_of_two_files_do_not_overlap, begin_list,
                                        end_list),
        cmocka_unit_test_setup_teardown(list_overlap_with_an_unneeded_tensor_is_refused, begin_list,
                                        end_list),
        cmocka_unit_test_setup_teardown(list_empty_tensor_overlaps_nothing, begin_list, end_list),
        cmocka_unit_test_setup_teardown(list_wrong_size_is_refused, begin_list, end_list),
        cmocka_unit_test_setup_teardown(list_without_tensors_is_refused, begin_list, end_list),
        cmocka_unit_test_setup_teardown(list_tied_output_ignores_the_matrix, begin_list, end_list),
        cmocka_unit_test(list_names_that_cannot_be_printed_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
