/* See run.h. Owns admission, gathering and events; what a job does with a token is job.c's. */
#include "sot/run.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"

typedef struct soti_loop {
    soti_run *run;
    soti_kv *kv;
    soti_job *jobs;
    uint32_t n_jobs;
    uint32_t i_next;   /* first job not yet started */
    soti_job **active; /* (n_active) in order of start, room for max_batch */
    uint32_t n_active;
    soti_work *work;   /* (max_batch) */
    soti_job **owners; /* (max_batch) whose work it is */
} soti_loop;

void soti_run_emit(soti_run *run, const sot_event *event)
{
    bool is_muted = (run->muted >> event->stage & 1) != 0;
    if (run->on_event == NULL || run->stopped || is_muted) {
        return;
    }
    sot_event complete = *event;
    complete.struct_size = sizeof complete;
    if (complete.text == NULL) {
        complete.text = "";
    }
    char sentence[SOTI_FAIL_MESSAGE_BYTES]; /* events come behind failures, too */
    soti_fail_save(sentence);
    run->stopped = run->on_event(&complete, run->event_user) != 0;
    soti_fail_restore(sentence);
}

bool soti_run_cancelled(const soti_run *run)
{
    return run->stopped || (run->cancel != NULL && atomic_load(run->cancel) != 0);
}

/* Reports the text that was let out since the last time. What a model answers the router is for the
 * router alone. */
static void show_text(soti_run *run, soti_job *job)
{
    soti_buffer *text = &job->stopper.text;
    size_t n_released = job->stopper.n_released;
    bool is_silent = job->stage == SOT_STAGE_ROUTE || (run->muted >> job->stage & 1) != 0;
    if (n_released == job->n_shown || job->max_tokens == 0 || is_silent) {
        return;
    }
    char held = text->data[n_released]; /* an event's text ends in NUL; more may be held back */
    text->data[n_released] = '\0';
    soti_run_emit(run,
                  &(sot_event){
                      .type = job->stage == SOT_STAGE_EXPAND ? SOT_EVENT_EXPANSION : SOT_EVENT_TEXT,
                      .stage = job->stage,
                      .i_point = job->i_point,
                      .text = text->data + job->n_shown,
                      .text_size = n_released - job->n_shown,
                  });
    text->data[n_released] = held;
    job->n_shown = n_released;
}

static void show_end(soti_run *run, soti_job *job)
{
    show_text(run, job);
    if (job->stage == SOT_STAGE_EXPAND && job->max_tokens > 0) {
        soti_run_emit(run, &(sot_event){.type = SOT_EVENT_POINT_END,
                                        .stage = job->stage,
                                        .i_point = job->i_point,
                                        .finish = job->finish});
    }
}

static void show_prefill(soti_run *run, uint32_t stage)
{
    soti_run_emit(run, &(sot_event){.type = SOT_EVENT_PREFILL,
                                    .stage = stage,
                                    .n_done = run->stats[stage - 1].prefill_tokens,
                                    .n_total = run->n_prefill_total[stage - 1]});
}

void soti_run_catch_up(soti_run *run, soti_job *job)
{
    if (run->stats[job->stage - 1].prefill_tokens > 0) {
        show_prefill(run, job->stage);
    }
    if (job->state == SOTI_JOB_DONE) {
        show_end(run, job);
    } else {
        show_text(run, job);
    }
}

static sot_status end_job(soti_loop *loop, soti_job *job, uint32_t finish)
{
    sot_status status = soti_job_end(job, loop->kv, finish);
    show_end(loop->run, job);
    return status;
}

/* RUN-5. The loop's lists may hold jobs that are DONE behind it. */
static sot_status watch_end(soti_loop *loop, soti_job *job)
{
    const soti_run_watch *watch = &loop->run->watch;
    return watch->on_end != NULL ? watch->on_end(watch->user, job) : SOT_OK;
}

static uint32_t pages_of(uint32_t n_tokens)
{
    return n_tokens / SOTI_PAGE_TOKENS + (n_tokens % SOTI_PAGE_TOKENS != 0);
}

