/* Concurrent routing (§4, App. C.4): the router's question, a skeleton and a normal answer begin as
 * one batch. When the router has decided, the loser leaves it and its pages are free; the winner
 * goes on as if it had been alone, for a text does not depend on what it is batched with.
 *
 *   RACE-1  until the decision the host hears nothing of either text, then the winner's from its
 *           beginning, and of the loser nothing ever
 *   RACE-2  the answer is that of router and winner one after the other, token for token
 *   RACE-3  that there is no room for all three at once, or none for the loser, is no failure */
#ifndef SOTI_SOT_RACING_H
#define SOTI_SOT_RACING_H

#include "sot/routing.h"

typedef struct soti_race_result {
    bool has_room; /* false: there was none for the router's question beside the others. Nothing was
                      decided, and each should be tried alone */
    bool is_decided;
    uint32_t spent_tokens; /* as in sot_stats */
    int64_t won_ns;
} soti_race_result;

/* Runs the race with the prompting router. answer gets the decision and, as it was decided, the
 * normal text or the points. Returns as soti_jobs_run; CANCELLED also before the decision, OK where
 * has_room is false. */
sot_status soti_race(soti_asking *asking, sot_answer *answer, soti_race_result *result);

#endif
