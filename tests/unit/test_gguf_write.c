/* The file that is written, byte for byte against one made from the format's specification, and
 * what reading it back gives. */
#include "gguf_image.h"

#include "io/gguf_write.h"
#include "tokenizer_model.h"

enum { TINY_Q = 2, TINY_K = 3 };

/* Where each row of a matrix in rotary pairs (i, i + 3) stands in pairs (2i, 2i + 1); two heads. */
static const size_t row_order[] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};

static const soti_shape tiny_shape = {.n_layer = 1,
                                      .n_head = 2,
                                      .n_kv = 1,
                                      .d_head = 6,
                                      .d_model = 8,
                                      .d_ff = 10,
                                      .n_vocab = 7,
                                      .rope_layout = SOTI_ROPE_HALF_SPLIT,
                                      .rope_theta = 10000.0f,
                                      .rope_scale = 1.0f,
                                      .norm_eps = 1e-5f};

static bytes values[N_TINY];
static soti_gguf_tensor tensors[N_TINY];
static soti_gguf_model tiny_model;
static soti_vocabulary vocabulary;

static void append_piece(const char *text, float score, uint32_t type)
{
    assert_int_equal(soti_vocabulary_append(&vocabulary, text, strlen(text), score, type), SOT_OK);
}

static int make_tiny(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TINY; t++) {
        const tiny_tensor *tiny = &tiny_tensors[t];
        bool is_matrix = tiny->dims[1] != 0;
        values[t].size = 0;
        put_tiny_values(&values[t], t, tiny_count(t), is_matrix ? SOTI_TYPE_F16 : SOTI_TYPE_F32);
        tensors[t] = (soti_gguf_tensor){.n_rows = is_matrix ? tiny->dims[0] : 0,
                                        .n_columns = is_matrix ? tiny->dims[1] : tiny->dims[0],
                                        .n_split_heads = t == TINY_Q   ? 2
                                                         : t == TINY_K ? 1
                                                                       : 0};
        snprintf(tensors[t].name, sizeof tensors[t].name, "%s", tiny->gguf_name);
        void *data = values[t].data;
        tensors[t].halves = is_matrix ? data : NULL;
        tensors[t].floats = is_matrix ? NULL : data;
    }
    vocabulary = (soti_vocabulary){.bos_id = 1, .eos_id = 2, .add_dummy_prefix = 1};
    append_piece("<unk>", 0.0f, SOTI_PIECE_UNKNOWN);
    append_piece("<s>", -0.5f, SOTI_PIECE_CONTROL);
    append_piece("</s>", -1.0f, SOTI_PIECE_CONTROL);
    append_piece("\xE2\x96\x81", -1.5f, SOTI_PIECE_NORMAL);
    append_piece("a", -2.0f, SOTI_PIECE_NORMAL);
    append_piece("b", -2.5f, SOTI_PIECE_USER_DEFINED);
    append_piece("<no piece 6>", 0.0f, SOTI_PIECE_CONTROL);
    tiny_model = (soti_gguf_model){.shape = &tiny_shape,
                                   .n_ctx_train = 64,
                                   .bos_id = 1,
                                   .eos_id = 2,
                                   .name = "tiny",
                                   .conversation = "vicuna",
                                   .vocabulary = &vocabulary,
                                   .tensors = tensors,
                                   .n_tensors = N_TINY};
    return 0;
}

static int free_tiny(void **state)
{
    (void)state;
    soti_vocabulary_free(&vocabulary);
    return 0;
}

static gguf_pair *array_pair(gguf_image *image, const char *key, uint32_t item_type)
{
    gguf_pair *pair = image_pair(image, key);
    pair->type = ARRAY;
    pair->item_type = item_type;
    pair->n_items = 7;
    return pair;
}

static void set_expected_tokens(gguf_image *image)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>",        "\xE2\x96\x81",
                                        "a",     "b",   "<no piece 6>"};
    static const double types[] = {2, 3, 3, 1, 1, 4, 3}; /* SentencePiece's numbers */
    static const double scores[] = {0, -0.5, -1, -1.5, -2, -2.5, 0};
    memcpy(array_pair(image, "tokenizer.ggml.tokens", STRING)->texts, texts, sizeof texts);
    memcpy(array_pair(image, "tokenizer.ggml.scores", F32)->numbers, scores, sizeof scores);
    memcpy(array_pair(image, "tokenizer.ggml.token_type", I32)->numbers, types, sizeof types);
}

