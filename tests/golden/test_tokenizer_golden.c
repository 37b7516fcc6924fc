/* The tokenizer against the SentencePiece library: ids and texts of generated strings and of every
 * question in the shared data, with LLaMA's model and with small ones trained for this test. What
 * is expected, and how it was made: tokenizer/make_tokenizer_golden.py. The generator here draws
 * the same numbers; a hash over all strings tells a drifted generator from a wrong tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "io/tokenizer.h"
#include "random_source.h"
#include "sot/sot.h"

#define SPACE_MARK "\xE2\x96\x81"
#define FNV_START  0xCBF29CE484222325u

enum { N_RANGES = 24, N_RUNS = 10, N_MIXES = 8, LONG_UNITS = 3000 };

static const uint32_t ranges[N_RANGES][2] = {
    {0x20, 0x7E},       {0xA0, 0xFF},       {0x100, 0x24F},     {0x300, 0x36F},
    {0x370, 0x52F},     {0x590, 0x6FF},     {0x900, 0x97F},     {0xE00, 0xE7F},
    {0x1100, 0x11FF},   {0x2000, 0x206F},   {0x2190, 0x22FF},   {0x2500, 0x259F},
    {0x2600, 0x27BF},   {0x3000, 0x30FF},   {0x4E00, 0x9FFF},   {0xAC00, 0xD7A3},
    {0xE000, 0xF8FF},   {0xFE00, 0xFFFF},   {0x10000, 0x103FF}, {0x1D400, 0x1D7FF},
    {0x1F300, 0x1FAFF}, {0x20000, 0x2A6DF}, {0xE0000, 0xE01EF}, {0x100000, 0x10FFFF},
};
static const char *const runs[N_RUNS] = {
    " ", "\n", "\t", "\r\n", "a", SPACE_MARK, "\xF0\x9F\x98\x80", "ab", " a", "="};

/* What strings are generated from, and the golden file that is read along. */
typedef struct source {
    soti_vocabulary vocabulary; /* the tokenizer's own is gone once it is made */
    soti_tokenizer *tokenizer;
    int32_t byte_ids[256]; /* in order of id, as the script has them */
    uint32_t n_bytes;
    soti_buffer fragments; /* unescaped, one behind the other */
    size_t starts[1024];   /* (n_fragments + 1) */
    uint32_t n_fragments;
    soti_buffer golden;
    size_t position;
} source;

static void read_all(const char *path, soti_buffer *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) {
        assert_int_equal(soti_buffer_append(out, block, n), SOT_OK);
    }
    fclose(file);
}

/* ---- the generator ---- */

static uint32_t below(random_source *random, uint64_t n)
{
    return (uint32_t)(random_next(random) % n);
}

static size_t code_point(random_source *random, uint32_t low, uint32_t high, char out[4])
{
    return soti_utf8_encode(low + below(random, high - low + 1), out);
}

static void append_fragment(random_source *random, const source *s, soti_buffer *out)
{
    uint32_t i = below(random, s->n_fragments);
    soti_buffer_append(out, s->fragments.data + s->starts[i], s->starts[i + 1] - s->starts[i]);
}

static void append_broken(random_source *random, soti_buffer *out)
{
    char text[4];
    size_t n = code_point(random, 0x80, 0x10FFFF, text);
    if (below(random, 2)) {
        n = 1 + below(random, n - 1);
    } else {
        char byte = (char)below(random, 256);
        text[below(random, n)] = byte;
    }
    soti_buffer_append(out, text, n);
}

static void append_piece(random_source *random, const source *s, soti_buffer *out)
{
    const soti_piece *piece = &s->vocabulary.pieces[below(random, s->vocabulary.n_pieces)];
    const char *text = s->vocabulary.text + piece->offset;
    bool as_space = below(random, 2);
    for (size_t i = 0; i < piece->size;) {
        bool mark = piece->size - i >= 3 && memcmp(text + i, SPACE_MARK, 3) == 0;
        soti_buffer_append(out, as_space && mark ? " " : text + i, 1);
        i += as_space && mark ? 3 : 1;
    }
}

