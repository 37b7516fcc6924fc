/* The tokenizer's life, its special pieces, decoding, and growing arrays of ids. How texts become
 * ids is tokenizer_encode.c; how one id becomes text is token_stream.c. */
#include "tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/sot.h"
#include "tokenizer_core.h"

sot_status soti_tokens_append(soti_tokens *tokens, const int32_t *ids, size_t n)
{
    if (n > tokens->capacity - tokens->count) {
        size_t needed;
        if (!soti_add(tokens->count, n, &needed)) {
            return soti_fail(SOT_ERR_MEMORY, "%zu + %zu tokens are too many", tokens->count, n);
        }
        size_t capacity = tokens->capacity > needed / 2 ? tokens->capacity * 2 : needed;
        capacity = capacity < 64 ? 64 : capacity;
        int32_t *grown = soti_realloc(tokens->ids, capacity, sizeof *grown);
        if (grown == NULL) {
            return SOT_ERR_MEMORY;
        }
        tokens->ids = grown;
        tokens->capacity = capacity;
    }
    if (n > 0) {
        memcpy(tokens->ids + tokens->count, ids, n * sizeof *ids);
    }
    tokens->count += n;
    return SOT_OK;
}

void soti_tokens_free(soti_tokens *tokens)
{
    soti_free(tokens->ids);
    *tokens = (soti_tokens){0};
}

static sot_status find_bytes(soti_tokenizer *tokenizer)
{
    const soti_vocabulary *vocabulary = &tokenizer->vocabulary;
    int n_found = 0;
    int missing = -1;
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        int32_t id = soti_piece_map_find(&tokenizer->map, vocabulary, name, 6);
        bool found = id >= 0 && vocabulary->pieces[id].type == SOTI_PIECE_BYTE;
        tokenizer->byte_ids[byte] = found ? id : -1;
        n_found += found;
        missing = found || missing >= 0 ? missing : byte;
    }
    int n_bytes = 0;
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        n_bytes += vocabulary->pieces[i].type == SOTI_PIECE_BYTE;
    }
    tokenizer->byte_fallback = n_bytes > 0;
    if (n_bytes > 0 && n_found < 256) {
        return soti_fail(SOT_ERR_FORMAT, "byte piece <0x%02X> is missing", (unsigned)missing);
    }
    if (n_bytes > n_found) {
        return soti_fail(SOT_ERR_FORMAT, "%d byte pieces, expected 256", n_bytes);
    }
    return SOT_OK;
}

static sot_status find_unknown(soti_tokenizer *tokenizer)
{
    const soti_vocabulary *vocabulary = &tokenizer->vocabulary;
    int32_t found = -1;
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        if (vocabulary->pieces[i].type != SOTI_PIECE_UNKNOWN) {
            continue;
        }
        if (found >= 0) {
            return soti_fail(SOT_ERR_FORMAT, "pieces %d and %u are both the unknown piece", found,
                             i);
        }
        found = (int32_t)i;
    }
    tokenizer->unk = found >= 0 ? found : vocabulary->unk_id;
    if (tokenizer->unk < 0 && !tokenizer->byte_fallback) {
        return soti_fail(SOT_ERR_FORMAT, "neither an unknown piece nor byte pieces");
    }
    return SOT_OK;
}

