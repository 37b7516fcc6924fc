/* What sot-bench does without a command: it measures the machine, then the library against it. Here
 * is the order of things; what is measured is in passes.c and replay.c, the limits in limits.c,
 * what a pass must cost at least in cost.c. */
#include <sot/sot.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../shared/answer_options.h"
#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "commands.h"
#include "findings.h"
#include "progress.h"

#define QUICK_REPLAY_NS 10e9 /* a replay that takes longer is no part of --quick */

struct bench {
    struct bench_options options;
    struct findings findings;
    sot_session_params session;
    sot_model *model;
    FILE *json;
};

/* Which instruction set and how many threads the library will use is known once there is a session;
 * it need not be one on the model that is to be measured. */
static int find_session_facts(struct bench *bench)
{
    sot_model *model;
    sot_session *session = NULL;
    sot_session_info info = SOT_SESSION_INFO_INIT;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = bench->options.device;
    params.flags = model_flags(bench->options.copy_weights, bench->options.lock_weights);
    sot_status status = sot_model_load("random:8x1x1x8x8", &params, &model);
    if (status == SOT_OK)
        status = sot_session_create(model, &bench->session, &session);
    if (status == SOT_OK)
        status = sot_session_get_info(session, &info);
    if (status == SOT_OK) {
        snprintf(bench->findings.isa, sizeof bench->findings.isa, "%s", info.isa);
        bench->findings.n_threads = info.n_threads;
    }
    sot_session_free(session);
    sot_model_free(model);
    return status == SOT_OK ? -1 : exit_code_of(status);
}

static int load(struct bench *bench, const char *what)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = bench->options.device;
    params.progress = progress_bytes;
    params.progress_user = (void *)(uintptr_t)what;
    uint64_t begin = time_ns();
    sot_status status = sot_model_load(bench->options.model, &params, &bench->model);
    bench->findings.load_ns = time_ns() - begin;
    progress_clear();
    if (status == SOT_ERR_CANCELLED && interrupt_seen())
        return EXIT_INTERRUPTED;
    if (status != SOT_OK)
        return exit_code_of(status);
    sot_model_get_info(bench->model, &bench->findings.info);
    bench->findings.costs = cost_model_make(&bench->findings.info);
    bench->findings.has_model = 1;
    return -1;
}

static int write_gguf(struct bench *bench)
{
    int code = load(bench, "loading");
    if (code >= 0)
        return code;
    sot_status status = sot_model_save(bench->model, bench->options.gguf_path, progress_bytes,
                                       (void *)(uintptr_t) "writing");
    progress_clear();
    if (status == SOT_ERR_CANCELLED && interrupt_seen())
        return EXIT_INTERRUPTED;
    return status == SOT_OK ? EXIT_DONE : exit_code_of(status);
}

/* The replay's lengths are those of real answers, and what they come to cannot be had from shorter
 * ones; where --quick leaves no time for them there is none. By what a step took above. */
static int replay_fits(struct findings *findings)
{
    const struct lengths *lengths = &findings->replay.lengths;
    double one_ns = 0;
    double many_ns = 0;
    if (!findings->options->quick || findings->options->cases_list)
        return 1;
    for (size_t i = 0; i < findings->passes.n_cases; i++) {
        const struct pass_case *pass = &findings->passes.cases[i];
        if (pass->group != CASE_DECODE || pass->n_times == 0)
            continue;
        if (pass->n_sequences == 1)
            one_ns = (double)pass->times_ns[0];
        many_ns = (double)pass->times_ns[0];
    }
    double expected_ns = (lengths->n_normal + 2.0 * lengths->n_skeleton) * one_ns +
                         2.0 * lengths_longest(lengths) * many_ns;
    if (expected_ns < QUICK_REPLAY_NS)
        return 1;
    findings->replay.why_not = "it takes longer than --quick may; ask for it with --cases replay";
    return 0;
}

/* Returns -1 when everything was measured, else an exit code; what was measured until then is in
 * bench->findings. */
