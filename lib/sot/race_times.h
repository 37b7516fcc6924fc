/* What router and winner gained by running side by side (App. C.4), estimated from the passes they
 * ran in: an answer cannot be timed both ways at once. */
#ifndef SOTI_SOT_RACE_TIMES_H
#define SOTI_SOT_RACE_TIMES_H

#include "sot/run.h"

typedef struct soti_race_times {
    /* Until the decision. */
    uint64_t raced_ns;                     /* all passes */
    uint64_t mixed_ns, n_mixed_rows;       /* those with rows of prompts, and all rows of theirs */
    uint64_t n_prompt[SOTI_STAGE_COUNT];   /* prompt rows */
    uint64_t n_decoding[SOTI_STAGE_COUNT]; /* passes in which the stage decoded */
    /* Before and behind it. */
    uint64_t plain_ns, n_plain; /* passes in which nothing but decoding was done */
} soti_race_times;

void soti_race_times_add(soti_race_times *times, const soti_pass *pass, bool is_decided);

/* Alone, a stage would have spent on its prompt what its rows took in the race, and at least a pass
 * over the weights, and for each token another pass; such a pass takes as long as one that only
 * decodes, on average. What the passes of the race took is subtracted. */
int64_t soti_race_times_won(const soti_race_times *times, uint32_t winner);

#endif
