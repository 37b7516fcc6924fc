/* See asking.h. Prompts, stop conditions and counters of one call; the order of stages is
 * pipeline.c's. */
#include "sot/asking.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"
#include "sot/conversation.h"

enum { ROUTE_TOKENS = 8 }; /* behind white space and brackets a letter has come by then, or won't */

static sot_status collect_stops(soti_asking *asking)
{
    const sot_generate_params *params = asking->params;
    if ((params->flags & SOT_GENERATE_IGNORE_STOPS) != 0) {
        return SOT_OK;
    }
    const soti_stop stop = soti_conversation_stop(params->custom_conversation, asking->tokenizer);
    const int32_t ends[] = {
        soti_tokenizer_eos(asking->tokenizer),
        asking->session->model->checkpoint.eos_id,
        stop.id,
    };
    RETURN_IF_ERROR(soti_tokens_append(&asking->stop_ids, params->stop_ids, params->n_stop_ids));
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (ends[i] >= 0) {
            RETURN_IF_ERROR(soti_tokens_append(&asking->stop_ids, &ends[i], 1));
        }
    }
    asking->stop_strings = soti_alloc(params->n_stop_strings + 1, sizeof *asking->stop_strings);
    if (asking->stop_strings == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < params->n_stop_strings; i++) {
        asking->stop_strings[asking->n_stop_strings++] = params->stop_strings[i];
    }
    if (stop.text != NULL) {
        asking->stop_strings[asking->n_stop_strings++] = stop.text;
    }
    return SOT_OK;
}

sot_status soti_asking_begin(soti_asking *asking, sot_session *session, const char *question,
                             const sot_generate_params *params)
{
    *asking = (soti_asking){
        .session = session,
        .question = question,
        .params = params,
        .tokenizer = session->model->tokenizer,
        .run = {.engine = session->engine,
                .cancel = &session->cancel,
                .on_event = params->on_event,
                .event_user = params->event_user,
                .room = soti_session_room,
                .make_room = soti_session_make_room,
                .room_user = session},
        .began_ns = soti_clock_ns(),
    };
    if (asking->tokenizer == NULL) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: the model has no tokenizer, which asking needs",
                         session->model->checkpoint.path);
    }
    soti_kv_reset_peak(soti_engine_kv(session->engine));
    return collect_stops(asking);
}

void soti_asking_end(soti_asking *asking)
{
    soti_tokens_free(&asking->stop_ids);
    soti_free(asking->stop_strings);
    *asking = (soti_asking){0};
}

void soti_asking_enter_stage(soti_asking *asking, uint32_t stage)
{
    uint32_t bit = UINT32_C(1) << stage;
    if ((asking->entered & bit) != 0) {
        return;
    }
    asking->entered |= bit & ~asking->run.muted;
    soti_run_emit(&asking->run, &(sot_event){.type = SOT_EVENT_STAGE, .stage = stage});
}

static sot_status encode(const soti_asking *asking, const char *user, size_t user_size,
                         const soti_buffer *partial, soti_tokens *tokens)
{
    const soti_rounds rounds = {
        .history = asking->params->history,
        .n_history = asking->params->n_history,
        .system = asking->params->system_message,
        .user = user,
        .user_size = user_size,
        .partial = soti_buffer_text(partial),
        .partial_size = partial->size,
    };
    return soti_conversation_encode(asking->params->custom_conversation, asking->tokenizer, &rounds,
                                    tokens);
}

static sot_status check_length(const soti_tokens *prompt)
{
    if (prompt->count == 0 || prompt->count > INT32_MAX) {
        return soti_fail(SOT_ERR_ARGUMENT, "a prompt of %zu tokens cannot be continued",
                         prompt->count);
    }
    return SOT_OK;
}

sot_status soti_asking_encode(const soti_asking *asking, const soti_request *request,
                              soti_tokens *prompt)
{
    RETURN_IF_ERROR(encode(asking, soti_buffer_text(&request->user), request->user.size,
                           &request->partial, prompt));
    return check_length(prompt);
}

sot_status soti_asking_encode_next(const soti_asking *asking, const char *rest, size_t rest_size,
                                   const soti_request *request, soti_tokens *prompt)
{
    const soti_rounds rounds = {
        .user = soti_buffer_text(&request->user),
        .user_size = request->user.size,
        .partial = soti_buffer_text(&request->partial),
        .partial_size = request->partial.size,
    };
    RETURN_IF_ERROR(soti_conversation_continue(
        asking->params->custom_conversation, asking->tokenizer, rest, rest_size, &rounds, prompt));
    return check_length(prompt);
}

