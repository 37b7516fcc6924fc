/* The tokenizer in a GGUF file's metadata. */
#include "gguf_image.h"

static gguf_image image;
static soti_checkpoint checkpoint;

static int begin_image(void **state)
{
    (void)state;
    image_begin(&image);
    image_set_tokens(&image);
    return 0;
}

static const soti_vocabulary *opened(void)
{
    const char *path = image_write(&image);
    if (open_model(path, &checkpoint) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    return &checkpoint.vocabulary;
}

static void check_piece(uint32_t id, const char *text, float score, uint32_t type)
{
    const soti_vocabulary *vocabulary = &checkpoint.vocabulary;
    assert_true(id < vocabulary->n_pieces);
    const soti_piece *piece = &vocabulary->pieces[id];
    assert_int_equal(piece->size, strlen(text));
    assert_memory_equal(vocabulary->text + piece->offset, text, piece->size);
    assert_true(piece->score == score);
    assert_int_equal(piece->type, type);
}

static void vocabulary_pieces_are_read_in_order(void **state)
{
    (void)state;
    const soti_vocabulary *vocabulary = opened();
    check_piece(0, "<unk>", 0.0f, SOTI_PIECE_UNKNOWN);
    check_piece(1, "<s>", -0.5f, SOTI_PIECE_CONTROL);
    check_piece(2, "</s>", -1.0f, SOTI_PIECE_CONTROL);
    check_piece(3, "\xE2\x96\x81", -1.5f, SOTI_PIECE_NORMAL);
    check_piece(5, "b", -2.5f, SOTI_PIECE_NORMAL);
    assert_int_equal(vocabulary->unk_id, 0);
    assert_int_equal(vocabulary->bos_id, 1);
    assert_int_equal(vocabulary->eos_id, 2);
    assert_int_equal(checkpoint.bos_id, 1);
    assert_int_equal(checkpoint.eos_id, 2);
    assert_int_equal(vocabulary->add_dummy_prefix, 1);
    assert_int_equal(vocabulary->remove_extra_whitespaces, 0);
    soti_checkpoint_close(&checkpoint);
}

static void vocabulary_unknown_surface_is_read_where_it_is_stated(void **state)
{
    (void)state;
    assert_null(opened()->unk_surface); /* the library's own */
    soti_checkpoint_close(&checkpoint);
    image_set_text(&image, "sot.unknown_surface", "[?]");
    assert_string_equal(opened()->unk_surface, "[?]");
    soti_checkpoint_close(&checkpoint);
    check_every_allocation(path_of("tiny.gguf"));
    image_set_number(&image, "sot.unknown_surface", U32, 7);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "sot.unknown_surface", NULL);
}

static void vocabulary_rows_without_token_become_control_pieces(void **state)
{
    (void)state;
    assert_int_equal(opened()->n_pieces, 7); /* six tokens, seven rows */
    assert_int_equal(checkpoint.vocabulary.pieces[6].type, SOTI_PIECE_CONTROL);
    soti_checkpoint_close(&checkpoint);
}

static void vocabulary_options_are_read(void **state)
{
    (void)state;
    image_set_number(&image, "tokenizer.ggml.add_space_prefix", BOOL, 0);
    image_set_number(&image, "tokenizer.ggml.remove_extra_whitespaces", BOOL, 1);
    image_set_number(&image, "tokenizer.ggml.bos_token_id", U32, 3);
    image_set_number(&image, "tokenizer.ggml.eos_token_id", U32, 4);
    image_set_number(&image, "tokenizer.ggml.unknown_token_id", U32, 5);
    const soti_vocabulary *vocabulary = opened();
    assert_int_equal(vocabulary->add_dummy_prefix, 0);
    assert_int_equal(vocabulary->remove_extra_whitespaces, 1);
    assert_int_equal(vocabulary->bos_id, 3);
    assert_int_equal(vocabulary->eos_id, 4);
    assert_int_equal(vocabulary->unk_id, 5);
    soti_checkpoint_close(&checkpoint);
}

static void vocabulary_size_without_key_is_the_number_of_tokens(void **state)
{
    (void)state;
    image_remove_pair(&image, "llama.vocab_size");
    check_refused(image_write(&image), SOT_ERR_FORMAT, "token_embd.weight",
                  "shape [7, 8], expected [6, 8]", NULL);
}

static void vocabulary_without_scores_and_types_has_defaults(void **state)
{
    (void)state;
    image_remove_pair(&image, "tokenizer.ggml.scores");
    image_remove_pair(&image, "tokenizer.ggml.token_type");
    opened();
    check_piece(0, "<unk>", 0.0f, SOTI_PIECE_NORMAL);
    check_piece(5, "b", 0.0f, SOTI_PIECE_NORMAL);
    soti_checkpoint_close(&checkpoint);
}

