/* Parsing the command line: see options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "text.h"

enum { FLAG, TEXT, COUNT, SEED, REAL };
enum {
    BOTH = COMMAND_ASK | COMMAND_CHAT, /* that answer */
    ANY = BOTH | COMMAND_INFO | COMMAND_TOKENIZE,
    FIRST_VALUE = 1000
};

struct option_row {
    const char *name;
    char letter;
    unsigned kind;
    unsigned commands;  /* that know it */
    size_t offset;      /* of its member of struct options */
    double least, most; /* of COUNT and REAL */
    const char *value;  /* its name in the help text */
    const char *help;
};

#define AT(member) offsetof(struct options, member)
#define COUNT_MOST 4294967295.0

static const struct option_row rows[] = {
    {"model", 'm', TEXT, ANY, AT(model), 0, 0, "PATH",
     "GGUF file, Hugging Face directory, or random:SHAPE"},
    {"mode", 0, TEXT, BOTH, AT(mode), 0, 0, "MODE", "sot (default), normal or routed"},
    {"router", 0, TEXT, BOTH, AT(router), 0, 0, "NAME",
     "who decides in mode routed: prompting (the model; default), trained,\nalways, never"},
    {"router-file", 0, TEXT, BOTH, AT(router_path), 0, 0, "FILE",
     "weights of the trained router (default: the installed ones)"},
    {"concurrent", 0, FLAG, BOTH, AT(concurrent), 0, 0, NULL,
     "mode routed: the model is asked while both answers begin"},
    {"compare", 0, FLAG, COMMAND_ASK, AT(compare), 0, 0, NULL, "answer in both modes and compare"},
    {"template", 0, TEXT, BOTH, AT(generate.conversation), 0, 0, "NAME",
     "conversation template (default: the model's): vicuna, llama2-chat,\n"
     "ultralm, openchat, stablevicuna, none"},
    {"system", 0, TEXT, BOTH, AT(generate.system_message), 0, 0, "TEXT", "system message"},
    {"wording", 0, TEXT, BOTH, AT(generate.wording), 0, 0, "NAME",
     "of the prompts: two-shot (default), zero-shot, compact, chained"},
    {"prompts", 0, TEXT, BOTH, AT(prompts_path), 0, 0, "FILE",
     "JSON with outline_prompt and point_prompt; goes before --wording"},
    {"load", 0, TEXT, COMMAND_CHAT, AT(load_path), 0, 0, "FILE",
     "go on with a conversation that /save wrote"},
    {"keep-all", 0, FLAG, COMMAND_CHAT, AT(keep_all), 0, 0, NULL,
     "refuse a question rather than leave the oldest rounds out"},
    {"reserve", 0, COUNT, COMMAND_CHAT, AT(reserve_tokens), 1, COUNT_MOST, "N",
     "tokens of the context kept free for an answer (default: a quarter)"},
    {"temperature", 0, REAL, BOTH, AT(generate.temperature), 0, 1000, "X",
     "0 (default) takes the likeliest token"},
    {"top-k", 0, COUNT, BOTH, AT(generate.top_k), 0, COUNT_MOST, "N",
     "sample from the N likeliest tokens; 0: all"},
    {"top-p", 0, REAL, BOTH, AT(generate.top_p), 0, 1, "X",
     "sample from the smallest set of this probability"},
    {"repetition-penalty", 0, REAL, BOTH, AT(generate.repetition_penalty), 0, 1000, "X",
     "above 1: tokens already written become less likely"},
    {"seed", 0, SEED, BOTH, AT(generate.seed), 0, 0, "N", "of the random draws"},
    {"max-tokens", 0, COUNT, BOTH, AT(generate.max_tokens), 1, COUNT_MOST, "N",
     "limit of a normal answer (default 1024)"},
    {"max-skeleton-tokens", 0, COUNT, BOTH, AT(generate.max_skeleton_tokens), 1, COUNT_MOST, "N",
     "limit of the skeleton (default 512)"},
    {"max-point-tokens", 0, COUNT, BOTH, AT(generate.max_point_tokens), 1, COUNT_MOST, "N",
     "limit of each point's expansion (default 256)"},
    {"max-points", 0, COUNT, BOTH, AT(generate.max_points), 1, COUNT_MOST, "N",
     "points that are expanded (default 64)"},
    {"device", 0, TEXT, BOTH | COMMAND_INFO, AT(device), 0, 0, "NAME",
     "auto, cpu, cuda or cuda:N; auto is a GPU that has room for the\n"
     "weights, otherwise the CPU (default: auto; cpu for info)"},
    {"threads", 0, COUNT, BOTH, AT(session.n_threads), 1, COUNT_MOST, "N",
     "worker threads (default: one per CPU)"},
    {"ctx", 0, COUNT, BOTH, AT(session.n_ctx), 1, COUNT_MOST, "N",
     "tokens of a prompt and its text\n(default: the model's, at most 4096)"},
    {"isa", 0, TEXT, BOTH, AT(session.isa), 0, 0, "NAME",
     "instruction set: auto (default), amx, avx512, avx2, neon, portable"},
    {"json", 0, FLAG, BOTH | COMMAND_INFO, AT(json), 0, 0, NULL, "print one JSON object"},
    {"stats", 0, FLAG, BOTH, AT(stats), 0, 0, NULL, "print statistics to standard error"},
    {"quiet", 'q', FLAG, BOTH, AT(quiet), 0, 0, NULL, "no live view and no warnings"},
    {"no-color", 0, FLAG, BOTH, AT(no_color), 0, 0, NULL, "no bold and dim text (as NO_COLOR)"},
    {"bos", 0, FLAG, COMMAND_TOKENIZE, AT(bos), 0, 0, NULL,
     "put the beginning-of-text token first"},
    {"help", 'h', FLAG, ANY, AT(help), 0, 0, NULL, "print this help"},
};
enum { N_OPTIONS = sizeof rows / sizeof *rows };