/* Free pages that the jobs under way will never ask for; negative when they may ask for more. */
static int64_t spare_pages(const soti_loop *loop, uint32_t n_ctx)
{
    int64_t spare = soti_kv_free_pages(loop->kv);
    for (uint32_t i = 0; i < loop->n_active; i++) {
        const soti_job *job = loop->active[i];
        spare -= pages_of(soti_job_positions(job, n_ctx));
        spare += soti_sequence_page_count(job->sequence);
    }
    return spare;
}

/* Pages a job not yet started must find free for n_positions. */
static int64_t pages_needed(const soti_job *job, uint32_t n_positions)
{
    int64_t needed = pages_of(n_positions);
    if (job->sequence != NULL) {
        return needed - soti_sequence_page_count(job->sequence);
    }
    return needed - job->n_parent / SOTI_PAGE_TOKENS;
}

static bool make_room(const soti_run *run)
{
    return run->make_room != NULL && run->make_room(run->room_user);
}

/* Whether n_pages are to spare, kept ones having been given up for it (RUN-6). */
static bool find_pages(const soti_loop *loop, int64_t n_pages, uint32_t n_ctx)
{
    const soti_run *run = loop->run;
    int64_t n_missing = n_pages - spare_pages(loop, n_ctx);
    if (n_missing > 0 && (run->room == NULL || n_missing > run->room(run->room_user))) {
        return false;
    }
    while (n_pages > spare_pages(loop, n_ctx)) {
        if (!make_room(run)) {
            return false;
        }
    }
    return true;
}

/* Starts the next job, or sets *must_wait, or ends it where waiting would not help. */
static sot_status start_next(soti_loop *loop, bool *must_wait)
{
    soti_job *job = &loop->jobs[loop->i_next];
    uint32_t n_ctx = soti_engine_context_size(loop->run->engine);
    bool alone = loop->n_active == 0; /* RUN-3 */
    uint32_t n_positions = alone ? job->n_prompt : soti_job_positions(job, n_ctx);
    bool fits = job->n_prompt <= n_ctx && find_pages(loop, pages_needed(job, n_positions), n_ctx);
    sot_status status = SOT_ERR_CONTEXT_FULL;
    while (fits && status == SOT_ERR_CONTEXT_FULL) {
        status = soti_job_start(job, loop->run->engine);
        fits = status != SOT_ERR_CONTEXT_FULL || make_room(loop->run);
    }
    if (fits) {
        RETURN_IF_ERROR(status);
        loop->run->stats[job->stage - 1].reused_tokens += job->n_reused;
        loop->active[loop->n_active++] = job;
        loop->i_next++;
        return SOT_OK;
    }
    if (!alone && job->n_prompt <= n_ctx) {
        *must_wait = true; /* RUN-2 */
        return SOT_OK;
    }
    loop->i_next++;
    RETURN_IF_ERROR(end_job(loop, job, SOT_FINISH_CONTEXT));
    return watch_end(loop, job);
}

static void drop_finished(soti_loop *loop)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < loop->n_active; i++) {
        if (loop->active[i]->state != SOTI_JOB_DONE) {
            loop->active[n_kept++] = loop->active[i];
        }
    }
    loop->n_active = n_kept;
}

/* Whether a job is left to start. What on_end has ended before it began is passed over (RUN-5). */
static bool has_next(soti_loop *loop)
{
    while (loop->i_next < loop->n_jobs && loop->jobs[loop->i_next].state == SOTI_JOB_DONE) {
        loop->i_next++;
    }
    return loop->i_next < loop->n_jobs;
}

static sot_status admit(soti_loop *loop)
{
    uint32_t max_batch = soti_engine_max_batch(loop->run->engine); /* RUN-1 */
    bool must_wait = false;
    while (!must_wait && has_next(loop) && loop->n_active < max_batch) {
        RETURN_IF_ERROR(start_next(loop, &must_wait));
        drop_finished(loop);
    }
    return SOT_OK;
}

