/* See measure.h. Every page that a run will read or write is taken and written before the first
 * one, so that no run pays for page faults and none can find the pool full; between runs the
 * sequences are cut back to n_past, and the same pages are taken again. What a run does is a step
 * of the engine, or several, exactly as soti_jobs_run would have them. */
#include "sot/measure.h"

#include <stdbool.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"

enum { RUNS_MAX = 10000, DEFAULT_REPEATS = 5 };

typedef struct measurement {
    sot_session *session;
    sot_measure_params params; /* complete */
    soti_sequence *shared;     /* what the sequences are forked from, or NULL */
    soti_sequence **sequences; /* (n_sequences) */
    soti_work *work;           /* (n_sequences) */
    int32_t *tokens;           /* any ids; sequence i feeds those from the i-th on */
} measurement;

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static sot_status check_limit(const char *name, uint32_t value, uint32_t limit)
{
    if (value > limit) {
        return soti_fail(SOT_ERR_ARGUMENT, "measure parameters: %s is %u, at most %u is possible",
                         name, value, limit);
    }
    return SOT_OK;
}

sot_status soti_measure_count(const sot_measure_params *params, uint32_t *n_repeats)
{
    *n_repeats = or_default(params->n_repeats, DEFAULT_REPEATS);
    return check_limit("n_repeats", *n_repeats, RUNS_MAX);
}

static sot_status complete_params(const sot_session *session, sot_measure_params *params)
{
    uint32_t n_ctx = soti_engine_context_size(session->engine);
    params->n_sequences = or_default(params->n_sequences, 1);
    params->n_new = or_default(params->n_new, 1);
    params->n_warmup = or_default(params->n_warmup, 1);
    RETURN_IF_ERROR(soti_measure_count(params, &params->n_repeats));
    RETURN_IF_ERROR(check_limit("n_warmup", params->n_warmup, RUNS_MAX));
    RETURN_IF_ERROR(
        check_limit("n_sequences", params->n_sequences, soti_engine_max_batch(session->engine)));
    if (params->n_shared > params->n_past) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "measure parameters: n_shared is %u, more than n_past, %u",
                         params->n_shared, params->n_past);
    }
    params->n_shared -= params->n_shared % SOTI_PAGE_TOKENS;
    uint64_t n_positions = (uint64_t)params->n_past + params->n_new;
    if (n_positions > n_ctx) {
        return soti_fail(SOT_ERR_CONTEXT_FULL, "%llu tokens a sequence, the context holds %u",
                         (unsigned long long)n_positions, n_ctx);
    }
    return SOT_OK;
}

/* Whether a call that found no page is to be made again: kept pages were given up for it. */
static bool may_retry(const measurement *measured, sot_status status)
{
    return status == SOT_ERR_CONTEXT_FULL && soti_session_make_room(measured->session);
}

static sot_status fill(const measurement *measured, soti_sequence *sequence, uint32_t from_page,
                       uint32_t n_tokens)
{
    sot_status status;
    do {
        status = soti_engine_fill(measured->session->engine, sequence, from_page, n_tokens);
    } while (may_retry(measured, status));
    return status;
}

static sot_status create_sequence(const measurement *measured, soti_sequence **out)
{
    *out = soti_sequence_create(soti_engine_kv(measured->session->engine));
    return *out != NULL ? SOT_OK : soti_fail(SOT_ERR_INTERNAL, "no sequence is left to measure on");
}

/* n_tokens positions, of which those of the first page are really computed: it is what the other
 * pages are copied from. */
static sot_status compute_first_page(const measurement *measured, soti_sequence *sequence,
                                     uint32_t n_tokens)
{
    uint32_t n_computed = n_tokens < SOTI_PAGE_TOKENS ? n_tokens : SOTI_PAGE_TOKENS;
    uint32_t n_done = 0;
    while (n_done < n_computed) {
        soti_work work = {.sequence = sequence,
                          .tokens = measured->tokens + n_done,
                          .n_tokens = n_computed - n_done,
                          .is_prompt = 1};
        sot_status status =
            soti_engine_step(measured->session->engine, &work, 1, &measured->session->cancel, NULL);
        if (status != SOT_OK && !may_retry(measured, status)) {
            return status;
        }
        n_done += work.n_taken;
    }
    return fill(measured, sequence, soti_sequence_pages(sequence)[0], n_tokens - n_computed);
}

