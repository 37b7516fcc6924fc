/* Building vocabularies piece by piece: what is checked of every piece, whatever file it is from,
 * and the byte vocabulary of random: models. The reader of tokenizer.model is sentencepiece.c;
 * what only the whole set can break (duplicates, missing bytes) is found in tokenizer.c. */
#include "vocabulary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"

enum { BYTES_FIRST = 3, BYTES_SPACE = 259 };

static sot_status check_piece(const soti_vocabulary *vocabulary, const char *text, size_t size,
                              float score, uint32_t type)
{
    uint32_t i = vocabulary->n_pieces;
    if (i == INT32_MAX) {
        return soti_fail(SOT_ERR_FORMAT, "more than %d pieces", INT32_MAX);
    }
    if (size == 0) {
        return soti_fail(SOT_ERR_FORMAT, "piece %u is empty", i);
    }
    if (size > UINT32_MAX - vocabulary->text_size) {
        return soti_fail(SOT_ERR_FORMAT, "piece %u: the vocabulary exceeds 4 GiB", i);
    }
    size_t invalid = soti_utf8_find_invalid(text, size);
    if (invalid < size) {
        return soti_fail(SOT_ERR_FORMAT, "piece %u is not UTF-8 at byte %zu", i, invalid);
    }
    if (!isfinite(score)) {
        return soti_fail(SOT_ERR_FORMAT, "piece %u: the score %f is not finite", i, (double)score);
    }
    if (type < SOTI_PIECE_NORMAL || type > SOTI_PIECE_BYTE) {
        return soti_fail(SOT_ERR_FORMAT, "piece %u: type %u, expected 1 to 6", i, type);
    }
    return SOT_OK;
}

/* Doubles an array's capacity until it holds needed items. */
static sot_status grow(void **items, size_t *capacity, size_t needed, size_t item_bytes)
{
    if (needed <= *capacity) {
        return SOT_OK;
    }
    size_t larger = *capacity > needed / 2 ? *capacity * 2 : needed;
    larger = larger < 64 ? 64 : larger;
    void *grown = soti_realloc(*items, larger, item_bytes);
    if (grown == NULL) {
        return SOT_ERR_MEMORY;
    }
    *items = grown;
    *capacity = larger;
    return SOT_OK;
}

sot_status soti_vocabulary_append(soti_vocabulary *vocabulary, const char *text, size_t size,
                                  float score, uint32_t type)
{
    RETURN_IF_ERROR(check_piece(vocabulary, text, size, score, type));
    void *pieces = vocabulary->pieces;
    sot_status status = grow(&pieces, &vocabulary->pieces_capacity,
                             (size_t)vocabulary->n_pieces + 1, sizeof(soti_piece));
    vocabulary->pieces = pieces;
    RETURN_IF_ERROR(status);
    void *bytes = vocabulary->text;
    status = grow(&bytes, &vocabulary->text_capacity, vocabulary->text_size + size, 1);
    vocabulary->text = bytes;
    RETURN_IF_ERROR(status);

    memcpy(vocabulary->text + vocabulary->text_size, text, size);
    vocabulary->pieces[vocabulary->n_pieces++] = (soti_piece){
        .offset = (uint32_t)vocabulary->text_size,
        .size = (uint32_t)size,
        .score = score,
        .type = type,
    };
    vocabulary->text_size += size;
    return SOT_OK;
}

static sot_status append_bytes(soti_vocabulary *vocabulary, uint32_t n_vocab)
{
    static const char *const names[BYTES_FIRST] = {"<unk>", "<s>", "</s>"};
    for (uint32_t id = 0; id < n_vocab; id++) {
        char text[32];
        uint32_t type = SOTI_PIECE_UNUSED;
        if (id < BYTES_FIRST) {
            snprintf(text, sizeof text, "%s", names[id]);
            type = id == 0 ? SOTI_PIECE_UNKNOWN : SOTI_PIECE_CONTROL;
        } else if (id < BYTES_SPACE) {
            snprintf(text, sizeof text, "<0x%02X>", id - BYTES_FIRST);
            type = SOTI_PIECE_BYTE;
        } else if (id == BYTES_SPACE) {
            snprintf(text, sizeof text, "\xE2\x96\x81");
            type = SOTI_PIECE_NORMAL;
        } else {
            snprintf(text, sizeof text, "<unused%u>", id);
        }
        RETURN_IF_ERROR(soti_vocabulary_append(vocabulary, text, strlen(text), 0.0f, type));
    }
    return SOT_OK;
}

sot_status soti_vocabulary_make_bytes(uint32_t n_vocab, soti_vocabulary *out)
{
    *out = (soti_vocabulary){.unk_id = 0, .bos_id = 1, .eos_id = 2};
    sot_status status = SOT_OK;
    if (n_vocab < BYTES_SPACE) {
        status = soti_fail(SOT_ERR_ARGUMENT, "a byte vocabulary of %u pieces, needed %d", n_vocab,
                           (int)BYTES_SPACE);
    } else {
        status = append_bytes(out, n_vocab);
    }
    if (status != SOT_OK) {
        soti_vocabulary_free(out);
    }
    return status;
}

void soti_vocabulary_free(soti_vocabulary *vocabulary)
{
    soti_free(vocabulary->pieces);
    soti_free(vocabulary->text);
    soti_free(vocabulary->unk_surface);
    *vocabulary = (soti_vocabulary){0};
}
