/* Any text by any vocabulary: the input is one byte of options; pieces, each a byte of type and
 * score, a length and as many bytes, until a length of 0; then the text. What must hold: texts come
 * back as they were, and streaming gives what decoding gives. */
#include "fuzz_input.h"
#include "io/tokenizer.h"
#include "sot/sot.h"

enum { DUMMY_PREFIX = 1, REMOVE_SPACES = 2, SPECIAL = 4, NO_BYTES = 8 };

static const char space_mark[] = "\xE2\x96\x81";

/* Without byte pieces, what no piece has becomes the unknown one. */
static void begin_vocabulary(uint8_t options, soti_vocabulary *v)
{
    static const struct {
        const char *text;
        uint32_t type;
    } first[] = {{"<unk>", SOTI_PIECE_UNKNOWN},
                 {"<s>", SOTI_PIECE_CONTROL},
                 {"</s>", SOTI_PIECE_CONTROL},
                 {space_mark, SOTI_PIECE_NORMAL},
                 {"\n", SOTI_PIECE_NORMAL}};
    if (!(options & NO_BYTES)) {
        fuzz_check_ok(soti_vocabulary_make_bytes(260, v));
        return;
    }
    *v = (soti_vocabulary){.unk_id = 0, .bos_id = 1, .eos_id = 2};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        fuzz_check_ok(
            soti_vocabulary_append(v, first[i].text, strlen(first[i].text), 0.0f, first[i].type));
    }
}

/* Bytes that the vocabulary took. Pieces that cannot be entered are left out. */
static size_t make_vocabulary(const uint8_t *data, size_t size, soti_vocabulary *v)
{
    begin_vocabulary(data[0], v);
    v->add_dummy_prefix = (data[0] & DUMMY_PREFIX) != 0;
    v->remove_extra_whitespaces = (data[0] & REMOVE_SPACES) != 0;
    size_t at = 1;
    while (at + 2 <= size && data[at + 1] > 0 && data[at + 1] <= size - at - 2) {
        static const uint32_t types[] = {SOTI_PIECE_NORMAL, SOTI_PIECE_NORMAL, SOTI_PIECE_UNUSED,
                                         SOTI_PIECE_USER_DEFINED, SOTI_PIECE_CONTROL};
        uint32_t type = types[(data[at] >> 4) % 5];
        float score = (float)(data[at] & 15) - 8.0f;
        soti_vocabulary_append(v, (const char *)data + at + 2, data[at + 1], score, type);
        at += 2 + (size_t)data[at + 1];
    }
    return at + 2 <= size ? at + 2 : size;
}

static void check_stream(const soti_tokenizer *tokenizer, const soti_tokens *ids, int32_t newline)
{
    soti_token_stream stream;
    soti_buffer streamed = {0};
    soti_buffer decoded = {0};
    soti_tokens behind = {0};
    int32_t first[2] = {newline, 1}; /* in front, so that no space is taken off; BOS */
    soti_tokens_append(&behind, first, 2);
    soti_tokens_append(&behind, ids->ids, ids->count);
    soti_token_stream_begin(&stream, tokenizer);
    for (size_t i = 0; i < ids->count; i++) {
        size_t before = streamed.size;
        soti_token_stream_append(&stream, ids->ids[i], &streamed);
        size_t added = streamed.size - before;
        fuzz_check(soti_utf8_find_invalid(soti_buffer_text(&streamed) + before, added) == added);
    }
    soti_token_stream_end(&stream, &streamed);
    soti_tokenizer_decode(tokenizer, behind.ids, behind.count, 0, &decoded);
    fuzz_check(decoded.size == streamed.size + 1);
    fuzz_check(memcmp(decoded.data + 1, soti_buffer_text(&streamed), streamed.size) == 0);
    soti_tokens_free(&behind);
    soti_buffer_free(&streamed);
    soti_buffer_free(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer = NULL;
    if (size == 0) {
        return 0;
    }
    size_t at = make_vocabulary(data, size, &vocabulary);
    const char *text = (const char *)data + at;
    size_t n = size - at;
    if (soti_tokenizer_create(&vocabulary, &tokenizer) != SOT_OK) { /* a piece twice */
        soti_vocabulary_free(&vocabulary);
        return 0;
    }
    soti_tokens ids = {0};
    soti_buffer back = {0};
    uint32_t flags = data[0] & SPECIAL ? SOT_TOKENIZE_SPECIAL : 0;
    fuzz_check_ok(soti_tokenizer_encode(tokenizer, text, n, flags, &ids));
    fuzz_check_ok(soti_tokenizer_decode(tokenizer, ids.ids, ids.count, flags, &back));
    fuzz_check(soti_utf8_find_invalid(soti_buffer_text(&back), back.size) == back.size);
    bool exact = !(data[0] & (REMOVE_SPACES | SPECIAL | NO_BYTES)) &&
                 soti_utf8_find_invalid(text, n) == n && memmem(text, n, space_mark, 3) == NULL;
    fuzz_check(!exact || (back.size == n && memcmp(soti_buffer_text(&back), text, n) == 0));
    check_stream(tokenizer, &ids, data[0] & NO_BYTES ? 4 : 3 + '\n');
    soti_tokens_free(&ids);
    soti_buffer_free(&back);
    soti_tokenizer_free(tokenizer);
    return 0;
}
