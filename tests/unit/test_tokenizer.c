/* The tokenizer's making, special pieces and decoding. That ids and texts equal SentencePiece's is
 * golden/test_tokenizer_golden.c; the ids here were read off the library (0.2.3) by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/sot.h"
#include "tokenizer_model.h"

static void add(soti_vocabulary *v, const char *text, uint32_t type)
{
    assert_int_equal(soti_vocabulary_append(v, text, strlen(text), 0.0f, type), SOT_OK);
}

/* <unk> <s> </s> a b */
static soti_vocabulary small_vocabulary(void)
{
    soti_vocabulary v = {.unk_id = 0, .bos_id = 1, .eos_id = 2};
    add(&v, "<unk>", SOTI_PIECE_UNKNOWN);
    add(&v, "<s>", SOTI_PIECE_CONTROL);
    add(&v, "</s>", SOTI_PIECE_CONTROL);
    add(&v, "a", SOTI_PIECE_NORMAL);
    add(&v, "b", SOTI_PIECE_NORMAL);
    return v;
}

static void assert_refused(soti_vocabulary *v, const char *words)
{
    soti_tokenizer *tokenizer = (soti_tokenizer *)1;
    uint32_t n_pieces = v->n_pieces;
    assert_int_equal(soti_tokenizer_create(v, &tokenizer), SOT_ERR_FORMAT);
    assert_null(tokenizer);
    if (strstr(soti_fail_message(), words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", soti_fail_message(), words);
    }
    assert_int_equal(v->n_pieces, n_pieces); /* it stays the caller's */
    soti_vocabulary_free(v);
}

static void tokenizer_create_takes_the_vocabulary_over(void **state)
{
    (void)state;
    soti_vocabulary v = small_vocabulary();
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    assert_null(v.pieces);
    assert_int_equal(v.n_pieces, 0);
    assert_int_equal(soti_tokenizer_size(tokenizer), 5);
    assert_int_equal(soti_tokenizer_bos(tokenizer), 1);
    assert_int_equal(soti_tokenizer_eos(tokenizer), 2);
    soti_tokenizer_free(tokenizer);
    soti_tokenizer_free(NULL);
}

static void tokenizer_create_bad_vocabulary_is_refused(void **state)
{
    (void)state;
    soti_vocabulary v = {.unk_id = -1, .bos_id = -1, .eos_id = -1};
    assert_refused(&v, "no pieces");
    v = small_vocabulary();
    add(&v, "a", SOTI_PIECE_USER_DEFINED);
    assert_refused(&v, "pieces 3 and 5 are both \"a\"");
    v = small_vocabulary();
    add(&v, "<other>", SOTI_PIECE_UNKNOWN);
    assert_refused(&v, "pieces 0 and 5 are both the unknown piece");
    v = small_vocabulary();
    add(&v, "<0x00>", SOTI_PIECE_BYTE);
    assert_refused(&v, "byte piece <0x01> is missing");
    v = small_vocabulary();
    v.bos_id = 5;
    assert_refused(&v, "BOS is 5, but there are 5 pieces");
    v = small_vocabulary();
    v.eos_id = -2;
    assert_refused(&v, "EOS is -2");
    v = small_vocabulary();
    v.unk_id = 77;
    assert_refused(&v, "the unknown piece is 77");
    v = (soti_vocabulary){.unk_id = -1, .bos_id = -1, .eos_id = -1};
    add(&v, "a", SOTI_PIECE_NORMAL);
    assert_refused(&v, "neither an unknown piece nor byte pieces");
    assert_int_equal(soti_vocabulary_make_bytes(300, &v), SOT_OK);
    add(&v, "<0xff>", SOTI_PIECE_BYTE); /* names are in capitals */
    assert_refused(&v, "257 byte pieces, expected 256");
}

static void tokenizer_normal_piece_as_unknown_is_taken(void **state)
{
    (void)state;
    soti_vocabulary v = {.unk_id = 1, .bos_id = -1, .eos_id = -1};
    add(&v, "a", SOTI_PIECE_NORMAL);
    add(&v, "?", SOTI_PIECE_NORMAL); /* GGUF names the unknown piece by id alone */
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    soti_tokens ids = {0};
    assert_int_equal(soti_tokenizer_encode(tokenizer, "axxa", 4, SOT_TOKENIZE_BOS, &ids), SOT_OK);
    static const int32_t expected[] = {0, 1, 0};
    assert_int_equal(ids.count, 3);
    assert_memory_equal(ids.ids, expected, sizeof expected);
    soti_buffer text = {0};
    assert_int_equal(soti_tokenizer_decode(tokenizer, ids.ids, ids.count, 0, &text), SOT_OK);
    assert_string_equal(text.data, "a \xE2\x81\x87 a");
    soti_tokens_free(&ids);
    soti_buffer_free(&text);
    soti_tokenizer_free(tokenizer);
}

static void tokenizer_bytes_give_any_text_back(void **state)
{
    (void)state;
    soti_vocabulary v;
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_vocabulary_make_bytes(300, &v), SOT_OK);
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    const char *text = "  a b\n\xF0\x9F\x98\x80 ";
    soti_tokens ids = {0};
    soti_buffer back = {0};
    assert_int_equal(soti_tokenizer_encode(tokenizer, text, strlen(text), 0, &ids), SOT_OK);
    assert_int_equal(ids.ids[0], 259);
    assert_int_equal(ids.ids[2], 3 + 'a');
    assert_int_equal(soti_tokenizer_decode(tokenizer, ids.ids, ids.count, 0, &back), SOT_OK);
    assert_string_equal(back.data, text);
    soti_tokens_free(&ids);
    soti_buffer_free(&back);
    soti_tokenizer_free(tokenizer);
}