/* Takes and writes every page there will be. */
static sot_status set_up(measurement *measured)
{
    soti_kv *kv = soti_engine_kv(measured->session->engine);
    const sot_measure_params *params = &measured->params;
    uint32_t n_total = params->n_past + params->n_new;
    const soti_sequence *first = NULL; /* its first page was computed */
    if (params->n_shared > 0) {
        RETURN_IF_ERROR(create_sequence(measured, &measured->shared));
        RETURN_IF_ERROR(compute_first_page(measured, measured->shared, params->n_shared));
        first = measured->shared;
    }
    for (uint32_t i = 0; i < params->n_sequences; i++) {
        soti_sequence **sequence = &measured->sequences[i];
        if (measured->shared != NULL) { /* whole pages: nothing is copied, so nothing is missing */
            RETURN_IF_ERROR(soti_sequence_fork(kv, measured->shared, params->n_shared, sequence));
        } else {
            RETURN_IF_ERROR(create_sequence(measured, sequence));
        }
        if (first == NULL) {
            RETURN_IF_ERROR(compute_first_page(measured, *sequence, n_total));
            first = *sequence;
        } else {
            RETURN_IF_ERROR(fill(measured, *sequence, soti_sequence_pages(first)[0],
                                 n_total - params->n_shared));
        }
    }
    return SOT_OK;
}

/* One token, or one prompt, of every sequence: work is set up; returns when all is taken. */
static sot_status take_all(measurement *measured, uint64_t *time_ns)
{
    soti_engine *engine = measured->session->engine;
    uint32_t n_items = measured->params.n_sequences;
    uint64_t began_ns = soti_clock_ns();
    while (n_items > 0) {
        RETURN_IF_ERROR(
            soti_engine_step(engine, measured->work, n_items, &measured->session->cancel, NULL));
        uint32_t n_left = 0;
        for (uint32_t i = 0; i < n_items; i++) {
            soti_work *item = &measured->work[i];
            item->tokens += item->n_taken;
            item->n_tokens -= item->n_taken;
            if (item->n_tokens > 0) {
                measured->work[n_left++] = *item;
            }
        }
        n_items = n_left;
    }
    *time_ns = soti_clock_ns() - began_ns;
    return SOT_OK;
}

/* n_new tokens of every sequence behind what it has. */
static sot_status set_work(measurement *measured, uint32_t n_new)
{
    for (uint32_t i = 0; i < measured->params.n_sequences; i++) {
        soti_sampler greedy;
        RETURN_IF_ERROR(soti_sampler_init(&greedy, &(soti_sampler_params){0}, i));
        measured->work[i] = (soti_work){.sequence = measured->sequences[i],
                                        .tokens = measured->tokens + i,
                                        .n_tokens = n_new,
                                        .is_prompt = n_new > 1,
                                        .want_pick = 1,
                                        .pick = soti_sampler_pick(&greedy, 0, NULL, 0)};
    }
    return SOT_OK;
}

static void cut_back(measurement *measured)
{
    for (uint32_t i = 0; i < measured->params.n_sequences; i++) {
        soti_sequence_truncate(soti_engine_kv(measured->session->engine), measured->sequences[i],
                               measured->params.n_past);
    }
}

static sot_status run_once(measurement *measured, uint64_t *time_ns)
{
    cut_back(measured);
    RETURN_IF_ERROR(set_work(measured, measured->params.n_new));
    return take_all(measured, time_ns);
}

static sot_status run_all(measurement *measured, const soti_measure_effort *effort,
                          uint64_t *times_ns, uint32_t *n_counted)
{
    uint64_t time_ns = 0;
    uint64_t spent_ns = 0;
    uint32_t n_runs = 0;
    *n_counted = 0;
    while (n_runs < measured->params.n_warmup && (n_runs == 0 || spent_ns < effort->most_ns)) {
        RETURN_IF_ERROR(run_once(measured, &time_ns));
        spent_ns += time_ns;
        n_runs++;
    }
    if (spent_ns >= effort->most_ns) {
        times_ns[(*n_counted)++] = time_ns;
        return SOT_OK;
    }
    for (n_runs = 0; n_runs < measured->params.n_repeats; n_runs++) {
        bool is_enough = n_runs >= effort->n_least && spent_ns >= effort->least_ns;
        if (n_runs > 0 && (is_enough || spent_ns >= effort->most_ns)) {
            break;
        }
        RETURN_IF_ERROR(run_once(measured, &times_ns[n_runs]));
        spent_ns += times_ns[n_runs];
    }
    *n_counted = n_runs;
    return SOT_OK;
}

