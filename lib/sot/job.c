/* See job.h. Knows one job; which jobs run together, and what the host hears of it, is run.c's. */
#include "sot/job.h"

#include "base/alloc.h"
#include "base/fail.h"

uint32_t soti_job_positions(const soti_job *job, uint32_t n_ctx)
{
    uint64_t positions = job->n_prompt;
    if (job->max_tokens > 1) {
        positions += job->max_tokens - 1; /* the last token picked is never fed */
    }
    return positions < n_ctx ? (uint32_t)positions : n_ctx;
}

/* Room for every token at once and for their text at a usual four bytes each, so that growing does
 * not allocate token by token. */
static sot_status reserve_output(soti_job *job)
{
    if (job->max_tokens == 0) {
        return SOT_OK;
    }
    size_t n_tokens = (size_t)soti_job_positions(job, job->n_ctx) - job->n_prompt + 1;
    if (job->generated.capacity < n_tokens) {
        int32_t *ids = soti_realloc(job->generated.ids, n_tokens, sizeof *ids);
        if (ids == NULL) {
            return SOT_ERR_MEMORY;
        }
        job->generated.ids = ids;
        job->generated.capacity = n_tokens;
    }
    return soti_buffer_reserve(&job->stopper.text, 4 * n_tokens);
}

sot_status soti_job_start(soti_job *job, soti_engine *engine)
{
    soti_kv *kv = soti_engine_kv(engine);
    job->n_ctx = soti_engine_context_size(engine);
    RETURN_IF_ERROR(reserve_output(job));
    if (job->sequence == NULL && job->parent != NULL) {
        RETURN_IF_ERROR(soti_sequence_fork(kv, job->parent, job->n_parent, &job->sequence));
    } else if (job->sequence == NULL) {
        job->sequence = soti_sequence_create(kv);
        if (job->sequence == NULL) {
            return soti_fail(SOT_ERR_CONTEXT_FULL, "no sequence is left for another text");
        }
    }
    job->state = SOTI_JOB_PREFILL;
    return SOT_OK;
}

void soti_job_propose(const soti_job *job, soti_work *work)
{
    *work = (soti_work){.sequence = job->sequence, .logits = job->logits};
    if (job->state == SOTI_JOB_PREFILL) {
        uint32_t n_fed = soti_sequence_length(job->sequence);
        work->tokens = job->prompt + n_fed;
        work->n_tokens = job->n_prompt - n_fed;
        work->is_prompt = 1;
    } else {
        work->tokens = job->generated.ids + job->generated.count - 1;
        work->n_tokens = 1;
    }
    if (job->max_tokens > 0) {
        work->want_pick = 1;
        work->pick =
            soti_sampler_pick(&job->sampler, 0, job->generated.ids, (uint32_t)job->generated.count);
    }
}

static bool is_stop_id(const soti_job *job, int32_t id)
{
    for (size_t i = 0; i < job->n_stop_ids; i++) {
        if (job->stop_ids[i] == id) {
            return true;
        }
    }
    return false;
}

sot_status soti_job_consume(soti_job *job, soti_kv *kv, const soti_work *work)
{
    if (job->state == SOTI_JOB_PREFILL) {
        if (soti_sequence_length(job->sequence) < job->n_prompt) {
            return SOT_OK;
        }
        if (job->max_tokens == 0) {
            return soti_job_end(job, kv, SOT_FINISH_LENGTH);
        }
        if (!work->has_picked) {
            return soti_fail(SOT_ERR_INTERNAL, "a prompt was computed and no token picked");
        }
        job->state = SOTI_JOB_DECODE;
    }
    if (!work->has_picked) {
        return SOT_OK; /* a step too full for this row */
    }
    bool is_forced = job->n_forced > 0;
    int32_t id = is_forced ? job->forced[job->generated.count] : work->picked;
    RETURN_IF_ERROR(soti_tokens_append(&job->generated, &id, 1));
    if (!is_forced && is_stop_id(job, id)) {
        return soti_job_end(job, kv, SOT_FINISH_STOP);
    }
    /* A model may have more logits than its tokenizer has pieces; the rest have no text. */
    if ((uint32_t)id < soti_tokenizer_size(job->stopper.stream.tokenizer)) {
        RETURN_IF_ERROR(soti_stopper_append(&job->stopper, id));
    }
    if (job->stopper.stopped || (is_forced && job->generated.count == job->n_forced)) {
        return soti_job_end(job, kv, SOT_FINISH_STOP);
    }
    if (job->generated.count >= job->max_tokens) {
        return soti_job_end(job, kv, SOT_FINISH_LENGTH);
    }
    if (soti_sequence_length(job->sequence) >= job->n_ctx) {
        return soti_job_end(job, kv, SOT_FINISH_CONTEXT);
    }
    return SOT_OK;
}

sot_status soti_job_end(soti_job *job, soti_kv *kv, uint32_t finish)
{
    if (job->state == SOTI_JOB_DONE) {
        return SOT_OK;
    }
    job->state = SOTI_JOB_DONE;
    job->finish = finish;
    if (!job->keep_sequence) {
        soti_sequence_free(kv, job->sequence);
        job->sequence = NULL;
    }
    return job->max_tokens > 0 ? soti_stopper_end(&job->stopper) : SOT_OK;
}

void soti_job_free(soti_job *job, soti_kv *kv)
{
    soti_sequence_free(kv, job->sequence);
    soti_stopper_free(&job->stopper);
    soti_tokens_free(&job->generated);
    *job = (soti_job){0};
}
