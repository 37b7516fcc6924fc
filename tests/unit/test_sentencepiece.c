/* Reading tokenizer.model: a file that the SentencePiece trainer wrote, the same cut at every byte
 * and with bytes changed, and models put together here that break one rule each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fail.h"
#include "io/vocabulary.h"

/* ---- a protobuf writer ---- */

static void put_varint(soti_buffer *out, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7F) | (value >= 0x80 ? 0x80 : 0));
        soti_buffer_append(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_number(soti_buffer *out, uint32_t field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static void put_bytes(soti_buffer *out, uint32_t field, const char *bytes, size_t n)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, n);
    soti_buffer_append(out, bytes, n);
}

static void put_message(soti_buffer *out, uint32_t field, soti_buffer *message)
{
    put_bytes(out, field, soti_buffer_text(message), message->size);
    soti_buffer_free(message);
}

static void put_piece(soti_buffer *out, const char *text, float score, uint64_t type)
{
    soti_buffer piece = {0};
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    for (int i = 0; i < 4; i++) {
        uint8_t byte = (uint8_t)(bits >> (8 * i));
        soti_buffer_append(&piece, &byte, 1);
    }
    put_number(&piece, 3, type);
    put_message(out, 1, &piece);
}

/* The pieces and trainer's part of a small model, BPE unless it says otherwise. */
static void put_start(soti_buffer *out)
{
    put_piece(out, "<unk>", 0.0f, SOTI_PIECE_UNKNOWN);
    put_piece(out, "<s>", 0.0f, SOTI_PIECE_CONTROL);
    put_piece(out, "</s>", 0.0f, SOTI_PIECE_CONTROL);
    put_piece(out, "a", -1.0f, SOTI_PIECE_NORMAL);
}

static void put_trainer(soti_buffer *out, uint32_t field, uint64_t value)
{
    soti_buffer trainer = {0};
    put_number(&trainer, 3, 2);
    if (field != 0) {
        put_number(&trainer, field, value);
    }
    put_message(out, 2, &trainer);
}

static void put_normalizer(soti_buffer *out, uint32_t field, uint64_t value)
{
    soti_buffer normalizer = {0};
    put_bytes(&normalizer, 1, "identity", 8);
    if (field != 0) {
        put_number(&normalizer, field, value);
    }
    put_message(out, 3, &normalizer);
}

static sot_status read_model(soti_buffer *model, soti_vocabulary *out)
{
    /* A copy of the exact size, so that the address sanitizer sees a byte too far. */
    uint8_t *copy = malloc(model->size + 1);
    assert_non_null(copy);
    memcpy(copy + 1, soti_buffer_text(model), model->size);
    sot_status status = soti_vocabulary_read_sentencepiece("a.model", copy + 1, model->size, out);
    free(copy);
    soti_buffer_free(model);
    return status;
}

static void assert_refused(soti_buffer *model, sot_status expected, const char *words)
{
    soti_vocabulary vocabulary;
    sot_status status = read_model(model, &vocabulary);
    if (status != expected || strstr(soti_fail_message(), words) == NULL ||
        strncmp(soti_fail_message(), "a.model: ", 9) != 0) {
        fail_msg("status %d, \"%s\", expected %d and \"%s\"", status, soti_fail_message(), expected,
                 words);
    }
    assert_null(vocabulary.pieces);
    assert_int_equal(vocabulary.n_pieces, 0);
}

static void read_file(const char *name, soti_buffer *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/golden/tokenizer/%s", SOT_TEST_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) {
        soti_buffer_append(out, block, n);
    }
    fclose(file);
}

/* ---- tests ---- */

static void sentencepiece_trained_model_is_read(void **state)
{
    (void)state;
    soti_buffer model = {0};
    soti_vocabulary v;
    read_file("bare.model", &model);
    assert_int_equal(read_model(&model, &v), SOT_OK);
    assert_int_equal(v.n_pieces, 500); /* as the script that trained it asked for */
    assert_int_equal(v.unk_id, 0);
    assert_int_equal(v.bos_id, 1);
    assert_int_equal(v.eos_id, -1);
    assert_int_equal(v.add_dummy_prefix, 0);
    assert_int_equal(v.remove_extra_whitespaces, 0);
    assert_string_equal(v.unk_surface, "[?]");
    assert_memory_equal(v.text + v.pieces[1].offset, "<begin>", 7);
    soti_vocabulary_free(&v);
}

