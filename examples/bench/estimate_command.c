/* sot-bench estimate: from a profile, without a model, the latency of normal generation and of SoT
 * for given lengths, and from how many points on SoT pays off. */
#include <sot/sot.h>

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../shared/fig11.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "commands.h"
#include "estimate_check.h"
#include "findings_json.h"
#include "lengths.h"

struct estimate_options {
    const char *profile_path, *lengths_list, *lengths_path, *replay_model, *replay_category;
    const char *prompts_list, *found_list, *json_path, *check_model;
    uint32_t point_tokens, max_points, rounds;
    int fig11, break_even;
};

#define AT(member) offsetof(struct estimate_options, member)

static const struct option_row rows[] = {
    {"profile", 'p', OPTION_TEXT, AT(profile_path), 0, 0, "FILE",
     "what sot-bench profile -o has kept"},
    {"lengths", 0, OPTION_TEXT, AT(lengths_list), 0, 0, "N:S:L1,L2,...",
     "tokens of the normal answer, of the skeleton, of each\nexpansion"},
    LENGTHS_FILE_ROW,
    REPLAY_MODEL_ROW,
    REPLAY_CATEGORY_ROW,
    {"fig11", 0, OPTION_FLAG, AT(fig11), 0, 0, NULL, "all rows of the paper's Fig. 11"},
    {"prompts", 0, OPTION_TEXT, AT(prompts_list), 0, 0, "Q:S:C:T",
     "prompt tokens: the question, stage 1, what the requests of\n"
     "stage 2 have in common, the rest of each (default: as many\n"
     "as sot-bench replays)"},
    {"found", 0, OPTION_TEXT, AT(found_list), 0, 0, "S:C",
     "how many of S and C are in pages already (default 0:0, a\n"
     "session's first question)"},
    {"break-even", 0, OPTION_FLAG, AT(break_even), 0, 0, NULL,
     "from how many points on SoT pays off, by their length"},
    {"point-tokens", 0, OPTION_COUNT, AT(point_tokens), 1, 1 << 20, "M",
     "that for points of M tokens (default: 16, 32, ..., 512)"},
    {"max-points", 0, OPTION_COUNT, AT(max_points), 1, 256, "N",
     "the most points that it looks at (default 16)"},
    {"check", 0, OPTION_TEXT, AT(check_model), 0, 0, "MODEL",
     "replay the lengths on this model, too, and compare"},
    {"rounds", 0, OPTION_COUNT, AT(rounds), 1, 1000, "N", "replays for --check (default 3)"},
    {"json", 0, OPTION_TEXT, AT(json_path), 0, 0, "FILE", "write it all to FILE too"},
};
static const struct option_table table = {
    .name = "sot-bench estimate",
    .usage = "Usage: sot-bench estimate -p FILE [options]\n\n"
             "Estimates from a profile how long a normal answer takes and how long Skeleton-of-\n"
             "Thought takes for the same, for texts of given lengths.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .remarks = "Exit codes: 0 estimated, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C.\n",
};

struct estimating {
    struct estimate_options options;
    uint32_t prompts[4], found[2];
    int has_lengths; /* which are asked about */
    struct lengths lengths;
    sot_profile *profile;
    json_t *estimates, *break_evens; /* arrays */
    uint32_t extrapolated;           /* SOT_EXTRAPOLATED_* of all that was asked for */
};

/* ---- Lengths -----------------------------------------------------------------------------------
 */

/* n numbers separated by colons; returns EXIT_USAGE after having said that there are others. */
static int parse_numbers(const char *name, const char *list, uint32_t *out, size_t n)
{
    const char *at = list;
    for (size_t i = 0; i < n; i++) {
        char digits[16];
        size_t size = strcspn(at, ":");
        int is_last = at[size] == '\0';
        if (size >= sizeof digits || is_last != (i + 1 == n)) {
            complain("--%s '%s': %zu numbers separated by colons are expected", name, list, n);
            return EXIT_USAGE;
        }
        snprintf(digits, sizeof digits, "%.*s", (int)size, at);
        int code = option_parse_count(name, digits, 0, LENGTH_MOST, &out[i]);
        if (code >= 0)
            return code;
        at += size + !is_last;
    }
    return -1;
}