static void set_expected_pairs(gguf_image *image)
{
    image->n_pairs = 0;
    image_set_text(image, "general.architecture", "llama");
    image_set_text(image, "general.name", "tiny");
    image_set_number(image, "general.file_type", U32, 1); /* mostly F16 */
    image_set_number(image, "general.alignment", U32, 32);
    image_set_text(image, "sot.conversation", "vicuna");
    image_set_number(image, "llama.context_length", U32, 64);
    image_set_number(image, "llama.block_count", U32, 1);
    image_set_number(image, "llama.embedding_length", U32, 8);
    image_set_number(image, "llama.feed_forward_length", U32, 10);
    image_set_number(image, "llama.attention.head_count", U32, 2);
    image_set_number(image, "llama.attention.head_count_kv", U32, 1);
    image_set_number(image, "llama.attention.key_length", U32, 6);
    image_set_number(image, "llama.attention.value_length", U32, 6);
    image_set_number(image, "llama.rope.dimension_count", U32, 6);
    image_set_number(image, "llama.vocab_size", U32, 7);
    image_set_real(image, "llama.attention.layer_norm_rms_epsilon", F32, 1e-5);
    image_set_real(image, "llama.rope.freq_base", F32, 10000);
    image_set_number(image, "tokenizer.ggml.bos_token_id", U32, 1);
    image_set_number(image, "tokenizer.ggml.eos_token_id", U32, 2);
    image_set_number(image, "tokenizer.ggml.unknown_token_id", U32, 0);
    image_set_text(image, "tokenizer.ggml.model", "llama");
    image_set_number(image, "tokenizer.ggml.add_space_prefix", BOOL, 1);
    image_set_number(image, "tokenizer.ggml.remove_extra_whitespaces", BOOL, 0);
    set_expected_tokens(image);
}

static void set_expected_order(gguf_image *image, size_t t, size_t n_rows)
{
    size_t row_bytes = (size_t)tiny_tensors[t].dims[1] * 2;
    uint8_t *to = image->data.data + image->tensors[t].offset;
    for (size_t i = 0; i < n_rows; i++) {
        memcpy(to + i * row_bytes, values[t].data + row_order[i] * row_bytes, row_bytes);
    }
}

static void pad_data(gguf_image *image)
{
    while (image->data.size % image->alignment != 0) {
        put_number(&image->data, 0, 1);
    }
}

static void write_half_split_model_is_as_specified(void **state)
{
    (void)state;
    static gguf_image image;
    static bytes expected;
    static uint8_t found[sizeof expected.data];
    image_begin(&image);
    set_expected_pairs(&image);
    set_expected_order(&image, TINY_Q, 12);
    set_expected_order(&image, TINY_K, 6);
    pad_data(&image);
    image_bytes(&image, &expected);
    assert_int_equal(soti_gguf_write(path_of("a.gguf"), &tiny_model, NULL, NULL), SOT_OK);
    FILE *file = fopen(path_of("a.gguf"), "rb");
    assert_non_null(file);
    assert_int_equal(fread(found, 1, sizeof found, file), expected.size);
    fclose(file);
    assert_memory_equal(found, expected.data, expected.size);
}

static void write_interleaved_model_reads_back_as_it_was(void **state)
{
    (void)state;
    soti_shape shape = tiny_shape;
    soti_checkpoint read;
    shape.rope_theta = 5e5f;
    shape.rope_scale = 4.0f;
    tiny_model.shape = &shape;
    tiny_model.conversation = "none";
    tensors[TINY_Q].n_split_heads = tensors[TINY_K].n_split_heads = 0;
    assert_int_equal(soti_gguf_write(path_of("vicuna.gguf"), &tiny_model, NULL, NULL), SOT_OK);
    assert_int_equal(open_model(path_of("vicuna.gguf"), &read), SOT_OK);
    check_tiny_shape(&read.shape);
    check_tiny_tensors(&read);
    assert_int_equal(read.shape.rope_layout, SOTI_ROPE_INTERLEAVED);
    assert_true(read.shape.rope_theta == 5e5f);
    assert_true(read.shape.rope_scale == 4.0f);
    assert_int_equal(read.n_ctx_train, 64);
    assert_string_equal(read.name, "tiny");
    assert_string_equal(read.conversation, "none"); /* whatever the file is called */
    soti_checkpoint_close(&read);
}

static void write_what_is_not_stated_stays_so(void **state)
{
    (void)state;
    soti_checkpoint read;
    tiny_model.n_ctx_train = 0;
    tiny_model.name = "";
    tiny_model.vocabulary = NULL;
    tiny_model.bos_id = -1;
    tiny_model.n_tensors = N_TINY - 1; /* the output is the embedding */
    tensors[TINY_Q].n_split_heads = tensors[TINY_K].n_split_heads = 0;
    assert_int_equal(soti_gguf_write(path_of("a.gguf"), &tiny_model, NULL, NULL), SOT_OK);
    assert_int_equal(open_model(path_of("a.gguf"), &read), SOT_OK);
    assert_int_equal(read.n_ctx_train, 0);
    assert_string_equal(read.name, "");
    assert_int_equal(read.vocabulary.n_pieces, 0);
    assert_int_equal(read.bos_id, -1);
    assert_int_equal(read.eos_id, 2);
    assert_int_equal(read.tied_output, 1);
    check_tiny_tensors(&read);
    soti_checkpoint_close(&read);
}

