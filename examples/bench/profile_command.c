/* sot-bench profile: measures the latency model's tables and keeps them in a file. */
#include <sot/sot.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "commands.h"
#include "measured_gpu.h"
#include "progress.h"

enum {
    DEFAULT_BATCH = 16,
    DEFAULT_CONTEXT = 1024,
    PAGE_SLACK = 96,      /* positions a sequence may take beyond its context */
    ROWS_AND_PAST = 1040, /* context that the tables of prompts need with the largest passes */
    MACHINE_BYTES = 128
};

struct profile_options {
    const char *model, *isa, *device, *out_path, *update_path, *machine;
    uint32_t n_threads, max_batch, max_context, decode_repeats, prefill_repeats, cell_ms;
    int full, pin;
    int is_cuda;
    uint32_t i_device;
};

#define AT(member) offsetof(struct profile_options, member)

static const struct option_row rows[] = {
    MEASURED_MODEL_ROW,
    {"output", 'o', OPTION_TEXT, AT(out_path), 0, 0, "FILE", "keep the profile in FILE (JSON)"},
    {"full", 0, OPTION_FLAG, AT(full), 0, 0, NULL,
     "the paper's whole grid, which can take hours (default: some\n"
     "of its cells)"},
    {"refresh", 0, OPTION_TEXT, AT(update_path), 0, 0, "FILE",
     "measure a few cells again and scale the profile in FILE by\n"
     "what they come to"},
    {"max-batch", 0, OPTION_COUNT, AT(max_batch), 1, 4096, "N", "largest batch (default 16)"},
    {"max-context", 0, OPTION_COUNT, AT(max_context), 1, 1 << 20, "N",
     "longest context (default 1024)"},
    {"decode-repeats", 0, OPTION_COUNT, AT(decode_repeats), 1, 1000, "N",
     "runs of each decode step (default 3)"},
    {"prefill-repeats", 0, OPTION_COUNT, AT(prefill_repeats), 3, 1000, "N",
     "runs of each prompt, the first two uncounted (default 7)"},
    {"cell-ms", 0, OPTION_COUNT, AT(cell_ms), 1, 1 << 30, "N",
     "repeat no cell that has taken so long (default 1000; with\n"
     "--full no limit)"},
    THREADS_ROW,
    ISA_ROW,
    DEVICE_ROW,
    PIN_ROW,
    {"machine", 0, OPTION_TEXT, AT(machine), 0, 0, "NAME",
     "what to call the machine in the file (default: its\nprocessor or GPU)"},
};
static const struct option_table table = {
    .name = "sot-bench profile",
    .usage =
        "Usage: sot-bench profile [-m MODEL] [-o FILE] [options]\n\n"
        "Measures how long prompts and decode steps of a model take on this machine: the tables\n"
        "from which sot-bench estimate works out what Skeleton-of-Thought is worth.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .remarks = "Exit codes: 0 measured, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C.\n",
};

/* ---- Preparing ---------------------------------------------------------------------------------
 */

struct profiling {
    struct profile_options options;
    char machine[MACHINE_BYTES];
    uint64_t free_bytes; /* where the pages will be; 0: not known */
    uint64_t began_ns;
    sot_model *model;
    sot_session *session;
    sot_profile *profile;
};

static int find_machine(struct profiling *profiling)
{
    struct profile_options *options = &profiling->options;
    if (options->is_cuda) {
        struct cuda_device *device = cuda_device_open(options->i_device);
        if (!device)
            return EXIT_FAILED;
        snprintf(profiling->machine, sizeof profiling->machine, "%s", cuda_device_name(device));
        profiling->free_bytes = cuda_device_free_bytes(device);
        cuda_device_close(device);
    } else {
        machine_cpu_name(profiling->machine, sizeof profiling->machine);
        profiling->free_bytes = memory_available();
    }
    if (options->machine)
        snprintf(profiling->machine, sizeof profiling->machine, "%s", options->machine);
    return -1;
}

