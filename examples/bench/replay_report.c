/* What the replay found, summed up, against its floor, as a table and as JSON: see replay.h and
 * findings.h. */
#include <stdio.h>
#include <stdlib.h>

#include "../shared/text.h"
#include "findings.h"
#include "findings_json.h"

static const char *const phase_names[N_PHASES] = {"normal", "first_skeleton", "first_expansions",
                                                  "later_skeleton", "later_expansions"};

/* The median over the runs of what two phases (or one: second is N_PHASES) took together. */
static double median_sum(const struct replay *replay, unsigned first, unsigned second)
{
    double *sums = grow(NULL, replay->n_runs * sizeof *sums);
    for (size_t i = 0; i < replay->n_runs; i++) {
        sums[i] = (double)replay->phases[first].total_ns[i];
        if (second < N_PHASES)
            sums[i] += (double)replay->phases[second].total_ns[i];
    }
    double median = median_of(sums, replay->n_runs);
    free(sums);
    return median;
}

struct replay_summary replay_summarize(const struct replay *replay)
{
    struct replay_summary summary = {.bound = lengths_bound(&replay->lengths)};
    if (replay->n_runs == 0)
        return summary;
    summary.normal_ns = median_sum(replay, PHASE_NORMAL, N_PHASES);
    summary.first_ns = median_sum(replay, PHASE_SKELETON, PHASE_EXPAND);
    summary.later_ns = median_sum(replay, PHASE_LATER_SKELETON, PHASE_LATER_EXPAND);
    summary.first_speedup = summary.normal_ns / summary.first_ns;
    summary.later_speedup = summary.normal_ns / summary.later_ns;
    return summary;
}

/* ---- The floor ---------------------------------------------------------------------------------
 */

