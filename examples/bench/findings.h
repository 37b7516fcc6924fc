/* All that one run found out, and its two forms: tables for people and a JSON object.
 * sot-bench(1) describes both. */
#ifndef SOT_BENCH_FINDINGS_H
#define SOT_BENCH_FINDINGS_H

#include <jansson.h>

#include "bench_options.h"
#include "cost.h"
#include "limits.h"
#include "passes.h"
#include "replay.h"
#include "token_speed.h"

struct findings {
    const struct bench_options *options;
    char isa[16];
    unsigned n_threads;
    struct limits limits;
    sot_model_info info; /* its strings are the model's */
    struct cost_model costs;
    uint64_t load_ns;
    struct passes passes;
    struct token_speed tokens;
    struct replay replay;
    int has_model, interrupted;
};

void findings_print(const struct findings *findings);
void replay_print(const struct findings *findings); /* its part of that */
json_t *findings_json(const struct findings *findings);

/* Of n > 0 times. */
struct spread {
    double median_ns, least_ns, most_ns;
};
struct spread spread_of(const uint64_t *times_ns, size_t n);

#endif