/* Decode rows go first, so that long prompts cannot crowd them out of a step. */
static uint32_t gather(soti_loop *loop)
{
    uint32_t n_items = 0;
    const uint32_t order[2] = {SOTI_JOB_DECODE, SOTI_JOB_PREFILL};
    for (uint32_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < loop->n_active; i++) {
            if (loop->active[i]->state == order[k]) {
                loop->owners[n_items] = loop->active[i];
                soti_job_propose(loop->active[i], &loop->work[n_items++]);
            }
        }
    }
    return n_items;
}

/* A step's time, handed out by rows: what is handed out in all is the step's, to the nanosecond. */
typedef struct soti_time_share {
    uint64_t step_ns, n_rows, n_counted;
} soti_time_share;

static uint64_t take_share(soti_time_share *share, uint32_t n_rows)
{
    uint64_t before = share->step_ns * share->n_counted / share->n_rows;
    share->n_counted += n_rows;
    return share->step_ns * share->n_counted / share->n_rows - before;
}

static void count_step(const soti_loop *loop, uint32_t n_items, uint64_t step_ns)
{
    soti_run *run = loop->run;
    soti_pass pass = {.ns = step_ns};
    soti_time_share share = {.step_ns = step_ns};
    for (uint32_t i = 0; i < n_items; i++) {
        const soti_job *job = loop->owners[i];
        bool is_prefill = job->state == SOTI_JOB_PREFILL;
        *(is_prefill ? &pass.n_prompt[job->stage - 1] : &pass.n_decode[job->stage - 1]) +=
            loop->work[i].n_taken;
        run->stats[job->stage - 1].decode_tokens += loop->work[i].has_picked;
        share.n_rows += loop->work[i].n_taken;
    }
    for (uint32_t stage = 1; stage <= SOTI_STAGE_COUNT && share.n_rows > 0; stage++) {
        soti_stage_stats *stats = &run->stats[stage - 1];
        uint32_t n_new = pass.n_prompt[stage - 1];
        uint32_t n_grown = pass.n_decode[stage - 1];
        stats->prefill_ns += take_share(&share, n_new);
        stats->decode_ns += take_share(&share, n_grown);
        stats->prefill_tokens += n_new;
        stats->decode_steps += n_grown > 0;
        stats->max_rows = stats->max_rows > n_grown ? stats->max_rows : n_grown;
        if (n_new > 0) {
            show_prefill(run, stage);
        }
    }
    if (run->watch.on_pass != NULL) {
        run->watch.on_pass(run->watch.user, &pass);
    }
}

/* One pass over the weights for all jobs under way. */
static sot_status step(soti_loop *loop)
{
    uint32_t n_items = gather(loop);
    uint32_t i_failed = 0;
    uint64_t began_ns = soti_clock_ns();
    sot_status status =
        soti_engine_step(loop->run->engine, loop->work, n_items, loop->run->cancel, &i_failed);
    if (status == SOT_ERR_CONTEXT_FULL) {
        if (!make_room(loop->run)) {
            RETURN_IF_ERROR(end_job(loop, loop->owners[i_failed], SOT_FINISH_CONTEXT));
            RETURN_IF_ERROR(watch_end(loop, loop->owners[i_failed]));
            drop_finished(loop);
        }
        return SOT_OK;
    }
    RETURN_IF_ERROR(status);
    count_step(loop, n_items, soti_clock_ns() - began_ns);
    for (uint32_t i = 0; i < n_items; i++) {
        soti_job *job = loop->owners[i];
        if (job->state == SOTI_JOB_DONE) { /* RUN-5 */
            continue;
        }
        RETURN_IF_ERROR(soti_job_consume(job, loop->kv, &loop->work[i]));
        if (job->state == SOTI_JOB_DONE) {
            show_end(loop->run, job);
            RETURN_IF_ERROR(watch_end(loop, job));
        } else {
            show_text(loop->run, job);
        }
    }
    drop_finished(loop);
    return SOT_OK;
}