static void sentencepiece_defaults_are_those_of_the_format(void **state)
{
    (void)state;
    soti_buffer model = {0};
    soti_vocabulary v;
    put_start(&model);
    put_bytes(&model, 1, "\x0A\x01q", 3); /* a piece with a text alone */
    put_trainer(&model, 0, 0);
    put_normalizer(&model, 0, 0);
    put_number(&model, 99, 5); /* unknown fields are skipped */
    put_bytes(&model, 200, "anything", 8);
    assert_int_equal(read_model(&model, &v), SOT_OK);
    assert_int_equal(v.n_pieces, 5);
    assert_int_equal(v.pieces[4].type, SOTI_PIECE_NORMAL);
    assert_true(v.pieces[4].score == 0.0f);
    assert_true(v.pieces[3].score == -1.0f);
    assert_int_equal(v.add_dummy_prefix, 1);
    assert_int_equal(v.remove_extra_whitespaces, 1);
    assert_null(v.unk_surface);
    assert_int_equal(v.bos_id, 1);
    assert_int_equal(v.eos_id, 2);
    soti_vocabulary_free(&v);
}

static void sentencepiece_bos_and_eos_are_found_by_name(void **state)
{
    (void)state;
    soti_buffer model = {0};
    soti_vocabulary v;
    put_start(&model);
    put_piece(&model, "[B]", 0.0f, SOTI_PIECE_CONTROL);
    put_piece(&model, "[E]", 0.0f, SOTI_PIECE_NORMAL); /* not a control piece: no EOS */
    soti_buffer trainer = {0};
    put_number(&trainer, 3, 2);
    put_bytes(&trainer, 46, "[B]", 3);
    put_bytes(&trainer, 47, "[E]", 3);
    put_bytes(&trainer, 44, "one", 3);
    put_bytes(&trainer, 44, "two", 3); /* of a field given twice, the last counts */
    put_message(&model, 2, &trainer);
    put_normalizer(&model, 4, 0);
    assert_int_equal(read_model(&model, &v), SOT_OK);
    assert_int_equal(v.bos_id, 4);
    assert_int_equal(v.eos_id, -1);
    assert_int_equal(v.remove_extra_whitespaces, 0);
    assert_string_equal(v.unk_surface, "two");
    soti_vocabulary_free(&v);
}

static void sentencepiece_empty_or_missing_parts_are_refused(void **state)
{
    (void)state;
    soti_buffer model = {0};
    soti_buffer_reserve(&model, 1);
    assert_refused(&model, SOT_ERR_FORMAT, "has no pieces");
    put_trainer(&model, 0, 0);
    put_normalizer(&model, 0, 0);
    assert_refused(&model, SOT_ERR_FORMAT, "has no pieces");
    put_start(&model);
    assert_refused(&model, SOT_ERR_FORMAT, "has no trainer's part");
    put_start(&model);
    put_trainer(&model, 0, 0);
    assert_refused(&model, SOT_ERR_FORMAT, "has no normalizer's part");
}

static void sentencepiece_other_algorithms_are_unsupported(void **state)
{
    (void)state;
    soti_buffer model = {0};
    read_file("unigram.model", &model);
    assert_refused(&model, SOT_ERR_UNSUPPORTED, "unigram");
    for (uint64_t type = 3; type <= 4; type++) { /* word, char */
        put_start(&model);
        put_trainer(&model, 3, type);
        put_normalizer(&model, 0, 0);
        assert_refused(&model, SOT_ERR_UNSUPPORTED, "only BPE");
    }
    put_start(&model);
    soti_buffer trainer = {0};
    put_bytes(&trainer, 1, "corpus", 6); /* no type: the default is unigram */
    put_message(&model, 2, &trainer);
    put_normalizer(&model, 0, 0);
    assert_refused(&model, SOT_ERR_UNSUPPORTED, "unigram");
    put_start(&model);
    put_trainer(&model, 24, 1);
    put_normalizer(&model, 0, 0);
    assert_refused(&model, SOT_ERR_UNSUPPORTED, "suffixes");
}

