/* See pipeline.h. Which texts are generated, from which prompts, and what becomes of them; prompts
 * are made in asking.c, generating is run.c's. */
#include "sot/pipeline.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/answer.h"
#include "sot/asking.h"

/* Whether a run came to something that is kept. */
static bool has_result(sot_status status)
{
    return status == SOT_OK || status == SOT_ERR_CANCELLED || status == SOT_ERR_CONTEXT_FULL;
}

/* ---- One text: a normal answer or a skeleton ---------------------------------------------------
 */

/* Generates behind one request and keeps the constant beginning's pages. The job's text is the
 * caller's to free, whatever is returned. */
static sot_status write_text(soti_asking *asking, uint32_t stage, const soti_request *request,
                             soti_job *job)
{
    sot_session *session = asking->session;
    soti_tokens prompt = {0};
    uint32_t n_constant = 0;
    sot_status status = soti_asking_encode(asking, request, &prompt);
    if (status == SOT_OK) {
        status = soti_asking_count_constant(asking, request, &prompt, &n_constant);
    }
    if (status == SOT_OK) {
        status = soti_asking_make_job(asking, stage, 0, &prompt, job);
    }
    if (status == SOT_OK) {
        job->sequence =
            soti_session_fork_beginning(session, prompt.ids, job->n_prompt, &job->n_parent);
        job->n_reused = job->n_parent;
        job->keep_sequence = true;
        asking->run.n_prefill_total = job->n_prompt - job->n_parent;
        status = soti_jobs_run(&asking->run, job, 1);
    }
    soti_session_keep_beginning(session, job->sequence, &prompt, n_constant);
    job->sequence = NULL;
    job->prompt = NULL;
    return status;
}

static sot_status write_normal(soti_asking *asking, sot_answer *answer)
{
    soti_request request = {0}; /* the bare question; nothing in it is constant */
    soti_job job = {0};
    soti_asking_enter_stage(asking, SOT_STAGE_NORMAL);
    sot_status status = soti_buffer_append_text(&request.user, asking->question);
    if (status == SOT_OK) {
        status = write_text(asking, SOT_STAGE_NORMAL, &request, &job);
    }
    if (has_result(status)) {
        size_t size = job.stopper.text.size;
        const char *text = soti_answer_trim(soti_buffer_text(&job.stopper.text), &size);
        answer->finish = job.finish;
        if (soti_buffer_append(&answer->text, text, size) != SOT_OK) {
            status = SOT_ERR_MEMORY;
        }
    }
    soti_job_free(&job, soti_engine_kv(asking->session->engine));
    soti_request_free(&request);
    return status;
}

/* The texts of a skeleton's events make its source together, so the partial answer is the first. */
static void show_partial(soti_asking *asking, const soti_buffer *partial)
{
    if (partial->size > 0) {
        soti_run_emit(&asking->run, &(sot_event){.type = SOT_EVENT_TEXT,
                                                 .stage = SOT_STAGE_SKELETON,
                                                 .text = soti_buffer_text(partial),
                                                 .text_size = partial->size});
    }
}

static void show_points(soti_asking *asking, const sot_points *points)
{
    for (size_t i = 0; i < points->n_points; i++) {
        soti_run_emit(&asking->run, &(sot_event){.type = SOT_EVENT_POINT,
                                                 .stage = SOT_STAGE_SKELETON,
                                                 .i_point = (uint32_t)i,
                                                 .text = points->points[i].text,
                                                 .text_size = points->points[i].text_size,
                                                 .index = points->points[i].index});
    }
}

/* Stage 1. *points is what could be parsed, *finish why the skeleton ended. */
static sot_status write_skeleton(soti_asking *asking, sot_points **points, uint32_t *finish)
{
    const soti_prompt_values values = {
        .request = {asking->question, strlen(asking->question)},
    };
    soti_request request = {0};
    soti_job job = {0};
    soti_asking_enter_stage(asking, SOT_STAGE_SKELETON);
    sot_status status = soti_prompt_fill(asking->params->prompts->skeleton, &values, &request);
    if (status == SOT_OK) {
        show_partial(asking, &request.partial);
        status = write_text(asking, SOT_STAGE_SKELETON, &request, &job);
    }
    if (has_result(status)) {
        soti_buffer *source = &request.partial; /* partial answer + generated text */
        const soti_buffer *text = &job.stopper.text;
        *finish = job.finish;
        sot_status parsed = soti_buffer_append(source, soti_buffer_text(text), text->size);
        if (parsed == SOT_OK) {
            parsed = soti_points_parse(soti_buffer_text(source), source->size,
                                       asking->params->max_points, points);
        }
        status = parsed == SOT_OK ? status : parsed;
    }
    if (*points != NULL) {
        show_points(asking, *points);
    }
    soti_job_free(&job, soti_engine_kv(asking->session->engine));
    soti_request_free(&request);
    return status;
}