static void append_unit(random_source *random, uint32_t kind, uint32_t span, const source *s,
                        soti_buffer *out)
{
    char text[4];
    if (kind == 0) {
        soti_buffer_append(out, text, code_point(random, 0, 0x10FFFF, text));
    } else if (kind == 1) {
        soti_buffer_append(out, text, code_point(random, ranges[span][0], ranges[span][1], text));
    } else if (kind == 2) {
        append_fragment(random, s, out);
    } else if (kind == 3) {
        text[0] = (char)below(random, 256);
        soti_buffer_append(out, text, 1);
    } else if (kind == 4) {
        append_broken(random, out);
    } else if (kind == 5) {
        const char *run = runs[below(random, N_RUNS)];
        for (uint32_t n = 1 + below(random, 40); n > 0; n--) {
            soti_buffer_append_text(out, run);
        }
    } else {
        append_piece(random, s, out);
    }
}

static void make_string(uint32_t i, bool is_long, const source *s, soti_buffer *out)
{
    static const char mixes[N_MIXES][8] = {"0123456", "0", "1", "3", "124", "25", "6", "2"};
    random_source random = {i};
    uint32_t kind = i % N_MIXES;
    uint32_t span = below(&random, N_RANGES);
    uint32_t n_units = is_long ? LONG_UNITS : below(&random, 16);
    soti_buffer_truncate(out, 0);
    for (uint32_t n = 0; n < n_units; n++) {
        char unit = mixes[kind][below(&random, strlen(mixes[kind]))];
        append_unit(&random, (uint32_t)(unit - '0'), span, s, out);
        if (kind == 0 || unit == '0') {
            span = below(&random, N_RANGES);
        }
        if (kind == 7) {
            soti_buffer_append(out, " ", 1);
        }
    }
}

static void make_special_string(uint32_t i, const source *s, soti_buffer *out)
{
    static const char *const specials[4] = {"<s>", "</s>", "</s><s>", "<</s>>"};
    random_source random = {((uint64_t)1 << 40) + i};
    soti_buffer raw = {0};
    for (uint32_t n = below(&random, 10); n > 0; n--) {
        uint32_t choice = below(&random, 4);
        if (choice == 0) {
            soti_buffer_append_text(&raw, specials[below(&random, 4)]);
        } else if (choice == 1) {
            soti_buffer_append(&raw, "  ", below(&random, 3));
        } else {
            uint32_t span = below(&random, N_RANGES);
            append_unit(&random, choice - 1, span, s, &raw);
        }
    }
    soti_buffer_truncate(out, 0);
    for (size_t at = 0; at < raw.size;) {
        bool unknown = raw.size - at >= 5 && memcmp(raw.data + at, "<unk>", 5) == 0;
        soti_buffer_append(out, unknown ? "?" : raw.data + at, 1);
        at += unknown ? 5 : 1;
    }
    soti_buffer_free(&raw);
}

static void make_ids(uint32_t i, const source *s, soti_tokens *out)
{
    random_source random = {((uint64_t)2 << 40) + i};
    out->count = 0;
    for (uint32_t n = below(&random, 20); n > 0; n--) {
        uint32_t kind = i % 4 == 3 ? below(&random, 4) : i % 4;
        int32_t id;
        if (kind == 1 && s->n_bytes > 0) {
            id = s->byte_ids[below(&random, 256)];
            soti_tokens_append(out, &id, 1);
        } else if (kind == 2 && s->n_bytes > 0) {
            char text[4];
            size_t size = code_point(&random, 0, 0x10FFFF, text);
            for (size_t at = 0; at < size; at++) {
                soti_tokens_append(out, &s->byte_ids[(unsigned char)text[at]], 1);
            }
        } else {
            id = (int32_t)below(&random, kind == 3 ? 4 : s->vocabulary.n_pieces);
            soti_tokens_append(out, &id, 1);
        }
    }
}

/* ---- hashes and the golden file ---- */

static uint64_t fnv(const void *data, size_t n, uint64_t hash)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    }
    return hash;
}

static uint32_t fold(const void *data, size_t n)
{
    uint64_t hash = fnv(data, n, FNV_START);
    return (uint32_t)(hash ^ (hash >> 32));
}

static uint64_t read_number(source *s, size_t bytes)
{
    assert_true(s->position + bytes <= s->golden.size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)(unsigned char)s->golden.data[s->position++] << (8 * i);
    }
    return value;
}

