/* Times steps of the engine on sequences whose pages are set up without computing them. */
#ifndef SOTI_SOT_MEASURE_H
#define SOTI_SOT_MEASURE_H

#include "sot/session.h"

/* params as sot_session_measure's, zero meaning default; times_ns is (n_repeats), all zero. The
 * session was entered. Statuses as sot_session_measure. */
sot_status soti_measure(sot_session *session, const sot_measure_params *params, uint64_t *times_ns);

/* The number of runs that params asks for. Returns ARGUMENT (out of range). */
sot_status soti_measure_count(const sot_measure_params *params, uint32_t *n_repeats);

#endif
