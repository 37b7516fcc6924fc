/* See estimate_check.h. What is replayed is replay.c's; how many tokens its prompts came to, and
 * how many of those were found in pages, is taken from what it counted. */
#include "estimate_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "../shared/interrupt.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "limits.h"
#include "progress.h"

static const char *const phase_names[N_PHASES] = {"normal", "first_skeleton", "first_expansions",
                                                  "later_skeleton", "later_expansions"};

struct checking {
    struct estimate_check *check;
    const struct lengths *lengths;
    sot_model *model;
    sot_session_params params; /* of the replay's sessions */
    const sot_profile *profile;
    sot_profile *refreshed[N_MOMENTS]; /* in the session that is replayed in: its threads run */
};

sot_lengths lengths_to_estimate(const struct lengths *lengths, const uint32_t found[2],
                                uint32_t tails[POINTS_MOST])
{
    sot_lengths given = SOT_LENGTHS_INIT;
    for (size_t i = 0; i < POINTS_MOST; i++)
        tails[i] = lengths->n_tail;
    given.normal_prompt = lengths->n_question;
    given.normal_tokens = lengths->n_normal;
    given.skeleton_prompt = lengths->n_stage1;
    given.skeleton_found = found[0];
    given.skeleton_tokens = lengths->n_skeleton;
    given.common_prompt = lengths->n_common;
    given.common_found = found[1];
    given.point_prompt_tails = tails;
    given.point_tokens = lengths->points;
    given.n_points = lengths->n_points;
    return given;
}

/* ---- Lengths of what was replayed --------------------------------------------------------------
 */

static uint32_t rounded(double value, double least)
{
    return (uint32_t)(value > least ? value + 0.5 : least);
}

/* Of a session's first question, or of a later one. All points but the one for which the requests'
 * common beginning was computed count it as found. */
static void set_prompts(const struct replay *replay, int is_later, struct lengths *lengths,
                        uint32_t found[2])
{
    const struct replay_phase *skeleton =
        &replay->phases[is_later ? PHASE_LATER_SKELETON : PHASE_SKELETON];
    const struct replay_phase *expand =
        &replay->phases[is_later ? PHASE_LATER_EXPAND : PHASE_EXPAND];
    const struct replay_phase *first = &replay->phases[PHASE_EXPAND];
    double n = lengths->n_points;
    double first_common = n > 1 ? first->n_reused / (n - 1) : 0;
    double tail = (first->n_prompt - first_common) / n;
    double common = (expand->n_prompt + (double)expand->n_reused) / n - tail;
    lengths->n_question = replay->phases[PHASE_NORMAL].n_prompt;
    lengths->n_stage1 = skeleton->n_prompt + skeleton->n_reused;
    lengths->n_common = rounded(common, 0);
    lengths->n_tail = rounded(tail, 1);
    found[0] = skeleton->n_reused;
    found[1] = rounded(expand->n_reused - (n - 1) * common, 0);
    if (found[1] > lengths->n_common)
        found[1] = lengths->n_common;
}

/* The mean of what the profiles before and behind a phase say of it. */
static sot_status estimate_phase(struct checking *checking, const struct replay *replay,
                                 unsigned phase, double *ns)
{
    struct lengths lengths = *checking->lengths;
    uint32_t found[2];
    uint32_t tails[POINTS_MOST];
    const unsigned after = phase == PHASE_NORMAL         ? AFTER_NORMAL
                           : phase == PHASE_LATER_EXPAND ? AFTER_SOT
                                                         : phase + 1;
    const sot_profile *const profiles[2] = {checking->refreshed[phase], checking->refreshed[after]};
    set_prompts(replay, phase >= PHASE_LATER_SKELETON, &lengths, found);
    sot_lengths given = lengths_to_estimate(&lengths, found, tails);
    *ns = 0;
    for (size_t i = 0; i < 2; i++) {
        sot_estimate estimate = SOT_ESTIMATE_INIT;
        sot_status status = sot_profile_estimate(profiles[i], &given, &estimate);
        if (status != SOT_OK)
            return status;
        int is_skeleton = phase == PHASE_SKELETON || phase == PHASE_LATER_SKELETON;
        *ns += (phase == PHASE_NORMAL ? estimate.normal_ns
                : is_skeleton         ? estimate.skeleton_ns
                                      : estimate.expand_ns) /
               2;
    }
    return SOT_OK;
}

static sot_status keep_round(struct checking *checking, const struct replay *replay)
{
    struct estimate_check *check = checking->check;
    double estimated[N_PHASES];
    for (unsigned i = 0; i < N_PHASES; i++) {
        sot_status status = estimate_phase(checking, replay, i, &estimated[i]);
        if (status != SOT_OK)
            return status;
    }
    size_t size = (check->n_rounds + 1) * sizeof(double);
    for (size_t i = 0; i < N_PHASES; i++) {
        struct check_phase *phase = &check->phases[i];
        phase->estimated_ns = grow(phase->estimated_ns, size);
        phase->measured_ns = grow(phase->measured_ns, size);
        phase->estimated_ns[check->n_rounds] = estimated[i];
        phase->measured_ns[check->n_rounds] = (double)replay->phases[i].total_ns[0];
    }
    check->n_rounds++;
    return SOT_OK;
}

