/* tokenizer.model and added_tokens.json of a directory. The protobuf is written by hand after
 * sentencepiece_model.proto. */
#include "hf_folder.h"

static hf_config config;
static st_image image;
static soti_checkpoint checkpoint;

static void put_piece(bytes *out, const char *text, uint8_t type)
{
    size_t size = strlen(text);
    put_number(out, 0x0A, 1); /* ModelProto.pieces */
    put_number(out, size + 4, 1);
    put_number(out, 0x0A, 1); /* piece */
    put_number(out, size, 1);
    put(out, text, size);
    put_number(out, 0x18, 1); /* type */
    put_number(out, type, 1);
}

static void write_tokenizer(size_t n_pieces)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "a", "b", "c", "d", "e"};
    bytes out = {.size = 0};
    for (size_t i = 0; i < n_pieces; i++) {
        put_piece(&out, texts[i], i == 0 ? 2 : i < 3 ? 3 : 1);
    }
    put(&out, "\x12\x02\x18\x02", 4); /* trainer_spec { model_type: BPE } */
    put(&out, "\x1A\x02\x20\x00", 4); /* normalizer_spec { remove_extra_whitespaces: false } */
    write_file(path_of("tokenizer.model"), out.data, out.size);
}

static void write_added(const char *text)
{
    write_file(path_of("added_tokens.json"), text, strlen(text));
}

static int begin_folder(void **state)
{
    (void)state;
    hf_folder_begin(&config, &image);
    write_tokenizer(5);
    return 0;
}

static const soti_vocabulary *opened(void)
{
    if (open_model(test_folder, &checkpoint) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    return &checkpoint.vocabulary;
}

static void check_piece(uint32_t id, const char *text, uint32_t type)
{
    const soti_vocabulary *vocabulary = &checkpoint.vocabulary;
    assert_true(id < vocabulary->n_pieces);
    const soti_piece *piece = &vocabulary->pieces[id];
    if (text != NULL) {
        assert_int_equal(piece->size, strlen(text));
        assert_memory_equal(vocabulary->text + piece->offset, text, piece->size);
    }
    assert_int_equal(piece->type, type);
}

static void hf_vocabulary_is_read_and_padded(void **state)
{
    (void)state;
    assert_int_equal(opened()->n_pieces, 7);
    check_piece(4, "b", SOTI_PIECE_NORMAL);
    check_piece(6, NULL, SOTI_PIECE_CONTROL);
    assert_int_equal(checkpoint.bos_id, 1);
    assert_int_equal(checkpoint.eos_id, 2);
    soti_checkpoint_close(&checkpoint);
}

static void hf_vocabulary_missing_means_none(void **state)
{
    (void)state;
    unlink(path_of("tokenizer.model"));
    write_added("{\"<x>\": 5}");
    assert_int_equal(opened()->n_pieces, 0);
    assert_int_equal(checkpoint.bos_id, -1);
    soti_checkpoint_close(&checkpoint);
}

static void hf_vocabulary_config_ids_win(void **state)
{
    (void)state;
    config_set(&config, "eos_token_id", "4");
    config_write(&config);
    assert_int_equal(opened()->eos_id, 4);
    assert_int_equal(checkpoint.vocabulary.bos_id, 1);
    assert_int_equal(checkpoint.eos_id, 4);
    soti_checkpoint_close(&checkpoint);
}

static void hf_vocabulary_added_tokens_get_their_ids(void **state)
{
    (void)state;
    write_added("{\"<|end_of_turn|>\": 6, \"<s>\": 1, \"<beyond>\": 7, \"<neg>\": -1}");
    assert_int_equal(opened()->n_pieces, 7);
    check_piece(1, "<s>", SOTI_PIECE_CONTROL);
    check_piece(4, "b", SOTI_PIECE_NORMAL);
    check_piece(5, NULL, SOTI_PIECE_CONTROL); /* nobody's id */
    check_piece(6, "<|end_of_turn|>", SOTI_PIECE_CONTROL);
    assert_string_equal(checkpoint.conversation, "openchat");
    soti_checkpoint_close(&checkpoint);
}

static void hf_vocabulary_bad_added_tokens_are_named(void **state)
{
    (void)state;
    write_added("{\"<x>\": \"5\"}");
    check_refused(test_folder, SOT_ERR_FORMAT, "added_tokens.json", "<x>", "integer", NULL);
    write_added("{\"<x>\": 5, \"<y>\": 5}");
    check_refused(test_folder, SOT_ERR_FORMAT, "added_tokens.json", "<x>", "<y>", "5", NULL);
    write_added("{\"\": 5}");
    check_refused(test_folder, SOT_ERR_FORMAT, "added_tokens.json", NULL);
    write_added("{\"<x>\": 5, \"<x>\": 6}");
    check_refused(test_folder, SOT_ERR_FORMAT, "added_tokens.json", "<x>", "twice", NULL);
    write_added("[");
    check_refused(test_folder, SOT_ERR_FORMAT, "added_tokens.json", "line 1", NULL);
}

static void hf_vocabulary_larger_than_the_model_is_refused(void **state)
{
    (void)state;
    write_tokenizer(8);
    check_refused(test_folder, SOT_ERR_FORMAT, "tokenizer.model", "8 pieces", "vocab_size is 7",
                  NULL);
}

static void hf_vocabulary_damaged_or_no_file_is_named(void **state)
{
    (void)state;
    write_file(path_of("tokenizer.model"), "{\"version\": 1}", 14);
    check_refused(test_folder, SOT_ERR_FORMAT, "tokenizer.model", NULL);
    write_file(path_of("tokenizer.model"), "", 0);
    check_refused(test_folder, SOT_ERR_FORMAT, "tokenizer.model", "empty", NULL);
    unlink(path_of("tokenizer.model"));
    assert_int_equal(mkdir(path_of("tokenizer.model"), 0700), 0);
    check_refused(test_folder, SOT_ERR_IO, "tokenizer.model", "a directory", NULL);
}

static void hf_vocabulary_too_large_is_not_read(void **state)
{
    (void)state;
    rmdir(path_of("tokenizer.model")); /* of the test before */
    write_hole(path_of("tokenizer.model"), 100000001);
    check_refused(test_folder, SOT_ERR_FORMAT, "tokenizer.model",
                  "has 100000001 bytes; at most 100000000 are allowed", NULL);
}

static void hf_vocabulary_any_allocation_may_fail(void **state)
{
    (void)state;
    write_added("{\"<x>\": 5, \"<y>\": 6}");
    check_every_allocation(test_folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(hf_vocabulary_is_read_and_padded, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_missing_means_none, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_config_ids_win, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_added_tokens_get_their_ids, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_bad_added_tokens_are_named, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_larger_than_the_model_is_refused, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_damaged_or_no_file_is_named, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_too_large_is_not_read, begin_folder),
        cmocka_unit_test_setup(hf_vocabulary_any_allocation_may_fail, begin_folder),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