static void sentencepiece_other_normalizations_are_unsupported(void **state)
{
    (void)state;
    for (uint32_t field = 3; field <= 5; field += 2) { /* normalizer, denormalizer */
        soti_buffer model = {0};
        soti_buffer map = {0};
        put_start(&model);
        put_trainer(&model, 0, 0);
        put_normalizer(&model, 0, 0);
        put_bytes(&map, 2, "\x01\x02\x03", 3);
        put_message(&model, field, &map);
        assert_refused(&model, SOT_ERR_UNSUPPORTED, "map of 3 bytes");
    }
    soti_buffer model = {0};
    put_start(&model);
    put_trainer(&model, 0, 0);
    put_normalizer(&model, 5, 0);
    assert_refused(&model, SOT_ERR_UNSUPPORTED, "does not escape spaces");
}

static void sentencepiece_bad_pieces_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        float score;
        uint64_t type;
        const char *words;
    } cases[] = {
        {"", 0.0f, 1, "piece 4 is empty"},
        {"\xC3", 0.0f, 1, "piece 4 is not UTF-8"},
        {"b", NAN, 1, "piece 4: the score"},
        {"b", INFINITY, 1, "piece 4: the score"},
        {"b", 0.0f, 0, "piece 4: type 0"},
        {"b", 0.0f, 7, "piece 4: type 7"},
        {"b", 0.0f, (1ull << 32) + 1, "piece 4: type 4294967295"},
        {"<un>", 0.0f, SOTI_PIECE_UNKNOWN, "pieces 0 and 4 are both the unknown piece"},
        {"<0x00>", 0.0f, SOTI_PIECE_BYTE, "1 byte pieces with byte fallback off"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        soti_buffer model = {0};
        put_start(&model);
        put_piece(&model, cases[i].text, cases[i].score, cases[i].type);
        put_trainer(&model, 0, 0);
        put_normalizer(&model, 0, 0);
        assert_refused(&model, SOT_ERR_FORMAT, cases[i].words);
    }
    soti_buffer model = {0};
    put_piece(&model, "a", 0.0f, SOTI_PIECE_NORMAL);
    put_trainer(&model, 0, 0);
    put_normalizer(&model, 0, 0);
    assert_refused(&model, SOT_ERR_FORMAT, "no unknown piece");
}

static void sentencepiece_incomplete_byte_fallback_is_refused(void **state)
{
    (void)state;
    for (int n = 0; n < 256; n += 255) {
        soti_buffer model = {0};
        char words[64];
        put_start(&model);
        for (int byte = 0; byte < n; byte++) {
            char name[16];
            snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
            put_piece(&model, name, 0.0f, SOTI_PIECE_BYTE);
        }
        put_trainer(&model, 35, 1);
        put_normalizer(&model, 0, 0);
        snprintf(words, sizeof words, "%d byte pieces with byte fallback on, expected 256", n);
        assert_refused(&model, SOT_ERR_FORMAT, words);
    }
}

static void sentencepiece_wrong_wire_types_are_refused(void **state)
{
    (void)state;
    soti_buffer model = {0};
    put_number(&model, 1, 5);
    assert_refused(&model, SOT_ERR_FORMAT, "field 1 has wire type 0, expected 2");
    put_start(&model);
    put_bytes(&model, 1, "\x08\x05", 2);
    assert_refused(&model, SOT_ERR_FORMAT, "a piece: field 1 has wire type 0");
    put_bytes(&model, 1, "\x10\x05", 2);
    assert_refused(&model, SOT_ERR_FORMAT, "a piece: field 2 has wire type 0, expected 5");
    put_bytes(&model, 1, "\x1A\x01q", 3);
    assert_refused(&model, SOT_ERR_FORMAT, "a piece: field 3 has wire type 2, expected 0");
    put_bytes(&model, 2, "\x1A\x01q", 3);
    assert_refused(&model, SOT_ERR_FORMAT, "the trainer's part: field 3");
    put_bytes(&model, 2, "\xF0\x02\x01", 3); /* field 46 as a number */
    assert_refused(&model, SOT_ERR_FORMAT, "the trainer's part: field 46");
    put_bytes(&model, 3, "\x10\x01", 2);
    assert_refused(&model, SOT_ERR_FORMAT, "the normalizer's part: field 2");
    put_bytes(&model, 2, "\xE2\x02\x01\x00", 4); /* field 44, a NUL */
    assert_refused(&model, SOT_ERR_FORMAT, "the text of unknown pieces");
}

