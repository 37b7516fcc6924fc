/* The exported sot_session_measure: arguments are checked here, sot/measure.c does the work. */
#include "sot/sot.h"

#include <string.h>

#include "api/api_params.h"
#include "base/fail.h"
#include "sot/measure.h"

sot_status sot_session_measure(sot_session *session, const sot_measure_params *params,
                               uint64_t *times_ns)
{
    if (session == NULL || times_ns == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_session_measure: %s is NULL",
                         session == NULL ? "session" : "times_ns");
    }
    sot_measure_params full;
    uint32_t n_repeats;
    RETURN_IF_ERROR(soti_params_read("measure parameters", params, sizeof full, &full));
    RETURN_IF_ERROR(soti_check_flags("measure parameters", full.flags, 0));
    RETURN_IF_ERROR(soti_measure_count(&full, &n_repeats));
    memset(times_ns, 0, n_repeats * sizeof *times_ns);
    RETURN_IF_ERROR(soti_session_enter(session));
    sot_status status = soti_measure(session, &full, times_ns);
    soti_session_leave(session);
    return status;
}
