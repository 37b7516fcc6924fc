/* Parsing the command line: see options.h. */
#include "options.h"

#include <stddef.h>
#include <stdio.h>

#include "../shared/option_table.h"
#include "../shared/text.h"
#include "lines.h"

enum {
    BOTH = COMMAND_ASK | COMMAND_CHAT, /* that answer */
    ANY = BOTH | COMMAND_INFO | COMMAND_TOKENIZE
};

#define AT(member) offsetof(struct options, member)
/* clang-format off */
#define ROW_OF_ANY(...)  {ANY, {__VA_ARGS__}}
#define ROW_OF_BOTH(...) {BOTH, {__VA_ARGS__}}
/* clang-format on */

static const struct {
    unsigned commands; /* that know it */
    struct option_row row;
} all_rows[] = {
    MODEL_ROWS(ROW_OF_ANY),
    {BOTH, {"mode", 0, OPTION_TEXT, AT(mode), 0, 0, "MODE", "sot (default), normal or routed"}},
    ROUTER_ROWS(ROW_OF_BOTH),
    {COMMAND_ASK,
     {"compare", 0, OPTION_FLAG, AT(compare), 0, 0, NULL, "answer in both modes and compare"}},
    PROMPT_ROWS(ROW_OF_BOTH),
    {COMMAND_CHAT,
     {"load", 0, OPTION_TEXT, AT(load_path), 0, 0, "FILE",
      "go on with a conversation that /save wrote"}},
    {COMMAND_CHAT,
     {"keep-all", 0, OPTION_FLAG, AT(keep_all), 0, 0, NULL,
      "refuse a question rather than leave the oldest rounds out"}},
    {COMMAND_CHAT,
     {"reserve", 0, OPTION_COUNT, AT(reserve_tokens), 1, OPTION_COUNT_MOST, "N",
      "tokens of the context kept free for an answer (default: a quarter)"}},
    SAMPLING_ROWS(ROW_OF_BOTH),
    LIMIT_ROWS(ROW_OF_BOTH),
    {BOTH | COMMAND_INFO,
     {"device", 0, OPTION_TEXT, AT(device), 0, 0, "NAME",
      "auto, cpu, cuda or cuda:N; auto is a GPU that has room for the\n"
      "weights, otherwise the CPU (default: auto; cpu for info)"}},
    WEIGHT_ROWS(ROW_OF_BOTH),
    SESSION_ROWS(ROW_OF_BOTH),
    {BOTH | COMMAND_INFO, {"json", 0, OPTION_FLAG, AT(json), 0, 0, NULL, "print one JSON object"}},
    {BOTH, {"stats", 0, OPTION_FLAG, AT(stats), 0, 0, NULL, "print statistics to standard error"}},
    {BOTH, {"quiet", 'q', OPTION_FLAG, AT(quiet), 0, 0, NULL, "no live view and no warnings"}},
    {BOTH,
     {"no-color", 0, OPTION_FLAG, AT(no_color), 0, 0, NULL, "no bold and dim text (as NO_COLOR)"}},
    {COMMAND_TOKENIZE,
     {"bos", 0, OPTION_FLAG, AT(bos), 0, 0, NULL, "put the beginning-of-text token first"}},
};
enum { N_ROWS = sizeof all_rows / sizeof *all_rows };

static void print_editor(void)
{
    printf("\nLine editing: %s.\n", lines_editor_name());
}

/* What a command's table has besides its rows. */
static const struct option_table ask_table = {
    .name = "sot ask",
    .usage =
        "Usage: sot ask -m MODEL [options] [\"question\"]\n\n"
        "Answers a question by Skeleton-of-Thought: first a skeleton of short points, then all\n"
        "points at once, as one batch. Without a question, or with -, the question is read from\n"
        "standard input.\n",
    .remarks = "Exit codes: 0 answered, 1 failed, 2 wrong usage, 3 context full (the answer is\n"
               "incomplete), 130 interrupted by Ctrl-C (what there was is printed).\n",
    .most_arguments = ARGUMENTS_MOST,
};
static const struct option_table chat_table = {
    .name = "sot chat",
    .usage =
        "Usage: sot chat -m MODEL [options]\n\n"
        "A conversation: each question is answered behind the rounds before it. /help lists what\n"
        "else can be said. Where standard input is no terminal, each of its lines is a question.\n",
    .print_more = print_editor,
    .remarks = "Exit codes: as sot ask's, the first that was not 0; 0 on a terminal.\n",
};
static const struct option_table info_table = {
    .name = "sot info",
    .usage = "Usage: sot info -m MODEL [options]\n\nPrints what a model is.\n",
};
static const struct option_table tokenize_table = {
    .name = "sot tokenize",
    .usage = "Usage: sot tokenize -m MODEL [options] [\"text\"]\n\n"
             "Prints the token ids of a text, or of standard input.\n",
    .most_arguments = ARGUMENTS_MOST,
};

static const struct option_table *table_of(unsigned command)
{
    switch (command) {
    case COMMAND_ASK:
        return &ask_table;
    case COMMAND_CHAT:
        return &chat_table;
    default:
        return command == COMMAND_INFO ? &info_table : &tokenize_table;
    }
}

/* In a conversation the mode may become routed later. */
static int check_router(struct options *options)
{
    int is_set = options->router || options->router_path || options->concurrent;
    int code = router_choose(&options->generate, &options->router, options->router_path);
    if (code >= 0)
        return code;
    if (is_set && options->command == COMMAND_ASK && options->generate.mode != SOT_MODE_ROUTED) {
        complain("--router, --router-file and --concurrent are for --mode routed");
        return EXIT_USAGE;
    }
    if (options->concurrent)
        options->generate.flags |= SOT_GENERATE_CONCURRENT;
    return -1;
}

static int check_mode(struct options *options)
{
    options->generate.mode = options->mode ? mode_number(options->mode) : SOT_MODE_SOT;
    if (options->generate.mode == SOT_MODE_DEFAULT) {
        complain("--mode '%s': normal, sot or routed is expected", options->mode);
        return EXIT_USAGE;
    }
    if (options->mode && options->compare) {
        complain("--mode cannot go with --compare, which runs both modes");
        return EXIT_USAGE;
    }
    return check_router(options);
}

int options_parse(struct options *options, unsigned command, int argc, char **argv)
{
    struct option_row rows[N_ROWS];
    struct option_table table = *table_of(command);
    struct arguments arguments;
    table.rows = rows;
    for (size_t i = 0; i < N_ROWS; i++)
        if (all_rows[i].commands & command)
            rows[table.n_rows++] = all_rows[i].row;
    *options = (struct options){.command = command,
                                .session = SOT_SESSION_PARAMS_INIT,
                                .generate = SOT_GENERATE_PARAMS_INIT};
    int code = option_table_parse(&table, options, argc, argv, &arguments);
    if (code >= 0)
        return code;
    if (arguments.n > 1) {
        complain("unexpected argument '%s'; put quotes around the text", arguments.names[1]);
        return EXIT_USAGE;
    }
    options->argument = arguments.n ? arguments.names[0] : NULL;
    if (!options->model) {
        complain("no model: -m PATH is missing (see %s --help)", table.name);
        return EXIT_USAGE;
    }
    return check_mode(options);
}
