/* The letters by which a model answers the router's question (App. C.1): which tokens say them, and
 * what logits or a written text come to. Who asks, and what follows from it, is routing.h's. */
#ifndef SOTI_SOT_LETTERS_H
#define SOTI_SOT_LETTERS_H

#include "io/tokenizer.h"

enum { SOTI_LETTER_COUNT = 3, SOTI_LETTER_FORMS = 2 }; /* A, B, C; each as "A" and as " A" */

typedef struct soti_letters {
    int32_t ids[SOTI_LETTER_COUNT][SOTI_LETTER_FORMS]; /* -1: no one token is this text */
} soti_letters;

/* Returns MEMORY. */
sot_status soti_letters_find(const soti_tokenizer *tokenizer, soti_letters *letters);

/* 'A', 'B' or 'C', which the token says; 0: none of them. */
uint32_t soti_letters_of_token(const soti_letters *letters, int32_t id);

/* The probability of A among A, B and C: of each the form that logits (n_vocab) find likelier. 0
 * where nothing says A. */
float soti_letters_score(const soti_letters *letters, const float *logits, uint32_t n_vocab);

/* The letter that a text's first word consists of, as in "A", " (B)" and "**C.** It", not in "As".
 * 0: another word, or none; *has_word tells which. */
uint32_t soti_letters_of_text(const char *text, size_t size, bool *has_word);

#endif