static void *member(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

static const char *command_name(unsigned command)
{
    switch (command) {
    case COMMAND_ASK:
        return "ask";
    case COMMAND_CHAT:
        return "chat";
    default:
        return command == COMMAND_INFO ? "info" : "tokenize";
    }
}

static void print_options(unsigned command)
{
    for (const struct option_row *row = rows; row < rows + N_OPTIONS; row++) {
        if (!(row->commands & command))
            continue;
        char left[64];
        char letter[] = {row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
                         row->letter ? ',' : ' ', '\0'};
        snprintf(left, sizeof left, "  %s --%s %s", letter, row->name,
                 row->value ? row->value : "");
        for (const char *line = row->help; line;) {
            const char *end = strchr(line, '\n');
            printf("%-32s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line), line);
            left[0] = '\0';
            line = end ? end + 1 : NULL;
        }
    }
}

static void print_help(unsigned command)
{
    static const char *const ask =
        "Usage: sot ask -m MODEL [options] [\"question\"]\n\n"
        "Answers a question by Skeleton-of-Thought: first a skeleton of short points, then all\n"
        "points at once, as one batch. Without a question, or with -, the question is read from\n"
        "standard input.\n\n";
    static const char *const chat =
        "Usage: sot chat -m MODEL [options]\n\n"
        "A conversation: each question is answered behind the rounds before it. /help lists what\n"
        "else can be said. Where standard input is no terminal, each of its lines is a question.\n"
        "\n";
    static const char *const info =
        "Usage: sot info -m MODEL [options]\n\nPrints what a model is.\n\n";
    static const char *const tokenize = "Usage: sot tokenize -m MODEL [options] [\"text\"]\n\n"
                                        "Prints the token ids of a text, or of standard input.\n\n";
    if (command == COMMAND_CHAT)
        fputs(chat, stdout);
    else
        fputs(command == COMMAND_ASK ? ask : command == COMMAND_INFO ? info : tokenize, stdout);
    print_options(command);
    if (command == COMMAND_CHAT)
        printf("\nLine editing: %s.\nExit codes: as sot ask's, the first that was not 0; 0 on a "
               "terminal.\n",
               lines_editor_name());
    if (command == COMMAND_ASK)
        printf("\nExit codes: 0 answered, 1 failed, 2 wrong usage, 3 context full (the answer is\n"
               "incomplete), 130 interrupted by Ctrl-C (what there was is printed).\n");
}

void print_overview(void)
{
    printf("Usage: sot COMMAND [options]\n\n"
           "  sot ask       answer a question by Skeleton-of-Thought\n"
           "  sot chat      hold a conversation\n"
           "  sot info      print what a model is\n"
           "  sot tokenize  print the token ids of a text\n\n"
           "  sot COMMAND --help  the options of a command\n"
           "  sot --version       the version\n");
}

static const struct {
    const char *name;
    uint32_t mode;
} modes[] = {{"normal", SOT_MODE_NORMAL}, {"sot", SOT_MODE_SOT}, {"routed", SOT_MODE_ROUTED}};
enum { N_MODES = sizeof modes / sizeof *modes };

int options_find_mode(const char *name, uint32_t *mode)
{
    for (int i = 0; i < N_MODES; i++) {
        if (strcmp(modes[i].name, name) == 0) {
            *mode = modes[i].mode;
            return 1;
        }
    }
    return 0;
}

const char *options_mode_name(uint32_t mode)
{
    for (int i = 0; i < N_MODES; i++)
        if (modes[i].mode == mode)
            return modes[i].name;
    return "sot";
}

static int parse_count(const struct option_row *row, const char *value, uint64_t *out)
{
    uint64_t most = row->kind == SEED ? UINT64_MAX : (uint64_t)row->most;
    uint64_t least = row->kind == SEED ? 0 : (uint64_t)row->least;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < least || number > most) {
        complain("--%s '%s': a whole number from %llu to %llu is expected", row->name, value,
                 (unsigned long long)least, (unsigned long long)most);
        return EXIT_USAGE;
    }
    *out = number;
    return -1;
}

static int parse_real(const struct option_row *row, const char *value, float *out)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !(number >= row->least && number <= row->most)) {
        complain("--%s '%s': a number from %g to %g is expected", row->name, value, row->least,
                 row->most);
        return EXIT_USAGE;
    }
    *out = (float)number;
    return -1;
}

