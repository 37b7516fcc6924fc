/* Text of one generated sequence as it grows: turns ids into text, finds stop strings (also across
 * tokens) and lets out only what can no longer become part of one. */
#ifndef SOTI_SOT_STOPPER_H
#define SOTI_SOT_STOPPER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "io/tokenizer.h"

typedef struct soti_stop_match {
    const char *string;
    size_t size;
    size_t n_matched; /* bytes of string that the text so far ends with */
    size_t *fallback; /* (size) Knuth-Morris-Pratt table */
} soti_stop_match;

/* ST-1  text stops in front of the stop string whose last byte comes first (of several that end
 *       there, the longest); where the tokens are cut makes no difference.
 * ST-2  text[0 .. n_released) is whole characters and holds no beginning of a stop string that more
 *       text could complete; it never shrinks or changes.
 * ST-3  the work per byte of text does not grow with the text. */
typedef struct soti_stopper {
    soti_token_stream stream;
    soti_stop_match *matches; /* (n_matches) one per stop string */
    size_t n_matches;
    size_t *fallbacks; /* all tables in a row */
    soti_buffer text;  /* everything generated, up to the stop string if one was found */
    size_t n_released; /* bytes of text that may be shown */
    bool stopped;
} soti_stopper;

/* strings: well-formed UTF-8, none empty, borrowed until free. Returns MEMORY; soti_stopper_free is
 * right in every case. */
sot_status soti_stopper_begin(soti_stopper *stopper, const soti_tokenizer *tokenizer,
                              const char *const *strings, size_t n_strings);
/* After it, text[old n_released .. n_released) is new. Once stopped, ids are ignored. Returns
 * MEMORY, and ARGUMENT for an id that does not exist. */
sot_status soti_stopper_append(soti_stopper *stopper, int32_t id);
/* No more ids: what was held back is released, unless it completes a stop string. */
sot_status soti_stopper_end(soti_stopper *stopper);
void soti_stopper_free(soti_stopper *stopper);

#endif