static void read_fragments(source *s)
{
    soti_buffer raw = {0};
    read_all(SOT_TEST_DIR "/golden/tokenizer/fragments.txt", &raw);
    for (size_t i = 0; i < raw.size; i++) {
        char c = raw.data[i];
        if (c == '\n') {
            s->starts[++s->n_fragments] = s->fragments.size;
            assert_true(s->n_fragments < 1000);
        } else if (c != '\\') {
            soti_buffer_append(&s->fragments, &c, 1);
        } else if (raw.data[++i] == 'u') {
            char digits[5] = {0};
            char text[4];
            memcpy(digits, raw.data + i + 1, 4);
            size_t n = soti_utf8_encode((uint32_t)strtoul(digits, NULL, 16), text);
            soti_buffer_append(&s->fragments, text, n);
            i += 4;
        } else {
            static const char escapes[] = "s n\nr\rt\t\\\\";
            soti_buffer_append(&s->fragments, strchr(escapes, raw.data[i]) + 1, 1);
        }
    }
    soti_buffer_free(&raw);
}

static void open_source(const char *name, const char *model_path, source *s)
{
    memset(s, 0, sizeof *s);
    soti_buffer model = {0};
    soti_vocabulary vocabulary;
    read_all(model_path, &model);
    for (int copy = 0; copy < 2; copy++) {
        assert_int_equal(soti_vocabulary_read_sentencepiece(model_path, (uint8_t *)model.data,
                                                            model.size,
                                                            copy ? &vocabulary : &s->vocabulary),
                         SOT_OK);
    }
    soti_buffer_free(&model);
    assert_int_equal(soti_tokenizer_create(&vocabulary, &s->tokenizer), SOT_OK);
    for (uint32_t i = 0; i < s->vocabulary.n_pieces; i++) {
        if (s->vocabulary.pieces[i].type == SOTI_PIECE_BYTE) {
            s->byte_ids[s->n_bytes++ % 256] = (int32_t)i;
        }
    }
    read_fragments(s);
    char path[512];
    snprintf(path, sizeof path, "%s/golden/tokenizer/%s.golden", SOT_TEST_DIR, name);
    read_all(path, &s->golden);
    assert_memory_equal(s->golden.data, "SOTTOK1\n", 8);
    s->position = 8;
}

static void close_source(source *s)
{
    assert_int_equal(s->position, s->golden.size); /* nothing that is expected went unchecked */
    soti_vocabulary_free(&s->vocabulary);
    soti_tokenizer_free(s->tokenizer);
    soti_buffer_free(&s->fragments);
    soti_buffer_free(&s->golden);
}

/* ---- the comparisons ---- */

static void check_text(source *s, const char *what, uint32_t i, const soti_buffer *text)
{
    soti_tokens tokens = {0};
    soti_buffer decoded = {0};
    uint32_t expected_ids = (uint32_t)read_number(s, 4);
    uint32_t expected_text = (uint32_t)read_number(s, 4);
    assert_int_equal(
        soti_tokenizer_encode(s->tokenizer, soti_buffer_text(text), text->size, 0, &tokens),
        SOT_OK);
    assert_int_equal(soti_tokenizer_decode(s->tokenizer, tokens.ids, tokens.count, 0, &decoded),
                     SOT_OK);
    if (fold(tokens.ids, tokens.count * sizeof *tokens.ids) != expected_ids) {
        fail_msg("%s %u: ids differ: \"%.200s\"", what, i, soti_buffer_text(text));
    }
    if (fold(soti_buffer_text(&decoded), decoded.size) != expected_text) {
        fail_msg("%s %u: decoded text differs: \"%.200s\"", what, i, soti_buffer_text(&decoded));
    }
    soti_tokens_free(&tokens);
    soti_buffer_free(&decoded);
}

static const char *shared_path(const char *name, char *path, size_t size)
{
    const char *folder = getenv("SOT_SHARED_DIR");
    snprintf(path, size, "%s/%s", folder ? folder : SOT_SOURCE_DIR "/../shared", name);
    return path;
}

