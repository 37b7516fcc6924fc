/* The exported calls that generate: arguments are checked and completed here, sot/pipeline.c does
 * the work. */
#include "sot/sot.h"

#include "api/api_params.h"
#include "base/fail.h"
#include "sot/pipeline.h"

sot_status soti_open_call(const char *name, sot_session *session, const char *question,
                          const sot_generate_params *params, soti_complete_params *complete)
{
    if (session == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: session is NULL", name);
    }
    RETURN_IF_ERROR(soti_check_question(question));
    RETURN_IF_ERROR(soti_generate_params_read(session->model, params, complete));
    return soti_session_enter(session);
}

sot_status sot_generate(sot_session *session, const char *question,
                        const sot_generate_params *params, sot_answer **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_generate: out is NULL");
    }
    *out = NULL;
    soti_complete_params complete;
    RETURN_IF_ERROR(soti_open_call("sot_generate", session, question, params, &complete));
    sot_status status = SOT_OK;
    if (complete.params.mode == SOT_MODE_ROUTED) {
        status = soti_check_router(&complete.params);
    }
    if (status == SOT_OK) {
        status = soti_pipeline_generate(session, question, &complete.params, out);
    }
    soti_session_leave(session);
    return status;
}

sot_status sot_route(sot_session *session, const char *question, const sot_generate_params *params,
                     sot_decision *decision)
{
    if (decision == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_route: decision is NULL");
    }
    sot_decision made = {0};
    RETURN_IF_ERROR(soti_params_write("decision", &made, sizeof made, decision));
    soti_complete_params complete;
    RETURN_IF_ERROR(soti_open_call("sot_route", session, question, params, &complete));
    sot_status status = soti_check_router(&complete.params);
    if (status == SOT_OK) {
        status = soti_pipeline_route(session, question, &complete.params, &made);
    }
    soti_session_leave(session);
    RETURN_IF_ERROR(soti_params_write("decision", &made, sizeof made, decision));
    return status;
}

sot_status sot_skeleton(sot_session *session, const char *question,
                        const sot_generate_params *params, sot_points **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_skeleton: out is NULL");
    }
    *out = NULL;
    soti_complete_params complete;
    RETURN_IF_ERROR(soti_open_call("sot_skeleton", session, question, params, &complete));
    sot_status status = soti_pipeline_skeleton(session, question, &complete.params, out);
    soti_session_leave(session);
    return status;
}

sot_status sot_expand_batch(sot_session *session, const char *question, const sot_points *points,
                            const sot_generate_params *params, sot_answer **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_expand_batch: out is NULL");
    }
    *out = NULL;
    if (points == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_expand_batch: points is NULL");
    }
    soti_complete_params complete;
    RETURN_IF_ERROR(soti_open_call("sot_expand_batch", session, question, params, &complete));
    sot_status status = soti_pipeline_expand(session, question, points, &complete.params, out);
    soti_session_leave(session);
    return status;
}
