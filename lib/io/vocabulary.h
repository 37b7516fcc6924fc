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
    uint32_t type; /* SOTI_PIECE_* */
} soti_piece;

typedef struct soti_vocabulary {
    soti_piece *pieces; /* (n_pieces), index = token id */
    uint32_t n_pieces;
    char *text; /* all pieces' bytes in a row, U+2581 for spaces */
    size_t text_size;
    size_t pieces_capacity, text_capacity; /* of append; what is allocated */
    char *unk_surface;                     /* what the unknown piece decodes to; NULL: " ⁇ " */
    int32_t unk_id, bos_id, eos_id;        /* -1: none */
    uint32_t add_dummy_prefix;             /* 1: a space goes in front of every text */
    uint32_t remove_extra_whitespaces;
} soti_vocabulary;

/* Reads a SentencePiece model file. path is for messages; *out is zeroed on failure. Refuses what
 * the library itself refuses, and scores that are not finite. Returns FORMAT, UNSUPPORTED (not BPE,
 * a normalization other than identity, spaces as suffixes or not escaped), MEMORY. */
sot_status soti_vocabulary_read_sentencepiece(const char *path, const uint8_t *data, size_t size,
                                              soti_vocabulary *out);

/* unk 0, BOS 1, EOS 2, byte b 3 + b, and a space 259 where there is room for it; needs n_vocab >=
 * 259. Ids above are unused pieces. No dummy prefix: with the space, texts come back as they were.
 * *out is zeroed on failure. Returns ARGUMENT, MEMORY. */
sot_status soti_vocabulary_make_bytes(uint32_t n_vocab, soti_vocabulary *out);

/* Adds one piece at the end; a zeroed vocabulary is a valid start. Returns MEMORY, FORMAT (an empty
 * text, ill-formed UTF-8, a score that is not finite, a type that does not exist, too many); the
 * vocabulary is then unchanged, and the sentence names the piece, not the file. */
sot_status soti_vocabulary_append(soti_vocabulary *vocabulary, const char *text, size_t size,
                                  float score, uint32_t type);
void soti_vocabulary_free(soti_vocabulary *vocabulary);

#endif
