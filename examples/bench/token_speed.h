/* The tokenizer's speed on a text made for it. */
#ifndef SOT_BENCH_TOKEN_SPEED_H
#define SOT_BENCH_TOKEN_SPEED_H

#include <sot/sot.h>

struct token_speed {
    size_t n_bytes, n_tokens;
    uint64_t *times_ns; /* (n_times) */
    size_t n_times;
    const char *why_not; /* nothing was measured */
};

/* Returns -1, or an exit code after having said what is wrong. */
int token_speed_measure(struct token_speed *speed, const sot_model *model, size_t n_bytes,
                        size_t n_repeats);
void token_speed_free(struct token_speed *speed);

#endif