static int read_lengths(const struct estimate_options *options, struct lengths *lengths)
{
    if (options->lengths_list)
        return lengths_from_list(lengths, options->lengths_list);
    if (options->lengths_path)
        return lengths_from_file(lengths, options->lengths_path);
    return lengths_from_paper(lengths,
                              options->replay_model ? options->replay_model : "LLaMA2-Chat-7B",
                              options->replay_category ? options->replay_category : "average");
}

/* ---- Estimates ---------------------------------------------------------------------------------
 */

static sot_status estimate_one(struct estimating *estimating, struct lengths *lengths,
                               sot_estimate *estimate)
{
    uint32_t tails[POINTS_MOST];
    if (estimating->options.prompts_list) {
        lengths->n_question = estimating->prompts[0];
        lengths->n_stage1 = estimating->prompts[1];
        lengths->n_common = estimating->prompts[2];
        lengths->n_tail = estimating->prompts[3];
    }
    sot_lengths given = lengths_to_estimate(lengths, estimating->found, tails);
    return sot_profile_estimate(estimating->profile, &given, estimate);
}

static void keep_estimate(struct estimating *estimating, const struct lengths *lengths,
                          const sot_estimate *estimate)
{
    const struct {
        const char *name;
        double value;
    } members[] = {{"normal_ns", estimate->normal_ns},
                   {"skeleton_ns", estimate->skeleton_ns},
                   {"expand_ns", estimate->expand_ns},
                   {"sot_ns", estimate->sot_ns},
                   {"speedup", estimate->speedup},
                   {"bound", lengths_bound(lengths)},
                   {"paper_normal_ns", estimate->paper_normal_ns},
                   {"paper_skeleton_ns", estimate->paper_skeleton_ns},
                   {"paper_expand_ns", estimate->paper_expand_ns},
                   {"paper_speedup", estimate->paper_speedup},
                   {"paper_normal_flops", estimate->paper_normal_flops},
                   {"paper_expand_flops", estimate->paper_expand_flops}};
    json_t *object = lengths_json(lengths);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        json_object_set_new(object, members[i].name, json_real(members[i].value));
    json_object_set_new(object, "extrapolated",
                        json_boolean(estimate->extrapolated & SOT_EXTRAPOLATED_LIBSOT));
    json_object_set_new(object, "paper_extrapolated",
                        json_boolean(estimate->extrapolated & SOT_EXTRAPOLATED_PAPER));
    json_array_append_new(estimating->estimates, object);
}

static void print_stages(const char *name, double normal_ns, double skeleton_ns, double expand_ns,
                         double speedup)
{
    printf("%-24s %9.3f %9.3f %9.3f %9.3f %9.2f\n", name, normal_ns / 1e9, skeleton_ns / 1e9,
           expand_ns / 1e9, (skeleton_ns + expand_ns) / 1e9, speedup);
}

static void print_estimate(const struct lengths *lengths, const sot_estimate *estimate)
{
    printf("\n%s: %u tokens against a skeleton of %u and %u points of ", lengths->name,
           lengths->n_normal, lengths->n_skeleton, lengths->n_points);
    for (uint32_t i = 0; i < lengths->n_points; i++)
        printf("%s%u", i ? ", " : "", lengths->points[i]);
    printf("\n%-24s %9s %9s %9s %9s %9s\n", "seconds", "normal", "skeleton", "expand", "SoT",
           "speed-up");
    print_stages("libsot", estimate->normal_ns, estimate->skeleton_ns, estimate->expand_ns,
                 estimate->speedup);
    print_stages("the paper's equations", estimate->paper_normal_ns, estimate->paper_skeleton_ns,
                 estimate->paper_expand_ns, estimate->paper_speedup);
    printf("the lengths allow a speed-up of %.2f; decoding reaches %.2f GFLOP/s normally, %.2f "
           "with all points (4)\n",
           lengths_bound(lengths), estimate->paper_normal_flops / 1e9,
           estimate->paper_expand_flops / 1e9);
}

