/* The pieces of a SentencePiece BPE vocabulary as a file gives them: tokenizer.model (protobuf),
 * GGUF metadata, or the byte vocabulary of random: models. The tokenizer is built from it. */
#ifndef SOTI_IO_VOCABULARY_H
#define SOTI_IO_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

/* SentencePiece's own numbers, which GGUF keeps. */
enum {
    SOTI_PIECE_NORMAL = 1,
    SOTI_PIECE_UNKNOWN = 2,
    SOTI_PIECE_CONTROL = 3,
    SOTI_PIECE_USER_DEFINED = 4,
    SOTI_PIECE_UNUSED = 5,
    SOTI_PIECE_BYTE = 6
};

typedef struct soti_piece {
    uint32_t offset; /* into text */
    uint32_t size;   /* bytes */
    float score;
    uint32_t type;   /* SOTI_PIECE_* */
} soti_piece;

typedef struct soti_vocabulary {
    soti_piece *pieces; /* (n_pieces), index = token id */
    uint32_t n_pieces;
    char *text;         /* all pieces' bytes in a row, U+2581 for spaces */
    size_t text_size;
    int32_t unk_id, bos_id, eos_id; /* -1: none */
    uint32_t add_dummy_prefix;      /* 1: a space goes in front of every text */
    uint32_t remove_extra_whitespaces;
} soti_vocabulary;

/* Reads a SentencePiece model file. path is for messages. Returns FORMAT, UNSUPPORTED (not BPE, or a
 * normalization other than identity), MEMORY. */
sot_status soti_vocabulary_read_sentencepiece(const char *path, const uint8_t *data, size_t size,
                                              soti_vocabulary *out);

/* unk, BOS, EOS and the 256 bytes; needs n_vocab >= 259. Ids above are unused pieces. */
sot_status soti_vocabulary_make_bytes(uint32_t n_vocab, soti_vocabulary *out);

/* Adds room for pieces one by one, for the GGUF reader. Returns MEMORY, FORMAT. */
sot_status soti_vocabulary_append(soti_vocabulary *vocabulary, const char *text, size_t size,
                                  float score, uint32_t type);
void soti_vocabulary_free(soti_vocabulary *vocabulary);

#endif
