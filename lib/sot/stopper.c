/* Finds stop strings in growing text. One Knuth-Morris-Pratt matcher per stop string runs along the
 * text; how much of a string the text ends with is both the search state and what must be held
 * back. See stopper.h for the invariants. */
#include "stopper.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

/* fallback[i]: the longest proper beginning of string that string[0..i] ends with. */
static void fill_fallback(const char *string, size_t size, size_t *fallback)
{
    size_t k = 0;
    fallback[0] = 0;
    for (size_t i = 1; i < size; i++) {
        while (k > 0 && string[i] != string[k]) {
            k = fallback[k - 1];
        }
        k += string[i] == string[k];
        fallback[i] = k;
    }
}

sot_status soti_stopper_begin(soti_stopper *stopper, const soti_tokenizer *tokenizer,
                              const char *const *strings, size_t n_strings)
{
    *stopper = (soti_stopper){0};
    soti_token_stream_begin(&stopper->stream, tokenizer);
    if (n_strings == 0) {
        return SOT_OK;
    }
    size_t n_bytes = 0;
    for (size_t i = 0; i < n_strings; i++) {
        if (!soti_add(n_bytes, strlen(strings[i]), &n_bytes)) {
            return soti_fail(SOT_ERR_MEMORY, "the %zu stop strings are too long", n_strings);
        }
    }
    stopper->matches = soti_alloc(n_strings, sizeof(soti_stop_match));
    stopper->fallbacks = soti_alloc(n_bytes, sizeof(size_t));
    if (stopper->matches == NULL || stopper->fallbacks == NULL) {
        return SOT_ERR_MEMORY;
    }
    stopper->n_matches = n_strings;
    size_t *fallback = stopper->fallbacks;
    for (size_t i = 0; i < n_strings; i++) {
        size_t size = strlen(strings[i]);
        stopper->matches[i] =
            (soti_stop_match){.string = strings[i], .size = size, .fallback = fallback};
        fill_fallback(strings[i], size, fallback);
        fallback += size;
    }
    return SOT_OK;
}

/* Moves every matcher over one byte. Returns the size of the longest string that ends with it, 0 if
 * none does. */
static size_t advance(soti_stopper *stopper, char byte)
{
    size_t longest = 0;
    for (size_t i = 0; i < stopper->n_matches; i++) {
        soti_stop_match *match = &stopper->matches[i];
        size_t k = match->n_matched;
        while (k > 0 && match->string[k] != byte) {
            k = match->fallback[k - 1];
        }
        k += match->string[k] == byte;
        match->n_matched = k;
        if (k == match->size && k > longest) {
            longest = k;
        }
    }
    return longest;
}

/* Searches text[from..] and releases what no stop string can claim. */
static void search(soti_stopper *stopper, size_t from)
{
    for (size_t i = from; i < stopper->text.size; i++) {
        size_t found = advance(stopper, stopper->text.data[i]);
        if (found > 0) {
            soti_buffer_truncate(&stopper->text, i + 1 - found);
            stopper->n_released = stopper->text.size;
            stopper->stopped = true;
            return;
        }
    }
    size_t held = 0;
    for (size_t i = 0; i < stopper->n_matches; i++) {
        size_t n_matched = stopper->matches[i].n_matched;
        held = n_matched > held ? n_matched : held;
    }
    stopper->n_released = stopper->text.size - held;
}

sot_status soti_stopper_append(soti_stopper *stopper, int32_t id)
{
    if (stopper->stopped) {
        return SOT_OK;
    }
    size_t from = stopper->text.size;
    RETURN_IF_ERROR(soti_token_stream_append(&stopper->stream, id, &stopper->text));
    search(stopper, from);
    return SOT_OK;
}

sot_status soti_stopper_end(soti_stopper *stopper)
{
    if (stopper->stopped) {
        return SOT_OK;
    }
    size_t from = stopper->text.size;
    RETURN_IF_ERROR(soti_token_stream_end(&stopper->stream, &stopper->text));
    search(stopper, from);
    stopper->n_released = stopper->text.size;
    return SOT_OK;
}

void soti_stopper_free(soti_stopper *stopper)
{
    soti_free(stopper->matches);
    soti_free(stopper->fallbacks);
    soti_buffer_free(&stopper->text);
    *stopper = (soti_stopper){0};
}
