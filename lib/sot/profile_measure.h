/* Measures a profile: which cells there are, in what order, and the mean of their repeats. */
#ifndef SOTI_SOT_PROFILE_MEASURE_H
#define SOTI_SOT_PROFILE_MEASURE_H

#include "sot/profile_tables.h"
#include "sot/session.h"

/* params as sot_profile_measure's, zero meaning default. The session was entered. Statuses as
 * sot_profile_measure. */
sot_status soti_profile_measure(sot_session *session, const sot_profile_params *params,
                                sot_profile **out);

/* As sot_profile_refresh; the session was entered. */
sot_status soti_profile_refresh(const sot_profile *profile, sot_session *session,
                                sot_profile **out);

#endif
