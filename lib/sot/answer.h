/* What was generated: the public sot_answer. */
#ifndef SOTI_SOT_ANSWER_H
#define SOTI_SOT_ANSWER_H

#include "base/buffer.h"
#include "sot/points.h"
#include "sot/sot.h"

typedef struct soti_expansion {
    soti_buffer text;
    uint32_t finish; /* SOT_FINISH_* */
    uint32_t n_tokens;
} soti_expansion;

struct sot_answer {
    soti_buffer text;
    sot_points *points;         /* SoT only; owned */
    soti_expansion *expansions; /* (n_expansions) in skeleton order */
    size_t n_expansions;
    uint32_t finish;
    sot_stats stats;
};

/* Fills text from points and expansions by §2.1 step 3; the skeleton response if there is no point. */
sot_status soti_answer_aggregate(sot_answer *answer);
void soti_answer_free(sot_answer *answer);

#endif