static void assert_ids(const soti_tokenizer *tokenizer, const char *text, uint32_t flags,
                       const int32_t *expected, size_t n)
{
    soti_tokens ids = {0};
    assert_int_equal(soti_tokenizer_encode(tokenizer, text, strlen(text), flags, &ids), SOT_OK);
    assert_int_equal(ids.count, n);
    if (n > 0) {
        assert_memory_equal(ids.ids, expected, n * sizeof *expected);
    }
    soti_tokens_free(&ids);
}

static void tokenizer_flags_read_bos_and_control_pieces(void **state)
{
    (void)state;
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    assert_ids(llama, "", 0, NULL, 0);
    assert_ids(llama, "", SOT_TOKENIZE_BOS, (int32_t[]){1}, 1);
    assert_ids(llama, "Hello world", 0, (int32_t[]){15043, 3186}, 2);
    assert_ids(llama, "Hello world", SOT_TOKENIZE_BOS, (int32_t[]){1, 15043, 3186}, 3);
    /* Plain text may spell a control piece. */
    assert_ids(llama, "</s>", 0, (int32_t[]){1533, 29879, 29958}, 3);
    assert_ids(llama, "</s>", SOT_TOKENIZE_SPECIAL, (int32_t[]){2}, 1);
    /* Transformers' LlamaTokenizer (legacy): "Hello</s>Hello" is [15043, 2, 15043]. */
    assert_ids(llama, "Hello</s>Hello", SOT_TOKENIZE_SPECIAL, (int32_t[]){15043, 2, 15043}, 3);
    assert_ids(llama, "<s></s>", SOT_TOKENIZE_SPECIAL | SOT_TOKENIZE_BOS, (int32_t[]){1, 1, 2}, 3);
    soti_tokenizer_free(llama);
}

static void tokenizer_find_special_knows_control_and_user_defined(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = load_tokenizer("symbols");
    int32_t mask = soti_tokenizer_find_special(tokenizer, "<mask>", 6);
    int32_t sep = soti_tokenizer_find_special(tokenizer, "<sep>", 5);
    assert_true(mask > 2 && sep > 2 && mask != sep);
    assert_int_equal(soti_tokenizer_find_special(tokenizer, "</s>", 4), 2);
    assert_int_equal(soti_tokenizer_find_special(tokenizer, "<unk>", 5), -1);
    assert_int_equal(soti_tokenizer_find_special(tokenizer, "<mask", 5), -1);
    assert_int_equal(soti_tokenizer_find_special(tokenizer, "a", 1), -1);
    assert_int_equal(soti_tokenizer_find_special(tokenizer, "", 0), -1);
    /* The longest of several: "<mask>" is not cut at anything shorter. */
    assert_ids(tokenizer, "<mask>", SOT_TOKENIZE_SPECIAL, &mask, 1);
    soti_tokenizer_free(tokenizer);
}

static void tokenizer_decode_flags_show_control_pieces(void **state)
{
    (void)state;
    soti_vocabulary v = small_vocabulary();
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    static const int32_t ids[] = {1, 3, 0, 4, 2};
    soti_buffer text = {0};
    soti_buffer_append_text(&text, "before ");
    assert_int_equal(soti_tokenizer_decode(tokenizer, ids, 5, 0, &text), SOT_OK);
    assert_string_equal(text.data, "before a \xE2\x81\x87 b");
    soti_buffer_truncate(&text, 0);
    assert_int_equal(soti_tokenizer_decode(tokenizer, ids, 5, SOT_TOKENIZE_SPECIAL, &text), SOT_OK);
    assert_string_equal(text.data, "<s>a \xE2\x81\x87 b</s>");
    soti_buffer_free(&text);
    soti_tokenizer_free(tokenizer);
}

