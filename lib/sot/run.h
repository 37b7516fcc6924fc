/* The loop that drives jobs: every step gathers the rows of all jobs under way, prefill and decode
 * alike, into one ragged pass over the weights, hands the tokens back and tells the host.
 *
 *   RUN-1  at most max_batch jobs are under way
 *   RUN-2  a job starts beside others only when the pages it may come to need are free beyond what
 *          those others may come to need, so none of them can starve
 *   RUN-3  something is always under way: a job alone starts with whatever pages there are
 *   RUN-4  jobs start in order; one that ends leaves the batch and frees its pages at once
 *   RUN-5  when a job ends, on_end may end others by soti_job_end, begun or not: they leave, too
 *   RUN-6  for a job to begin, kept pages are given up only where enough of them can be had */
#ifndef SOTI_SOT_RUN_H
#define SOTI_SOT_RUN_H

#include <stdatomic.h>
#include <stdbool.h>

#include "sot/job.h"

/* SOT_STAGE_* - 1 indexes what is counted per stage. */
enum { SOTI_STAGE_COUNT = 4 };

/* Counters of one stage, as in sot_stats. A step of several stages, or one that prefills and
 * decodes, is split by rows. */
typedef struct soti_stage_stats {
    uint64_t prefill_ns, decode_ns;
    uint32_t prefill_tokens, reused_tokens, decode_tokens, decode_steps, max_rows;
} soti_stage_stats;

/* One pass over the weights: how long it took, and its rows by stage. */
typedef struct soti_pass {
    uint64_t ns;
    uint32_t n_prompt[SOTI_STAGE_COUNT]; /* rows of prompts */
    uint32_t n_decode[SOTI_STAGE_COUNT]; /* rows of what was generated */
} soti_pass;

/* Told of what happens in a run, before it goes on; both may be NULL. */
typedef struct soti_run_watch {
    void (*on_pass)(void *user, const soti_pass *pass);
    sot_status (*on_end)(void *user, soti_job *job); /* a status other than OK stops the run */
    void *user;
} soti_run_watch;

/* What runs report to and are stopped by. */
typedef struct soti_run {
    soti_engine *engine;
    const atomic_int *cancel; /* NULL: cannot be cancelled */
    sot_event_fn on_event;    /* NULL: nobody listens */
    void *event_user;
    uint32_t (*room)(void *user);  /* pages that make_room can free in all; NULL: none */
    bool (*make_room)(void *user); /* frees some kept pages, false: there are none; or NULL */
    void *room_user;
    soti_stage_stats stats[SOTI_STAGE_COUNT];
    uint32_t n_prefill_total[SOTI_STAGE_COUNT]; /* prompt tokens computed in all, for events */
    uint32_t muted; /* bit SOT_STAGE_*: events of that stage are not reported, text waits */
    soti_run_watch watch;
    bool stopped; /* the callback asked to stop; it is not called again */
} soti_run;

/* Reports an event (struct_size is filled in), unless its stage is muted or the callback has asked
 * to stop. */
void soti_run_emit(soti_run *run, const sot_event *event);

/* Reports what a job has come to while its stage was muted: prompt tokens, text. */
void soti_run_catch_up(soti_run *run, soti_job *job);
bool soti_run_cancelled(const soti_run *run);

/* Runs all jobs to DONE.
 * Returns OK, CANCELLED, CONTEXT_FULL (some job ended so that is not expendable), MEMORY, DEVICE,
 * or what on_end returned. In every case each job is DONE, holds what it generated, and owns no
 * sequence unless it keeps it; a job that never started has the finish of what prevented it. */
sot_status soti_jobs_run(soti_run *run, soti_job *jobs, uint32_t n_jobs);

#endif
