/* Skeletons of real words for counting prompts: as many points as the paper's Fig. 11 states for a
 * model and a category, each 3 to 5 words long, as its prompt demands. */
#ifndef SOT_BENCH_OVERHEAD_TEXTS_H
#define SOT_BENCH_OVERHEAD_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "../shared/text.h"

/* Points of the i-th question of a category (from 0): whole numbers whose mean over the category is
 * Fig. 11's. Returns 0 for a model that Fig. 11 does not have; a category it does not have is
 * "average". */
uint32_t overhead_points(const char *model, const char *category, uint32_t i);

/* "1. First things\n2. ...", beginning with another phrase for each i_question. */
void overhead_skeleton(uint32_t i_question, uint32_t n_points, struct text *skeleton);

/* What follows the partial answer "1." of it. */
const char *overhead_behind_partial(const struct text *skeleton);

/* Words of all phrases / phrases. */
double overhead_words(void);

#endif
