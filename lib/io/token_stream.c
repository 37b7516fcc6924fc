/* How one id becomes text. Byte pieces are held back until they form a character or no longer can;
 * everything else is text at once. Decoding whole sequences goes through here, too. */
#include <string.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "sot/sot.h"
#include "tokenizer.h"
#include "tokenizer_core.h"

void soti_token_stream_begin(soti_token_stream *stream, const soti_tokenizer *tokenizer)
{
    *stream = (soti_token_stream){.tokenizer = tokenizer};
}

/* Moves into text what of the pending bytes is decided; all of it when final. A byte that is part
 * of no character becomes one U+FFFD, whatever its neighbours. Room has been reserved. */
static void drain(soti_token_stream *stream, bool final, soti_buffer *text)
{
    while (stream->n_pending > 0) {
        uint32_t code;
        bool valid;
        size_t n = soti_utf8_decode(stream->pending, stream->n_pending, &code, &valid);
        if (valid) {
            soti_buffer_append(text, stream->pending, n);
        } else if (!final && soti_utf8_incomplete_tail(stream->pending, stream->n_pending) ==
                                 stream->n_pending) {
            return;
        } else {
            soti_buffer_append(text, "\xEF\xBF\xBD", 3);
            n = 1;
        }
        stream->n_pending -= (uint32_t)n;
        memmove(stream->pending, stream->pending + n, stream->n_pending);
    }
}

/* Appends a piece's text, space marks as spaces. Room has been reserved. */
static void append_piece(const char *piece, size_t size, soti_buffer *text)
{
    size_t start = 0;
    for (size_t i = 0; i + SOTI_SPACE_MARK_SIZE <= size;) {
        if (memcmp(piece + i, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE) != 0) {
            i++;
            continue;
        }
        soti_buffer_append(text, piece + start, i - start);
        soti_buffer_append(text, " ", 1);
        i += SOTI_SPACE_MARK_SIZE;
        start = i;
    }
    soti_buffer_append(text, piece + start, size - start);
}

static uint32_t byte_value(const char *name)
{
    uint32_t value = 0;
    for (int i = 3; i < 5; i++) {
        uint32_t digit = (unsigned char)name[i];
        value = value * 16 + (digit <= '9' ? digit - '0' : digit - 'A' + 10);
    }
    return value;
}

sot_status soti_token_stream_put(soti_token_stream *stream, int32_t id, uint32_t flags, bool *strip,
                                 soti_buffer *text)
{
    const soti_tokenizer *tokenizer = stream->tokenizer;
    const soti_vocabulary *vocabulary = &tokenizer->vocabulary;
    bool strip_wanted = *strip;
    *strip = false;
    if (id < 0 || (uint32_t)id >= vocabulary->n_pieces) {
        return soti_fail(SOT_ERR_ARGUMENT, "token %d: there are %u pieces", id,
                         vocabulary->n_pieces);
    }
    const soti_piece *piece = &vocabulary->pieces[id];
    const char *bytes = vocabulary->text + piece->offset;
    size_t size = piece->size;
    /* Room for the four pending bytes as U+FFFD, too: nothing below can fail. */
    size_t largest = size > tokenizer->unk_surface_size ? size : tokenizer->unk_surface_size;
    RETURN_IF_ERROR(soti_buffer_reserve(text, largest + sizeof stream->pending * 3));

    if (piece->type == SOTI_PIECE_BYTE) {
        stream->pending[stream->n_pending++] = (char)byte_value(bytes);
        drain(stream, false, text);
        return SOT_OK;
    }
    drain(stream, true, text);
    if (piece->type == SOTI_PIECE_CONTROL) {
        soti_buffer_append(text, bytes, flags & SOT_TOKENIZE_SPECIAL ? size : 0);
    } else if (id == tokenizer->unk) {
        soti_buffer_append(text, tokenizer->unk_surface, tokenizer->unk_surface_size);
    } else {
        *strip = strip_wanted && size >= SOTI_SPACE_MARK_SIZE &&
                 memcmp(bytes, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE) == 0;
        size_t skipped = *strip ? SOTI_SPACE_MARK_SIZE : 0;
        append_piece(bytes + skipped, size - skipped, text);
    }
    return SOT_OK;
}

sot_status soti_token_stream_append(soti_token_stream *stream, int32_t id, soti_buffer *text)
{
    bool strip = false;
    return soti_token_stream_put(stream, id, 0, &strip, text);
}

sot_status soti_token_stream_end(soti_token_stream *stream, soti_buffer *text)
{
    RETURN_IF_ERROR(soti_buffer_reserve(text, sizeof stream->pending * 3));
    drain(stream, true, text);
    return SOT_OK;
}
