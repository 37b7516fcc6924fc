/* Parsing the command line: see bench_options.h. */
#include "bench_options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../shared/answer_options.h"
#include "../shared/text.h"
#include "commands.h"

#define AT(member) offsetof(struct bench_options, member)
/* clang-format off */
#define ROW(...) {__VA_ARGS__}
/* clang-format on */

static const struct option_row rows[] = {
    MEASURED_MODEL_ROW,
    {"quick", 'q', OPTION_FLAG, AT(quick), 0, 0, NULL, "fewer cases and repeats"},
    {"cases", 0, OPTION_TEXT, AT(cases_list), 0, 0, "LIST",
     "some of load,prefill,decode,attention,tokenizer,replay"},
    {"repeats", 0, OPTION_COUNT, AT(repeats), 1, 10000, "N",
     "counted runs of each pass (default 5, with --quick 3)"},
    THREADS_ROW,
    ISA_ROW,
    DEVICE_ROW,
    PIN_ROW,
    WEIGHT_ROWS(ROW),
    {"json", 0, OPTION_TEXT, AT(json_path), 0, 0, "FILE", "write everything measured to FILE too"},
    REPLAY_MODEL_ROW,
    REPLAY_CATEGORY_ROW,
    {"replay-repeats", 0, OPTION_COUNT, AT(replay_repeats), 1, 1000, "N",
     "runs of each text (default 3, with --quick 1)"},
    {"lengths", 0, OPTION_TEXT, AT(lengths_list), 0, 0, "N:S:L1,L2,...",
     "lengths of one's own: normal answer, skeleton, expansions"},
    LENGTHS_FILE_ROW,
    {"list-lengths", 0, OPTION_FLAG, AT(list_lengths), 0, 0, NULL,
     "print the lengths that are known and exit"},
    {"paper-prompts", 0, OPTION_FLAG, AT(paper_prompts), 0, 0, NULL,
     "replay with the paper's templates, however many tokens the\n"
     "model's tokenizer makes of them"},
    {"write-gguf", 0, OPTION_TEXT, AT(gguf_path), 0, 0, "FILE", "store the model in FILE and exit"},
    {"version", 0, OPTION_FLAG, AT(version), 0, 0, NULL, "print the version"},
};

static void print_commands(void)
{
    printf("\nCommands (sot-bench COMMAND --help has their options):\n");
    commands_print(bench_commands, "");
}

static const struct option_table table = {
    .name = "sot-bench",
    .usage =
        "Usage: sot-bench [options]\n"
        "       sot-bench COMMAND [options]\n\n"
        "Measures this machine's limits, then how close the library comes to them: prompts,\n"
        "batched decoding, attention, the tokenizer, and a replay of Skeleton-of-Thought with\n"
        "the lengths of real answers.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .print_more = print_commands,
    .remarks =
        "Exit codes: 0 measured, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C (what was\n"
        "measured until then is printed).\n",
};

static const char *const case_names[] = {"load",      "prefill",   "decode",
                                         "attention", "tokenizer", "replay"};
enum { N_CASES = sizeof case_names / sizeof *case_names };

const char *case_name(unsigned which)
{
    size_t i = 0;
    while (i + 1 < N_CASES && which != 1u << i)
        i++;
    return case_names[i];
}

int bench_parse_device(const char **device, int *is_cuda, uint32_t *i_device)
{
    *device = *device ? *device : "cpu";
    *is_cuda = strncmp(*device, "cuda", 4) == 0;
    if (strcmp(*device, "cpu") == 0 || strcmp(*device, "cuda") == 0)
        return -1;
    if (strncmp(*device, "cuda:", 5) == 0)
        return option_parse_count("device", *device + 5, 0, 255, i_device);
    complain("--device '%s': cpu, cuda or cuda:N is expected", *device);
    return EXIT_USAGE;
}

static int check(struct bench_options *options)
{
    int n_sources = (options->lengths_list != NULL) + (options->lengths_path != NULL) +
                    (options->replay_model != NULL || options->replay_category != NULL);
    if (n_sources > 1) {
        complain("--lengths, --lengths-file, and --replay-model with --replay-category exclude "
                 "each other");
        return EXIT_USAGE;
    }
    if (options->gguf_path && options->json_path) {
        complain("--write-gguf measures nothing that --json could store");
        return EXIT_USAGE;
    }
    if (!options->model)
        options->model = "random:2048x24x16x5504x32000";
    if (!options->repeats)
        options->repeats = options->quick ? 3 : 5;
    if (!options->replay_repeats)
        options->replay_repeats = options->quick ? 1 : 3;
    if (!options->replay_model)
        options->replay_model = "LLaMA2-Chat-7B";
    if (!options->replay_category)
        options->replay_category = "average";
    int code = bench_parse_device(&options->device, &options->is_cuda, &options->i_device);
    options->cases = CASE_ALL;
    if (code < 0 && options->cases_list)
        code =
            option_parse_names("cases", options->cases_list, case_names, N_CASES, &options->cases);
    return code;
}

int bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    *options = (struct bench_options){0};
    int code = option_table_parse(&table, options, argc, argv, NULL);
    if (code >= 0)
        return code;
    if (options->version) {
        printf("sot-bench %s\n", sot_version_string());
        return EXIT_DONE;
    }
    return check(options);
}