static int measure(struct bench *bench)
{
    struct findings *findings = &bench->findings;
    const struct bench_options *options = &bench->options;
    int code = find_session_facts(bench);
    if (code >= 0)
        return code;
    bench->session.n_threads = findings->n_threads;
    /* Before the model takes memory, behind what the driver takes for whoever uses the device. */
    if (options->is_cuda) {
        struct cuda_device *device = cuda_device_open(options->i_device);
        if (!device)
            return EXIT_FAILED;
        limits_begin_cuda(&findings->limits, device);
    }
    code = load(bench, "loading");
    if (code >= 0)
        return code;
    if (!options->is_cuda)
        limits_begin(&findings->limits, findings->isa, findings->n_threads, options->pin);
    limits_probe(&findings->limits, options->quick ? LIMITS_QUICK_PROBE : LIMITS_LONG_PROBE);
    if (options->cases & (CASE_LOAD | CASE_PREFILL | CASE_DECODE | CASE_ATTENTION))
        code = passes_measure(&findings->passes, bench->model, &bench->session, options,
                              &findings->limits);
    if (code < 0 && options->cases & CASE_TOKENIZER)
        code = token_speed_measure(&findings->tokens, bench->model,
                                   options->quick ? 1 << 18 : 1 << 20, options->repeats);
    if (code < 0 && options->cases & CASE_REPLAY && replay_fits(findings))
        code = replay_measure(&findings->replay, bench->model, &bench->session, options,
                              &findings->limits);
    return code;
}

/* In the place of what the file held before. Returns 0 where that cannot be had. */
static int store(struct bench *bench)
{
    FILE *file = freopen(NULL, "w", bench->json); /* closes it if it fails */
    bench->json = NULL;
    if (!file)
        return 0;
    json_t *object = findings_json(&bench->findings);
    int failed = json_dumpf(object, file, JSON_INDENT(2)) != 0;
    failed |= fputc('\n', file) == EOF;
    failed |= fclose(file) != 0;
    json_decref(object);
    return !failed;
}

/* Prints and stores what there is. Returns the exit code. */
static int report(struct bench *bench, int code)
{
    progress_clear();
    const struct limits *limits = &bench->findings.limits;
    int is_measured = code != EXIT_USAGE && (limits->fp32 > 0 || limits->n_probes > 0);
    bench->findings.interrupted = code == EXIT_INTERRUPTED;
    if (is_measured)
        findings_print(&bench->findings);
    if (code == EXIT_INTERRUPTED)
        complain(is_measured ? "interrupted; some cases were not measured"
                             : "interrupted before anything was measured");
    if (bench->json && is_measured && !store(bench)) {
        complain("%s: cannot be written", bench->options.json_path);
        return code < 0 ? EXIT_FAILED : code;
    }
    return code < 0 ? EXIT_DONE : code;
}

static int read_lengths(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    struct lengths *lengths = &bench->findings.replay.lengths;
    if (options->lengths_list)
        return lengths_from_list(lengths, options->lengths_list);
    if (options->lengths_path)
        return lengths_from_file(lengths, options->lengths_path);
    return lengths_from_paper(lengths, options->replay_model, options->replay_category);
}

static int run(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    bench->findings.options = options;
    bench->findings.info = (sot_model_info)SOT_MODEL_INFO_INIT;
    bench->session = (sot_session_params)SOT_SESSION_PARAMS_INIT;
    bench->session.n_threads = options->n_threads;
    bench->session.isa = options->isa;
    bench->session.pin_threads = (uint32_t)options->pin;
    if (options->list_lengths) {
        lengths_print_all();
        return EXIT_DONE;
    }
    if (!read_lengths(bench))
        return EXIT_USAGE;
    interrupt_install();
    if (options->gguf_path)
        return write_gguf(bench);
    /* Whether it can be written shows now; what it holds stays until there is something new. */
    if (options->json_path && !(bench->json = fopen(options->json_path, "a"))) {
        complain("%s: %s", options->json_path, strerror(errno));
        return EXIT_FAILED;
    }
    return report(bench, measure(bench));
}

int command_measure(int argc, char **argv)
{
    struct bench bench = {0};
    int code = bench_options_parse(&bench.options, argc, argv);
    if (code < 0)
        code = run(&bench);
    sot_model_free(bench.model);
    limits_free(&bench.findings.limits);
    passes_free(&bench.findings.passes);
    token_speed_free(&bench.findings.tokens);
    replay_free(&bench.findings.replay);
    if (bench.json)
        fclose(bench.json);
    return code;
}
