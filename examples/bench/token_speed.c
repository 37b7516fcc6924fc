/* See token_speed.h. */
#include "token_speed.h"

#include <stdlib.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "progress.h"

/* Words of English and made-up ones, in sentences and paragraphs; the same on every machine. */
static void write_text(struct text *text, size_t n_bytes)
{
    static const char *const words[] = {
        "the",   "of",      "a",       "point",   "answer", "question", "model", "skeleton",
        "and",   "which",   "reads",   "batch",   "weight", "memory",   "to",    "quickly",
        "every", "kitchen", "garden",  "violin",  "is",     "traffic",  "in",    "chess",
        "that",  "between", "machine", "without", "it",     "winter",   "one",   "understanding"};
    static const char *const ends[] = {", ", ". ", "; ", ".\n\n", ": ", "? ", " (1) ", ".\n"};
    static const char *const syllables[] = {"ka", "ro", "min", "tel", "su", "va", "pri", "no"};
    uint32_t state = 1;
    while (text->size < n_bytes) {
        state = state * 1664525u + 1013904223u;
        uint32_t draw = state >> 8;
        if (draw % 16 == 0) {
            for (uint32_t n = 2 + draw / 16 % 3; n > 0; n--)
                text_string(text, syllables[(draw >> (3 * n)) % 8]);
        } else {
            text_string(text, words[draw / 16 % 32]);
        }
        text_string(text, draw / 512 % 8 == 0 ? ends[draw / 4096 % 8] : " ");
    }
}

int token_speed_measure(struct token_speed *speed, const sot_model *model, size_t n_bytes,
                        size_t n_repeats)
{
    struct text text = {0};
    write_text(&text, n_bytes);
    progress_say("tokenizer: %.1f MB of text", (double)text.size / 1e6);
    int32_t *tokens = grow(NULL, (text.size + 1) * sizeof *tokens);
    speed->n_bytes = text.size;
    speed->times_ns = grow(NULL, n_repeats * sizeof *speed->times_ns);
    sot_status status = SOT_OK;
    /* The first run is the warm-up. */
    for (size_t i = 0; i <= n_repeats && status == SOT_OK && !interrupt_seen(); i++) {
        uint64_t begin = time_ns();
        status =
            sot_tokenize(model, text.bytes, text.size, 0, tokens, text.size + 1, &speed->n_tokens);
        if (i > 0 && status == SOT_OK)
            speed->times_ns[speed->n_times++] = time_ns() - begin;
    }
    free(tokens);
    text_free(&text);
    if (status == SOT_ERR_UNSUPPORTED) {
        speed->why_not = "the model has no tokenizer";
        return -1;
    }
    if (status != SOT_OK)
        return exit_code_of(status);
    return interrupt_seen() ? EXIT_INTERRUPTED : -1;
}

void token_speed_free(struct token_speed *speed)
{
    free(speed->times_ns);
    *speed = (struct token_speed){0};
}
