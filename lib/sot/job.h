/* A job generates one text on one sequence. It is a state machine, not a loop: it proposes the work
 * of its next step and consumes what was picked; soti_jobs_run gathers many into ragged batches.
 *
 *   READY --prompt tokens--> PREFILL --last prompt token--> DECODE --stop/limit/full--> DONE
 */
#ifndef SOTI_SOT_JOB_H
#define SOTI_SOT_JOB_H

#include <stdatomic.h>

#include "io/tokenizer.h"
#include "model/engine.h"
#include "sot/sot.h"
#include "sot/stopper.h"

enum { SOTI_JOB_READY, SOTI_JOB_PREFILL, SOTI_JOB_DECODE, SOTI_JOB_DONE };

typedef struct soti_job {
    uint32_t state;
    uint32_t stage;           /* SOT_STAGE_* */
    uint32_t i_point;
    const int32_t *prompt;    /* (n_prompt) the whole prompt, borrowed */
    uint32_t n_prompt;
    const soti_sequence *parent; /* fork from here when started, or NULL */
    uint32_t n_parent;        /* positions of parent that prompt begins with; < n_prompt */
    soti_sequence *sequence;  /* owned while not DONE */
    soti_sampler sampler;
    uint32_t max_tokens;
    const int32_t *stop_ids;  /* (n_stop_ids) EOS included */
    size_t n_stop_ids;
    soti_tokens generated;
    soti_stopper stopper;
    uint32_t finish;          /* SOT_FINISH_* once DONE */
} soti_job;

/* Counters of one stage, as in sot_stats. */
typedef struct soti_stage_stats {
    uint64_t prefill_ns, decode_ns;
    uint32_t prefill_tokens, reused_tokens, decode_tokens, decode_steps, max_rows;
} soti_stage_stats;

/* What a run reports to; every member may be NULL. */
typedef struct soti_run {
    soti_engine *engine;
    atomic_int *cancel;
    sot_event_fn on_event;
    void *event_user;
    soti_stage_stats *stats;
} soti_run;

/* Runs all jobs to DONE. At most max_batch are under way; a job starts when its pages for prompt and
 * max_tokens (or what n_ctx leaves) can be had beside those of the jobs under way, and at least one
 * is always under way; a finished job leaves the batch and frees its pages at once.
 * Returns OK, CANCELLED, CONTEXT_FULL (some job ended so), MEMORY, DEVICE. In every case each job is
 * DONE, holds what it generated, and owns no sequence. */
sot_status soti_jobs_run(const soti_run *run, soti_job *jobs, uint32_t n_jobs);
void soti_job_free(soti_job *job, soti_kv *kv);

#endif
