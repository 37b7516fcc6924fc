/* See question_words.h. One pass makes the text plain, a second one cuts tokens and finds where
 * sentences begin; the key sentence is chosen on the way. */
#include "sot/question_words.h"

#include <string.h>

typedef struct span {
    size_t begin, end; /* tokens */
} span;

static const char *const suffixes[] = {"tion", "ment", "ness", "ing", "ity", "ous", "ful", "ive",
                                       "est",  "ed",   "ly",   "er",  "al",  "'s",  "ss",  "s"};

uint32_t soti_text_hash(const void *bytes, size_t n)
{
    uint32_t hash = 0x811C9DC5u;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x01000193u;
    }
    return hash;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || byte >= 0x80;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The ASCII quote that the three bytes of a curly one stand for, 0 for any other bytes. */
static uint8_t straight_quote(const uint8_t *bytes, size_t n)
{
    if (n < 3 || bytes[0] != 0xE2 || bytes[1] != 0x80) {
        return 0;
    }
    switch (bytes[2]) {
    case 0x98:
    case 0x99:
        return '\'';
    case 0x9C:
    case 0x9D:
        return '"';
    default:
        return 0;
    }
}

static void make_plain(const uint8_t *raw, size_t n, soti_question_words *words)
{
    size_t n_text = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = raw[i];
        uint8_t quote = straight_quote(raw + i, n - i);
        if (quote != 0) {
            byte = quote;
            i += 2;
        } else if (byte >= 'A' && byte <= 'Z') {
            byte = (uint8_t)(byte + ('a' - 'A'));
        }
        words->text[n_text++] = byte;
    }
    words->n_raw = n;
    words->n_text = n_text;
}

/* Where the token that begins at text[i] ends. */
static size_t token_end(const uint8_t *text, size_t n, size_t i)
{
    if (is_digit(text[i])) {
        while (i < n && is_digit(text[i])) {
            i++;
        }
        return i;
    }
    if (!is_letter(text[i])) {
        return i + 1;
    }
    while (i < n && (is_letter(text[i]) || ((text[i] == '\'' || text[i] == '-') && i + 1 < n &&
                                            is_letter(text[i + 1])))) {
        i++;
    }
    return i;
}

static uint64_t find_mask(const soti_lexicon *lexicon, uint32_t hash)
{
    size_t low = 0;
    size_t high = lexicon->n_words;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lexicon->words[middle].hash == hash) {
            return lexicon->words[middle].mask;
        }
        if (lexicon->words[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

static uint32_t suffix_symbol(const uint8_t *word, size_t n)
{
    char symbol[8] = "-";
    size_t n_symbol = 1;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n_suffix = strlen(suffixes[i]);
        if (n > n_suffix + 2 && memcmp(word + n - n_suffix, suffixes[i], n_suffix) == 0) {
            memcpy(symbol + 1, suffixes[i], n_suffix);
            n_symbol += n_suffix;
            break;
        }
    }
    return soti_text_hash(symbol, n_symbol);
}

static soti_question_token make_token(const uint8_t *bytes, size_t n, const soti_lexicon *lexicon)
{
    soti_question_token token;
    token.hash = is_digit(bytes[0]) ? soti_text_hash("0", 1) : soti_text_hash(bytes, n);
    token.mask = find_mask(lexicon, token.hash);
    if (token.mask != 0) {
        token.symbol = lexicon->symbols[__builtin_ctzll(token.mask)];
    } else {
        token.symbol = is_letter(bytes[0]) ? suffix_symbol(bytes, n) : token.hash;
    }
    return token;
}

/* A sentence is complete: it becomes the key sentence where it is the best so far. */
static void weigh_sentence(soti_question_words *words, const soti_lexicon *lexicon, span sentence,
                           bool asks, int *best)
{
    enum { FIRST = 1, REQUEST = 2, QUESTION = 3 };
    int worth = asks ? QUESTION : 0;
    for (size_t i = sentence.begin; i < sentence.end && i < sentence.begin + 2 && !asks; i++) {
        if (words->tokens[i].mask & lexicon->requests) {
            worth = REQUEST;
        }
    }
    if (worth == 0 && words->n_sentences == 1) {
        worth = FIRST;
    }
    if (worth > *best || (worth == QUESTION && *best == QUESTION)) {
        *best = worth;
        words->i_key = sentence.begin;
        words->n_key = sentence.end - sentence.begin;
        words->key_is_first = words->n_sentences == 1;
    }
}

void soti_question_words_read(const void *question, size_t size, const soti_lexicon *lexicon,
                              soti_question_words *words)
{
    make_plain(question, size < SOTI_QUESTION_MAX_BYTES ? size : SOTI_QUESTION_MAX_BYTES, words);
    words->n_tokens = words->n_sentences = words->i_key = words->n_key = 0;
    words->key_is_first = true; /* also of a question without a token */
    words->ends_asking = false;
    const uint8_t *text = words->text;
    size_t begin = 0; /* of the sentence */
    bool asks = false, spaced = false, broken = false;
    uint8_t last = 0; /* the token before, where it was one byte */
    int best = 0;
    for (size_t i = 0; i < words->n_text && words->n_tokens < SOTI_QUESTION_MAX_TOKENS;) {
        if (is_space(text[i])) {
            spaced = true;
            broken |= text[i] == '\n';
            i++;
            continue;
        }
        bool after_end = spaced && (last == '.' || last == '?' || last == '!');
        if (words->n_tokens == 0 || broken || after_end) {
            if (words->n_tokens > 0) {
                weigh_sentence(words, lexicon, (span){begin, words->n_tokens}, asks, &best);
            }
            words->n_sentences++;
            begin = words->n_tokens;
            asks = false;
        }
        size_t end = token_end(text, words->n_text, i);
        words->tokens[words->n_tokens++] = make_token(text + i, end - i, lexicon);
        last = end - i == 1 ? text[i] : 0;
        asks |= last == '?';
        spaced = broken = false;
        i = end;
    }
    if (words->n_tokens > 0) {
        weigh_sentence(words, lexicon, (span){begin, words->n_tokens}, asks, &best);
    }
    words->ends_asking = last == '?';
    if (words->n_key > SOTI_QUESTION_MAX_KEY) {
        words->n_key = SOTI_QUESTION_MAX_KEY;
    }
}