/* ---- Rounds ------------------------------------------------------------------------------------
 */

static sot_status load(struct checking *checking, const char *path)
{
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_profile_get_info(checking->profile, &info);
    params.device = info.device;
    params.progress = progress_bytes;
    params.progress_user = (void *)(uintptr_t) "loading";
    checking->params = (sot_session_params)SOT_SESSION_PARAMS_INIT;
    checking->params.n_threads = info.n_threads;
    checking->params.isa = info.isa[0] ? info.isa : NULL;
    checking->params.chunk_rows = info.chunk_rows;
    sot_status status = sot_model_load(path, &params, &checking->model);
    progress_clear();
    return status;
}

static int failed(sot_status status)
{
    return interrupt_seen() ? EXIT_INTERRUPTED : exit_code_of(status);
}

static int refresh(void *user, sot_session *session, unsigned phase)
{
    struct checking *checking = user;
    sot_profile **refreshed = &checking->refreshed[phase];
    sot_profile_free(*refreshed);
    *refreshed = NULL;
    sot_status status = sot_profile_refresh(checking->profile, session, refreshed);
    return status == SOT_OK ? -1 : failed(status);
}

static int take_round(struct checking *checking)
{
    const struct bench_options options = {.replay_repeats = 1};
    struct replay replay = {
        .lengths = *checking->lengths, .at_phase = refresh, .phase_user = checking};
    int code = replay_measure(&replay, checking->model, &checking->params, &options, NULL);
    if (code < 0 && replay.why_not) {
        complain("nothing can be replayed: %s", replay.why_not);
        code = EXIT_FAILED;
    }
    if (code < 0) {
        sot_status status = keep_round(checking, &replay);
        code = status == SOT_OK ? -1 : failed(status);
    }
    replay_free(&replay);
    return code;
}

int estimate_check(struct estimate_check *check, const sot_profile *profile, const char *path,
                   const struct lengths *lengths, size_t n_rounds)
{
    struct checking checking = {.check = check, .lengths = lengths, .profile = profile};
    interrupt_install();
    sot_status status = load(&checking, path);
    int code = status == SOT_OK ? -1 : failed(status);
    for (size_t i = 0; i < n_rounds && code < 0; i++)
        code = take_round(&checking);
    progress_clear();
    for (size_t i = 0; i < N_MOMENTS; i++)
        sot_profile_free(checking.refreshed[i]);
    sot_model_free(checking.model);
    return code;
}

/* ---- What came out -----------------------------------------------------------------------------
 */

static double median_copy(const double *values, size_t n)
{
    double *copy = grow(NULL, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = values[i];
    double median = median_of(copy, n);
    free(copy);
    return median;
}

/* The median of what is estimated over what was measured, round by round. */
static double median_ratio(const struct check_phase *phase, size_t n)
{
    double *ratios = grow(NULL, n * sizeof *ratios);
    for (size_t i = 0; i < n; i++)
        ratios[i] = phase->estimated_ns[i] / phase->measured_ns[i];
    double median = median_of(ratios, n);
    free(ratios);
    return median;
}

void estimate_check_print(const struct estimate_check *check)
{
    if (check->n_rounds == 0)
        return;
    printf("\nreplayed %zu times; medians, and that of each time's ratio\n%-24s %9s %9s %9s\n",
           check->n_rounds, "seconds", "estimated", "measured", "");
    for (size_t i = 0; i < N_PHASES; i++) {
        const struct check_phase *phase = &check->phases[i];
        printf("%-24s %9.3f %9.3f %+8.1f%%\n", phase_names[i],
               median_copy(phase->estimated_ns, check->n_rounds) / 1e9,
               median_copy(phase->measured_ns, check->n_rounds) / 1e9,
               100 * (median_ratio(phase, check->n_rounds) - 1));
    }
}

static json_t *numbers(const double *values, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

json_t *estimate_check_json(const struct estimate_check *check)
{
    json_t *object = json_object();
    for (size_t i = 0; i < N_PHASES; i++) {
        const struct check_phase *phase = &check->phases[i];
        json_t *member = json_object();
        json_object_set_new(member, "estimated_ns", numbers(phase->estimated_ns, check->n_rounds));
        json_object_set_new(member, "measured_ns", numbers(phase->measured_ns, check->n_rounds));
        json_object_set_new(object, phase_names[i], member);
    }
    return object;
}

void estimate_check_free(struct estimate_check *check)
{
    for (size_t i = 0; i < N_PHASES; i++) {
        free(check->phases[i].estimated_ns);
        free(check->phases[i].measured_ns);
    }
    *check = (struct estimate_check){0};
}