static void vocabulary_ids_without_tokenizer_are_kept(void **state)
{
    (void)state;
    image_remove_pair(&image, "tokenizer.ggml.model");
    assert_int_equal(opened()->n_pieces, 0);
    assert_int_equal(checkpoint.bos_id, 1);
    assert_int_equal(checkpoint.eos_id, 2);
    soti_checkpoint_close(&checkpoint);
}

static void vocabulary_of_another_kind_is_unsupported(void **state)
{
    (void)state;
    image_set_text(&image, "tokenizer.ggml.model", "gpt2");
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "tiny.gguf", "gpt2", "llama", NULL);
}

static void vocabulary_arrays_must_agree(void **state)
{
    (void)state;
    image_pair(&image, "tokenizer.ggml.scores")->n_items = 5;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tokenizer.ggml.scores", "5", "6", NULL);
    begin_image(NULL);
    image_pair(&image, "tokenizer.ggml.token_type")->n_items = 0;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tokenizer.ggml.token_type", "0", "6", NULL);
    begin_image(NULL);
    image_remove_pair(&image, "tokenizer.ggml.tokens");
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tokenizer.ggml.tokens", "missing", NULL);
    begin_image(NULL);
    image_pair(&image, "tokenizer.ggml.token_type")->item_type = F32;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tokenizer.ggml.token_type", "float32",
                  "int32", NULL);
}

static void vocabulary_larger_than_the_model_is_refused(void **state)
{
    (void)state;
    image_set_number(&image, "llama.vocab_size", U32, 5);
    image_tensor(&image, "token_embd.weight")->dims[1] = 5;
    image_tensor(&image, "output.weight")->dims[1] = 5;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "6 tokens", "5", NULL);
}

static void vocabulary_bad_pieces_are_named(void **state)
{
    (void)state;
    image_pair(&image, "tokenizer.ggml.token_type")->numbers[3] = 9;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "3", "9", NULL);
    begin_image(NULL);
    image_pair(&image, "tokenizer.ggml.scores")->numbers[4] = (double)(0.0f / 0.0f);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "4", NULL);
    begin_image(NULL);
    image_pair(&image, "tokenizer.ggml.tokens")->texts[5] = "\xC3";
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "5", "UTF-8", NULL);
}

static void vocabulary_ids_must_exist(void **state)
{
    (void)state;
    image_set_number(&image, "tokenizer.ggml.eos_token_id", U32, 6);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tokenizer.ggml.eos_token_id", "6", NULL);
    image_set_number(&image, "tokenizer.ggml.eos_token_id", I32, UINT32_MAX);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tokenizer.ggml.eos_token_id", NULL);
}

static void vocabulary_stated_conversation_wins(void **state)
{
    (void)state;
    image_set_text(&image, "general.name", "a vicuna by name");
    opened();
    assert_string_equal(checkpoint.conversation, "vicuna");
    soti_checkpoint_close(&checkpoint);
    image_set_text(&image, "sot.conversation", "ultralm");
    opened();
    assert_string_equal(checkpoint.conversation, "ultralm");
    soti_checkpoint_close(&checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(vocabulary_pieces_are_read_in_order, begin_image),
        cmocka_unit_test_setup(vocabulary_unknown_surface_is_read_where_it_is_stated, begin_image),
        cmocka_unit_test_setup(vocabulary_rows_without_token_become_control_pieces, begin_image),
        cmocka_unit_test_setup(vocabulary_options_are_read, begin_image),
        cmocka_unit_test_setup(vocabulary_size_without_key_is_the_number_of_tokens, begin_image),
        cmocka_unit_test_setup(vocabulary_without_scores_and_types_has_defaults, begin_image),
        cmocka_unit_test_setup(vocabulary_ids_without_tokenizer_are_kept, begin_image),
        cmocka_unit_test_setup(vocabulary_of_another_kind_is_unsupported, begin_image),
        cmocka_unit_test_setup(vocabulary_arrays_must_agree, begin_image),
        cmocka_unit_test_setup(vocabulary_larger_than_the_model_is_refused, begin_image),
        cmocka_unit_test_setup(vocabulary_bad_pieces_are_named, begin_image),
        cmocka_unit_test_setup(vocabulary_ids_must_exist, begin_image),
        cmocka_unit_test_setup(vocabulary_stated_conversation_wins, begin_image),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
