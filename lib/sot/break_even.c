/* From how many points on SoT is estimated to be faster: see sot_profile_break_even. */
#include <math.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/estimate.h"

static uint32_t rounded(double value)
{
    double most = (double)SOTI_LENGTH_MAX + 1; /* out of range all the same */
    return value < 1 ? 1 : (uint32_t)lround(value < most ? value : most);
}

static sot_status estimate_points(const sot_profile *profile, const sot_break_even_params *params,
                                  uint32_t n_points, const uint32_t *tails, const uint32_t *tokens,
                                  sot_estimate *estimate)
{
    uint32_t n_skeleton = rounded((double)params->skeleton_per_point * n_points);
    const sot_lengths lengths = {
        .normal_prompt = params->normal_prompt,
        .normal_tokens = rounded((double)params->normal_per_point * n_points),
        .skeleton_prompt = params->skeleton_prompt,
        .skeleton_found = params->skeleton_found,
        .skeleton_tokens = n_skeleton,
        .common_prompt = params->common_prompt > SOTI_LENGTH_MAX
                             ? params->common_prompt
                             : params->common_prompt + n_skeleton,
        .common_found = params->common_found,
        .point_prompt_tails = tails,
        .point_tokens = tokens,
        .n_points = n_points,
    };
    RETURN_IF_ERROR(soti_lengths_check(&lengths));
    return soti_estimate(profile, &lengths, estimate);
}

/* Goes down from the most points, as long as SoT is faster. */
static sot_status look_at_all(const sot_profile *profile, const sot_break_even_params *params,
                              const uint32_t *tails, const uint32_t *tokens, sot_break_even *result)
{
    bool pays_off = true;
    for (uint32_t n = params->max_points; n > 0; n--) {
        sot_estimate estimate;
        RETURN_IF_ERROR(estimate_points(profile, params, n, tails, tokens, &estimate));
        result->extrapolated |= estimate.extrapolated & (uint32_t)SOT_EXTRAPOLATED_LIBSOT;
        if (estimate.speedup > result->max_speedup) {
            result->max_speedup = estimate.speedup;
            result->best_points = n;
        }
        pays_off = pays_off && estimate.speedup > 1;
        if (pays_off || n == params->max_points) {
            result->n_points = pays_off ? n : 0;
            result->speedup = estimate.speedup;
        }
    }
    return SOT_OK;
}

sot_status soti_break_even(const sot_profile *profile, const sot_break_even_params *params,
                           sot_break_even *result)
{
    *result = (sot_break_even){.struct_size = sizeof *result};
    uint32_t n = params->max_points;
    uint32_t *lengths = soti_alloc((size_t)n * 2, sizeof *lengths);
    if (lengths == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        lengths[i] = params->point_tail;
        lengths[n + i] = params->point_tokens;
    }
    sot_status status = look_at_all(profile, params, lengths, lengths + n, result);
    soti_free(lengths);
    return status;
}
