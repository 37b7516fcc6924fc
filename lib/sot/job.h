/* A job generates one text on one sequence. It is a state machine, not a loop: it proposes the work
 * of its next step and consumes what was picked; soti_jobs_run (run.h) drives many at once.
 *
 *   READY --start--> PREFILL --last prompt token--> DECODE --stop, limit, full--> DONE
 *
 * From start to DONE it owns a sequence. PREFILL ends in DONE at once when max_tokens is 0. */
#ifndef SOTI_SOT_JOB_H
#define SOTI_SOT_JOB_H

#include <stdbool.h>

#include "io/tokenizer.h"
#include "model/engine.h"
#include "sot/sot.h"
#include "sot/stopper.h"

enum { SOTI_JOB_READY, SOTI_JOB_PREFILL, SOTI_JOB_DECODE, SOTI_JOB_DONE };

typedef struct soti_job {
    /* Set by the maker, who keeps what is borrowed until the job is DONE. */
    uint32_t stage; /* SOT_STAGE_* */
    uint32_t i_point;
    const int32_t *prompt; /* (n_prompt) the whole prompt, n_prompt > 0 */
    uint32_t n_prompt;
    const soti_sequence *parent; /* fork from here when started, or NULL */
    uint32_t n_parent;           /* positions of parent that prompt begins with; < n_prompt */
    uint32_t n_reused;       /* positions of the prompt that count as reused in the statistics */
    bool keep_sequence;      /* DONE leaves the sequence to the maker */
    uint32_t max_tokens;     /* 0: prefill only */
    const int32_t *stop_ids; /* (n_stop_ids) end of sequence included */
    size_t n_stop_ids;
    const int32_t *forced; /* (n_forced) taken in place of what is picked; with the last one the
                              text stops, and nothing else stops it but a full context */
    uint32_t n_forced;     /* 0: what is picked is taken */
    soti_sampler sampler;
    soti_stopper stopper; /* begun; unused when max_tokens is 0 */
    float *logits;        /* (n_vocab) behind which the last token was picked, or NULL */
    bool is_expendable;   /* that it ran out of room is no failure of the run */

    /* The job's own. A maker may put a sequence of n_parent positions here instead of a parent. */
    soti_sequence *sequence;
    uint32_t state;
    uint32_t n_ctx;        /* of the engine it was started on */
    soti_tokens generated; /* every token picked, one that stopped it included */
    size_t n_shown;        /* bytes of stopper.text that events have reported */
    uint32_t finish;       /* SOT_FINISH_* once DONE */
} soti_job;

/* Positions the job may come to fill: prompt and all tokens but the last, or what n_ctx leaves. */
uint32_t soti_job_positions(const soti_job *job, uint32_t n_ctx);

/* READY to PREFILL: gets the sequence and the memory for what will be generated.
 * Returns MEMORY, CONTEXT_FULL (no page for the fork); the job is READY still then. */
sot_status soti_job_start(soti_job *job, soti_engine *engine);

/* What the job wants computed next, in PREFILL or DECODE. Valid until consumed. */
void soti_job_propose(const soti_job *job, soti_work *work);

/* Takes the outcome of a step. Returns MEMORY. */
sot_status soti_job_consume(soti_job *job, soti_kv *kv, const soti_work *work);

/* Any state to DONE; releases text held back. Returns MEMORY, and the job is DONE even so. */
sot_status soti_job_end(soti_job *job, soti_kv *kv, uint32_t finish);

void soti_job_free(soti_job *job, soti_kv *kv);

#endif
