/* A question as tokens, sentences and word classes: what the trained router's features are made of
 * (question_features.h). Defined on bytes, of any kind, and on unsigned integers alone, so that
 * examples/router/question_features.py says the same to the bit; golden tests compare the two. */
#ifndef SOTI_SOT_QUESTION_WORDS_H
#define SOTI_SOT_QUESTION_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SOTI_QUESTION_MAX_BYTES = 16384, /* of a question that are read */
    SOTI_QUESTION_MAX_TOKENS = 4096, /* that are made of them */
    SOTI_QUESTION_MAX_KEY = 60,      /* tokens of the key sentence that are looked at */
    SOTI_LEXICON_MAX_CLASSES = 64
};

typedef struct soti_lexicon_word {
    uint32_t hash;
    uint64_t mask; /* bit i: the word is of class i; its first class is the lowest bit */
} soti_lexicon_word;

typedef struct soti_lexicon {
    uint32_t *symbols;        /* (n_classes) */
    soti_lexicon_word *words; /* (n_words), ascending by hash */
    uint32_t n_classes;
    uint32_t n_words;
    uint64_t requests; /* classes whose words begin a request */
} soti_lexicon;

typedef struct soti_question_token {
    uint32_t hash;   /* of its bytes in lower case; every number is "0" */
    uint32_t symbol; /* its first class; without one its suffix's, or, where it is no word, hash */
    uint64_t mask;   /* its classes */
} soti_question_token;

/* A token is a word (letters and bytes from 0x80, with single apostrophes and hyphens inside), a
 * run of digits, or any other byte that is not white space. A sentence ends at a newline and behind
 * '.', '?' or '!' with white space behind it. The key sentence is the last one with a question
 * mark; without one, the first with a word of a request among its first two tokens; otherwise the
 * first. */
typedef struct soti_question_words {
    size_t n_raw;  /* bytes of the question that were read */
    size_t n_text; /* bytes in text */
    size_t n_tokens;
    size_t n_sentences;
    size_t i_key, n_key; /* tokens of the key sentence, at most MAX_KEY */
    bool key_is_first, ends_asking;
    uint8_t text[SOTI_QUESTION_MAX_BYTES]; /* lower case, curly quotes made straight */
    soti_question_token tokens[SOTI_QUESTION_MAX_TOKENS];
} soti_question_words;

/* FNV-1a, 32 bits. */
uint32_t soti_text_hash(const void *bytes, size_t n);

/* Fills *words, which need not be initialized. */
void soti_question_words_read(const void *question, size_t size, const soti_lexicon *lexicon,
                              soti_question_words *words);

#endif
