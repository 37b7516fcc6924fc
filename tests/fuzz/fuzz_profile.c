/* libFuzzer target: any bytes as a profile. What is accepted estimates without accident, and saved
 * and read again it has the same cells. */
#include <math.h>

#include "fuzz_input.h"
#include "sot/profile_file.h"

static void check_estimates(const sot_profile *profile)
{
    static const uint32_t tails[] = {1, 20, 300}, tokens[] = {1, 40, 7};
    sot_lengths lengths = SOT_LENGTHS_INIT;
    sot_estimate estimate = SOT_ESTIMATE_INIT;
    sot_break_even_params params = SOT_BREAK_EVEN_PARAMS_INIT;
    sot_break_even found = SOT_BREAK_EVEN_INIT;
    lengths.normal_prompt = lengths.skeleton_prompt = 30;
    lengths.normal_tokens = 100;
    lengths.skeleton_tokens = 20;
    lengths.common_prompt = 50;
    lengths.point_prompt_tails = tails;
    lengths.point_tokens = tokens;
    lengths.n_points = 3;
    params.max_points = 3;
    fuzz_check_ok(sot_profile_estimate(profile, &lengths, &estimate));
    fuzz_check(isfinite(estimate.normal_ns) && estimate.normal_ns >= 0);
    fuzz_check(isfinite(estimate.sot_ns) && estimate.sot_ns >= 0);
    fuzz_check(isfinite(estimate.paper_normal_ns) && isfinite(estimate.paper_expand_ns));
    fuzz_check_ok(sot_profile_break_even(profile, &params, &found));
    fuzz_check(isfinite(found.max_speedup) && found.n_points <= params.max_points);
}

static void check_saved(const sot_profile *profile)
{
    char path[64];
    snprintf(path, sizeof path, "%s/sot-fuzz-profile-%ld.json", fuzz_scratch(), (long)getpid());
    sot_profile *loaded = NULL;
    fuzz_check_ok(sot_profile_save(profile, path));
    fuzz_check_ok(sot_profile_load(path, &loaded));
    fuzz_check(loaded->info.n_cells == profile->info.n_cells);
    fuzz_check(loaded->info.decode_max_context == profile->info.decode_max_context);
    sot_profile_free(loaded);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t n_accepted;
    sot_profile *profile = NULL;
    if (soti_profile_parse("fuzz", data, size, &profile) != SOT_OK) {
        fuzz_check(profile == NULL);
        fuzz_check_text(sot_error_message());
        return 0;
    }
    check_estimates(profile);
    if (n_accepted++ % 64 == 0) { /* a file is slow */
        check_saved(profile);
    }
    sot_profile_free(profile);
    return 0;
}
