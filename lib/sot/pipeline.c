/* See pipeline.h. The order of the stages; each text's making is writing.c's, that of the
 * expansions expanding.c's. */
#include "sot/pipeline.h"

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/expanding.h"
#include "sot/racing.h"
#include "sot/routing.h"
#include "sot/writing.h"

static sot_status write_normal(soti_asking *asking, sot_answer *answer)
{
    soti_writing writing;
    soti_job job;
    sot_status status = soti_writing_begin(&writing, asking, SOT_STAGE_NORMAL, &job);
    if (status == SOT_OK) {
        status = soti_jobs_run(&asking->run, &job, 1);
    }
    if (soti_has_result(status)) {
        sot_status taken = soti_writing_take_answer(&writing, answer);
        status = taken == SOT_OK ? status : taken;
    }
    soti_writing_end(&writing, asking);
    return status;
}

/* Stage 1. *points is what could be parsed, *finish why the skeleton ended. */
static sot_status write_skeleton(soti_asking *asking, sot_points **points, uint32_t *finish)
{
    soti_writing writing;
    soti_job job;
    sot_status status = soti_writing_begin(&writing, asking, SOT_STAGE_SKELETON, &job);
    if (status == SOT_OK) {
        status = soti_jobs_run(&asking->run, &job, 1);
    }
    if (soti_has_result(status)) {
        *finish = job.finish;
        sot_status taken = soti_writing_take_points(&writing, asking, points);
        status = taken == SOT_OK ? status : taken;
    }
    soti_writing_end(&writing, asking);
    return status;
}

static sot_status write_labelled(soti_asking *asking, sot_answer *answer)
{
    if (answer->decision.label != SOT_LABEL_SOT) {
        return write_normal(asking, answer);
    }
    return write_skeleton(asking, &answer->points, &answer->finish);
}

/* The router's decision, then what it decided for up to stage 2. A question that the model cannot
 * be asked for lack of room is undecided. */
static sot_status route_first(soti_asking *asking, sot_answer *answer)
{
    sot_status status = soti_route(asking, &answer->decision);
    if (status == SOT_ERR_CANCELLED) {
        answer->finish = SOT_FINISH_CANCELLED;
    }
    if (status != SOT_OK && status != SOT_ERR_CONTEXT_FULL) {
        return status;
    }
    return write_labelled(asking, answer);
}

/* All at once, where the router is one that takes its time. */
static sot_status route_beside(soti_asking *asking, sot_answer *answer)
{
    soti_race_result result;
    sot_status status = soti_race(asking, answer, &result);
    if (status == SOT_OK && !result.has_room) {
        return route_first(asking, answer);
    }
    if (status == SOT_ERR_CANCELLED && !result.is_decided) {
        answer->finish = SOT_FINISH_CANCELLED;
    }
    answer->stats.spent_tokens = result.spent_tokens;
    answer->stats.won_ns = result.won_ns;
    return status;
}

static sot_status write_routed(soti_asking *asking, sot_answer *answer)
{
    bool at_once = (asking->params->flags & SOT_GENERATE_CONCURRENT) != 0 &&
                   soti_routing_router(asking->params) == SOT_ROUTER_PROMPTING;
    return at_once ? route_beside(asking, answer) : route_first(asking, answer);
}

/* Hands the answer over, or frees it where there is nothing to keep. */
static sot_status close_answer(soti_asking *asking, sot_answer *answer, sot_status status,
                               sot_answer **out)
{
    if (soti_has_result(status) && answer->points != NULL) {
        sot_status aggregated = soti_answer_aggregate(answer);
        status = aggregated == SOT_OK ? status : aggregated;
    }
    if (soti_has_result(status)) {
        const sot_stats told = answer->stats; /* by the stages */
        soti_asking_get_stats(asking, &answer->stats);
        answer->stats.route_ns = answer->decision.latency_ns;
        answer->stats.spent_tokens = told.spent_tokens;
        answer->stats.won_ns = told.won_ns;
        answer->stats.mode = answer->points != NULL ? SOT_MODE_SOT : SOT_MODE_NORMAL;
        answer->stats.longest_expansion = told.longest_expansion;
        answer->stats.n_points = (uint32_t)answer->n_expansions;
        answer->stats.n_points_dropped =
            answer->points != NULL ? (uint32_t)answer->points->n_dropped : 0;
        *out = answer;
    } else {
        soti_answer_free(answer);
    }
    soti_asking_end(asking);
    return status;
}

