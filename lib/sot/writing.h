/* One text on its way: a normal answer, a skeleton, or what the model answers the router, from the
 * request to what the model wrote. What runs the job, alone or beside others, is the caller's
 * business:
 *
 *   begin --> soti_jobs_run with job among the jobs --> take --> end
 *
 * The expansions, which share a prompt's beginning, are expanding.h's. */
#ifndef SOTI_SOT_WRITING_H
#define SOTI_SOT_WRITING_H

#include "sot/answer.h"
#include "sot/asking.h"

typedef struct soti_writing {
    soti_request request;
    soti_tokens prompt;
    uint32_t n_constant; /* tokens of prompt that belong to the template alone */
    soti_tokens forced;  /* params->forced_skeleton, for a skeleton's job */
    soti_job *job;       /* the caller's; its stage says what is written */
} soti_writing;

/* Whether a run came to something that is kept. */
static inline bool soti_has_result(sot_status status)
{
    return status == SOT_OK || status == SOT_ERR_CANCELLED || status == SOT_ERR_CONTEXT_FULL;
}

/* Makes the request of a stage (SOT_STAGE_NORMAL, SOT_STAGE_SKELETON, SOT_STAGE_ROUTE), its prompt
 * and the job, which gets what kept pages hold of the prompt. Tells the host as announce does. job
 * is to stay where it is. Returns MEMORY, ARGUMENT; end is right in any case. */
sot_status soti_writing_begin(soti_writing *writing, soti_asking *asking, uint32_t stage,
                              soti_job *job);

/* Tells the host of the stage and, for a skeleton, of the partial answer; nothing is told of a
 * stage that is muted, and one that was muted is announced again. */
void soti_writing_announce(const soti_writing *writing, soti_asking *asking);

/* The normal answer's text and finish, from a job that is DONE. Returns MEMORY. */
sot_status soti_writing_take_answer(soti_writing *writing, sot_answer *answer);

/* The text that stage's template makes of the question. Returns MEMORY; free is right in any case.
 */
sot_status soti_writing_fill(const soti_asking *asking, uint32_t stage, soti_request *request);

/* The points of a skeleton's job that is DONE, of which the host hears. Where stage 2 is the next
 * round, they get the conversation so far, and its pages are kept. Returns MEMORY. */
sot_status soti_writing_take_points(soti_writing *writing, soti_asking *asking,
                                    sot_points **points);

/* Of a job that is DONE: keeps the pages that later calls may begin with, of a conversation's
 * normal answer all of them, and frees the rest. */
void soti_writing_release(soti_writing *writing, soti_asking *asking);

/* Releases, and frees everything else, the job's text too. */
void soti_writing_end(soti_writing *writing, soti_asking *asking);

#endif
