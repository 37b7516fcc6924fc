/* Prompts of a given number of tokens. A random model's tokenizer makes a token of every byte, so
 * the paper's own wording would be several times as long for it as for LLaMA; text of as many
 * tokens as the paper counted stands in for it. */
#ifndef SOT_BENCH_STAND_IN_H
#define SOT_BENCH_STAND_IN_H

#include <sot/sot.h>

#include "../shared/text.h"
#include "lengths.h"

struct stand_in {
    struct text questions[2]; /* of different words */
    struct text skeleton;     /* template of stage 1 */
    struct text point;        /* template of stage 2 */
    struct text outlines[2];  /* skeletons to be expanded, one for each question */
};

/* Returns a status of sot_tokenize. */
sot_status stand_in_make(struct stand_in *made, const sot_model *model,
                         const struct lengths *lengths);
void stand_in_free(struct stand_in *made);

#endif
