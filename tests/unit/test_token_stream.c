/* Text of a growing sequence: whole characters only, and together what decoding gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "random_source.h"
#include "tokenizer_model.h"

static int32_t byte_id(unsigned byte)
{
    return 3 + (int32_t)byte;
}

static soti_tokenizer *make_bytes(void)
{
    soti_vocabulary v;
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_vocabulary_make_bytes(261, &v), SOT_OK);
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    return tokenizer;
}

/* Feeds the ids one by one and expects the texts, the last of which is what the end brings. */
static void assert_stream(const int32_t *ids, const char *const *expected, size_t n)
{
    soti_tokenizer *tokenizer = make_bytes();
    soti_token_stream stream;
    soti_buffer text = {0};
    soti_token_stream_begin(&stream, tokenizer);
    for (size_t i = 0; i <= n; i++) {
        soti_buffer_truncate(&text, 0);
        assert_int_equal(i < n ? soti_token_stream_append(&stream, ids[i], &text)
                               : soti_token_stream_end(&stream, &text),
                         SOT_OK);
        assert_string_equal(soti_buffer_text(&text), expected[i]);
    }
    soti_buffer_free(&text);
    soti_tokenizer_free(tokenizer);
}

#define REPLACED "\xEF\xBF\xBD"

static void stream_character_waits_for_its_last_byte(void **state)
{
    (void)state;
    const int32_t ids[] = {byte_id(0xF0), byte_id(0x9F), byte_id(0x98), byte_id(0x80),
                           byte_id('a')};
    const char *const texts[] = {"", "", "", "\xF0\x9F\x98\x80", "a", ""};
    assert_stream(ids, texts, 5);
}

static void stream_broken_character_comes_out_byte_by_byte(void **state)
{
    (void)state;
    /* As SentencePiece decodes: each byte that is part of no character is one U+FFFD. */
    const int32_t ids[] = {byte_id(0xE2), byte_id(0x82), byte_id('a'),  byte_id(0x80),
                           byte_id(0xE2), byte_id(0xE2), byte_id(0x82), byte_id(0xAC)};
    const char *const texts[] = {"",       "", REPLACED REPLACED "a", REPLACED, "",
                                 REPLACED, "", "\xE2\x82\xAC",        ""};
    assert_stream(ids, texts, 8);
}

static void stream_end_gives_up_what_is_held_back(void **state)
{
    (void)state;
    const int32_t ids[] = {byte_id(0xF0), byte_id(0x9F), byte_id(0x98)};
    const char *const texts[] = {"", "", "", REPLACED REPLACED REPLACED};
    assert_stream(ids, texts, 3);
}

static void stream_other_piece_ends_a_character(void **state)
{
    (void)state;
    /* BOS (1) is invisible, and yet the bytes around it are no character; 259 is a space. */
    const int32_t ids[] = {byte_id(0xC3), 1, byte_id(0xA9), 259};
    const char *const texts[] = {"", REPLACED, REPLACED, " ", ""};
    assert_stream(ids, texts, 4);
}

static void stream_leading_space_is_kept(void **state)
{
    (void)state;
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    soti_token_stream stream;
    soti_buffer text = {0};
    soti_token_stream_begin(&stream, llama);
    assert_int_equal(soti_token_stream_append(&stream, 15043, &text), SOT_OK); /* "▁Hello" */
    assert_string_equal(text.data, " Hello");
    soti_buffer_free(&text);
    soti_tokenizer_free(llama);
}

static void stream_id_out_of_range_changes_nothing(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = make_bytes();
    soti_token_stream stream;
    soti_buffer text = {0};
    soti_token_stream_begin(&stream, tokenizer);
    assert_int_equal(soti_token_stream_append(&stream, byte_id(0xC3), &text), SOT_OK);
    assert_int_equal(soti_token_stream_append(&stream, 261, &text), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "token 261: there are 261 pieces"));
    assert_int_equal(soti_token_stream_append(&stream, INT32_MIN, &text), SOT_ERR_ARGUMENT);
    assert_int_equal(soti_token_stream_append(&stream, byte_id(0xA9), &text), SOT_OK);
    assert_string_equal(text.data, "\xC3\xA9");
    soti_buffer_free(&text);
    soti_tokenizer_free(tokenizer);
}

