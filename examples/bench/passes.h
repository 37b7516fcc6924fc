/* Prefill, decoding and attention: which passes are timed, and their times. */
#ifndef SOT_BENCH_PASSES_H
#define SOT_BENCH_PASSES_H

#include <sot/sot.h>

#include "bench_options.h"
#include "cost.h"
#include "limits.h"

struct pass_case {
    unsigned group; /* CASE_PREFILL, CASE_DECODE or CASE_ATTENTION */
    uint32_t n_sequences, n_new, n_past, n_shared;
    uint64_t *times_ns; /* (n_times) of the counted runs */
    size_t n_times;     /* 0: not measured */
    const char *why_not;
    size_t n_probes_before; /* of the read bandwidth, up to now */
};

struct passes {
    struct pass_case *cases;
    size_t n_cases;
    uint32_t n_chunk;       /* rows of one pass over the weights at most */
    uint64_t session_bytes; /* memory that the session reserved */
    uint64_t session_ns;    /* creating it */
    uint64_t first_ns;      /* its first decode step, nothing being in caches or mapped yet */
};

/* Measures, with a probe of the read bandwidth before each case and behind the last; what was
 * measured stays in *passes in any case. Returns -1, or an exit code after having said what is
 * wrong.
 */
int passes_measure(struct passes *passes, sot_model *model, const sot_session_params *base,
                   const struct bench_options *options, struct limits *limits);
void passes_free(struct passes *passes);

/* What a case costs at least. */
struct cost pass_case_cost(const struct passes *passes, const struct pass_case *pass,
                           const struct cost_model *model, const struct limits *limits);

/* The read bandwidth just before and after a case, bytes/s. */
double pass_case_bandwidth(const struct pass_case *pass, const struct limits *limits);

#endif