static void tokenizer_decode_id_out_of_range_is_named(void **state)
{
    (void)state;
    soti_vocabulary v = small_vocabulary();
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    soti_buffer text = {0};
    soti_buffer_append_text(&text, "kept");
    static const int32_t too_large[] = {3, 5};
    static const int32_t negative[] = {3, -1};
    assert_int_equal(soti_tokenizer_decode(tokenizer, too_large, 2, 0, &text), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "token 5"));
    assert_string_equal(text.data, "kept");
    assert_int_equal(soti_tokenizer_decode(tokenizer, negative, 2, 0, &text), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "token -1"));
    assert_string_equal(text.data, "kept");
    assert_int_equal(soti_tokenizer_decode(tokenizer, NULL, 0, 0, &text), SOT_OK);
    assert_string_equal(text.data, "kept");
    soti_buffer_free(&text);
    soti_tokenizer_free(tokenizer);
}

static void tokens_append_grows_and_keeps_on_failure(void **state)
{
    (void)state;
    soti_tokens tokens = {0};
    for (int32_t i = 0; i < 1000; i++) {
        assert_int_equal(soti_tokens_append(&tokens, &i, 1), SOT_OK);
    }
    assert_int_equal(soti_tokens_append(&tokens, NULL, 0), SOT_OK);
    for (int32_t i = 0; i < 1000; i++) {
        assert_int_equal(tokens.ids[i], i);
    }
    size_t capacity = tokens.capacity;
    tokens.count = capacity;
    soti_alloc_fail_at(0);
    assert_int_equal(soti_tokens_append(&tokens, tokens.ids, 1), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
    assert_int_equal(tokens.count, capacity);
    assert_int_equal(tokens.ids[999], 999);
    soti_tokens_free(&tokens);
    assert_null(tokens.ids);
    soti_tokens huge = {.count = SIZE_MAX - 1, .capacity = SIZE_MAX - 1};
    int32_t id = 0;
    assert_int_equal(soti_tokens_append(&huge, &id, SIZE_MAX), SOT_ERR_MEMORY);
}

static sot_status make_and_use(const soti_vocabulary *source, soti_tokens *ids, soti_buffer *text)
{
    soti_vocabulary v = *source;
    v.pieces = NULL;
    v.n_pieces = 0;
    v.pieces_capacity = 0;
    v.text = NULL;
    v.text_size = v.text_capacity = 0;
    v.unk_surface = NULL;
    sot_status status = SOT_OK;
    for (uint32_t i = 0; i < source->n_pieces && status == SOT_OK; i++) {
        const soti_piece *piece = &source->pieces[i];
        status = soti_vocabulary_append(&v, source->text + piece->offset, piece->size, piece->score,
                                        piece->type);
    }
    soti_tokenizer *tokenizer = NULL;
    if (status == SOT_OK) {
        status = soti_tokenizer_create(&v, &tokenizer);
    }
    static const char input[] = "the question aaaa<s>\xFF spring ab";
    if (status == SOT_OK) {
        status = soti_tokenizer_encode(tokenizer, input, sizeof input,
                                       SOT_TOKENIZE_BOS | SOT_TOKENIZE_SPECIAL, ids);
        assert_true(status == SOT_OK || ids->count == 0);
    }
    if (status == SOT_OK) {
        status = soti_tokenizer_decode(tokenizer, ids->ids, ids->count, 0, text);
        assert_true(status == SOT_OK || text->size == 0);
    }
    soti_tokenizer_free(tokenizer);
    soti_vocabulary_free(&v);
    return status;
}

static void tokenizer_every_allocation_failing_leaves_nothing(void **state)
{
    (void)state;
    char path[512];
    soti_vocabulary source;
    snprintf(path, sizeof path, "%s/golden/tokenizer/odd.model", SOT_TEST_DIR);
    assert_true(load_vocabulary(path, &source));
    for (long n = 0;; n++) {
        soti_tokens ids = {0};
        soti_buffer text = {0};
        soti_alloc_fail_at(n);
        sot_status status = make_and_use(&source, &ids, &text);
        soti_alloc_fail_at(-1);
        soti_tokens_free(&ids);
        soti_buffer_free(&text);
        if (status == SOT_OK) {
            assert_true(n > 15);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
    }
    soti_vocabulary_free(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_create_takes_the_vocabulary_over),
        cmocka_unit_test(tokenizer_create_bad_vocabulary_is_refused),
        cmocka_unit_test(tokenizer_normal_piece_as_unknown_is_taken),
        cmocka_unit_test(tokenizer_bytes_give_any_text_back),
        cmocka_unit_test(tokenizer_flags_read_bos_and_control_pieces),
        cmocka_unit_test(tokenizer_find_special_knows_control_and_user_defined),
        cmocka_unit_test(tokenizer_decode_flags_show_control_pieces),
        cmocka_unit_test(tokenizer_decode_id_out_of_range_is_named),
        cmocka_unit_test(tokens_append_grows_and_keeps_on_failure),
        cmocka_unit_test(tokenizer_every_allocation_failing_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
