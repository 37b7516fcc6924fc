/* See sampler.h. */
#include "sampler.h"

#include <math.h>

#include "base/fail.h"

/* NaN fails every comparison, so it is refused too. */
static sot_status check(const char *name, float value, float most)
{
    if (value >= 0.0f && value <= most && isfinite(value)) {
        return SOT_OK;
    }
    if (isinf(most)) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s is %g; it must be a number and not negative", name,
                         (double)value);
    }
    return soti_fail(SOT_ERR_ARGUMENT, "%s is %g; it must be from 0 to %g", name, (double)value,
                     (double)most);
}

sot_status soti_sampler_init(soti_sampler *sampler, const soti_sampler_params *params,
                             uint64_t stream)
{
    RETURN_IF_ERROR(check("temperature", params->temperature, INFINITY));
    RETURN_IF_ERROR(check("top_p", params->top_p, 1.0f));
    RETURN_IF_ERROR(check("repetition_penalty", params->repetition_penalty, INFINITY));
    *sampler = (soti_sampler){.params = *params, .stream = stream};
    if (params->top_p == 0.0f) {
        sampler->params.top_p = 1.0f;
    }
    if (params->repetition_penalty == 0.0f) {
        sampler->params.repetition_penalty = 1.0f;
    }
    return SOT_OK;
}

soti_pick soti_sampler_pick(const soti_sampler *sampler, uint32_t i_logit, const int32_t *ids,
                            uint32_t n_generated)
{
    const soti_sampler_params *params = &sampler->params;
    return (soti_pick){.i_logit = i_logit,
                       .temperature = params->temperature,
                       .top_p = params->top_p,
                       .repetition_penalty = params->repetition_penalty,
                       .top_k = params->top_k,
                       .seed = params->seed,
                       .stream = sampler->stream,
                       .counter = n_generated,
                       .recent = ids,
                       .n_recent = n_generated};
}
