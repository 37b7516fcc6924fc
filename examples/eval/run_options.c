/* The options of "sot-eval run": see run_options.h. */
#include "run_options.h"

#include <stddef.h>
#include <string.h>

#include "../sot/text.h"
#include "eval_options.h"

#define AT(member) offsetof(struct run_options, member)
#define COUNT_MOST 4294967295.0

static const struct option_row rows[] = {
    {"model", 'm', OPTION_TEXT, AT(model), 0, 0, "PATH",
     "GGUF file, Hugging Face directory, or random:SHAPE"},
    {"questions", 0, OPTION_TEXT, AT(questions), 0, 0, "FILE", "JSON lines, one question each"},
    {"output", 'o', OPTION_TEXT, AT(directory), 0, 0, "DIR",
     "where the records go; what is there is gone on with"},
    {"modes", 0, OPTION_TEXT, AT(modes_list), 0, 0, "LIST",
     "some of normal,sot,routed (default normal,sot)"},
    {"router", 0, OPTION_TEXT, AT(router), 0, 0, "NAME",
     "of mode routed: prompting (default), trained, always, never"},
    {"router-file", 0, OPTION_TEXT, AT(router_path), 0, 0, "FILE",
     "weights of the trained router (default: the installed ones)"},
    {"concurrent", 0, OPTION_FLAG, AT(concurrent), 0, 0, NULL,
     "mode routed: router and both answers begin at once"},
    {"limit", 0, OPTION_COUNT, AT(limit), 1, COUNT_MOST, "N", "ask the first N questions only"},
    {"ids", 0, OPTION_TEXT, AT(ids), 0, 0, "LIST", "ask these only, such as 1,4-9"},
    {"category", 0, OPTION_TEXT, AT(category), 0, 0, "NAME", "ask those of this category only"},
    {"template", 0, OPTION_TEXT, AT(generate.conversation), 0, 0, "NAME",
     "conversation template (default: the model's)"},
    {"system", 0, OPTION_TEXT, AT(generate.system_message), 0, 0, "TEXT", "system message"},
    {"wording", 0, OPTION_TEXT, AT(generate.wording), 0, 0, "NAME",
     "of the prompts: two-shot (default), zero-shot, compact, chained"},
    {"prompts", 0, OPTION_TEXT, AT(prompts_path), 0, 0, "FILE",
     "JSON with outline_prompt and point_prompt"},
    {"temperature", 0, OPTION_REAL, AT(generate.temperature), 0, 1000, "X",
     "0 (default) takes the likeliest token"},
    {"top-k", 0, OPTION_COUNT, AT(generate.top_k), 0, COUNT_MOST, "N",
     "sample from the N likeliest tokens; 0: all"},
    {"top-p", 0, OPTION_REAL, AT(generate.top_p), 0, 1, "X",
     "sample from the smallest set of this probability"},
    {"repetition-penalty", 0, OPTION_REAL, AT(generate.repetition_penalty), 0, 1000, "X",
     "above 1: tokens already written become less likely"},
    {"seed", 0, OPTION_SEED, AT(generate.seed), 0, 0, "N", "of the random draws"},
    {"max-tokens", 0, OPTION_COUNT, AT(generate.max_tokens), 1, COUNT_MOST, "N",
     "limit of a normal answer (default 1024)"},
    {"max-skeleton-tokens", 0, OPTION_COUNT, AT(generate.max_skeleton_tokens), 1, COUNT_MOST, "N",
     "limit of the skeleton (default 512)"},
    {"max-point-tokens", 0, OPTION_COUNT, AT(generate.max_point_tokens), 1, COUNT_MOST, "N",
     "limit of each point's expansion (default 256)"},
    {"max-points", 0, OPTION_COUNT, AT(generate.max_points), 1, COUNT_MOST, "N",
     "points that are expanded (default 64)"},
    {"device", 0, OPTION_TEXT, AT(device), 0, 0, "NAME", "auto (default), cpu, cuda or cuda:N"},
    {"threads", 0, OPTION_COUNT, AT(session.n_threads), 1, COUNT_MOST, "N",
     "worker threads (default: one per CPU)"},
    {"ctx", 0, OPTION_COUNT, AT(session.n_ctx), 1, COUNT_MOST, "N",
     "tokens of a prompt and its text\n(default: the model's, at most 4096)"},
    {"isa", 0, OPTION_TEXT, AT(session.isa), 0, 0, "NAME",
     "instruction set: auto (default), amx, avx512, avx2, neon, portable"},
    {"json", 0, OPTION_FLAG, AT(json), 0, 0, NULL, "print the statistics as one JSON object"},
    {"quiet", 'q', OPTION_FLAG, AT(quiet), 0, 0, NULL, "no progress and no warnings"},
};

static const struct option_table table = {
    .command = "run",
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

static const struct {
    const char *name;
    uint32_t number;
} modes[MODES_MOST] = {
    {"normal", SOT_MODE_NORMAL}, {"sot", SOT_MODE_SOT}, {"routed", SOT_MODE_ROUTED}};

uint32_t mode_number(const char *name)
{
    for (size_t i = 0; i < MODES_MOST; i++)
        if (strcmp(name, modes[i].name) == 0)
            return modes[i].number;
    return SOT_MODE_DEFAULT;
}

int run_options_have(const struct run_options *options, const char *mode)
{
    for (unsigned i = 0; i < options->n_modes; i++)
        if (strcmp(options->modes[i], mode) == 0)
            return 1;
    return 0;
}

static int parse_modes(struct run_options *options)
{
    char is_named[MODES_MOST] = {0};
    const char *list = options->modes_list ? options->modes_list : "normal,sot";
    for (const char *at = list; at;) {
        size_t size = strcspn(at, ",");
        size_t i = 0;
        while (i < MODES_MOST &&
               (strlen(modes[i].name) != size || memcmp(modes[i].name, at, size) != 0))
            i++;
        if (i == MODES_MOST) {
            complain("--modes: no mode is named '%.*s' (see sot-eval run --help)", (int)size, at);
            return EXIT_USAGE;
        }
        is_named[i] = 1;
        at = at[size] ? at + size + 1 : NULL;
    }
    for (size_t i = 0; i < MODES_MOST; i++)
        if (is_named[i])
            options->modes[options->n_modes++] = modes[i].name;
    return -1;
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
