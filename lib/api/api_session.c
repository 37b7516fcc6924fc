/* The exported sot_session functions and sot_logits: arguments are checked here, sot/session.c and
 * sot/pipeline.c do the work. */
#include "sot/sot.h"

#include "api/api_params.h"
#include "base/fail.h"
#include "model/loaded.h"
#include "sot/pipeline.h"

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "sot_session_cancel is called from signal handlers");

sot_status sot_session_create(sot_model *model, const sot_session_params *params, sot_session **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_session_create: out is NULL");
    }
    *out = NULL;
    if (model == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_session_create: model is NULL");
    }
    sot_session_params full;
    RETURN_IF_ERROR(soti_params_read("session parameters", params, sizeof full, &full));
    RETURN_IF_ERROR(soti_check_flags("session parameters", full.flags, 0));
    return soti_session_open(model, &full, out);
}

sot_status sot_session_get_info(const sot_session *session, sot_session_info *info)
{
    if (session == NULL || info == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_session_get_info: %s is NULL",
                         session == NULL ? "session" : "info");
    }
    soti_engine *engine = session->engine;
    soti_context_info context = soti_engine_info(engine);
    const sot_session_info full = {
        .n_threads = context.n_threads,
        .n_ctx = soti_engine_context_size(engine),
        .max_batch = soti_engine_max_batch(engine),
        .kv_tokens = soti_kv_page_count(soti_engine_kv(engine)) * SOTI_PAGE_TOKENS,
        .chunk_rows = soti_engine_chunk_rows(engine),
        .isa = context.isa,
        .session_bytes = soti_session_bytes(session),
    };
    return soti_params_write("session info", &full, sizeof full, info);
}

void sot_session_free(sot_session *session)
{
    soti_session_close(session);
}

void sot_session_cancel(sot_session *session)
{
    if (session != NULL) {
        atomic_store(&session->cancel, 1);
    }
}

sot_status sot_logits(sot_session *session, const int32_t *tokens, size_t count, float *logits)
{
    if (session == NULL || tokens == NULL || logits == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_logits: %s is NULL",
                         session == NULL  ? "session"
                         : tokens == NULL ? "tokens"
                                          : "logits");
    }
    if (count == 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_logits: count is 0");
    }
    uint32_t n_vocab = session->model->checkpoint.shape.n_vocab;
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab) {
            return soti_fail(SOT_ERR_ARGUMENT, "sot_logits: token %zu is %d, the vocabulary has %u",
                             i, tokens[i], n_vocab);
        }
    }
    RETURN_IF_ERROR(soti_session_enter(session));
    sot_status status = soti_pipeline_logits(session, tokens, count, logits);
    soti_session_leave(session);
    return status;
}
