/* What was generated: the public sot_answer. */
#ifndef SOTI_SOT_ANSWER_H
#define SOTI_SOT_ANSWER_H

#include <stdbool.h>

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
    size_t n_expansions;        /* as many as points, or 0 when stage 2 did not run */
    bool repeats_points;        /* the expansions were asked to begin with their points */
    uint32_t finish;
    sot_decision decision; /* all zero where no router was asked */
    sot_stats stats;
};

/* Fills text from points and expansions by §2.1 step 3, each point once, also where its expansion
 * repeats it as it was asked to; with the skeleton response if nothing was expanded. Returns
 * MEMORY.
 */
sot_status soti_answer_aggregate(sot_answer *answer);

/* The text without white space, as Python's str.strip() knows it, at both ends: *size bytes of it.
 * White space of any script; text is UTF-8. */
const char *soti_answer_trim(const char *text, size_t *size);

/* The one of two finishes that tells more about an answer made of both: the first of CANCELLED,
 * CONTEXT, LENGTH, STOP. */
uint32_t soti_answer_worse_finish(uint32_t a, uint32_t b);

void soti_answer_free(sot_answer *answer);

#endif