static void check_questions(source *s, uint32_t n_questions)
{
    static const char *const files[] = {"lima1030", "vicuna80", "wizardlm218"};
    uint32_t n = 0;
    for (size_t i = 0; n_questions > 0 && i < 3; i++) {
        char name[64];
        char path[512];
        snprintf(name, sizeof name, "data/%s.jsonl", files[i]);
        FILE *file = fopen(shared_path(name, path, sizeof path), "rb");
        assert_non_null(file);
        json_t *line;
        while ((line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
            const char *question = json_string_value(json_object_get(line, "question"));
            assert_non_null(question);
            soti_buffer text = {0};
            soti_buffer_append_text(&text, question);
            check_text(s, "question", n++, &text);
            soti_buffer_free(&text);
            json_decref(line);
        }
        fclose(file);
    }
    assert_int_equal(n, n_questions);
}

static void check_sequences(source *s, uint32_t n_sequences)
{
    soti_tokens ids = {0};
    soti_buffer text = {0};
    for (uint32_t i = 0; i < n_sequences; i++) {
        make_ids(i, s, &ids);
        soti_buffer_truncate(&text, 0);
        assert_int_equal(soti_tokenizer_decode(s->tokenizer, ids.ids, ids.count, 0, &text), SOT_OK);
        if (fold(soti_buffer_text(&text), text.size) != read_number(s, 4)) {
            fail_msg("sequence %u: decoded text differs: \"%s\"", i, soti_buffer_text(&text));
        }
    }
    soti_tokens_free(&ids);
    soti_buffer_free(&text);
}

static void check_special(source *s, uint32_t n_special)
{
    soti_tokens ids = {0};
    soti_buffer text = {0};
    for (uint32_t i = 0; i < n_special; i++) {
        make_special_string(i, s, &text);
        ids.count = 0;
        assert_int_equal(soti_tokenizer_encode(s->tokenizer, soti_buffer_text(&text), text.size,
                                               SOT_TOKENIZE_SPECIAL, &ids),
                         SOT_OK);
        if (fold(ids.ids, ids.count * sizeof *ids.ids) != read_number(s, 4)) {
            fail_msg("special %u: ids differ: \"%s\"", i, soti_buffer_text(&text));
        }
    }
    soti_tokens_free(&ids);
    soti_buffer_free(&text);
}

static void check_all(const char *name, const char *model_path)
{
    static source s;
    open_source(name, model_path, &s);
    uint32_t n_strings = (uint32_t)read_number(&s, 4);
    uint32_t n_long = (uint32_t)read_number(&s, 4);
    uint32_t n_questions = (uint32_t)read_number(&s, 4);
    uint32_t n_sequences = (uint32_t)read_number(&s, 4);
    uint32_t n_special = (uint32_t)read_number(&s, 4);
    uint64_t inputs = read_number(&s, 8);

    uint64_t seen = FNV_START;
    soti_buffer text = {0};
    for (uint32_t i = 0; i < n_strings + n_long; i++) {
        make_string(i, i >= n_strings, &s, &text);
        uint32_t size = (uint32_t)text.size;
        seen = fnv(soti_buffer_text(&text), size, fnv(&size, sizeof size, seen));
    }
    assert_true(seen == inputs); /* else the generator here differs from the script's */
    for (uint32_t i = 0; i < n_strings + n_long; i++) {
        make_string(i, i >= n_strings, &s, &text);
        check_text(&s, name, i, &text);
    }
    soti_buffer_free(&text);
    check_questions(&s, n_questions);
    check_sequences(&s, n_sequences);
    check_special(&s, n_special);
    close_source(&s);
}

static void tokenizer_llama_equals_sentencepiece(void **state)
{
    (void)state;
    char path[512];
    FILE *file = fopen(shared_path("data/tokenizer/llama.model", path, sizeof path), "rb");
    if (file == NULL) {
        print_message("SKIPPED: %s is not there; set SOT_SHARED_DIR\n", path);
        skip();
    }
    fclose(file);
    check_all("llama", path);
}

static void check_small(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/golden/tokenizer/%s.model", SOT_TEST_DIR, name);
    check_all(name, path);
}

static void tokenizer_small_like_llama_equals_sentencepiece(void **state)
{
    (void)state;
    check_small("plain");
}

static void tokenizer_user_defined_pieces_equals_sentencepiece(void **state)
{
    (void)state;
    check_small("symbols");
}

static void tokenizer_extra_spaces_removed_equals_sentencepiece(void **state)
{
    (void)state;
    check_small("spaces");
}

static void tokenizer_without_dummy_prefix_equals_sentencepiece(void **state)
{
    (void)state;
    check_small("bare");
}

static void tokenizer_unused_pieces_equals_sentencepiece(void **state)
{
    (void)state;
    check_small("odd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_small_like_llama_equals_sentencepiece),
        cmocka_unit_test(tokenizer_user_defined_pieces_equals_sentencepiece),
        cmocka_unit_test(tokenizer_extra_spaces_removed_equals_sentencepiece),
        cmocka_unit_test(tokenizer_without_dummy_prefix_equals_sentencepiece),
        cmocka_unit_test(tokenizer_unused_pieces_equals_sentencepiece),
        cmocka_unit_test(tokenizer_llama_equals_sentencepiece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
