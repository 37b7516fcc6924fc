/* See letters.h. */
#include "sot/letters.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"

static const char letter_names[SOTI_LETTER_COUNT + 1] = "ABC";

/* Behind a prompt the model is free to write a letter with a space in front or without one, however
 * the prompt ends: the logits say which it would. Where a form takes several tokens, the first of
 * them does not say the letter. */
static sot_status find_form(const soti_tokenizer *tokenizer, const char *text, int32_t *id)
{
    soti_tokens tokens = {0};
    *id = -1;
    sot_status status =
        soti_tokenizer_encode(tokenizer, text, strlen(text), SOTI_TOKENIZE_BEHIND, &tokens);
    if (status == SOT_OK && tokens.count == 1 &&
        tokens.ids[0] != soti_tokenizer_vocabulary(tokenizer)->unk_id) {
        *id = tokens.ids[0];
    }
    soti_tokens_free(&tokens);
    return status;
}

sot_status soti_letters_find(const soti_tokenizer *tokenizer, soti_letters *letters)
{
    static const char *const forms[SOTI_LETTER_COUNT][SOTI_LETTER_FORMS] = {
        {"A", " A"}, {"B", " B"}, {"C", " C"}};
    for (size_t i = 0; i < SOTI_LETTER_COUNT; i++) {
        for (size_t k = 0; k < SOTI_LETTER_FORMS; k++) {
            RETURN_IF_ERROR(find_form(tokenizer, forms[i][k], &letters->ids[i][k]));
        }
    }
    return SOT_OK;
}

uint32_t soti_letters_of_token(const soti_letters *letters, int32_t id)
{
    for (size_t i = 0; i < SOTI_LETTER_COUNT; i++) {
        for (size_t k = 0; k < SOTI_LETTER_FORMS; k++) {
            if (id >= 0 && letters->ids[i][k] == id) {
                return (unsigned char)letter_names[i];
            }
        }
    }
    return 0;
}

float soti_letters_score(const soti_letters *letters, const float *logits, uint32_t n_vocab)
{
    float best[SOTI_LETTER_COUNT];
    float most = -INFINITY;
    for (size_t i = 0; i < SOTI_LETTER_COUNT; i++) {
        best[i] = -INFINITY;
        for (size_t k = 0; k < SOTI_LETTER_FORMS; k++) {
            int32_t id = letters->ids[i][k];
            if (id >= 0 && (uint32_t)id < n_vocab) {
                best[i] = fmaxf(best[i], logits[id]);
            }
        }
        most = fmaxf(most, best[i]);
    }
    if (!isfinite(most)) {
        return 0.0f;
    }
    float sum = 0.0f;
    for (size_t i = 0; i < SOTI_LETTER_COUNT; i++) {
        sum += expf(best[i] - most);
    }
    return expf(best[0] - most) / sum;
}

/* Letters and digits of ASCII, and everything beyond it: other scripts have words, too. */
static bool is_word(char byte)
{
    unsigned char c = (unsigned char)byte;
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0x80;
}

uint32_t soti_letters_of_text(const char *text, size_t size, bool *has_word)
{
    size_t i = 0;
    while (i < size && !is_word(text[i])) {
        i++;
    }
    *has_word = i < size;
    bool is_one = i < size && (i + 1 == size || !is_word(text[i + 1]));
    bool is_letter = is_one && memchr(letter_names, text[i], SOTI_LETTER_COUNT) != NULL;
    return is_letter ? (unsigned char)text[i] : 0;
}