sot_status soti_asking_count_constant(const soti_asking *asking, const soti_request *request,
                                      const soti_tokens *prompt, uint32_t *n_constant)
{
    soti_tokens tokens = {0};
    const soti_buffer none = {0};
    size_t constant = asking->params->n_history > 0 ? 0 : request->constant;
    sot_status status = encode(asking, soti_buffer_text(&request->user), constant, &none, &tokens);
    uint32_t n = 0;
    while (n < tokens.count && n + 1 < prompt->count && tokens.ids[n] == prompt->ids[n]) {
        n++;
    }
    *n_constant = n;
    soti_tokens_free(&tokens);
    return status;
}

bool soti_asking_is_round(const soti_asking *asking)
{
    return asking->session->chat_id != 0 || asking->params->n_history > 0;
}

void soti_asking_keep(const soti_asking *asking, soti_sequence *sequence, soti_tokens *tokens,
                      uint32_t n)
{
    if (asking->params->n_history > 0) {
        soti_session_keep_conversation(asking->session, sequence, tokens, n);
    } else {
        soti_session_keep_beginning(asking->session, sequence, tokens, n);
    }
}

static uint32_t token_limit(const sot_generate_params *params, uint32_t stage, uint32_t i_point)
{
    if (stage == SOT_STAGE_NORMAL) {
        return params->max_tokens;
    }
    if (stage == SOT_STAGE_SKELETON) {
        return params->max_skeleton_tokens;
    }
    if (stage == SOT_STAGE_ROUTE) {
        return ROUTE_TOKENS;
    }
    bool has_own = i_point < params->n_point_limits && params->point_limits[i_point] != 0;
    return has_own ? params->point_limits[i_point] : params->max_point_tokens;
}

sot_status soti_asking_make_job(const soti_asking *asking, uint32_t stage, uint32_t i_point,
                                const soti_tokens *prompt, soti_job *job)
{
    const sot_generate_params *params = asking->params;
    const uint64_t streams[] = {SOTI_STREAM_NORMAL, SOTI_STREAM_SKELETON, i_point,
                                SOTI_STREAM_ROUTE};
    soti_sampler_params sampling = {.temperature = params->temperature,
                                    .top_p = params->top_p,
                                    .repetition_penalty = params->repetition_penalty,
                                    .top_k = params->top_k,
                                    .seed = params->seed};
    if (stage == SOT_STAGE_ROUTE) { /* a decision is not drawn by lot */
        sampling = (soti_sampler_params){.seed = params->seed};
    }
    const int32_t *stop_ids = asking->stop_ids.ids;
    const char *const *stop_strings = asking->stop_strings;
    size_t n_stop_ids = asking->stop_ids.count;
    size_t n_stop_strings = asking->n_stop_strings;
    if (stage == SOT_STAGE_ROUTE && n_stop_ids > 0) { /* the caller's are meant for answers */
        stop_ids += params->n_stop_ids;
        n_stop_ids -= params->n_stop_ids;
    }
    if (stage == SOT_STAGE_ROUTE && n_stop_strings > 0) {
        stop_strings += params->n_stop_strings;
        n_stop_strings -= params->n_stop_strings;
    }
    *job = (soti_job){
        .stage = stage,
        .i_point = i_point,
        .prompt = prompt->ids,
        .n_prompt = (uint32_t)prompt->count,
        .max_tokens = token_limit(params, stage, i_point),
        .stop_ids = stop_ids,
        .n_stop_ids = n_stop_ids,
    };
    bool is_forced = stage == SOT_STAGE_SKELETON && params->forced_skeleton != NULL;
    RETURN_IF_ERROR(soti_sampler_init(&job->sampler, &sampling, streams[stage - 1]));
    return soti_stopper_begin(&job->stopper, asking->tokenizer, stop_strings,
                              is_forced ? 0 : n_stop_strings);
}

void soti_asking_get_stats(const soti_asking *asking, sot_stats *stats)
{
    const sot_session *session = asking->session;
    *stats = (sot_stats){.struct_size = sizeof *stats};
    for (int i = 0; i < SOTI_STAGE_COUNT; i++) {
        const soti_stage_stats *stage = &asking->run.stats[i];
        stats->prefill_ns[i] = stage->prefill_ns;
        stats->decode_ns[i] = stage->decode_ns;
        stats->prefill_tokens[i] = stage->prefill_tokens;
        stats->reused_tokens[i] = stage->reused_tokens;
        stats->decode_tokens[i] = stage->decode_tokens;
        stats->decode_steps[i] = stage->decode_steps;
        stats->max_rows[i] = stage->max_rows;
    }
    stats->total_ns = soti_clock_ns() - asking->began_ns;
    stats->peak_page_tokens =
        (uint64_t)soti_kv_peak_pages(soti_engine_kv(session->engine)) * SOTI_PAGE_TOKENS;
    stats->session_bytes = soti_session_bytes(session);
}
