/* The SoT replay: texts of given lengths on the real pipeline, normally and by Skeleton-of-Thought,
 * the first question of a session and a later one. What a model would write does not matter; that
 * every text is as long as it should be is checked. */
#ifndef SOT_BENCH_REPLAY_H
#define SOT_BENCH_REPLAY_H

#include <sot/sot.h>

#include "bench_options.h"
#include "cost.h"
#include "lengths.h"
#include "limits.h"

/* A normal answer, or one of the two stages. */
struct replay_phase {
    uint64_t *total_ns, *prefill_ns, *decode_ns; /* (n_runs) of the replay */
    uint32_t n_prompt, n_reused, n_tokens, n_steps, n_rows;
};

enum {
    PHASE_NORMAL,
    PHASE_SKELETON,
    PHASE_EXPAND,
    PHASE_LATER_SKELETON,
    PHASE_LATER_EXPAND,
    N_PHASES,
    AFTER_NORMAL = N_PHASES,
    AFTER_SOT,
    N_MOMENTS
};

struct replay {
    struct lengths lengths;
    int paper_prompts;
    size_t n_runs; /* complete ones */
    struct replay_phase phases[N_PHASES];
    /* For the normal answer [0] and for SoT [1], 0: not known. Most memory of the process, of the
     * first run, since nothing makes it less, or the device's that is taken; most pages and most of
     * the session's own, of all. */
    uint64_t peak_bytes[2], page_tokens[2], session_bytes[2];
    uint32_t n_chunk;
    const char *why_not; /* it was left out */
    /* Called with the session before each phase of each run, and behind the last one of a session
     * with AFTER_NORMAL or AFTER_SOT; NULL: nothing is. Returns -1 or an exit code, which ends the
     * replay. It may use pages, which the sessions have for it then. */
    int (*at_phase)(void *user, sot_session *session, unsigned phase);
    void *phase_user;
};

/* Returns -1, or an exit code after having said what is wrong. The read bandwidth is probed before
 * and after each session; where limits is NULL it is not. */
int replay_measure(struct replay *replay, sot_model *model, const sot_session_params *params,
                   const struct bench_options *options, struct limits *limits);
void replay_free(struct replay *replay);

/* Latencies of all runs' medians, ns. */
struct replay_summary {
    double normal_ns, first_ns, later_ns; /* of the answer; of the first and a later SoT answer */
    double first_speedup, later_speedup;
    double bound; /* what the lengths allow */
};
struct replay_summary replay_summarize(const struct replay *replay);

/* What a phase costs at least. How prompts are shared is worked out from how many of their tokens
 * were reused, which is not exact for the paper's own wording. */
struct cost replay_phase_cost(const struct replay *replay, unsigned phase,
                              const struct cost_model *model, const struct limits *limits);

#endif
