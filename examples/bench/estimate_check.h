/* Estimates beside the real thing: texts of the same lengths replayed on a model, round after
 * round, each between two refreshed profiles, because machines drift. */
#ifndef SOT_BENCH_ESTIMATE_CHECK_H
#define SOT_BENCH_ESTIMATE_CHECK_H

#include <jansson.h>
#include <sot/sot.h>

#include "lengths.h"
#include "replay.h"

/* Fills a sot_lengths from lengths whose prompts are set; tails is its memory for theirs. */
sot_lengths lengths_to_estimate(const struct lengths *lengths, const uint32_t found[2],
                                uint32_t tails[POINTS_MOST]);

struct check_phase {
    double *estimated_ns, *measured_ns; /* (n_rounds) */
};

struct estimate_check {
    size_t n_rounds; /* complete ones */
    struct check_phase phases[N_PHASES];
};

/* Replays lengths n_rounds times on the model at path, on the profile's device and with its
 * threads. Returns -1, or an exit code after having said what is wrong. */
int estimate_check(struct estimate_check *check, const sot_profile *profile, const char *path,
                   const struct lengths *lengths, size_t n_rounds);
void estimate_check_print(const struct estimate_check *check);
json_t *estimate_check_json(const struct estimate_check *check);
void estimate_check_free(struct estimate_check *check);

#endif