sot_status soti_pipeline_skeleton(sot_session *session, const char *question,
                                  const sot_generate_params *params, sot_points **out)
{
    soti_asking asking;
    uint32_t finish;
    *out = NULL;
    sot_status status = soti_asking_begin(&asking, session, question, params);
    if (status == SOT_OK) {
        status = write_skeleton(&asking, out, &finish);
    }
    soti_asking_end(&asking);
    return status;
}

sot_status soti_pipeline_expand(sot_session *session, const char *question,
                                const sot_points *points, const sot_generate_params *params,
                                sot_answer **out)
{
    *out = NULL;
    sot_answer *answer = soti_alloc(1, sizeof *answer);
    if (answer == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_asking asking;
    sot_status status = soti_asking_begin(&asking, session, question, params);
    if (status == SOT_OK) {
        status = soti_points_copy(points, &answer->points);
    }
    if (status == SOT_OK) {
        status = soti_expand_points(&asking, answer);
    }
    return close_answer(&asking, answer, status, out);
}

sot_status soti_pipeline_generate(sot_session *session, const char *question,
                                  const sot_generate_params *params, sot_answer **out)
{
    *out = NULL;
    sot_answer *answer = soti_alloc(1, sizeof *answer);
    if (answer == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_asking asking;
    sot_status status = soti_asking_begin(&asking, session, question, params);
    if (status == SOT_OK && params->mode == SOT_MODE_NORMAL) {
        status = write_normal(&asking, answer);
    } else if (status == SOT_OK && params->mode == SOT_MODE_ROUTED) {
        status = write_routed(&asking, answer);
    } else if (status == SOT_OK) {
        status = write_skeleton(&asking, &answer->points, &answer->finish);
    }
    if (status == SOT_OK && answer->points != NULL) {
        status = soti_expand_points(&asking, answer);
    }
    return close_answer(&asking, answer, status, out);
}

sot_status soti_pipeline_route(sot_session *session, const char *question,
                               const sot_generate_params *params, sot_decision *decision)
{
    soti_asking asking;
    sot_status status = soti_asking_begin(&asking, session, question, params);
    if (status == SOT_OK) {
        status = soti_route(&asking, decision);
    }
    soti_asking_end(&asking);
    return status;
}

sot_status soti_pipeline_logits(sot_session *session, const int32_t *tokens, size_t count,
                                float *logits)
{
    uint32_t n_ctx = soti_engine_context_size(session->engine);
    if (count > n_ctx) {
        return soti_fail(SOT_ERR_CONTEXT_FULL, "%zu tokens were given, the context holds %u", count,
                         n_ctx);
    }
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_tokens *held = &session->logits_tokens;
    size_t n_fed = 0;
    while (n_fed + 1 < count && n_fed < held->count && held->ids[n_fed] == tokens[n_fed]) {
        n_fed++;
    }
    /* Out of the session while it is in use, so that making room does not take it. */
    soti_sequence *sequence = session->logits_sequence;
    session->logits_sequence = NULL;
    if (sequence == NULL) {
        sequence = soti_sequence_create(kv);
    } else {
        soti_sequence_truncate(kv, sequence, (uint32_t)n_fed);
    }
    held->count = n_fed;
    sot_status status = SOT_OK;
    if (sequence == NULL) {
        status = soti_fail(SOT_ERR_INTERNAL, "no sequence is left for the logits");
    }
    while (status == SOT_OK && n_fed < count) {
        soti_work work = {.sequence = sequence,
                          .tokens = tokens + n_fed,
                          .n_tokens = (uint32_t)(count - n_fed),
                          .is_prompt = 1,
                          .logits = logits};
        uint32_t i_failed;
        status = soti_engine_step(session->engine, &work, 1, &session->cancel, &i_failed);
        if (status == SOT_ERR_CONTEXT_FULL && soti_session_make_room(session)) {
            status = SOT_OK;
            continue;
        }
        if (status == SOT_OK) {
            status = soti_tokens_append(held, work.tokens, work.n_taken);
            n_fed += work.n_taken;
        }
    }
    session->logits_sequence = sequence;
    return status;
}