/* The sentence for a text that ended for lack of room. Returns CONTEXT_FULL. */
static sot_status fail_full(const soti_run *run, const soti_job *job)
{
    uint32_t n_ctx = soti_engine_context_size(run->engine);
    uint32_t n_pool = soti_kv_page_count(soti_engine_kv(run->engine)) * SOTI_PAGE_TOKENS;
    size_t n_generated = job->generated.count;
    if (job->n_prompt > n_ctx) {
        soti_fail(SOT_ERR_CONTEXT_FULL, "the prompt has %u tokens, the context holds %u",
                  job->n_prompt, n_ctx);
    } else if (n_generated == 0) {
        soti_fail(SOT_ERR_CONTEXT_FULL,
                  "the prompt has %u tokens, which the page pool of %u has no room for",
                  job->n_prompt, n_pool);
    } else {
        bool context_full = job->n_prompt + n_generated > n_ctx;
        soti_fail(SOT_ERR_CONTEXT_FULL,
                  "the %s of %u tokens is full behind a prompt of %u and %zu generated",
                  context_full ? "context" : "page pool", context_full ? n_ctx : n_pool,
                  job->n_prompt, n_generated);
    }
    if (job->stage == SOT_STAGE_EXPAND) {
        return soti_fail_in(SOT_ERR_CONTEXT_FULL, "point %u: ", job->i_point + 1);
    }
    bool is_answer = job->stage == SOT_STAGE_NORMAL;
    const char *name = job->stage == SOT_STAGE_SKELETON ? "skeleton" : "router's question";
    return soti_fail_in(SOT_ERR_CONTEXT_FULL, "%s: ", is_answer ? "answer" : name);
}

/* Ends whatever the loop left unfinished and settles what the run returns. */
static sot_status close_run(soti_loop *loop, sot_status status)
{
    uint32_t finish = status == SOT_ERR_CANCELLED ? SOT_FINISH_CANCELLED : SOT_FINISH_NONE;
    const soti_job *full = NULL;
    for (uint32_t i = 0; i < loop->n_jobs; i++) {
        soti_job *job = &loop->jobs[i];
        if (job->state != SOTI_JOB_DONE && end_job(loop, job, finish) != SOT_OK) {
            status = SOT_ERR_MEMORY;
        }
        if (job->finish == SOT_FINISH_CONTEXT && full == NULL && !job->is_expendable) {
            full = job;
        }
    }
    if (status == SOT_ERR_CANCELLED) {
        return soti_fail(status, loop->run->stopped ? "stopped by the event callback"
                                                    : "cancelled by the host");
    }
    return status == SOT_OK && full != NULL ? fail_full(loop->run, full) : status;
}

sot_status soti_jobs_run(soti_run *run, soti_job *jobs, uint32_t n_jobs)
{
    uint32_t max_batch = soti_engine_max_batch(run->engine);
    soti_loop loop = {
        .run = run, .kv = soti_engine_kv(run->engine), .jobs = jobs, .n_jobs = n_jobs};
    loop.active = soti_alloc(max_batch, sizeof *loop.active);
    loop.owners = soti_alloc(max_batch, sizeof *loop.owners);
    loop.work = soti_alloc(max_batch, sizeof *loop.work);
    sot_status status = SOT_OK;
    if (loop.active == NULL || loop.owners == NULL || loop.work == NULL) {
        status = SOT_ERR_MEMORY;
    }
    /* Who asks to stop when all is done has a complete result, not a cancelled one. */
    while (status == SOT_OK && (loop.n_active > 0 || has_next(&loop))) {
        status = soti_run_cancelled(run) ? SOT_ERR_CANCELLED : admit(&loop);
        if (status == SOT_OK && loop.n_active > 0) {
            status = step(&loop);
        }
    }
    status = close_run(&loop, status);
    soti_free(loop.work);
    soti_free(loop.owners);
    soti_free(loop.active);
    return status;
}
