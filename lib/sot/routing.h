/* Whether a question suits Skeleton-of-Thought (§4): the routers of a call. The prompting one asks
 * the model (App. C.1), whose answer is a text like others, so that it can be written beside them:
 *
 *   begin --> soti_jobs_run with job among the jobs --> decide --> end
 */
#ifndef SOTI_SOT_ROUTING_H
#define SOTI_SOT_ROUTING_H

#include "sot/letters.h"
#include "sot/writing.h"

extern const char soti_prompt_router[]; /* the paper's wording, byte for byte */

typedef struct soti_routing {
    soti_writing writing;
    soti_letters letters;
    soti_tokens stop_ids; /* the letters', too: a letter is all that is wanted */
    float *logits;        /* (n_vocab) */
} soti_routing;

/* Who decides by these parameters: SOT_ROUTER_*, but never DEFAULT. */
uint32_t soti_routing_router(const sot_generate_params *params);

/* The question to the model. job is to stay where it is. Returns MEMORY, ARGUMENT; end is right in
 * any case. */
sot_status soti_routing_begin(soti_routing *routing, soti_asking *asking, soti_job *job);

/* What the job, which is DONE, has come to. Tells the host. */
void soti_routing_decide(const soti_routing *routing, soti_asking *asking, sot_decision *decision);

void soti_routing_end(soti_routing *routing, soti_asking *asking);

/* Decides, whoever the router is, and tells the host. Returns MEMORY, ARGUMENT (what a callback
 * decided makes no sense), DEVICE; CANCELLED, with an undecided decision of which the host does not
 * hear; CONTEXT_FULL, where the question to the model has no room: undecided. */
sot_status soti_route(soti_asking *asking, sot_decision *decision);

#endif
