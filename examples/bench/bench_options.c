/* Parsing the command line: see bench_options.h. */
#include "bench_options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sot/text.h"
#include "commands.h"

enum { FLAG, TEXT, COUNT, FIRST_VALUE = 1000 };

struct option_row {
    const char *name;
    char letter;
    unsigned kind;
    size_t offset;        /* of its member of struct bench_options */
    uint32_t least, most; /* of COUNT */
    const char *value;    /* its name in the help text */
    const char *help;
};

#define AT(member) offsetof(struct bench_options, member)

static const struct option_row rows[] = {
    {"model", 'm', TEXT, AT(model), 0, 0, "PATH",
     "GGUF file, Hugging Face directory, or random:SHAPE\n"
     "(default random:2048x24x16x5504x32000)"},
    {"quick", 'q', FLAG, AT(quick), 0, 0, NULL, "fewer cases and repeats"},
    {"cases", 0, TEXT, AT(cases_list), 0, 0, "LIST",
     "some of load,prefill,decode,attention,tokenizer,replay"},
    {"repeats", 0, COUNT, AT(repeats), 1, 10000, "N",
     "counted runs of each pass (default 5, with --quick 3)"},
    {"threads", 0, COUNT, AT(n_threads), 1, 256, "N", "worker threads (default: one per CPU)"},
    {"isa", 0, TEXT, AT(isa), 0, 0, "NAME",
     "instruction set: auto (default), amx, avx512, avx2, neon,\nportable"},
    {"device", 0, TEXT, AT(device), 0, 0, "NAME", "cpu (default), cuda, or cuda:N"},
    {"pin", 0, FLAG, AT(pin), 0, 0, NULL, "keep each worker thread on a CPU of its own"},
    {"json", 0, TEXT, AT(json_path), 0, 0, "FILE", "write everything measured to FILE too"},
    {"replay-model", 0, TEXT, AT(replay_model), 0, 0, "NAME",
     "lengths of this model's answers (default LLaMA2-Chat-7B)"},
    {"replay-category", 0, TEXT, AT(replay_category), 0, 0, "NAME",
     "to questions of this category (default average)"},
    {"replay-repeats", 0, COUNT, AT(replay_repeats), 1, 1000, "N",
     "runs of each text (default 3, with --quick 1)"},
    {"lengths", 0, TEXT, AT(lengths_list), 0, 0, "N:S:L1,L2,...",
     "lengths of one's own: normal answer, skeleton, expansions"},
    {"lengths-file", 0, TEXT, AT(lengths_path), 0, 0, "FILE", "the same from a JSON file"},
    {"list-lengths", 0, FLAG, AT(list_lengths), 0, 0, NULL,
     "print the lengths that are known and exit"},
    {"paper-prompts", 0, FLAG, AT(paper_prompts), 0, 0, NULL,
     "replay with the paper's templates, however many tokens the\n"
     "model's tokenizer makes of them"},
    {"write-gguf", 0, TEXT, AT(gguf_path), 0, 0, "FILE", "store the model in FILE and exit"},
    {"help", 'h', FLAG, AT(help), 0, 0, NULL, "print this help"},
    {"version", 0, FLAG, AT(version), 0, 0, NULL, "print the version"},
};
enum { N_OPTIONS = sizeof rows / sizeof *rows };

static void print_help(void)
{
    printf("Usage: sot-bench [options]\n"
           "       sot-bench COMMAND [options]\n\n"
           "Measures this machine's limits, then how close the library comes to them: prompts,\n"
           "batched decoding, attention, the tokenizer, and a replay of Skeleton-of-Thought with\n"
           "the lengths of real answers.\n\n");
    for (const struct option_row *row = rows; row < rows + N_OPTIONS; row++) {
        char left[64];
        char letter[] = {row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
                         row->letter ? ',' : ' ', '\0'};
        snprintf(left, sizeof left, "  %s --%s %s", letter, row->name,
                 row->value ? row->value : "");
        for (const char *line = row->help; line;) {
            const char *end = strchr(line, '\n');
            printf("%-30s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line), line);
            left[0] = '\0';
            line = end ? end + 1 : NULL;
        }
    }
    commands_print();
    printf(
        "\nExit codes: 0 measured, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C (what was\n"
        "measured until then is printed).\n");
}

static int parse_count(const struct option_row *row, const char *value, uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < row->least ||
        number > row->most) {
        complain("--%s '%s': a whole number from %u to %u is expected", row->name, value,
                 row->least, row->most);
        return EXIT_USAGE;
    }
    *out = (uint32_t)number;
    return -1;
}

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