/* The weights are loaded, on a CUDA device out of what was free before. */
static sot_session_params fit_session(const struct profiling *profiling)
{
    const struct profile_options *options = &profiling->options;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_model_info info = SOT_MODEL_INFO_INIT;
    sot_model_get_info(profiling->model, &info);
    params.n_threads = options->n_threads;
    params.isa = options->isa;
    params.pin_threads = (uint32_t)options->pin;
    params.max_batch = options->max_batch;
    params.n_ctx = options->max_context + PAGE_SLACK;
    if (params.n_ctx < ROWS_AND_PAST)
        params.n_ctx = ROWS_AND_PAST;
    double position_bytes = 4.0 * info.n_layer * info.n_kv * info.d_head;
    double room =
        ((double)profiling->free_bytes - (options->is_cuda ? (double)info.weight_bytes : 0)) / 2;
    double positions = (double)(options->max_context + PAGE_SLACK) * options->max_batch;
    if (profiling->free_bytes && positions * position_bytes > room)
        positions = room / position_bytes;
    if (positions < params.n_ctx)
        positions = params.n_ctx;
    params.kv_tokens = (uint32_t)(positions < 1 << 30 ? positions : 1 << 30);
    return params;
}

static int prepare(struct profiling *profiling)
{
    const struct profile_options *options = &profiling->options;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = options->device;
    params.progress = progress_bytes;
    params.progress_user = (void *)(uintptr_t) "loading";
    if (options->update_path &&
        sot_profile_load(options->update_path, &profiling->profile) != SOT_OK)
        return exit_code_of(SOT_ERR_FORMAT);
    int code = find_machine(profiling);
    if (code >= 0)
        return code;
    sot_status status = sot_model_load(options->model, &params, &profiling->model);
    progress_clear();
    if (status == SOT_ERR_CANCELLED && interrupt_seen())
        return EXIT_INTERRUPTED;
    if (status == SOT_OK) {
        sot_session_params session = fit_session(profiling);
        status = sot_session_create(profiling->model, &session, &profiling->session);
    }
    return status == SOT_OK ? -1 : exit_code_of(status);
}

/* ---- Measuring ---------------------------------------------------------------------------------
 */

static int32_t show_progress(uint64_t done, uint64_t total, void *user)
{
    const struct profiling *profiling = user;
    double seconds = (double)(time_ns() - profiling->began_ns) / 1e9;
    if (done == 0 || done >= total) {
        progress_say("profile: %s", done ? "done" : "measuring");
    } else {
        double left = seconds * (double)(total - done) / (double)done;
        long whole = (long)left;
        progress_say("profile: %.0f%%, about %ld:%02ld left", 100 * (double)done / (double)total,
                     whole / 60, whole % 60);
    }
    return interrupt_seen();
}

static int measure(struct profiling *profiling)
{
    const struct profile_options *options = &profiling->options;
    sot_profile_params params = SOT_PROFILE_PARAMS_INIT;
    sot_profile *made = NULL;
    params.flags = options->full ? SOT_PROFILE_FULL : 0;
    params.max_batch = options->max_batch;
    params.max_context = options->max_context;
    params.n_decode_repeats = options->decode_repeats;
    params.n_prefill_repeats = options->prefill_repeats;
    params.cell_ns = (uint64_t)options->cell_ms * 1000000;
    params.machine = profiling->machine;
    params.progress = show_progress;
    params.progress_user = profiling;
    profiling->began_ns = time_ns();
    interrupt_session(profiling->session);
    sot_status status = SOT_ERR_CANCELLED;
    if (!interrupt_seen())
        status = profiling->profile
                     ? sot_profile_refresh(profiling->profile, profiling->session, &made)
                     : sot_profile_measure(profiling->session, &params, &made);
    interrupt_session(NULL);
    progress_clear();
    sot_profile_free(profiling->profile);
    profiling->profile = made;
    if (status == SOT_ERR_CANCELLED && interrupt_seen()) {
        complain("interrupted; no profile was made");
        return EXIT_INTERRUPTED;
    }
    return status == SOT_OK ? -1 : exit_code_of(status);
}

