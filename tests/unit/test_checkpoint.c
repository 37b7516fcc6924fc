/* Which reader a path goes to, and what is the same for all of them. */
#include "gguf_image.h"

static gguf_image image;
static soti_checkpoint checkpoint;

static int begin_image(void **state)
{
    (void)state;
    image_begin(&image);
    return 0;
}

static void checkpoint_what_is_no_model_is_refused_without_waiting(void **state)
{
    (void)state;
    alarm(20);
    check_refused("", SOT_ERR_IO, "empty", NULL);
    check_refused(path_of("nothing"), SOT_ERR_IO, path_of("nothing"), "cannot be opened", NULL);
    check_refused(test_folder, SOT_ERR_IO, "config.json", NULL);
    check_refused("/dev/null", SOT_ERR_IO, "/dev/null", "device", NULL);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    check_refused(path_of("fifo"), SOT_ERR_IO, "fifo", "a FIFO", NULL);
    write_file(path_of("empty.gguf"), "", 0);
    check_refused(path_of("empty.gguf"), SOT_ERR_FORMAT, "empty.gguf", "the file is empty", NULL);
    write_file(path_of("text"), "hello", 5);
    check_refused(path_of("text"), SOT_ERR_FORMAT, "text", "not a GGUF file", NULL);
    write_file(path_of("short"), "GG", 2);
    check_refused(path_of("short"), SOT_ERR_FORMAT, "short", "the file ends", NULL);
    alarm(0);
}

static void checkpoint_lone_safetensors_file_points_to_its_directory(void **state)
{
    (void)state;
    write_file(path_of("model.safetensors"), "x", 1);
    check_refused(path_of("model.safetensors"), SOT_ERR_UNSUPPORTED, "directory", "config.json",
                  NULL);
    unlink(path_of("model.safetensors"));
}

static void checkpoint_any_name_will_do_for_gguf(void **state)
{
    (void)state;
    assert_int_equal(rename(image_write(&image), path_of("vicuna weights")), 0);
    assert_int_equal(open_model(path_of("vicuna weights"), &checkpoint), SOT_OK);
    assert_string_equal(checkpoint.conversation, "vicuna");
    assert_string_equal(checkpoint.tensors[0].file, "vicuna weights");
    assert_string_equal(checkpoint.path, path_of("vicuna weights"));
    soti_checkpoint_close(&checkpoint);
}

static void checkpoint_find_knows_exactly_its_tensors(void **state)
{
    (void)state;
    assert_int_equal(open_model(image_write(&image), &checkpoint), SOT_OK);
    for (size_t t = 0; t < N_TINY; t++) {
        const soti_tensor *tensor = soti_checkpoint_find(&checkpoint, tiny_tensors[t].name);
        assert_non_null(tensor);
        assert_string_equal(tensor->name, tiny_tensors[t].name);
        assert_null(soti_checkpoint_find(&checkpoint, tiny_tensors[t].gguf_name));
    }
    assert_null(soti_checkpoint_find(&checkpoint, ""));
    soti_checkpoint_close(&checkpoint);
    assert_null(soti_checkpoint_find(&checkpoint, "lm_head.weight"));
    soti_checkpoint_close(&checkpoint); /* a zeroed one: nothing */
}

static void checkpoint_weights_are_used_where_they_are_mapped(void **state)
{
    (void)state;
    assert_int_equal(open_model(image_write(&image), &checkpoint), SOT_OK);
    assert_int_equal(checkpoint.n_maps, 1);
    assert_int_equal(checkpoint.owned_bytes, 0);
    for (size_t i = 0; i < checkpoint.n_tensors; i++) {
        const soti_tensor *tensor = &checkpoint.tensors[i];
        assert_true(tensor->data > checkpoint.maps[0].data);
        assert_true(tensor->data + tensor->bytes <=
                    checkpoint.maps[0].data + checkpoint.maps[0].size);
        assert_int_equal((uintptr_t)tensor->data % 32, 0);
    }
    soti_checkpoint_close(&checkpoint);
}

static void checkpoint_padding_pieces_mean_no_text(void **state)
{
    (void)state;
    soti_checkpoint padded = {.path = NULL};
    assert_int_equal(soti_vocabulary_append(&padded.vocabulary, "a", 1, 0, SOTI_PIECE_NORMAL),
                     SOT_OK);
    assert_int_equal(soti_checkpoint_pad_vocabulary(&padded, 100), SOT_OK);
    assert_int_equal(padded.vocabulary.n_pieces, 100);
    assert_int_equal(padded.vocabulary.pieces[0].type, SOTI_PIECE_NORMAL);
    for (uint32_t i = 1; i < 100; i++) {
        assert_int_equal(padded.vocabulary.pieces[i].type, SOTI_PIECE_CONTROL);
    }
    soti_checkpoint_close(&padded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_what_is_no_model_is_refused_without_waiting),
        cmocka_unit_test(checkpoint_lone_safetensors_file_points_to_its_directory),
        cmocka_unit_test_setup(checkpoint_any_name_will_do_for_gguf, begin_image),
        cmocka_unit_test_setup(checkpoint_find_knows_exactly_its_tensors, begin_image),
        cmocka_unit_test_setup(checkpoint_weights_are_used_where_they_are_mapped, begin_image),
        cmocka_unit_test(checkpoint_padding_pieces_mean_no_text),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