/* Adds what replaying came to to the estimate that was kept last. */
static int check_lengths(struct estimating *estimating, const struct lengths *lengths)
{
    const struct estimate_options *options = &estimating->options;
    struct estimate_check check = {0};
    int code = estimate_check(&check, estimating->profile, options->check_model, lengths,
                              options->rounds ? options->rounds : 3);
    estimate_check_print(&check);
    size_t last = json_array_size(estimating->estimates) - 1;
    json_object_set_new(json_array_get(estimating->estimates, last), "check",
                        estimate_check_json(&check));
    estimate_check_free(&check);
    return code;
}

static int estimate_lengths(struct estimating *estimating)
{
    struct lengths *lengths = &estimating->lengths;
    sot_estimate estimate = SOT_ESTIMATE_INIT;
    sot_status status = estimate_one(estimating, lengths, &estimate);
    if (status != SOT_OK)
        return exit_code_of(status);
    keep_estimate(estimating, lengths, &estimate);
    print_estimate(lengths, &estimate);
    estimating->extrapolated |= estimate.extrapolated;
    return estimating->options.check_model ? check_lengths(estimating, lengths) : -1;
}

static int estimate_fig11(struct estimating *estimating)
{
    printf("\n%-18s %-16s %6s %9s %9s %9s %9s %9s %9s\n", "model", "category", "points", "normal s",
           "skeleton", "expand", "speed-up", "the paper", "bound");
    for (size_t i = 0; i < fig11_count; i++) {
        const struct fig11_row *row = &fig11_rows[i];
        struct lengths lengths;
        sot_estimate estimate = SOT_ESTIMATE_INIT;
        lengths_from_paper(&lengths, row->model, row->category);
        sot_status status = estimate_one(estimating, &lengths, &estimate);
        if (status != SOT_OK)
            return exit_code_of(status);
        keep_estimate(estimating, &lengths, &estimate);
        printf("%-18s %-16s %6u %9.3f %9.3f %9.3f %9.2f %9.2f %9.2f\n", row->model, row->category,
               lengths.n_points, estimate.normal_ns / 1e9, estimate.skeleton_ns / 1e9,
               estimate.expand_ns / 1e9, estimate.speedup, estimate.paper_speedup,
               lengths_bound(&lengths));
        estimating->extrapolated |= estimate.extrapolated;
    }
    return -1;
}

/* ---- Break-even --------------------------------------------------------------------------------
 */

static int find_break_even(struct estimating *estimating, uint32_t point_tokens)
{
    sot_break_even_params params = SOT_BREAK_EVEN_PARAMS_INIT;
    sot_break_even found = SOT_BREAK_EVEN_INIT;
    params.point_tokens = point_tokens;
    params.max_points = estimating->options.max_points ? estimating->options.max_points : 16;
    params.normal_prompt = estimating->prompts[0];
    params.skeleton_prompt = estimating->prompts[1];
    params.common_prompt = estimating->prompts[2];
    params.point_tail = estimating->prompts[3];
    params.skeleton_found = estimating->found[0];
    params.common_found = estimating->found[1];
    sot_status status = sot_profile_break_even(estimating->profile, &params, &found);
    if (status != SOT_OK)
        return exit_code_of(status);
    json_t *object = json_object();
    json_object_set_new(object, "point_tokens", json_number(point_tokens));
    json_object_set_new(object, "max_points", json_number(params.max_points));
    json_object_set_new(object, "n_points",
                        found.n_points ? json_number(found.n_points) : json_null());
    json_object_set_new(object, "speedup", json_real(found.speedup));
    json_object_set_new(object, "best_points", json_number(found.best_points));
    json_object_set_new(object, "max_speedup", json_real(found.max_speedup));
    json_array_append_new(estimating->break_evens, object);
    if (found.n_points)
        printf("%8u tokens: from %u points on (%.2f), at most %.2f with %u\n", point_tokens,
               found.n_points, found.speedup, found.max_speedup, found.best_points);
    else
        printf("%8u tokens: not with up to %u points (%.2f), at most %.2f with %u\n", point_tokens,
               params.max_points, found.speedup, found.max_speedup, found.best_points);
    estimating->extrapolated |= found.extrapolated;
    return -1;
}

