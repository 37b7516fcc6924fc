/* Times steps of the engine on sequences whose pages are set up without computing them. */
#ifndef SOTI_SOT_MEASURE_H
#define SOTI_SOT_MEASURE_H

#include "sot/session.h"

/* params as sot_session_measure's, zero meaning default; times_ns is (n_repeats), all zero. The
 * session was entered. Statuses as sot_session_measure. */
sot_status soti_measure(sot_session *session, const sot_measure_params *params, uint64_t *times_ns);

/* How long soti_measure_within goes on, in ns spent in runs, uncounted ones included. */
typedef struct soti_measure_effort {
    uint32_t n_least;  /* counted runs there are, but for most_ns */
    uint64_t least_ns; /* further runs, up to n_repeats, until so much is spent */
    uint64_t most_ns;  /* no run begins after this */
} soti_measure_effort;

/* The same with as many counted runs as the effort says, at least one: the last warm-up, if that
 * alone took most_ns. *n_counted: how many. */
sot_status soti_measure_within(sot_session *session, const sot_measure_params *params,
                               const soti_measure_effort *effort, uint64_t *times_ns,
                               uint32_t *n_counted);

/* As texts grow: n_sequences that share nothing decode token by token, the first ones behind n_past
 * tokens each. times_ns is (n_steps), one per step. Statuses as soti_measure. */
sot_status soti_measure_growth(sot_session *session, uint32_t n_sequences, uint32_t n_past,
                               uint32_t n_steps, uint64_t *times_ns);

/* The number of runs that params asks for. Returns ARGUMENT (out of range). */
sot_status soti_measure_count(const sot_measure_params *params, uint32_t *n_repeats);

#endif
