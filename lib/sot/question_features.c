/* See question_features.h. A feature is a hash of its family's number and its parts. */
#include "sot/question_features.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(SOTI_FEATURE_MAX >= SOTI_QUESTION_MAX_KEY + SOTI_LEXICON_MAX_CLASSES,
               "every family's features fit");

static uint32_t mix(uint32_t value, uint32_t part)
{
    value = (value ^ part) * 0x85EBCA6Bu;
    return value ^ (value >> 13);
}

static uint32_t begin_feature(uint32_t family)
{
    return mix(0x9E3779B9u, family);
}

static void add(soti_question_features *features, size_t family, uint32_t value)
{
    features->values[family][features->n[family]++] = value;
}

/* Two bins for each doubling: 0, 1, 2, 3, 4 (4 and 5), 5 (6 and 7), 6 (8 to 11), ... */
static uint32_t half_octave(size_t x)
{
    if (x < 2) {
        return (uint32_t)x;
    }
    uint32_t top = 63u - (uint32_t)__builtin_clzll(x);
    return 2 * top + (uint32_t)(x >> (top - 1) & 1);
}

static uint32_t at_most(size_t x, uint32_t limit)
{
    return x < limit ? (uint32_t)x : limit;
}

/* How many bytes of the question are among members. */
static size_t count_of(const size_t counts[256], const char *members)
{
    size_t n = 0;
    for (const char *member = members; *member != '\0'; member++) {
        n += counts[(uint8_t)*member];
    }
    return n;
}

static void add_shape(const uint8_t *raw, const soti_question_words *words,
                      soti_question_features *features)
{
    size_t counts[256] = {0};
    for (size_t i = 0; i < words->n_raw; i++) {
        counts[raw[i]]++;
    }
    size_t n_capitals = count_of(counts, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (words->n_raw > 0 && raw[0] >= 'A' && raw[0] <= 'Z') {
        n_capitals--; /* the first one says nothing */
    }
    const uint32_t bins[] = {
        half_octave(words->n_raw),
        half_octave(words->n_tokens),
        at_most(words->n_key / 3, 15),
        at_most(words->n_sentences, 8),
        at_most(counts['?'], 3),
        at_most(counts['\n'], 4),
        half_octave(count_of(counts, "`{}=;<>|\\_")),
        at_most(count_of(counts, "$^"), 3),
        half_octave(count_of(counts, "0123456789")),
        half_octave(n_capitals),
        at_most(counts['"'], 3),
        words->ends_asking,
        words->key_is_first,
    };
    for (uint32_t i = 0; i < sizeof bins / sizeof *bins; i++) {
        add(features, SOTI_FEATURE_SHAPE, mix(mix(begin_feature(SOTI_FEATURE_SHAPE), i), bins[i]));
    }
}

/* The first 1 to max of n tokens as one feature each. */
static void add_starts(const soti_question_token *tokens, size_t n, uint32_t max, bool as_classes,
                       uint32_t family, soti_question_features *features)
{
    for (uint32_t length = 1; length <= max && length <= n; length++) {
        uint32_t value = mix(begin_feature(family), length);
        for (uint32_t i = 0; i < length; i++) {
            value = mix(value, as_classes ? tokens[i].symbol : tokens[i].hash);
        }
        add(features, family, value);
    }
}

static void add_classes(const soti_question_token *tokens, size_t n, const soti_lexicon *lexicon,
                        soti_question_features *features)
{
    const uint32_t start = begin_feature(SOTI_FEATURE_KEY_CLASS);
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all |= tokens[i].mask;
        if (tokens[i].mask == 0) {
            add(features, SOTI_FEATURE_KEY_CLASS, mix(start, tokens[i].symbol));
        }
    }
    for (uint32_t i = 0; i < lexicon->n_classes; i++) {
        if (all >> i & 1) {
            add(features, SOTI_FEATURE_KEY_CLASS, mix(start, lexicon->symbols[i]));
        }
    }
}

static int compare_values(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t sort_and_thin(uint32_t *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_values);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (n_kept == 0 || values[i] != values[n_kept - 1]) {
            values[n_kept++] = values[i];
        }
    }
    return n_kept;
}

void soti_question_features_make(const void *question, const soti_question_words *words,
                                 const soti_lexicon *lexicon, soti_question_features *features)
{
    const soti_question_token *key = words->tokens + words->i_key;
    memset(features->n, 0, sizeof features->n);
    for (size_t i = 0; i < words->n_tokens && i < SOTI_FEATURE_MAX_TEXT; i++) {
        add(features, SOTI_FEATURE_WORD,
            mix(begin_feature(SOTI_FEATURE_WORD), words->tokens[i].hash));
    }
    add_starts(key, words->n_key, 4, false, SOTI_FEATURE_KEY_START, features);
    add_starts(key, words->n_key, 5, true, SOTI_FEATURE_KEY_CLASS_START, features);
    for (size_t i = 0; i < words->n_key; i++) {
        add(features, SOTI_FEATURE_KEY_WORD,
            mix(begin_feature(SOTI_FEATURE_KEY_WORD), key[i].hash));
    }
    for (size_t i = 1; i < words->n_key; i++) {
        add(features, SOTI_FEATURE_KEY_PAIR,
            mix(mix(begin_feature(SOTI_FEATURE_KEY_PAIR), key[i - 1].hash), key[i].hash));
        add(features, SOTI_FEATURE_KEY_CLASS_PAIR,
            mix(mix(begin_feature(SOTI_FEATURE_KEY_CLASS_PAIR), key[i - 1].symbol), key[i].symbol));
    }
    add_classes(key, words->n_key, lexicon, features);
    add_shape(question, words, features);
    for (size_t family = 0; family < SOTI_FEATURE_FAMILIES; family++) {
        features->n[family] = sort_and_thin(features->values[family], features->n[family]);
    }
}
