/* The options of "sot-eval run": see run_options.h. */
#include "run_options.h"

#include <stddef.h>
#include <string.h>

#include "../shared/program.h"
#include "../shared/text.h"

#define AT(member) offsetof(struct run_options, member)
/* clang-format off */
#define ROW(...) {__VA_ARGS__}
/* clang-format on */

static const struct option_row rows[] = {
    MODEL_ROWS(ROW),
    {"questions", 0, OPTION_TEXT, AT(questions), 0, 0, "FILE", "JSON lines, one question each"},
    {"output", 'o', OPTION_TEXT, AT(directory), 0, 0, "DIR",
     "where the records go; what is there is gone on with"},
    {"modes", 0, OPTION_TEXT, AT(modes_list), 0, 0, "LIST",
     "some of normal,sot,routed (default normal,sot)"},
    ROUTER_ROWS(ROW),
    {"limit", 0, OPTION_COUNT, AT(limit), 1, OPTION_COUNT_MOST, "N",
     "ask the first N questions only"},
    {"ids", 0, OPTION_TEXT, AT(ids), 0, 0, "LIST", "ask these only, such as 1,4-9"},
    {"category", 0, OPTION_TEXT, AT(category), 0, 0, "NAME", "ask those of this category only"},
    PROMPT_ROWS(ROW),
    SAMPLING_ROWS(ROW),
    LIMIT_ROWS(ROW),
    {"device", 0, OPTION_TEXT, AT(device), 0, 0, "NAME", "auto (default), cpu, cuda or cuda:N"},
    WEIGHT_ROWS(ROW),
    SESSION_ROWS(ROW),
    {"json", 0, OPTION_FLAG, AT(json), 0, 0, NULL, "print the statistics as one JSON object"},
    {"quiet", 'q', OPTION_FLAG, AT(quiet), 0, 0, NULL, "no progress and no warnings"},
};

static const struct option_table table = {
    .name = "sot-eval run",
    .usage =
        "Usage: sot-eval run -m MODEL --questions FILE -o DIR [options]\n\n"
        "Answers each question in each mode and writes DIR/records.jsonl, one line per answer\n"
        "with its statistics, and DIR/answers-MODE.jsonl in FastChat's format. The same\n"
        "command goes on where an earlier one was stopped, however it was.\n",
    .remarks = "Exit codes: 0 all answers are recorded, 1 failed, 2 wrong usage, 130 interrupted\n"
               "by Ctrl-C (what was answered is recorded).\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

int run_options_have(const struct run_options *options, const char *mode)
{
    for (unsigned i = 0; i < options->n_modes; i++)
        if (strcmp(options->modes[i], mode) == 0)
            return 1;
    return 0;
}

static int parse_modes(struct run_options *options)
{
    uint32_t which;
    const char *list = options->modes_list ? options->modes_list : "normal,sot";
    int code = option_parse_names("modes", list, mode_names, N_MODES, &which);
    for (size_t i = 0; code < 0 && i < N_MODES; i++)
        if (which & 1u << i)
            options->modes[options->n_modes++] = mode_names[i];
    return code;
}

int run_options_parse(struct run_options *options, int argc, char **argv)
{
    *options = (struct run_options){.session = SOT_SESSION_PARAMS_INIT,
                                    .generate = SOT_GENERATE_PARAMS_INIT};
    int code = option_table_parse(&table, options, argc, argv, NULL);
    if (code >= 0)
        return code;
    const char *missing = !options->model       ? "model: -m PATH"
                          : !options->questions ? "questions: --questions FILE"
                          : !options->directory ? "output directory: -o DIR"
                                                : NULL;
    if (missing) {
        complain("no %s is missing (see sot-eval run --help)", missing);
        return EXIT_USAGE;
    }
    return parse_modes(options);
}
