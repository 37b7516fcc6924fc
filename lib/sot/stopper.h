/* Text of one generated sequence as it grows: turns ids into text, finds stop strings (also across
 * tokens) and lets out only what can no longer become part of one. */
#ifndef SOTI_SOT_STOPPER_H
#define SOTI_SOT_STOPPER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "io/tokenizer.h"

typedef struct soti_stopper {
    soti_token_stream stream;
    const char *const *strings; /* (n_strings), borrowed, none empty */
    size_t n_strings;
    soti_buffer text;  /* everything generated, up to the stop string if one was found */
    size_t n_released; /* bytes of text that may be shown */
    bool stopped;
} soti_stopper;

void soti_stopper_begin(soti_stopper *stopper, const soti_tokenizer *tokenizer,
                        const char *const *strings, size_t n_strings);
/* After it, text[old n_released .. n_released) is new. Returns MEMORY. */
sot_status soti_stopper_append(soti_stopper *stopper, int32_t id);
/* No more ids: everything is released. */
sot_status soti_stopper_end(soti_stopper *stopper);
void soti_stopper_free(soti_stopper *stopper);

#endif