int exit_code_of(sot_status status)
{
    complain("%s", sot_error_message()[0] ? sot_error_message() : sot_status_name(status));
    if (status == SOT_ERR_CANCELLED)
        return EXIT_INTERRUPTED;
    return status == SOT_ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

static int parse_cases(struct bench_options *options)
{
    options->cases = options->cases_list ? 0 : CASE_ALL;
    for (const char *at = options->cases_list; at;) {
        size_t size = strcspn(at, ",");
        size_t i = 0;
        while (i < N_CASES &&
               (strlen(case_names[i]) != size || memcmp(case_names[i], at, size) != 0))
            i++;
        if (i == N_CASES) {
            complain("--cases: no case is named '%.*s' (see sot-bench --help)", (int)size, at);
            return EXIT_USAGE;
        }
        options->cases |= 1u << i;
        at = at[size] ? at + size + 1 : NULL;
    }
    return -1;
}

/* Which option getopt_long stumbled over: optopt is the value of a known one, the letter of an
 * unknown short one, and 0 for an unknown long one, which is the argument before optind then. */
static int refuse(int result, char **argv)
{
    if (optopt >= FIRST_VALUE)
        complain(result == ':' ? "--%s needs a value (see sot-bench --help)"
                               : "--%s takes no value (see sot-bench --help)",
                 rows[optopt - FIRST_VALUE].name);
    else if (optopt == 'm' && result == ':')
        complain("-m needs a value (see sot-bench --help)");
    else if (optopt)
        complain("unknown option '-%c' (see sot-bench --help)", optopt);
    else
        complain("unknown or ambiguous option '%s' (see sot-bench --help)", argv[optind - 1]);
    return EXIT_USAGE;
}

/* "cuda" is the first device. */
static int parse_device(struct bench_options *options)
{
    static const struct option_row number = {"device", 0, COUNT, 0, 0, 255, NULL, NULL};
    options->device = options->device ? options->device : "cpu";
    options->is_cuda = strncmp(options->device, "cuda", 4) == 0;
    if (strcmp(options->device, "cpu") == 0 || strcmp(options->device, "cuda") == 0)
        return -1;
    if (strncmp(options->device, "cuda:", 5) == 0)
        return parse_count(&number, options->device + 5, &options->i_device);
    complain("--device '%s': cpu, cuda or cuda:N is expected", options->device);
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
    int code = parse_device(options);
    return code < 0 ? parse_cases(options) : code;
}

static int set_option(struct bench_options *options, const struct option_row *row,
                      const char *value)
{
    void *out = (char *)options + row->offset;
    if (row->kind == COUNT)
        return parse_count(row, value, out);
    if (row->kind == FLAG)
        *(int *)out = 1;
    else
        *(const char **)out = value;
    return -1;
}

int bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    struct option longs[N_OPTIONS + 1] = {0};
    *options = (struct bench_options){0};
    for (int i = 0; i < N_OPTIONS; i++)
        longs[i] =
            (struct option){rows[i].name, rows[i].kind == FLAG ? no_argument : required_argument,
                            NULL, FIRST_VALUE + i};
    opterr = 0;
    for (;;) {
        int result = getopt_long(argc, argv, ":m:qh", longs, NULL);
        if (result == -1)
            break;
        if (result == '?' || result == ':')
            return refuse(result, argv);
        int i_row = result - FIRST_VALUE;
        for (int i = 0; result < FIRST_VALUE && i < N_OPTIONS; i++)
            if (rows[i].letter == result)
                i_row = i;
        int code = set_option(options, &rows[i_row], optarg);
        if (code >= 0)
            return code;
    }
    if (optind < argc) {
        complain("'%s' is no command of sot-bench and no option (see sot-bench --help)",
                 argv[optind]);
        return EXIT_USAGE;
    }
    if (options->help) {
        print_help();
        return EXIT_DONE;
    }
    if (options->version) {
        printf("sot-bench %s\n", sot_version_string());
        return EXIT_DONE;
    }
    return check(options);
}