static int set_option(struct options *options, const struct option_row *row, const char *value)
{
    void *out = member(options, row);
    uint64_t number;
    int code = -1;
    switch (row->kind) {
    case FLAG:
        *(int *)out = 1;
        break;
    case TEXT:
        *(const char **)out = value;
        break;
    case COUNT:
        if ((code = parse_count(row, value, &number)) < 0)
            *(uint32_t *)out = (uint32_t)number;
        break;
    case SEED:
        if ((code = parse_count(row, value, &number)) < 0)
            *(uint64_t *)out = number;
        break;
    default:
        code = parse_real(row, value, out);
        break;
    }
    return code;
}

/* Which option getopt_long stumbled over: optopt is the value of a known one, the letter of an
 * unknown short one, and 0 for an unknown long one, which is the argument before optind then. */
static int refuse(int result, unsigned command, char **argv)
{
    const char *name = command_name(command);
    if (optopt >= FIRST_VALUE) {
        const struct option_row *row = &rows[optopt - FIRST_VALUE];
        complain(result == ':' ? "--%s needs a value (see sot %s --help)"
                               : "--%s takes no value (see sot %s --help)",
                 row->name, name);
    } else if (optopt == 'm' && result == ':') {
        complain("-m needs a value (see sot %s --help)", name);
    } else if (optopt) {
        complain("unknown option '-%c' (see sot %s --help)", optopt, name);
    } else {
        complain("unknown or ambiguous option '%s' (see sot %s --help)", argv[optind - 1], name);
    }
    return EXIT_USAGE;
}

