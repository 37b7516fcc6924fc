/* See expanding.h. Which tokens the requests share, who computes them, and whose they are in the
 * statistics; prompts are made in asking.c, generating is run.c's. */
#include "sot/expanding.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/writing.h"

/* The requests of all points. */
typedef struct soti_expanding {
    soti_asking *asking;
    sot_answer *answer;
    size_t n_points;
    bool is_chained;   /* the requests are the next round behind the skeleton */
    soti_tokens chain; /* that conversation */
    const char *rest;  /* (rest_size) what of the skeleton's text chain does not say */
    size_t rest_size;
    soti_tokens *prompts; /* (n_points) */
    soti_job *jobs;       /* (n_points) */
    soti_job common;      /* computes what all prompts begin with */
    uint32_t n_common;    /* tokens of that */
    uint32_t n_constant;  /* tokens that belong to the template alone */
} soti_expanding;

/* Stage 1's conversation: the ids that the points remember if they come from this question under
 * these parameters, otherwise those of the texts. */
static sot_status find_chain(soti_expanding *expanding)
{
    const soti_asking *asking = expanding->asking;
    const sot_points *points = expanding->answer->points;
    const soti_tokens *known = &points->conversation;
    soti_tokens *chain = &expanding->chain;
    soti_request request = {0};
    sot_status status = soti_writing_fill(asking, SOT_STAGE_SKELETON, &request);
    if (status == SOT_OK) {
        status = soti_asking_encode(asking, &request, chain);
    }
    if (status == SOT_OK && chain->count == points->n_prompt &&
        memcmp(chain->ids, known->ids, chain->count * sizeof *chain->ids) == 0) {
        expanding->rest = points->source + points->n_said;
        expanding->rest_size = points->source_size - points->n_said;
        status = soti_tokens_append(chain, known->ids + points->n_prompt,
                                    known->count - points->n_prompt);
    } else if (status == SOT_OK) {
        chain->count = 0;
        soti_buffer_truncate(&request.partial, 0);
        status = soti_buffer_append(&request.partial, points->source, points->source_size);
        if (status == SOT_OK) {
            status = soti_asking_encode(asking, &request, chain);
        }
    }
    soti_request_free(&request);
    return status;
}

/* Appends the prompt of a point's request. */
static sot_status encode_request(const soti_expanding *expanding, const soti_request *request,
                                 soti_tokens *prompt)
{
    const soti_tokens *chain = &expanding->chain;
    if (!expanding->is_chained) {
        return soti_asking_encode(expanding->asking, request, prompt);
    }
    RETURN_IF_ERROR(soti_tokens_append(prompt, chain->ids, chain->count));
    return soti_asking_encode_next(expanding->asking, expanding->rest, expanding->rest_size,
                                   request, prompt);
}

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
        status = encode_request(expanding, &request, prompt);
    }
    if (i == 0) {
        expanding->answer->repeats_points = request.partial.size == 0;
    }
    if (status == SOT_OK && i == 0 && !expanding->is_chained) {
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
    asking->run.n_prefill_total[SOT_STAGE_EXPAND - 1] =
        n_total < UINT32_MAX ? (uint32_t)n_total : UINT32_MAX;
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
    soti_kv *kv = soti_engine_kv(expanding->asking->session->engine);
    soti_job *owner = expanding->n_points == 1 ? &expanding->jobs[0] : &expanding->common;
    soti_asking_keep(expanding->asking, owner->sequence, &expanding->prompts[0],
                     expanding->n_constant);
    owner->sequence = NULL;
    soti_job_free(&expanding->common, kv);
    for (size_t i = 0; i < expanding->n_points; i++) {
        soti_job_free(&expanding->jobs[i], kv);
        soti_tokens_free(&expanding->prompts[i]);
    }
    soti_tokens_free(&expanding->chain);
    soti_free(expanding->jobs);
    soti_free(expanding->prompts);
}

sot_status soti_expand_points(soti_asking *asking, sot_answer *answer)
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
    expanding.is_chained = (asking->params->prompts->flags & SOT_PROMPTS_CHAINED) != 0;
    sot_status status = expanding.is_chained ? find_chain(&expanding) : SOT_OK;
    for (size_t i = 0; i < n_points && status == SOT_OK; i++) {
        status = encode_point(&expanding, i);
    }
    if (status == SOT_OK) {
        status = compute_common(&expanding);
        status = soti_has_result(status) ? run_points(&expanding) : status;
    }
    if (soti_has_result(status)) {
        take_texts(&expanding);
    }
    free_expanding(&expanding);
    return status;
}
