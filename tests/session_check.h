/* What tests ask of a session, on any model, and of an answer. */
#ifndef SOT_TESTS_SESSION_CHECK_H
#define SOT_TESTS_SESSION_CHECK_H

#include "sot/session.h"

static inline sot_session *session_open(sot_model *model, const sot_session_params *params)
{
    sot_session *session = NULL;
    if (sot_session_create(model, params, &session) != SOT_OK) {
        fail_msg("%s", sot_error_message());
    }
    return session;
}

/* Gives kept pages up and finds that none is missing. */
static inline void session_check_pages(sot_session *session)
{
    soti_kv *kv = soti_engine_kv(session->engine);
    while (soti_session_make_room(session)) {
    }
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
}

static inline void session_close(sot_session *session)
{
    session_check_pages(session);
    sot_session_free(session);
}

static inline sot_stats stats_of(const sot_answer *answer)
{
    sot_stats stats = SOT_STATS_INIT;
    assert_int_equal(sot_answer_get_stats(answer, &stats), SOT_OK);
    return stats;
}

#endif