/* The first step's rows are computed before what is timed: n_past may be little. */
static sot_status run_growth(measurement *measured, uint64_t *times_ns)
{
    uint64_t uncounted;
    cut_back(measured);
    RETURN_IF_ERROR(set_work(measured, 1));
    RETURN_IF_ERROR(take_all(measured, &uncounted));
    cut_back(measured);
    for (uint32_t i = 0; i < measured->params.n_new; i++) {
        RETURN_IF_ERROR(set_work(measured, 1));
        RETURN_IF_ERROR(take_all(measured, &times_ns[i]));
    }
    return SOT_OK;
}

/* Ids all over the vocabulary, so that rows of the embedding are read as a text would. */
static sot_status make_tokens(measurement *measured)
{
    uint32_t n_vocab = measured->session->model->checkpoint.shape.n_vocab;
    uint32_t n_first_page = SOTI_PAGE_TOKENS; /* which set_up computes, whatever n_new is */
    uint32_t n_tokens = measured->params.n_new + measured->params.n_sequences + n_first_page;
    measured->tokens = soti_alloc(n_tokens, sizeof *measured->tokens);
    if (measured->tokens == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < n_tokens; i++) {
        measured->tokens[i] = (int32_t)((uint64_t)i * 7919 % n_vocab);
    }
    return SOT_OK;
}

static sot_status reserve_memory(measurement *measured)
{
    uint32_t n_sequences = measured->params.n_sequences;
    measured->sequences = soti_alloc(n_sequences, sizeof *measured->sequences);
    measured->work = soti_alloc(n_sequences, sizeof *measured->work);
    return measured->sequences != NULL && measured->work != NULL ? make_tokens(measured)
                                                                 : SOT_ERR_MEMORY;
}

static void release(measurement *measured)
{
    soti_kv *kv = soti_engine_kv(measured->session->engine);
    for (uint32_t i = 0; measured->sequences != NULL && i < measured->params.n_sequences; i++) {
        soti_sequence_free(kv, measured->sequences[i]);
    }
    soti_sequence_free(kv, measured->shared);
    soti_free(measured->sequences);
    soti_free(measured->work);
    soti_free(measured->tokens);
}

sot_status soti_measure_within(sot_session *session, const sot_measure_params *params,
                               const soti_measure_effort *effort, uint64_t *times_ns,
                               uint32_t *n_counted)
{
    measurement measured = {.session = session, .params = *params};
    RETURN_IF_ERROR(complete_params(session, &measured.params));
    sot_status status = reserve_memory(&measured);
    if (status == SOT_OK) {
        status = set_up(&measured);
    }
    if (status == SOT_OK) {
        status = run_all(&measured, effort, times_ns, n_counted);
    }
    release(&measured);
    return status;
}

sot_status soti_measure(sot_session *session, const sot_measure_params *params, uint64_t *times_ns)
{
    const soti_measure_effort all = {.n_least = UINT32_MAX, .most_ns = UINT64_MAX};
    uint32_t n_counted;
    return soti_measure_within(session, params, &all, times_ns, &n_counted);
}

sot_status soti_measure_growth(sot_session *session, uint32_t n_sequences, uint32_t n_past,
                               uint32_t n_steps, uint64_t *times_ns)
{
    measurement measured = {
        .session = session,
        .params = {.n_sequences = n_sequences, .n_past = n_past, .n_new = n_steps}};
    RETURN_IF_ERROR(complete_params(session, &measured.params));
    sot_status status = reserve_memory(&measured);
    if (status == SOT_OK) {
        status = set_up(&measured);
    }
    if (status == SOT_OK) {
        status = run_growth(&measured, times_ns);
    }
    release(&measured);
    return status;
}