/* True if a piece has a space mark behind something that is none. */
static bool has_inner_space(const char *text, size_t size)
{
    size_t n_leading = 0; /* bytes of the leading space marks */
    while (size - n_leading >= SOTI_SPACE_MARK_SIZE &&
           memcmp(text + n_leading, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE) == 0) {
        n_leading += SOTI_SPACE_MARK_SIZE;
    }
    for (size_t i = n_leading; i + SOTI_SPACE_MARK_SIZE <= size; i++) {
        if (memcmp(text + i, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static bool cuts_at_spaces(const soti_vocabulary *vocabulary)
{
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        const soti_piece *piece = &vocabulary->pieces[i];
        if (piece->type == SOTI_PIECE_UNUSED ||
            has_inner_space(vocabulary->text + piece->offset, piece->size)) {
            return false;
        }
    }
    return true;
}

static sot_status check_id(const soti_vocabulary *vocabulary, const char *name, int32_t id)
{
    if (id < -1 || (id >= 0 && (uint32_t)id >= vocabulary->n_pieces)) {
        return soti_fail(SOT_ERR_FORMAT, "%s is %d, but there are %u pieces", name, id,
                         vocabulary->n_pieces);
    }
    return SOT_OK;
}

static sot_status build(soti_tokenizer *tokenizer)
{
    const soti_vocabulary *vocabulary = &tokenizer->vocabulary;
    if (vocabulary->n_pieces == 0) {
        return soti_fail(SOT_ERR_FORMAT, "no pieces");
    }
    RETURN_IF_ERROR(check_id(vocabulary, "the unknown piece", vocabulary->unk_id));
    RETURN_IF_ERROR(check_id(vocabulary, "BOS", vocabulary->bos_id));
    RETURN_IF_ERROR(check_id(vocabulary, "EOS", vocabulary->eos_id));
    RETURN_IF_ERROR(soti_piece_map_create(vocabulary, &tokenizer->map));
    RETURN_IF_ERROR(
        soti_piece_list_create(vocabulary, SOTI_PIECE_USER_DEFINED, &tokenizer->user_defined));
    RETURN_IF_ERROR(soti_piece_list_create(vocabulary, SOTI_PIECE_CONTROL, &tokenizer->control));
    RETURN_IF_ERROR(find_bytes(tokenizer));
    RETURN_IF_ERROR(find_unknown(tokenizer));
    tokenizer->cuts_at_spaces = cuts_at_spaces(vocabulary);
    const char *surface = vocabulary->unk_surface;
    tokenizer->unk_surface = surface ? surface : " \xE2\x81\x87 "; /* U+2047 between spaces */
    tokenizer->unk_surface_size = strlen(tokenizer->unk_surface);
    return SOT_OK;
}

sot_status soti_tokenizer_create(soti_vocabulary *vocabulary, soti_tokenizer **out)
{
    *out = NULL;
    soti_tokenizer *tokenizer = soti_alloc(1, sizeof *tokenizer);
    if (tokenizer == NULL) {
        return SOT_ERR_MEMORY;
    }
    tokenizer->vocabulary = *vocabulary;
    sot_status status = build(tokenizer);
    if (status != SOT_OK) {
        tokenizer->vocabulary = (soti_vocabulary){0}; /* it stays the caller's */
        soti_tokenizer_free(tokenizer);
        return status;
    }
    *vocabulary = (soti_vocabulary){0};
    *out = tokenizer;
    return SOT_OK;
}

void soti_tokenizer_free(soti_tokenizer *tokenizer)
{
    if (tokenizer == NULL) {
        return;
    }
    soti_piece_map_free(&tokenizer->map);
    soti_piece_list_free(&tokenizer->user_defined);
    soti_piece_list_free(&tokenizer->control);
    soti_vocabulary_free(&tokenizer->vocabulary);
    soti_free(tokenizer);
}

/* Cuts the text at control pieces, the longest where several match. */
static sot_status encode_special(const soti_tokenizer *tokenizer, const char *text, size_t size,
                                 soti_tokens *tokens)
{
    size_t start = 0;
    size_t i = 0;
    while (i < size) {
        int32_t id =
            soti_piece_list_match(&tokenizer->control, &tokenizer->vocabulary, text + i, size - i);
        if (id < 0) {
            i++;
            continue;
        }
        RETURN_IF_ERROR(
            soti_tokenizer_encode_plain(tokenizer, text + start, i - start, false, tokens));
        RETURN_IF_ERROR(soti_tokens_append(tokens, &id, 1));
        i += tokenizer->vocabulary.pieces[id].size;
        start = i;
    }
    return soti_tokenizer_encode_plain(tokenizer, text + start, size - start, false, tokens);
}

sot_status soti_tokenizer_encode(const soti_tokenizer *tokenizer, const char *text, size_t size,
                                 uint32_t flags, soti_tokens *tokens)
{
    size_t count = tokens->count;
    int32_t bos = tokenizer->vocabulary.bos_id;
    sot_status status = SOT_OK;
    if ((flags & SOT_TOKENIZE_BOS) && bos >= 0) {
        status = soti_tokens_append(tokens, &bos, 1);
    }
    if (status == SOT_OK && (flags & SOT_TOKENIZE_SPECIAL)) {
        status = encode_special(tokenizer, text, size, tokens);
    } else if (status == SOT_OK) {
        bool behind = (flags & SOTI_TOKENIZE_BEHIND) != 0;
        status = soti_tokenizer_encode_plain(tokenizer, text, size, behind, tokens);
    }
    if (status != SOT_OK) {
        tokens->count = count;
    }
    return status;
}

sot_status soti_tokenizer_decode(const soti_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                 uint32_t flags, soti_buffer *text)
{
    const soti_vocabulary *vocabulary = &tokenizer->vocabulary;
    size_t start = text->size;
    soti_token_stream stream;
    soti_token_stream_begin(&stream, tokenizer);
    /* The dummy prefix is taken off again: one space mark, from the first piece that has text; all
     * of them where encoding removes extra spaces. */
    bool at_start = vocabulary->add_dummy_prefix || vocabulary->remove_extra_whitespaces;
    sot_status status = SOT_OK;
    for (size_t i = 0; i < count && status == SOT_OK; i++) {
        at_start = at_start && text->size == start && stream.n_pending == 0;
        bool strip = at_start;
        status = soti_token_stream_put(&stream, ids[i], flags, &strip, text);
        at_start = at_start && !(strip && !vocabulary->remove_extra_whitespaces);
    }
    if (status == SOT_OK) {
        status = soti_token_stream_end(&stream, text);
    }
    if (status != SOT_OK) {
        soti_buffer_truncate(text, start);
    }
    return status;
}

int32_t soti_tokenizer_find_special(const soti_tokenizer *tokenizer, const char *text, size_t size)
{
    const soti_vocabulary *vocabulary = &tokenizer->vocabulary;
    int32_t id = soti_piece_map_find(&tokenizer->map, vocabulary, text, size);
    uint32_t type = id >= 0 ? vocabulary->pieces[id].type : SOTI_PIECE_NORMAL;
    return type == SOTI_PIECE_CONTROL || type == SOTI_PIECE_USER_DEFINED ? id : -1;
}

const soti_vocabulary *soti_tokenizer_vocabulary(const soti_tokenizer *tokenizer)
{
    return &tokenizer->vocabulary;
}

uint32_t soti_tokenizer_size(const soti_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.n_pieces;
}

int32_t soti_tokenizer_bos(const soti_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.bos_id;
}

int32_t soti_tokenizer_eos(const soti_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.eos_id;
}
