/* sot-eval report: what runs came to, beside the paper's numbers, as one HTML page that needs no
 * other file, and as JSON. The page is made in report_page.c and what that calls. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/option_table.h"
#include "../shared/program.h"
#include "../shared/text.h"
#include "eval_commands.h"
#include "paper.h"
#include "report_json.h"
#include "report_page.h"
#include "run_facts.h"

struct report_options {
    const char *output, *json, *paper_model;
    int no_questions;
};

static const char usage[] = "Usage: sot-eval report [options] -o PAGE DIR...\n\n"
                            "Writes what the runs in the folders DIR came to as one HTML page, "
                            "beside the paper's numbers.\n"
                            "The page needs no other file and loads nothing.\n";

static const struct option_row rows[] = {
    {"output", 'o', OPTION_TEXT, offsetof(struct report_options, output), 0, 0, "FILE",
     "where the page goes; -: standard output"},
    {"json", 0, OPTION_TEXT, offsetof(struct report_options, json), 0, 0, "FILE",
     "the numbers, as one JSON object"},
    {"paper-model", 0, OPTION_TEXT, offsetof(struct report_options, paper_model), 0, 0, "NAME",
     "whose lengths of the paper's Fig. 11 stand beside\n(default: all models, the mean over "
     "them)"},
    {"no-questions", 0, OPTION_FLAG, offsetof(struct report_options, no_questions), 0, 0, NULL,
     "leave the questions and answers themselves out"},
};

static const struct option_table table = {
    .name = "sot-eval report",
    .usage = usage,
    .remarks = "Exit codes: 0 written, 1 failed, 2 wrong usage.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .most_arguments = ARGUMENTS_MOST,
};

static int check(const struct report_options *options, const struct arguments *arguments)
{
    if (arguments->n == 0)
        complain("no DIR (see sot-eval report --help)");
    else if (!options->output && !options->json)
        complain("-o FILE is missing (see sot-eval report --help)");
    else if (options->output && options->json && strcmp(options->output, "-") == 0 &&
             strcmp(options->json, "-") == 0)
        complain("-o and --json cannot both be standard output");
    else if (!fig11_find(options->paper_model, "average"))
        complain("--paper-model '%s': the paper's Fig. 11 has no such model", options->paper_model);
    else
        return -1;
    return EXIT_USAGE;
}

/* Whether writing to standard output failed is for main to see. */
static int put(const char *path, const char *bytes, size_t size)
{
    if (strcmp(path, "-") != 0)
        return file_replace(path, bytes, size);
    fputs(bytes, stdout);
    return 1;
}

static int write_json(const char *path, const struct report_run *runs, size_t n_runs)
{
    json_t *object = report_json(runs, n_runs);
    char *dumped = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    struct text text = {0};
    text_format(&text, "%s\n", dumped ? dumped : "");
    int is_written = put(path, text.bytes, text.size);
    text_free(&text);
    free(dumped);
    json_decref(object);
    return is_written;
}

static int write_page(const struct report_options *options, const struct report_run *runs,
                      size_t n_runs)
{
    struct text page = {0};
    struct report_look look = {options->paper_model, !options->no_questions};
    report_page(&page, runs, n_runs, &look);
    int is_written = put(options->output, page.bytes, page.size);
    text_free(&page);
    return is_written;
}

int command_report(int argc, char **argv)
{
    struct report_options options = {.paper_model = "all models"};
    struct arguments arguments = {0};
    int code = option_table_parse(&table, &options, argc, argv, &arguments);
    if (code < 0)
        code = check(&options, &arguments);
    if (code >= 0)
        return code;
    struct report_run *runs = grow(NULL, (size_t)arguments.n * sizeof *runs);
    size_t n_runs = 0;
    int is_good = 1;
    for (int i = 0; is_good && i < arguments.n; i++) {
        is_good = report_run_read(&runs[n_runs], arguments.names[i]);
        n_runs += is_good != 0;
    }
    if (is_good && options.output)
        is_good = write_page(&options, runs, n_runs);
    if (is_good && options.json)
        is_good = write_json(options.json, runs, n_runs);
    for (size_t i = 0; i < n_runs; i++)
        report_run_free(&runs[i]);
    free(runs);
    return is_good ? EXIT_DONE : EXIT_FAILED;
}
