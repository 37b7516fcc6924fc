/* Stage 2 (§2.1): all points of a skeleton, expanded as one batch behind a beginning that is
 * computed once. */
#ifndef SOTI_SOT_EXPANDING_H
#define SOTI_SOT_EXPANDING_H

#include "sot/answer.h"
#include "sot/asking.h"

/* Expands answer->points into answer->expansions; nothing where there are no points. Returns as
 * soti_jobs_run; with CANCELLED and CONTEXT_FULL come the texts so far. */
sot_status soti_expand_points(soti_asking *asking, sot_answer *answer);

#endif
