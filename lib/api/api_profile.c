/* The exported latency model: arguments are checked here, sot/profile_*.c and sot/estimate*.c do
 * the work. */
#include "sot/sot.h"

#include "api/api_params.h"
#include "base/fail.h"
#include "sot/estimate.h"
#include "sot/profile_file.h"
#include "sot/profile_measure.h"

_Static_assert(sizeof(sot_lengths) % sizeof(uint64_t) == 0, "see api_params.c");
_Static_assert(sizeof(sot_break_even_params) % sizeof(uint64_t) == 0, "holds 32-bit numbers alone");

enum {
    DEFAULT_POINT_TOKENS = 64,
    DEFAULT_NORMAL_PROMPT = 13,
    DEFAULT_SKELETON_PROMPT = 171,
    DEFAULT_COMMON_PROMPT = 40,
    DEFAULT_POINT_TAIL = 23,
    DEFAULT_MAX_POINTS = 16,
    MAX_POINTS = 256
};
static const float default_skeleton_per_point = 8.43f;

/* ---- Measuring, files --------------------------------------------------------------------------
 */

sot_status sot_profile_measure(sot_session *session, const sot_profile_params *params,
                               sot_profile **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_measure: out is NULL");
    }
    *out = NULL;
    if (session == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_measure: session is NULL");
    }
    sot_profile_params full;
    RETURN_IF_ERROR(soti_params_read("profile parameters", params, sizeof full, &full));
    RETURN_IF_ERROR(soti_check_flags("profile parameters", full.flags, SOT_PROFILE_FULL));
    RETURN_IF_ERROR(soti_check_text("profile parameters: machine", full.machine));
    RETURN_IF_ERROR(soti_session_enter(session));
    sot_status status = soti_profile_measure(session, &full, out);
    soti_session_leave(session);
    return status;
}

sot_status sot_profile_refresh(const sot_profile *profile, sot_session *session, sot_profile **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_refresh: out is NULL");
    }
    *out = NULL;
    if (profile == NULL || session == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_refresh: %s is NULL",
                         profile == NULL ? "profile" : "session");
    }
    RETURN_IF_ERROR(soti_session_enter(session));
    sot_status status = soti_profile_refresh(profile, session, out);
    soti_session_leave(session);
    return status;
}

static sot_status check_path(const char *function, const char *path)
{
    if (path == NULL || path[0] == '\0') {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: path is %s", function, path ? "empty" : "NULL");
    }
    return SOT_OK;
}

sot_status sot_profile_save(const sot_profile *profile, const char *path)
{
    if (profile == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_save: profile is NULL");
    }
    RETURN_IF_ERROR(check_path("sot_profile_save", path));
    return soti_profile_save(profile, path);
}

sot_status sot_profile_load(const char *path, sot_profile **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_load: out is NULL");
    }
    *out = NULL;
    RETURN_IF_ERROR(check_path("sot_profile_load", path));
    return soti_profile_load(path, out);
}

void sot_profile_free(sot_profile *profile)
{
    soti_profile_free(profile);
}

sot_status sot_profile_get_info(const sot_profile *profile, sot_profile_info *info)
{
    if (profile == NULL || info == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_profile_get_info: %s is NULL",
                         profile == NULL ? "profile" : "info");
    }
    return soti_params_write("profile info", &profile->info, sizeof profile->info, info);
}

static double look_up(const sot_profile *profile, uint32_t i_table, uint32_t n_sequences,
                      uint32_t length)
{
    bool outside = false;
    if (profile == NULL || n_sequences == 0 || length == 0) {
        return 0;
    }
    return soti_grid_at(&profile->tables[i_table], n_sequences, length, &outside);
}

double sot_profile_prefill_ns(const sot_profile *profile, uint32_t n_sequences, uint32_t n_tokens)
{
    return look_up(profile, SOTI_TABLE_PREFILL, n_sequences, n_tokens);
}

double sot_profile_decode_ns(const sot_profile *profile, uint32_t n_sequences, uint32_t n_context)
{
    return look_up(profile, SOTI_TABLE_DECODE, n_sequences, n_context);
}

/* ---- Estimating --------------------------------------------------------------------------------
 */

static sot_status check_estimating(const char *function, const sot_profile *profile,
                                   const void *result)
{
    if (profile == NULL || result == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: %s is NULL", function,
                         profile == NULL ? "profile" : "the result");
    }
    return SOT_OK;
}

sot_status sot_profile_estimate(const sot_profile *profile, const sot_lengths *lengths,
                                sot_estimate *estimate)
{
    sot_lengths full;
    sot_estimate result;
    RETURN_IF_ERROR(check_estimating("sot_profile_estimate", profile, estimate));
    RETURN_IF_ERROR(soti_params_read("lengths", lengths, sizeof full, &full));
    RETURN_IF_ERROR(soti_check_flags("lengths", full.flags, 0));
    RETURN_IF_ERROR(soti_lengths_check(&full));
    RETURN_IF_ERROR(soti_estimate(profile, &full, &result));
    return soti_params_write("estimate", &result, sizeof result, estimate);
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static sot_status check_per_point(const char *name, float value)
{
    if (!(value >= 0 && value <= (float)SOTI_LENGTH_MAX)) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "break-even parameters: %s is %g, from 0 to %d is "
                         "possible",
                         name, (double)value, SOTI_LENGTH_MAX);
    }
    return SOT_OK;
}

static sot_status complete_break_even(sot_break_even_params *params)
{
    RETURN_IF_ERROR(soti_check_flags("break-even parameters", params->flags, 0));
    RETURN_IF_ERROR(check_per_point("normal_per_point", params->normal_per_point));
    RETURN_IF_ERROR(check_per_point("skeleton_per_point", params->skeleton_per_point));
    params->point_tokens = or_default(params->point_tokens, DEFAULT_POINT_TOKENS);
    params->normal_prompt = or_default(params->normal_prompt, DEFAULT_NORMAL_PROMPT);
    params->skeleton_prompt = or_default(params->skeleton_prompt, DEFAULT_SKELETON_PROMPT);
    params->common_prompt = or_default(params->common_prompt, DEFAULT_COMMON_PROMPT);
    params->point_tail = or_default(params->point_tail, DEFAULT_POINT_TAIL);
    params->max_points = or_default(params->max_points, DEFAULT_MAX_POINTS);
    if (params->normal_per_point == 0) {
        params->normal_per_point = (float)params->point_tokens;
    }
    if (params->skeleton_per_point == 0) {
        params->skeleton_per_point = default_skeleton_per_point;
    }
    if (params->max_points > MAX_POINTS) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "break-even parameters: max_points is %u, at most %d is possible",
                         params->max_points, MAX_POINTS);
    }
    return SOT_OK;
}

sot_status sot_profile_break_even(const sot_profile *profile, const sot_break_even_params *params,
                                  sot_break_even *result)
{
    sot_break_even_params full;
    sot_break_even found;
    RETURN_IF_ERROR(check_estimating("sot_profile_break_even", profile, result));
    RETURN_IF_ERROR(soti_params_read("break-even parameters", params, sizeof full, &full));
    RETURN_IF_ERROR(complete_break_even(&full));
    RETURN_IF_ERROR(soti_break_even(profile, &full, &found));
    return soti_params_write("break-even", &found, sizeof found, result);
}