static void sentencepiece_lying_lengths_are_refused(void **state)
{
    (void)state;
    soti_buffer model = {0};
    put_start(&model);
    soti_buffer_append(&model, "\x0A\x7Fxyz", 5); /* a piece of 127 bytes, three there */
    assert_refused(&model, SOT_ERR_FORMAT, "the file is cut short");
    put_bytes(&model, 1,
              "\x0A\x05"
              "abc",
              5);
    assert_refused(&model, SOT_ERR_FORMAT, "a piece is cut short");
    put_bytes(&model, 2, "\x1A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11);
    assert_refused(&model, SOT_ERR_FORMAT, "the trainer's part is cut short");
    put_bytes(&model, 3, "\x12\x01", 2);
    assert_refused(&model, SOT_ERR_FORMAT, "the normalizer's part is cut short");
}

static void sentencepiece_cut_anywhere_is_refused(void **state)
{
    (void)state;
    soti_buffer model = {0};
    read_file("bare.model", &model);
    for (size_t n = 0; n < model.size; n++) {
        soti_buffer cut = {0};
        soti_buffer_reserve(&cut, 0);
        soti_buffer_append(&cut, model.data, n);
        soti_vocabulary v;
        sot_status status = read_model(&cut, &v);
        assert_int_equal(status, SOT_ERR_FORMAT);
        assert_null(v.pieces);
        assert_null(v.unk_surface);
    }
    soti_buffer_free(&model);
}

static void sentencepiece_bytes_changed_are_survived(void **state)
{
    (void)state;
    soti_buffer model = {0};
    read_file("bare.model", &model);
    size_t n_refused = 0;
    for (size_t i = 0; i < model.size; i += 3) { /* in turn the fields' tags, lengths and values */
        soti_buffer changed = {0};
        soti_buffer_append(&changed, model.data, model.size);
        changed.data[i] = (char)(changed.data[i] ^ (1 << (i % 8)));
        soti_vocabulary v;
        sot_status status = read_model(&changed, &v);
        n_refused += status != SOT_OK;
        assert_true(status == SOT_OK || status == SOT_ERR_FORMAT || status == SOT_ERR_UNSUPPORTED);
        soti_vocabulary_free(&v);
    }
    assert_true(n_refused > model.size / 30);
    soti_buffer_free(&model);
}

static void sentencepiece_every_allocation_failing_leaves_nothing(void **state)
{
    (void)state;
    soti_buffer model = {0};
    read_file("bare.model", &model);
    long n = 0;
    for (;; n++) {
        soti_vocabulary v;
        soti_alloc_fail_at(n);
        sot_status status = soti_vocabulary_read_sentencepiece(
            "a.model", (const uint8_t *)model.data, model.size, &v);
        soti_alloc_fail_at(-1);
        if (status == SOT_OK) {
            soti_vocabulary_free(&v);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(v.pieces);
    }
    assert_true(n >= 3); /* pieces, text, the unknown piece's text */
    soti_buffer_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece_trained_model_is_read),
        cmocka_unit_test(sentencepiece_defaults_are_those_of_the_format),
        cmocka_unit_test(sentencepiece_bos_and_eos_are_found_by_name),
        cmocka_unit_test(sentencepiece_empty_or_missing_parts_are_refused),
        cmocka_unit_test(sentencepiece_other_algorithms_are_unsupported),
        cmocka_unit_test(sentencepiece_other_normalizations_are_unsupported),
        cmocka_unit_test(sentencepiece_bad_pieces_are_refused),
        cmocka_unit_test(sentencepiece_incomplete_byte_fallback_is_refused),
        cmocka_unit_test(sentencepiece_wrong_wire_types_are_refused),
        cmocka_unit_test(sentencepiece_lying_lengths_are_refused),
        cmocka_unit_test(sentencepiece_cut_anywhere_is_refused),
        cmocka_unit_test(sentencepiece_bytes_changed_are_survived),
        cmocka_unit_test(sentencepiece_every_allocation_failing_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