static const struct {
    const char *name;
    uint32_t router;
} routers[] = {{"prompting", SOT_ROUTER_PROMPTING},
               {"trained", SOT_ROUTER_TRAINED},
               {"always", SOT_ROUTER_ALWAYS},
               {"never", SOT_ROUTER_NEVER}};
enum { N_ROUTERS = sizeof routers / sizeof *routers };

/* In a conversation the mode may become routed later. */
static int check_router(struct options *options)
{
    const char *name = options->router;
    int is_set = name || options->router_path || options->concurrent;
    if (!name)
        name = options->router_path ? "trained" : "prompting";
    for (int i = 0; i < N_ROUTERS; i++)
        if (strcmp(routers[i].name, name) == 0)
            options->generate.router = routers[i].router;
    if (options->generate.router == SOT_ROUTER_DEFAULT) {
        complain("--router '%s': prompting, trained, always or never is expected", name);
        return EXIT_USAGE;
    }
    if (options->router_path && options->generate.router != SOT_ROUTER_TRAINED) {
        complain("--router-file is for the trained router, not for --router %s", name);
        return EXIT_USAGE;
    }
    if (is_set && options->command == COMMAND_ASK && options->generate.mode != SOT_MODE_ROUTED) {
        complain("--router, --router-file and --concurrent are for --mode routed");
        return EXIT_USAGE;
    }
    if (options->concurrent)
        options->generate.flags |= SOT_GENERATE_CONCURRENT;
    return -1;
}

static int check(struct options *options, int argc, char **argv)
{
    const char *name = command_name(options->command);
    int most = options->command == COMMAND_ASK || options->command == COMMAND_TOKENIZE;
    if (argc - optind > most) {
        complain("unexpected argument '%s'%s", argv[optind + most],
                 most ? "; put quotes around the text" : "");
        return EXIT_USAGE;
    }
    options->argument = optind < argc ? argv[optind] : NULL;
    if (!options->model) {
        complain("no model: -m PATH is missing (see sot %s --help)", name);
        return EXIT_USAGE;
    }
    if (options->mode) {
        if (!options_find_mode(options->mode, &options->generate.mode)) {
            complain("--mode '%s': normal, sot or routed is expected", options->mode);
            return EXIT_USAGE;
        }
        if (options->compare) {
            complain("--mode cannot go with --compare, which runs both modes");
            return EXIT_USAGE;
        }
    }
    return check_router(options);
}

int options_parse(struct options *options, unsigned command, int argc, char **argv)
{
    struct option longs[N_OPTIONS + 1] = {0};
    size_t n_longs = 0;
    *options = (struct options){.command = command,
                                .session = SOT_SESSION_PARAMS_INIT,
                                .generate = SOT_GENERATE_PARAMS_INIT};
    options->generate.mode = SOT_MODE_SOT;
    for (int i = 0; i < N_OPTIONS; i++)
        if (rows[i].commands & command)
            longs[n_longs++] = (struct option){
                rows[i].name, rows[i].kind == FLAG ? no_argument : required_argument, NULL,
                FIRST_VALUE + i};
    opterr = 0;
    for (;;) {
        int result = getopt_long(argc, argv, command & BOTH ? ":m:qh" : ":m:h", longs, NULL);
        if (result == -1)
            break;
        if (result == '?' || result == ':')
            return refuse(result, command, argv);
        const struct option_row *row = rows + (result - FIRST_VALUE);
        for (int i = 0; result < FIRST_VALUE && i < N_OPTIONS; i++)
            if (rows[i].letter == result)
                row = &rows[i];
        int code = set_option(options, row, optarg);
        if (code >= 0)
            return code;
    }
    if (options->help) {
        print_help(command);
        return EXIT_DONE;
    }
    return check(options, argc, argv);
}