/* ---- Stage 2 ------------------------------------------------------------------------------------
 */

/* The requests of all points. */
typedef struct soti_expanding {
    soti_asking *asking;
    sot_answer *answer;
    size_t n_points;
    soti_tokens *prompts; /* (n_points) */
    soti_job *jobs;       /* (n_points) */
    soti_job common;      /* computes what all prompts begin with */
    uint32_t n_common;    /* tokens of that */
    uint32_t n_constant;  /* tokens that belong to the template alone */
} soti_expanding;

static sot_status encode_point(soti_expanding *expanding, size_t i)
{
    const sot_points *points = expanding->answer->points;
    const soti_point *point = &points->points[i];
    const char *question = expanding->asking->question;
    const soti_prompt_values values = {
        .request = {question, strlen(question)},
        .outline = {points->source, points->source_size},
        .point = {point->index, strlen(point->index)},
        .point_outline = {point->text, point->text_size},
    };
    soti_request request = {0};
    soti_tokens *prompt = &expanding->prompts[i];
    sot_status status =
        soti_prompt_fill(expanding->asking->params->prompts->point, &values, &request);
    if (status == SOT_OK) {
        status = soti_asking_encode(expanding->asking, &request, prompt);
    }
    if (status == SOT_OK && i == 0) {
        status =
            soti_asking_count_constant(expanding->asking, &request, prompt, &expanding->n_constant);
    }
    soti_request_free(&request);
    return status;
}

static void find_common(soti_expanding *expanding)
{
    const soti_tokens *first = &expanding->prompts[0];
    size_t n_common = first->count - 1;
    for (size_t i = 1; i < expanding->n_points; i++) {
        const soti_tokens *other = &expanding->prompts[i];
        size_t n = 0;
        while (n < n_common && n + 1 < other->count && first->ids[n] == other->ids[n]) {
            n++;
        }
        n_common = n;
    }
    expanding->n_common = (uint32_t)n_common;
}

/* Gets the pages of the common beginning: from an earlier call as far as they go, the rest
 * computed. A single point computes its own. */
static sot_status compute_common(soti_expanding *expanding)
{
    soti_asking *asking = expanding->asking;
    soti_job *common = &expanding->common;
    find_common(expanding);
    *common = (soti_job){.stage = SOT_STAGE_EXPAND,
                         .prompt = expanding->prompts[0].ids,
                         .n_prompt = expanding->n_common,
                         .keep_sequence = true};
    common->sequence = soti_session_fork_beginning(asking->session, common->prompt,
                                                   expanding->n_common + 1, &common->n_parent);
    common->n_reused = common->n_parent;
    bool compute = expanding->n_points > 1 && common->n_parent < expanding->n_common;
    if (!compute) {
        expanding->n_common = common->n_parent;
    }
    size_t n_total = expanding->n_common - common->n_parent;
    for (size_t i = 0; i < expanding->n_points; i++) {
        n_total += expanding->prompts[i].count - expanding->n_common;
    }
    asking->run.n_prefill_total = n_total < UINT32_MAX ? (uint32_t)n_total : UINT32_MAX;
    return compute ? soti_jobs_run(&asking->run, common, 1) : SOT_OK;
}