static int find_break_evens(struct estimating *estimating)
{
    int code = -1;
    printf("\nSoT pays off, with points of\n");
    if (estimating->options.point_tokens)
        return find_break_even(estimating, estimating->options.point_tokens);
    for (uint32_t tokens = 16; tokens <= 512 && code < 0; tokens *= 2)
        code = find_break_even(estimating, tokens);
    return code;
}

/* ---- The command -------------------------------------------------------------------------------
 */

static int check(struct estimating *estimating)
{
    struct estimate_options *options = &estimating->options;
    int n_sources = (options->lengths_list != NULL) + (options->lengths_path != NULL) +
                    (options->replay_model != NULL || options->replay_category != NULL) +
                    options->fig11;
    int code = -1;
    if (!options->profile_path) {
        complain("a profile is needed: -p FILE (see sot-bench profile --help)");
        return EXIT_USAGE;
    }
    if (n_sources > 1) {
        complain("--lengths, --lengths-file, --fig11, and --replay-model with --replay-category "
                 "exclude each other");
        return EXIT_USAGE;
    }
    if (options->check_model && (options->fig11 || options->prompts_list || options->found_list)) {
        complain("--check replays prompts as they are, of one question: without --fig11, --prompts "
                 "and --found");
        return EXIT_USAGE;
    }
    options->break_even |= options->point_tokens || options->max_points;
    if (options->prompts_list)
        code = parse_numbers("prompts", options->prompts_list, estimating->prompts, 4);
    if (code < 0 && options->found_list)
        code = parse_numbers("found", options->found_list, estimating->found, 2);
    estimating->has_lengths =
        !options->fig11 && (n_sources || options->check_model || !options->break_even);
    if (code < 0 && estimating->has_lengths && !read_lengths(options, &estimating->lengths))
        code = EXIT_USAGE;
    return code;
}

static int store(const struct estimating *estimating, const sot_profile_info *info)
{
    const struct estimate_options *options = &estimating->options;
    if (!options->json_path)
        return EXIT_DONE;
    json_t *object = json_object();
    json_object_set_new(object, "program", json_string("sot-bench estimate"));
    json_object_set_new(object, "version", json_string(sot_version_string()));
    json_object_set_new(object, "machine", json_name(info->machine));
    json_object_set(object, "estimates", estimating->estimates);
    json_object_set(object, "break_even", estimating->break_evens);
    int failed = json_dump_file(object, options->json_path, JSON_INDENT(2)) != 0;
    json_decref(object);
    if (failed)
        complain("%s: cannot be written: %s", options->json_path, strerror(errno));
    return failed ? EXIT_FAILED : EXIT_DONE;
}

static int estimate(struct estimating *estimating)
{
    const struct estimate_options *options = &estimating->options;
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    sot_status status = sot_profile_load(options->profile_path, &estimating->profile);
    if (status != SOT_OK)
        return exit_code_of(status);
    sot_profile_get_info(estimating->profile, &info);
    struct text machine = {0};
    text_clean(&machine, info.machine, strlen(info.machine)); /* a file's text is printed */
    printf("profile    %s: %s, %u threads; %u layers of width %u\n", options->profile_path,
           machine.bytes ? machine.bytes : "", info.n_threads, info.n_layer, info.d_model);
    text_free(&machine);
    int code = -1;
    if (options->fig11)
        code = estimate_fig11(estimating);
    else if (estimating->has_lengths)
        code = estimate_lengths(estimating);
    if (code < 0 && options->break_even)
        code = find_break_evens(estimating);
    if (code < 0 && estimating->extrapolated)
        printf("\n%s estimates go beyond the profile's cells, in a straight line\n",
               estimating->extrapolated & SOT_EXTRAPOLATED_LIBSOT ? "some" : "the paper's");
    return code < 0 ? store(estimating, &info) : code;
}

int command_estimate(int argc, char **argv)
{
    struct estimating estimating = {0};
    int code = option_table_parse(&table, &estimating.options, argc, argv, NULL);
    if (code >= 0)
        return code;
    estimating.estimates = json_array();
    estimating.break_evens = json_array();
    code = check(&estimating);
    if (code < 0)
        code = estimate(&estimating);
    json_decref(estimating.estimates);
    json_decref(estimating.break_evens);
    sot_profile_free(estimating.profile);
    return code;
}