static void stream_allocation_failing_changes_nothing(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = make_bytes();
    soti_token_stream stream;
    soti_buffer text = {0};
    soti_token_stream_begin(&stream, tokenizer);
    soti_token_stream before = stream;
    soti_alloc_fail_at(0);
    assert_int_equal(soti_token_stream_append(&stream, byte_id('a'), &text), SOT_ERR_MEMORY);
    soti_alloc_fail_at(0);
    assert_int_equal(soti_token_stream_end(&stream, &text), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
    assert_int_equal(text.size, 0);
    assert_int_equal(stream.n_pending, before.n_pending);
    soti_buffer_free(&text);
    soti_tokenizer_free(tokenizer);
}

/* A sequence of pieces of all sorts, bytes more often than their share. */
static void make_ids(random_source *random, const soti_tokenizer *tokenizer, soti_tokens *ids)
{
    uint32_t n_pieces = soti_tokenizer_size(tokenizer);
    ids->count = 0;
    for (uint32_t n = random_between(random, 0, 30); n > 0; n--) {
        uint32_t kind = random_between(random, 0, 3);
        char text[4];
        size_t size = 0;
        int32_t id = (int32_t)random_between(random, 0, n_pieces - 1);
        if (kind == 0) {
            soti_tokens_append(ids, &id, 1);
        } else if (kind == 1) {
            text[size++] = (char)random_between(random, 0x80, 0xFF);
        } else {
            size = soti_utf8_encode(random_between(random, 0x80, 0x10FFFF), text);
            size = random_between(random, kind == 2 ? (uint32_t)size : 1, (uint32_t)size);
        }
        for (size_t i = 0; i < size; i++) { /* LLaMA's byte pieces follow <unk>, <s>, </s>, too */
            id = byte_id((unsigned char)text[i]);
            soti_tokens_append(ids, &id, 1);
        }
    }
}

static void check_sequences(const soti_tokenizer *tokenizer, uint64_t seed, int n_sequences)
{
    random_source random = {seed};
    soti_tokens ids = {0};
    soti_buffer streamed = {0};
    soti_buffer decoded = {0};
    for (int i = 0; i < n_sequences; i++) {
        make_ids(&random, tokenizer, &ids);
        soti_token_stream stream;
        soti_token_stream_begin(&stream, tokenizer);
        soti_buffer_truncate(&streamed, 0);
        for (size_t k = 0; k <= ids.count; k++) {
            size_t before = streamed.size;
            assert_int_equal(k < ids.count
                                 ? soti_token_stream_append(&stream, ids.ids[k], &streamed)
                                 : soti_token_stream_end(&stream, &streamed),
                             SOT_OK);
            size_t added = streamed.size - before;
            assert_int_equal(soti_utf8_find_invalid(soti_buffer_text(&streamed) + before, added),
                             added);
            assert_true(stream.n_pending <= 3);
        }
        assert_int_equal(stream.n_pending, 0);
        /* Behind a text: the decoder sees a line feed's byte in front, and takes no space off. */
        int32_t first = byte_id('\n');
        soti_tokens behind = {0};
        soti_tokens_append(&behind, &first, 1);
        int32_t apart = 1; /* BOS: bytes that follow are not joined to the line feed */
        soti_tokens_append(&behind, &apart, 1);
        soti_tokens_append(&behind, ids.ids, ids.count);
        soti_buffer_truncate(&decoded, 0);
        assert_int_equal(soti_tokenizer_decode(tokenizer, behind.ids, behind.count, 0, &decoded),
                         SOT_OK);
        assert_int_equal(streamed.size, decoded.size - 1);
        assert_memory_equal(soti_buffer_text(&streamed), decoded.data + 1, streamed.size);
        soti_tokens_free(&behind);
    }
    soti_tokens_free(&ids);
    soti_buffer_free(&streamed);
    soti_buffer_free(&decoded);
}

static void stream_small_model_concatenation_equals_decode(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "spaces", "odd"};
    for (size_t i = 0; i < 3; i++) {
        soti_tokenizer *tokenizer = load_tokenizer(names[i]);
        check_sequences(tokenizer, i, 3000);
        soti_tokenizer_free(tokenizer);
    }
}

static void stream_llama_concatenation_equals_decode(void **state)
{
    (void)state;
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    check_sequences(llama, 9, 5000);
    soti_tokenizer_free(llama);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_character_waits_for_its_last_byte),
        cmocka_unit_test(stream_broken_character_comes_out_byte_by_byte),
        cmocka_unit_test(stream_end_gives_up_what_is_held_back),
        cmocka_unit_test(stream_other_piece_ends_a_character),
        cmocka_unit_test(stream_leading_space_is_kept),
        cmocka_unit_test(stream_id_out_of_range_changes_nothing),
        cmocka_unit_test(stream_allocation_failing_changes_nothing),
        cmocka_unit_test(stream_small_model_concatenation_equals_decode),
        cmocka_unit_test(stream_llama_concatenation_equals_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
