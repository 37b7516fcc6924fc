/* What one sequence's choice of tokens depends on: the parameters, its random stream and the tokens
 * generated so far. The arithmetic is the backend's (soti_pick). */
#ifndef SOTI_MODEL_SAMPLER_H
#define SOTI_MODEL_SAMPLER_H

#include <stdint.h>

#include "backend/backend.h"
#include "sot/status.h"

typedef struct soti_sampler_params {
    float temperature;        /* 0: greedy */
    float top_p;              /* 0 or 1: off */
    float repetition_penalty; /* 0 or 1: off */
    uint32_t top_k;           /* 0: off */
    uint64_t seed;
} soti_sampler_params;

typedef struct soti_sampler {
    soti_sampler_params params;
    uint64_t stream;
} soti_sampler;

/* Refuses NaN, infinity, negative temperature or penalty, top_p over 1, naming the field. Returns
 * ARGUMENT. */
sot_status soti_sampler_init(soti_sampler *sampler, const soti_sampler_params *params,
                             uint64_t stream);

/* The pick for the sequence's next token behind n_generated ones: ids (n_generated). */
soti_pick soti_sampler_pick(const soti_sampler *sampler, uint32_t i_logit, const int32_t *ids,
                            uint32_t n_generated);

#endif