/* Where the common beginning did not come about, the points' own runs tell each why. */
static sot_status run_points(soti_expanding *expanding)
{
    const soti_sequence *parent = expanding->common.sequence;
    uint32_t n_parent = parent != NULL ? soti_sequence_length(parent) : 0;
    if (n_parent != expanding->n_common) {
        parent = NULL;
    }
    for (size_t i = 0; i < expanding->n_points; i++) {
        soti_job *job = &expanding->jobs[i];
        RETURN_IF_ERROR(soti_asking_make_job(expanding->asking, SOT_STAGE_EXPAND, (uint32_t)i,
                                             &expanding->prompts[i], job));
        if (parent != NULL && n_parent > 0) {
            job->parent = parent;
            job->n_parent = n_parent;
            /* What the common job computed belongs to the first request's prompt. */
            job->n_reused = i > 0 || expanding->common.state == SOTI_JOB_READY ? n_parent : 0;
        }
    }
    expanding->jobs[0].keep_sequence = expanding->n_points == 1;
    return soti_jobs_run(&expanding->asking->run, expanding->jobs, (uint32_t)expanding->n_points);
}

static void take_texts(soti_expanding *expanding)
{
    sot_answer *answer = expanding->answer;
    for (size_t i = 0; i < expanding->n_points; i++) {
        soti_job *job = &expanding->jobs[i];
        soti_expansion *expansion = &answer->expansions[i];
        expansion->text = job->stopper.text;
        job->stopper.text = (soti_buffer){0};
        expansion->finish = job->finish;
        expansion->n_tokens = (uint32_t)job->generated.count;
        answer->finish = soti_answer_worse_finish(answer->finish, job->finish);
        if (answer->stats.longest_expansion < expansion->n_tokens) {
            answer->stats.longest_expansion = expansion->n_tokens;
        }
    }
}

static void free_expanding(soti_expanding *expanding)
{
    sot_session *session = expanding->asking->session;
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_job *owner = expanding->n_points == 1 ? &expanding->jobs[0] : &expanding->common;
    soti_session_keep_beginning(session, owner->sequence, &expanding->prompts[0],
                                expanding->n_constant);
    owner->sequence = NULL;
    soti_job_free(&expanding->common, kv);
    for (size_t i = 0; i < expanding->n_points; i++) {
        soti_job_free(&expanding->jobs[i], kv);
        soti_tokens_free(&expanding->prompts[i]);
    }
    soti_free(expanding->jobs);
    soti_free(expanding->prompts);
}

/* Stage 2: all of answer->points, as one batch. */
static sot_status expand_points(soti_asking *asking, sot_answer *answer)
{
    size_t n_points = answer->points->n_points;
    if (n_points == 0) {
        return SOT_OK;
    }
    soti_expanding expanding = {.asking = asking, .answer = answer};
    soti_asking_enter_stage(asking, SOT_STAGE_EXPAND);
    answer->expansions = soti_alloc(n_points, sizeof *answer->expansions);
    expanding.prompts = soti_alloc(n_points, sizeof *expanding.prompts);
    expanding.jobs = soti_alloc(n_points, sizeof *expanding.jobs);
    if (!answer->expansions || !expanding.prompts || !expanding.jobs) {
        soti_free(expanding.prompts);
        soti_free(expanding.jobs);
        return SOT_ERR_MEMORY;
    }
    answer->n_expansions = n_points;
    expanding.n_points = n_points;
    sot_status status = SOT_OK;
    for (size_t i = 0; i < n_points && status == SOT_OK; i++) {
        status = encode_point(&expanding, i);
    }
    if (status == SOT_OK) {
        status = compute_common(&expanding);
        status = has_result(status) ? run_points(&expanding) : status;
    }
    if (has_result(status)) {
        take_texts(&expanding);
    }
    free_expanding(&expanding);
    return status;
}

/* ---- The calls ----------------------------------------------------------------------------------
 */

/* Hands the answer over, or frees it where there is nothing to keep. */
static sot_status close_answer(soti_asking *asking, sot_answer *answer, sot_status status,
                               sot_answer **out)
{
    if (has_result(status) && answer->points != NULL) {
        sot_status aggregated = soti_answer_aggregate(answer);
        status = aggregated == SOT_OK ? status : aggregated;
    }
    if (has_result(status)) {
        uint32_t longest = answer->stats.longest_expansion;
        soti_asking_get_stats(asking, &answer->stats);
        answer->stats.mode = answer->points != NULL ? SOT_MODE_SOT : SOT_MODE_NORMAL;
        answer->stats.longest_expansion = longest;
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
        status = expand_points(&asking, answer);
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
    } else if (status == SOT_OK) {
        status = write_skeleton(&asking, &answer->points, &answer->finish);
        if (status == SOT_OK) {
            status = expand_points(&asking, answer);
        }
    }
    return close_answer(&asking, answer, status, out);
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
