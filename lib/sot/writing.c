/* See writing.h. The events of a text's beginning and end are sent here, those in between by run.c.
 */
#include "sot/writing.h"

#include <string.h>

#include "base/fail.h"

/* The texts of a skeleton's events make its source together, so the partial answer is the first. */
void soti_writing_announce(const soti_writing *writing, soti_asking *asking)
{
    const soti_buffer *partial = &writing->request.partial;
    soti_asking_enter_stage(asking, writing->job->stage);
    if (writing->job->stage == SOT_STAGE_SKELETON && partial->size > 0) {
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

sot_status soti_writing_fill(const soti_asking *asking, uint32_t stage, soti_request *request)
{
    if (stage == SOT_STAGE_NORMAL) { /* the bare question; nothing in it is constant */
        return soti_buffer_append_text(&request->user, asking->question);
    }
    const soti_prompt_values values = {
        .request = {asking->question, strlen(asking->question)},
    };
    const sot_prompts *prompts = asking->params->prompts;
    return soti_prompt_fill(stage == SOT_STAGE_ROUTE ? prompts->router : prompts->skeleton, &values,
                            request);
}

static sot_status make_job(soti_writing *writing, soti_asking *asking, uint32_t stage)
{
    RETURN_IF_ERROR(soti_asking_encode(asking, &writing->request, &writing->prompt));
    RETURN_IF_ERROR(soti_asking_count_constant(asking, &writing->request, &writing->prompt,
                                               &writing->n_constant));
    RETURN_IF_ERROR(soti_asking_make_job(asking, stage, 0, &writing->prompt, writing->job));
    const char *forced = asking->params->forced_skeleton;
    if (stage == SOT_STAGE_SKELETON && forced != NULL) {
        RETURN_IF_ERROR(soti_tokenizer_encode(asking->tokenizer, forced, strlen(forced),
                                              SOTI_TOKENIZE_BEHIND, &writing->forced));
        writing->job->forced = writing->forced.ids;
        writing->job->n_forced = writing->job->max_tokens = (uint32_t)writing->forced.count;
    }
    return SOT_OK;
}

sot_status soti_writing_begin(soti_writing *writing, soti_asking *asking, uint32_t stage,
                              soti_job *job)
{
    *writing = (soti_writing){.job = job};
    *job = (soti_job){.stage = stage};
    RETURN_IF_ERROR(soti_writing_fill(asking, stage, &writing->request));
    soti_writing_announce(writing, asking);
    RETURN_IF_ERROR(make_job(writing, asking, stage));
    job->sequence = soti_session_fork_beginning(asking->session, writing->prompt.ids, job->n_prompt,
                                                &job->n_parent);
    job->n_reused = job->n_parent;
    job->keep_sequence = true;
    asking->run.n_prefill_total[stage - 1] =
        asking->run.stats[stage - 1].prefill_tokens + job->n_prompt - job->n_parent;
    return SOT_OK;
}

sot_status soti_writing_take_answer(soti_writing *writing, sot_answer *answer)
{
    const soti_job *job = writing->job;
    size_t size = job->stopper.text.size;
    const char *text = soti_answer_trim(soti_buffer_text(&job->stopper.text), &size);
    answer->finish = job->finish;
    return soti_buffer_append(&answer->text, text, size);
}

/* How many of the tokens generated stand in front of the stop string that ended the text, and how
 * many bytes of text they make. */
static sot_status count_before_stop(const soti_job *job, size_t *n_tokens, size_t *n_bytes)
{
    const soti_tokenizer *tokenizer = job->stopper.stream.tokenizer;
    soti_token_stream stream;
    soti_buffer text = {0};
    sot_status status = SOT_OK;
    soti_token_stream_begin(&stream, tokenizer);
    *n_tokens = *n_bytes = 0;
    for (size_t i = 0; i < job->generated.count && status == SOT_OK; i++) {
        int32_t id = job->generated.ids[i];
        if ((uint32_t)id < soti_tokenizer_size(tokenizer)) {
            status = soti_token_stream_append(&stream, id, &text);
        }
        if (text.size > job->stopper.text.size) {
            break;
        }
        if (stream.n_pending == 0) {
            *n_tokens = i + 1;
            *n_bytes = text.size;
        }
    }
    soti_buffer_free(&text);
    return status;
}

/* The tokens of a complete answer, without what ended it: the conversation template says how a turn
 * ends. */
static sot_status count_said(const soti_job *job, size_t *n_tokens, size_t *n_bytes)
{
    if (job->stopper.stopped) {
        return count_before_stop(job, n_tokens, n_bytes);
    }
    bool by_stop_id = job->finish == SOT_FINISH_STOP && job->n_forced == 0;
    *n_tokens = job->generated.count - (by_stop_id ? 1 : 0);
    *n_bytes = job->stopper.text.size;
    return SOT_OK;
}

/* A sequence as long as the job's; NULL where no page can be had for the copy of its last one. */
static soti_sequence *fork_all(sot_session *session, const soti_job *job)
{
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_sequence *sequence = NULL;
    char sentence[SOTI_FAIL_MESSAGE_BYTES]; /* of why the run ended */
    if (job->sequence == NULL) {
        return NULL;
    }
    soti_fail_save(sentence);
    uint32_t n = soti_sequence_length(job->sequence);
    while (soti_sequence_fork(kv, job->sequence, n, &sequence) == SOT_ERR_CONTEXT_FULL &&
           soti_session_make_room(session)) {
    }
    soti_fail_restore(sentence);
    return sequence;
}

/* Lets stage 2 go on from here: the ids stay with the points, the pages with the session. Where
 * they do not, stage 2 computes it all again. */
static sot_status keep_chain(soti_writing *writing, soti_asking *asking, sot_points *points)
{
    const soti_job *job = writing->job;
    soti_tokens *ids = &points->conversation;
    size_t n_tokens;
    size_t n_bytes;
    RETURN_IF_ERROR(count_said(job, &n_tokens, &n_bytes));
    points->n_prompt = writing->prompt.count;
    points->n_said = points->source_size - job->stopper.text.size + n_bytes;
    RETURN_IF_ERROR(soti_tokens_append(ids, writing->prompt.ids, writing->prompt.count));
    RETURN_IF_ERROR(soti_tokens_append(ids, job->generated.ids, n_tokens));
    soti_tokens kept = {0};
    RETURN_IF_ERROR(soti_tokens_append(&kept, ids->ids, ids->count));
    soti_session_keep_chain(asking->session, fork_all(asking->session, job), &kept);
    return SOT_OK;
}

sot_status soti_writing_take_points(soti_writing *writing, soti_asking *asking, sot_points **points)
{
    soti_buffer *source = &writing->request.partial; /* partial answer + generated text */
    const soti_buffer *text = &writing->job->stopper.text;
    RETURN_IF_ERROR(soti_buffer_append(source, soti_buffer_text(text), text->size));
    RETURN_IF_ERROR(soti_points_parse(soti_buffer_text(source), source->size,
                                      asking->params->max_points, points));
    show_points(asking, *points);
    if ((asking->params->prompts->flags & SOT_PROMPTS_CHAINED) == 0) {
        return SOT_OK;
    }
    sot_status status = keep_chain(writing, asking, *points);
    if (status != SOT_OK) {
        soti_points_free(*points);
        *points = NULL;
    }
    return status;
}

/* An answer goes into the next prompt as it is, so what was computed of prompt and answer is kept;
 * the answer's part only where the backend computes generated tokens as it would a prompt's. */
static void keep_round(soti_writing *writing, soti_asking *asking)
{
    sot_session *session = asking->session;
    const soti_job *job = writing->job;
    bool complete = job->finish == SOT_FINISH_STOP || job->finish == SOT_FINISH_LENGTH;
    if (complete && session->model->placement.backend->rows_alike) {
        /* Without memory for it the prompt alone is kept. */
        (void)soti_tokens_append(&writing->prompt, job->generated.ids, job->generated.count);
    }
    soti_session_keep_conversation(session, job->sequence, &writing->prompt,
                                   (uint32_t)writing->prompt.count);
}

void soti_writing_release(soti_writing *writing, soti_asking *asking)
{
    if (writing->job->sequence == NULL) {
        soti_tokens_free(&writing->prompt);
    } else if (writing->job->stage == SOT_STAGE_NORMAL && soti_asking_is_round(asking)) {
        keep_round(writing, asking);
    } else {
        soti_asking_keep(asking, writing->job->sequence, &writing->prompt, writing->n_constant);
    }
    writing->job->sequence = NULL;
}

void soti_writing_end(soti_writing *writing, soti_asking *asking)
{
    soti_writing_release(writing, asking);
    soti_job_free(writing->job, soti_engine_kv(asking->session->engine));
    soti_request_free(&writing->request);
    soti_tokens_free(&writing->forced);
}
