/* A question's features for the trained router: eight families, each a set of 32-bit hashes, as
 * examples/router/question_features.py and the README beside it define them. */
#ifndef SOTI_SOT_QUESTION_FEATURES_H
#define SOTI_SOT_QUESTION_FEATURES_H

#include "sot/question_words.h"

enum {
    SOTI_FEATURE_WORD,            /* the words of the text's first MAX_TEXT tokens */
    SOTI_FEATURE_KEY_START,       /* the key sentence's first 1 to 4 words */
    SOTI_FEATURE_KEY_WORD,        /* its words, ... */
    SOTI_FEATURE_KEY_PAIR,        /* ... neighbours, ... */
    SOTI_FEATURE_KEY_CLASS,       /* ... classes, ... */
    SOTI_FEATURE_KEY_CLASS_PAIR,  /* ... classes of neighbours, ... */
    SOTI_FEATURE_KEY_CLASS_START, /* ... and first 1 to 5 classes */
    SOTI_FEATURE_SHAPE,           /* lengths and counts, in bins */
    SOTI_FEATURE_FAMILIES
};

enum { SOTI_FEATURE_MAX_TEXT = 400, SOTI_FEATURE_MAX = SOTI_FEATURE_MAX_TEXT };

typedef struct soti_question_features {
    size_t n[SOTI_FEATURE_FAMILIES];
    uint32_t values[SOTI_FEATURE_FAMILIES][SOTI_FEATURE_MAX]; /* (family, n), each value once */
} soti_question_features;

/* question is what words was read from. */
void soti_question_features_make(const void *question, const soti_question_words *words,
                                 const soti_lexicon *lexicon, soti_question_features *features);

#endif
