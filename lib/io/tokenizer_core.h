/* What a tokenizer is made of, for tokenizer.c, tokenizer_encode.c and token_stream.c alone. */
#ifndef SOTI_IO_TOKENIZER_CORE_H
#define SOTI_IO_TOKENIZER_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/piece_index.h"
#include "io/tokenizer.h"

struct soti_tokenizer {
    soti_vocabulary vocabulary;
    soti_piece_map map;
    soti_piece_list user_defined;
    soti_piece_list control;
    int32_t byte_ids[256]; /* -1 each without byte fallback */
    bool byte_fallback;
    bool cuts_at_spaces;     /* TE-5 in tokenizer_encode.c holds */
    int32_t unk;             /* -1: none, which takes byte fallback */
    const char *unk_surface; /* (unk_surface_size) what the unknown piece decodes to */
    size_t unk_surface_size;
};

/* U+2581, which stands for a space inside pieces. */
#define SOTI_SPACE_MARK      "\xE2\x96\x81"
#define SOTI_SPACE_MARK_SIZE 3

/* Appends the ids of one text without control pieces; behind: SOTI_TOKENIZE_BEHIND. Returns
 * ARGUMENT (too long), MEMORY; tokens may then hold a part. */
sot_status soti_tokenizer_encode_plain(const soti_tokenizer *tokenizer, const char *text,
                                       size_t size, bool behind, soti_tokens *tokens);

/* soti_token_stream_append with decode's flags. *strip in: a leading space mark is to be dropped;
 * out: one was. */
sot_status soti_token_stream_put(soti_token_stream *stream, int32_t id, uint32_t flags, bool *strip,
                                 soti_buffer *text);

#endif