/* ---- Telling -----------------------------------------------------------------------------------
 */

static void print_table(const char *what, const sot_profile *profile, uint32_t max_batch,
                        const uint32_t *lengths, size_t n_lengths, uint32_t most,
                        double (*ns)(const sot_profile *, uint32_t, uint32_t))
{
    printf("\n%s\n  batch", what);
    for (size_t i = 0; i < n_lengths && lengths[i] <= most; i++)
        printf(" %9u", lengths[i]);
    printf("\n");
    for (uint32_t batch = 1;; batch = batch * 2 < max_batch ? batch * 2 : max_batch) {
        printf("%7u", batch);
        for (size_t i = 0; i < n_lengths && lengths[i] <= most; i++)
            printf(" %9.2f", ns(profile, batch, lengths[i]) / 1e6);
        printf("\n");
        if (batch == max_batch)
            break;
    }
}

static void print_profile(const struct profiling *profiling)
{
    static const uint32_t prompts[] = {1, 11, 61, 121, 251, 691};
    static const uint32_t contexts[] = {1, 256, 1024};
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    sot_profile_get_info(profiling->profile, &info);
    printf("machine    %s, %s%s%s, %u threads\n", info.machine, info.device,
           info.isa[0] ? ", " : "", info.isa, info.n_threads);
    printf("model      %s, %u layers of width %u, %.3f GB a step\n", profiling->options.model,
           info.n_layer, info.d_model, (double)info.weight_bytes / 1e9);
    printf("cells      %u measured in %.0f s, %u left out for lack of room\n", info.n_cells,
           (double)(time_ns() - profiling->began_ns) / 1e9, info.n_cells_left_out);
    print_table("Prompts: ms for so many tokens of each sequence", profiling->profile,
                info.prefill_max_batch, prompts, sizeof prompts / sizeof *prompts,
                info.prefill_max_tokens, sot_profile_prefill_ns);
    print_table("Decoding: ms for a token of each sequence behind so many", profiling->profile,
                info.decode_max_batch, contexts, sizeof contexts / sizeof *contexts,
                info.decode_max_context, sot_profile_decode_ns);
}

static int store(const struct profiling *profiling)
{
    if (!profiling->options.out_path)
        return EXIT_DONE;
    sot_status status = sot_profile_save(profiling->profile, profiling->options.out_path);
    if (status != SOT_OK)
        return exit_code_of(status);
    printf("\nkept in %s\n", profiling->options.out_path);
    return EXIT_DONE;
}

static int complete_options(struct profile_options *options)
{
    if (!options->model)
        options->model = "random:2048x24x16x5504x32000";
    if (!options->max_batch)
        options->max_batch = DEFAULT_BATCH;
    if (!options->max_context)
        options->max_context = DEFAULT_CONTEXT;
    if (options->full && options->update_path) {
        complain("--full measures all, --refresh a few cells: one of them");
        return EXIT_USAGE;
    }
    return bench_parse_device(&options->device, &options->is_cuda, &options->i_device);
}

int command_profile(int argc, char **argv)
{
    struct profiling profiling = {0};
    int code = option_table_parse(&table, &profiling.options, argc, argv, NULL);
    if (code >= 0)
        return code;
    code = complete_options(&profiling.options);
    if (code < 0) {
        interrupt_install();
        code = prepare(&profiling);
    }
    if (code < 0)
        code = measure(&profiling);
    if (code < 0) {
        print_profile(&profiling);
        code = store(&profiling);
    }
    sot_profile_free(profiling.profile);
    sot_session_free(profiling.session);
    sot_model_free(profiling.model);
    return code;
}