/* Readers take ids 0, 1 and 2 for granted where a file names none. */
static void write_tokenizer_without_an_id_is_refused(void **state)
{
    (void)state;
    tiny_model.bos_id = -1;
    assert_int_equal(soti_gguf_write(path_of("b.gguf"), &tiny_model, NULL, NULL),
                     SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(soti_fail_message(), "the tokenizer has no bos_token_id"));
    tiny_model.bos_id = 1;
    vocabulary.unk_id = -1;
    assert_int_equal(soti_gguf_write(path_of("b.gguf"), &tiny_model, NULL, NULL),
                     SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(soti_fail_message(), "no unknown_token_id"));
    assert_non_null(strstr(soti_fail_message(), path_of("b.gguf")));
    assert_int_equal(access(path_of("b.gguf"), F_OK), -1);
}

static void check_same_vocabulary(const soti_vocabulary *a, const soti_vocabulary *b)
{
    assert_int_equal(a->n_pieces, b->n_pieces);
    assert_int_equal(a->text_size, b->text_size);
    assert_memory_equal(a->text, b->text, a->text_size);
    assert_memory_equal(a->pieces, b->pieces, a->n_pieces * sizeof *a->pieces);
    assert_int_equal(a->unk_id, b->unk_id);
    assert_int_equal(a->bos_id, b->bos_id);
    assert_int_equal(a->eos_id, b->eos_id);
    assert_int_equal(a->add_dummy_prefix, b->add_dummy_prefix);
    assert_int_equal(a->remove_extra_whitespaces, b->remove_extra_whitespaces);
    assert_int_equal(a->unk_surface != NULL, b->unk_surface != NULL);
    if (a->unk_surface != NULL) {
        assert_string_equal(a->unk_surface, b->unk_surface);
    }
}

static sot_status write_vocabulary(const soti_vocabulary *real)
{
    static uint16_t rows[1 << 18];
    soti_shape shape = tiny_shape;
    assert_true(real->n_pieces * tensors[0].n_columns <= sizeof rows / sizeof *rows);
    shape.n_vocab = real->n_pieces;
    tiny_model.shape = &shape;
    tiny_model.vocabulary = real;
    tiny_model.bos_id = real->bos_id;
    tiny_model.eos_id = real->eos_id;
    tensors[0].halves = tensors[N_TINY - 1].halves = rows;
    tensors[0].n_rows = tensors[N_TINY - 1].n_rows = real->n_pieces;
    return soti_gguf_write(path_of("vocabulary.gguf"), &tiny_model, NULL, NULL);
}

/* The tokenizer is made of the vocabulary alone, so it then is the same too. */
static void check_vocabulary_comes_back(soti_vocabulary *real)
{
    soti_checkpoint read;
    assert_int_equal(write_vocabulary(real), SOT_OK);
    assert_int_equal(open_model(path_of("vocabulary.gguf"), &read), SOT_OK);
    check_same_vocabulary(real, &read.vocabulary);
    soti_checkpoint_close(&read);
    soti_vocabulary_free(real);
}

static void write_vocabularies_of_tokenizer_models_read_back_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"odd", "plain", "spaces", "symbols"};
    soti_vocabulary real;
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/golden/tokenizer/%s.model", SOT_TEST_DIR, names[i]);
        assert_true(load_vocabulary(path, &real));
        check_vocabulary_comes_back(&real);
    }
    snprintf(path, sizeof path, "%s/golden/tokenizer/bare.model", SOT_TEST_DIR);
    assert_true(load_vocabulary(path, &real)); /* it has no end of sequence */
    assert_int_equal(write_vocabulary(&real), SOT_ERR_UNSUPPORTED);
    soti_vocabulary_free(&real);
}

static void write_vocabulary_of_llama_reads_back_the_same(void **state)
{
    (void)state;
    char path[512];
    const char *folder = getenv("SOT_SHARED_DIR");
    soti_vocabulary real;
    snprintf(path, sizeof path, "%s/data/tokenizer/llama.model",
             folder ? folder : SOT_SOURCE_DIR "/../shared");
    if (!load_vocabulary(path, &real)) {
        print_message("SKIPPED: %s is not there; set SOT_SHARED_DIR\n", path);
        skip();
    }
    check_vocabulary_comes_back(&real);
}

static void write_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = soti_gguf_write(path_of("c.gguf"), &tiny_model, NULL, NULL);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_true(n >= 2);
            return;
        }
        assert_true(status == SOT_ERR_MEMORY || status == SOT_OK); /* syncing the folder may fail */
        assert_int_equal(access(path_of("c.gguf"), F_OK), status == SOT_OK ? 0 : -1);
        unlink(path_of("c.gguf"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tiny, free_tiny)
    const struct CMUnitTest tests[] = {
        TEST(write_half_split_model_is_as_specified),
        TEST(write_interleaved_model_reads_back_as_it_was),
        TEST(write_what_is_not_stated_stays_so),
        TEST(write_tokenizer_without_an_id_is_refused),
        TEST(write_vocabularies_of_tokenizer_models_read_back_the_same),
        TEST(write_vocabulary_of_llama_reads_back_the_same),
        TEST(write_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
