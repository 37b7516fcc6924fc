/* SentencePiece BPE, as LLaMA uses it: text to token ids and back, identical to the SentencePiece
 * library. Immutable once made; any number of threads. Incremental text: soti_token_stream. */
#ifndef SOTI_IO_TOKENIZER_H
#define SOTI_IO_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "io/vocabulary.h"
#include "sot/status.h"

typedef struct soti_tokenizer soti_tokenizer;

/* A growing array of token ids. */
typedef struct soti_tokens {
    int32_t *ids; /* NULL until the first append */
    size_t count;
    size_t capacity;
} soti_tokens;

sot_status soti_tokens_append(soti_tokens *tokens, const int32_t *ids, size_t n);
void soti_tokens_free(soti_tokens *tokens);

/* Takes the vocabulary over (it is zeroed) on success only. Returns FORMAT (no pieces, a duplicate,
 * byte pieces incomplete, neither byte pieces nor an unknown one, an id out of range), MEMORY. */
sot_status soti_tokenizer_create(soti_vocabulary *vocabulary, soti_tokenizer **out);
void soti_tokenizer_free(soti_tokenizer *tokenizer);

/* A flag beside the public SOT_TOKENIZE_*: the text goes on behind the ids before it, as generated
 * text does, so no dummy prefix goes in front and no white space at its beginning is removed. */
enum { SOTI_TOKENIZE_BEHIND = 1 << 16 };

/* Appends the ids of text to *tokens, which is unchanged on failure. Any bytes will do: one that is
 * part of no UTF-8 character is read as U+FFFD. flags: SOT_TOKENIZE_*, SOTI_TOKENIZE_BEHIND (not
 * with SPECIAL). BOS does nothing where the vocabulary has none. With SPECIAL, the text is cut at
 * control pieces, and each part is encoded as a text of its own (dummy prefix included), as the
 * LLaMA tokenizer of Transformers does in legacy mode. Time is O(n log n). Returns ARGUMENT (4 GiB
 * or more), MEMORY. */
sot_status soti_tokenizer_encode(const soti_tokenizer *tokenizer, const char *text, size_t size,
                                 uint32_t flags, soti_tokens *tokens);

/* Appends the text of count ids to *text, which is unchanged on failure: valid UTF-8, without the
 * dummy prefix. Control pieces are left out unless flags has SPECIAL. Returns ARGUMENT (an id out
 * of range), MEMORY. */
sot_status soti_tokenizer_decode(const soti_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                 uint32_t flags, soti_buffer *text);

/* The id of a control or user-defined piece with exactly this text, or -1. */
int32_t soti_tokenizer_find_special(const soti_tokenizer *tokenizer, const char *text, size_t size);
const soti_vocabulary *soti_tokenizer_vocabulary(const soti_tokenizer *tokenizer); /* borrowed */
uint32_t soti_tokenizer_size(const soti_tokenizer *tokenizer);
int32_t soti_tokenizer_bos(const soti_tokenizer *tokenizer);
int32_t soti_tokenizer_eos(const soti_tokenizer *tokenizer);

/* Text of a growing sequence. Bytes that do not yet form whole characters are held back; bytes that
 * can no longer become one come out as U+FFFD. The concatenation of everything appended equals
 * what the sequence's ids mean behind a text (no leading space is removed). */
typedef struct soti_token_stream {
    const soti_tokenizer *tokenizer;
    char pending[4];
    uint32_t n_pending;
} soti_token_stream;

void soti_token_stream_begin(soti_token_stream *stream, const soti_tokenizer *tokenizer);

/* Both append valid UTF-8 to *text; on failure text and stream are unchanged. Return ARGUMENT (an
 * id out of range), MEMORY. */
sot_status soti_token_stream_append(soti_token_stream *stream, int32_t id, soti_buffer *text);
/* At the end: what is held back comes out as U+FFFD. */
sot_status soti_token_stream_end(soti_token_stream *stream, soti_buffer *text);

#endif