/* One text behind its prompt; the first token comes with the prompt's last pass. */
static struct cost text_cost(const struct replay_phase *phase, uint32_t n_chunk,
                             const struct cost_model *model, double bandwidth, double rate)
{
    struct cost cost = {0};
    uint32_t n_past = phase->n_prompt + phase->n_reused;
    cost_add_prompt(&cost, model, phase->n_prompt, phase->n_reused, n_chunk, 1, bandwidth, rate);
    for (uint32_t i = 1; i < phase->n_tokens; i++, n_past++) {
        struct pass step = pass_decode(1, n_past, 0);
        cost_add(&cost, model, &step, bandwidth, rate);
    }
    return cost;
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* All expansions: what the requests have in common, then their own ends in one pass, then steps
 * whose rows become fewer as points end. */
static struct cost expansions_cost(const struct replay *replay, const struct replay_phase *phase,
                                   const struct cost_model *model, double bandwidth, double rate)
{
    const struct lengths *lengths = &replay->lengths;
    const struct replay_phase *first = &replay->phases[PHASE_EXPAND];
    struct cost cost = {0};
    uint32_t n = lengths->n_points;
    /* Of the session's first question nothing is reused but the common part, by all points but the
     * one for which it was computed. In the paper's own wording that is near the truth only, for
     * the stages begin alike and questions differ in length: hence the bounds below. */
    uint32_t n_common = n > 1 ? first->n_reused / (n - 1) : 0;
    uint32_t n_tails = first->n_prompt - least_of(first->n_prompt, n_common);
    uint32_t n_kept = phase->n_reused - least_of(phase->n_reused, (n - 1) * n_common);
    double n_tail = (double)n_tails / n;
    if (n > 1)
        cost_add_prompt(&cost, model, n_common - least_of(n_common, n_kept), n_kept,
                        replay->n_chunk, 0, bandwidth, rate);
    struct pass tails = {.n_rows = n_tails,
                         .n_logits = n,
                         .n_read = n_common,
                         .n_attended = n_tails * (n_common + (n_tail + 1) / 2)};
    cost_add(&cost, model, &tails, bandwidth, rate);
    uint32_t longest = lengths_longest(lengths);
    for (uint32_t step = 1; step < longest; step++) {
        double own = n_tail + step - 1;
        double rows = 0;
        for (uint32_t i = 0; i < n; i++)
            rows += lengths->points[i] > step;
        struct pass pass = {.n_rows = rows,
                            .n_logits = rows,
                            .n_read = n_common + rows * own,
                            .n_attended = rows * (n_common + own + 1)};
        cost_add(&cost, model, &pass, bandwidth, rate);
    }
    return cost;
}

struct cost replay_phase_cost(const struct replay *replay, unsigned i_phase,
                              const struct cost_model *model, const struct limits *limits)
{
    const struct replay_phase *phase = &replay->phases[i_phase];
    double bandwidth = limits_bandwidth(limits);
    if (i_phase == PHASE_EXPAND || i_phase == PHASE_LATER_EXPAND)
        return expansions_cost(replay, phase, model, bandwidth, limits->flops);
    return text_cost(phase, replay->n_chunk, model, bandwidth, limits->flops);
}

/* The speed-up of an engine whose every pass takes as long as the machine's limits make it. */
static double floor_speedup(const struct findings *findings, unsigned skeleton, unsigned expand)
{
    const unsigned phases[] = {PHASE_NORMAL, skeleton, expand};
    double floors[3];
    for (size_t i = 0; i < 3; i++)
        floors[i] =
            replay_phase_cost(&findings->replay, phases[i], &findings->costs, &findings->limits)
                .floor_s;
    return floors[1] + floors[2] > 0 ? floors[0] / (floors[1] + floors[2]) : 0;
}

/* ---- The table ---------------------------------------------------------------------------------
 */

static void print_phase(const struct findings *findings, unsigned i_phase, const char *name)
{
    const struct replay *replay = &findings->replay;
    const struct replay_phase *phase = &replay->phases[i_phase];
    struct spread total = spread_of(phase->total_ns, replay->n_runs);
    double prefill = spread_of(phase->prefill_ns, replay->n_runs).median_ns / 1e9;
    double decode = spread_of(phase->decode_ns, replay->n_runs).median_ns / 1e9;
    struct cost cost = replay_phase_cost(replay, i_phase, &findings->costs, &findings->limits);
    printf("%-18s %7u %7u %7u %6u %5u %8.2f %8.2f %8.2f %8.2f..%-8.2f %5.0f%%\n", name,
           phase->n_prompt, phase->n_reused, phase->n_tokens, phase->n_steps, phase->n_rows,
           prefill, decode, total.median_ns / 1e9, total.least_ns / 1e9, total.most_ns / 1e9,
           100e9 * cost.floor_s / total.median_ns);
}

static void print_memory(const struct findings *findings)
{
    const struct replay *replay = &findings->replay;
    const uint64_t *peak = replay->peak_bytes;
    double weights = 2.0 * (double)findings->info.n_parameters;
    if (peak[0] && peak[1])
        printf("memory     at most %.3f GB for the normal answer, %.3f GB for SoT (%.3f times); "
               "over the weights %+.1f%% and %+.1f%%\n",
               (double)peak[0] / 1e9, (double)peak[1] / 1e9, (double)peak[1] / (double)peak[0],
               100 * ((double)peak[0] / weights - 1), 100 * ((double)peak[1] / weights - 1));
    printf("pages      in use at most %llu tokens for the normal answer, %llu for SoT; the session "
           "reserves %.3f GB\n",
           (unsigned long long)replay->page_tokens[0], (unsigned long long)replay->page_tokens[1],
           (double)replay->session_bytes[1] / 1e9);
}

static void print_lengths(const struct lengths *lengths)
{
    printf("\nSoT replay, %s: %u tokens against a skeleton of %u and %u points of ", lengths->name,
           lengths->n_normal, lengths->n_skeleton, lengths->n_points);
    for (uint32_t i = 0; i < lengths->n_points; i++)
        printf("%s%u", i ? ", " : "", lengths->points[i]);
    printf("\n");
}

void replay_print(const struct findings *findings)
{
    const struct replay *replay = &findings->replay;
    if (replay->why_not)
        printf("\nSoT replay: left out: %s\n", replay->why_not);
    if (replay->n_runs == 0)
        return;
    struct replay_summary summary = replay_summarize(replay);
    print_lengths(&replay->lengths);
    printf("prompts    %s\n", replay->paper_prompts
                                  ? "the paper's own wording, in this model's tokens"
                                  : "stand-in text of as many tokens as the paper counted");
    printf("%-18s %7s %7s %7s %6s %5s %8s %8s %8s %18s %6s\n", "", "prompt", "reused", "tokens",
           "steps", "rows", "prefill", "decode", "total s", "spread", "floor");
    print_phase(findings, PHASE_NORMAL, "normal answer");
    print_phase(findings, PHASE_SKELETON, "first: skeleton");
    print_phase(findings, PHASE_EXPAND, "first: expansions");
    print_phase(findings, PHASE_LATER_SKELETON, "later: skeleton");
    print_phase(findings, PHASE_LATER_EXPAND, "later: expansions");
    printf(
        "latency    normal %.2f s, SoT %.2f s for a session's first question, %.2f s for a later "
        "one\n",
        summary.normal_ns / 1e9, summary.first_ns / 1e9, summary.later_ns / 1e9);
    printf("speed-up   %.2f and %.2f; the lengths allow %.2f; reached %.0f%% and %.0f%%\n",
           summary.first_speedup, summary.later_speedup, summary.bound,
           100 * summary.first_speedup / summary.bound,
           100 * summary.later_speedup / summary.bound);
    printf("           with every pass at its floor they would be %.2f and %.2f\n",
           floor_speedup(findings, PHASE_SKELETON, PHASE_EXPAND),
           floor_speedup(findings, PHASE_LATER_SKELETON, PHASE_LATER_EXPAND));
    print_memory(findings);
}

/* ---- JSON --------------------------------------------------------------------------------------
 */

static json_t *phase_json(const struct findings *findings, unsigned i_phase)
{
    const struct replay *replay = &findings->replay;
    const struct replay_phase *phase = &replay->phases[i_phase];
    struct cost cost = replay_phase_cost(replay, i_phase, &findings->costs, &findings->limits);
    json_t *object = json_object();
    json_object_set_new(object, "prompt_tokens", json_number(phase->n_prompt));
    json_object_set_new(object, "reused_tokens", json_number(phase->n_reused));
    json_object_set_new(object, "tokens", json_number(phase->n_tokens));
    json_object_set_new(object, "steps", json_number(phase->n_steps));
    json_object_set_new(object, "most_rows", json_number(phase->n_rows));
    json_object_set_new(object, "prefill_ns", json_times(phase->prefill_ns, replay->n_runs));
    json_object_set_new(object, "decode_ns", json_times(phase->decode_ns, replay->n_runs));
    json_set_spread(object, phase->total_ns, replay->n_runs);
    json_object_set_new(object, "bytes", json_real(cost.bytes));
    json_object_set_new(object, "flops", json_real(cost.flops));
    json_object_set_new(object, "floor_ns", json_real(cost.floor_s * 1e9));
    return object;
}

json_t *lengths_json(const struct lengths *lengths)
{
    json_t *object = json_object();
    json_t *points = json_array();
    for (uint32_t i = 0; i < lengths->n_points; i++)
        json_array_append_new(points, json_number(lengths->points[i]));
    json_object_set_new(object, "name", json_name(lengths->name));
    json_object_set_new(object, "normal", json_number(lengths->n_normal));
    json_object_set_new(object, "skeleton", json_number(lengths->n_skeleton));
    json_object_set_new(object, "points", points);
    return object;
}

static json_t *memory_json(const struct replay *replay, unsigned is_sot)
{
    json_t *object = json_object();
    json_object_set_new(object, "process_peak_bytes",
                        replay->peak_bytes[is_sot] ? json_number(replay->peak_bytes[is_sot])
                                                   : json_null());
    json_object_set_new(object, "peak_page_tokens", json_number(replay->page_tokens[is_sot]));
    json_object_set_new(object, "session_bytes", json_number(replay->session_bytes[is_sot]));
    return object;
}

json_t *replay_json(const struct findings *findings)
{
    const struct replay *replay = &findings->replay;
    if (replay->n_runs == 0)
        return json_null();
    struct replay_summary summary = replay_summarize(replay);
    json_t *object = json_object();
    json_object_set_new(object, "lengths", lengths_json(&replay->lengths));
    json_object_set_new(object, "prompts", json_name(replay->paper_prompts ? "paper" : "stand-in"));
    for (unsigned i = 0; i < N_PHASES; i++)
        json_object_set_new(object, phase_names[i], phase_json(findings, i));
    json_object_set_new(object, "normal_ns", json_real(summary.normal_ns));
    json_object_set_new(object, "first_ns", json_real(summary.first_ns));
    json_object_set_new(object, "later_ns", json_real(summary.later_ns));
    json_object_set_new(object, "first_speedup", json_real(summary.first_speedup));
    json_object_set_new(object, "later_speedup", json_real(summary.later_speedup));
    json_object_set_new(object, "bound", json_real(summary.bound));
    json_object_set_new(object, "first_share_of_bound",
                        json_real(summary.first_speedup / summary.bound));
    json_object_set_new(object, "later_share_of_bound",
                        json_real(summary.later_speedup / summary.bound));
    json_object_set_new(object, "first_floor_speedup",
                        json_real(floor_speedup(findings, PHASE_SKELETON, PHASE_EXPAND)));
    json_object_set_new(
        object, "later_floor_speedup",
        json_real(floor_speedup(findings, PHASE_LATER_SKELETON, PHASE_LATER_EXPAND)));
    json_object_set_new(object, "weight_bytes", json_number(2 * findings->info.n_parameters));
    json_object_set_new(object, "memory_normal", memory_json(replay, 0));
    json_object_set_new(object, "memory_sot", memory_json(replay, 1));
    return object;
}
