/* sot-bench prefill-overhead: how many prompt tokens have to be computed for a question (the
 * paper's Table 7), by ways of sharing and by wordings. Here are the options, the table and the
 * file; the counting is overhead.c's. */
#include <sot/sot.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/interrupt.h"
#include "../shared/json_values.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "commands.h"
#include "overhead.h"
#include "overhead_model.h"
#include "overhead_texts.h"
#include "progress.h"

enum { DEFAULT_POINT_TOKENS = 8 };

struct overhead_options {
    const char *questions, *tokenizer, *model, *lengths_model, *conversation, *isa, *json_path;
    uint32_t n_threads, n_point_tokens, limit;
    int all;
};

#define AT(member) offsetof(struct overhead_options, member)

static const struct option_row option_rows[] = {
    {"questions", 0, OPTION_TEXT, AT(questions), 0, 0, "FILE",
     "the questions, JSON lines\n(default $SOT_SHARED_DIR/data/vicuna80.jsonl)"},
    {"tokenizer", 0, OPTION_TEXT, AT(tokenizer), 0, 0, "FILE",
     "a SentencePiece model of at most 32000 pieces; random weights\n"
     "stand in for the rest of the model\n"
     "(default $SOT_SHARED_DIR/data/tokenizer/llama.model)"},
    {"model", 'm', OPTION_TEXT, AT(model), 0, 0, "PATH",
     "count with this model instead of --tokenizer"},
    {"template", 0, OPTION_TEXT, AT(conversation), 0, 0, "NAME",
     "conversation template (default vicuna)"},
    {"model-lengths", 0, OPTION_TEXT, AT(lengths_model), 0, 0, "NAME",
     "as many points as this model's skeletons have in the paper\n(default LLaMA2-Chat-7B)"},
    {"all", 0, OPTION_FLAG, AT(all), 0, 0, NULL, "also the questions that are labelled as unfit"},
    {"limit", 0, OPTION_COUNT, AT(limit), 1, 1000000, "N", "the first N questions only"},
    {"point-tokens", 0, OPTION_COUNT, AT(n_point_tokens), 1, 1024, "N",
     "tokens of each expansion (default 8); they are compared\n"
     "between all ways of computing them"},
    THREADS_ROW,
    ISA_ROW,
    {"json", 0, OPTION_TEXT, AT(json_path), 0, 0, "FILE", "write everything counted to FILE too"},
};
static const struct option_table table = {
    .name = "sot-bench prefill-overhead",
    .usage =
        "Usage: sot-bench prefill-overhead [options]\n\n"
        "Counts the prompt tokens that the library computes for a question, a skeleton and its\n"
        "expansions being given, under every wording: the paper's Table 7.\n",
    .rows = option_rows,
    .n_rows = sizeof option_rows / sizeof *option_rows,
    .remarks = "Exit codes: 0 counted, 1 failed, also where an expansion depended on what was in\n"
               "pages, 2 wrong usage, 130 interrupted by Ctrl-C.\n",
};

struct overhead_run {
    struct overhead_options options;
    struct text questions_path, tokenizer_path; /* the defaults */
    struct question_list questions;
    struct overhead_setting setting;
    struct overhead overhead;
    FILE *json;
};

/* ---- Preparing ---------------------------------------------------------------------------------
 */

/* A path that was given, or the one in the shared folder; NULL after having said what is missing.
 */
static const char *path_or_shared(const char *given, const char *option, const char *name,
                                  struct text *path)
{
    const char *shared = getenv("SOT_SHARED_DIR");
    if (given)
        return given;
    if (!shared || !shared[0]) {
        complain("--%s is missing, and SOT_SHARED_DIR does not say where it is", option);
        return NULL;
    }
    text_format(path, "%s/data/%s", shared, name);
    return path->bytes;
}

/* Leaves out what a person judged unfit for Skeleton-of-Thought. */
static int select_questions(struct overhead_run *run)
{
    const struct overhead_options *options = &run->options;
    struct question_list *list = &run->questions;
    struct text ids = {0};
    for (size_t i = 0; i < list->n; i++)
        if (options->all || list->questions[i].suitable != 0)
            text_format(&ids, "%s%lld", ids.size ? "," : "", (long long)list->questions[i].id);
    int good = ids.size > 0;
    if (!good)
        complain("%s: every question is labelled as unfit; --all takes them", options->questions);
    else
        good = questions_select(list, options->questions, ids.bytes, NULL, options->limit);
    text_free(&ids);
    return good;
}

static int load_model(struct overhead_run *run)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = "cpu";
    params.progress = progress_bytes;
    params.progress_user = (void *)(uintptr_t) "loading";
    if (!run->options.model)
        return overhead_model_load(run->options.tokenizer, &run->setting.model);
    sot_status status = sot_model_load(run->options.model, &params, &run->setting.model);
    progress_clear();
    return status == SOT_OK ? -1 : exit_code_of(status);
}

static int prepare(struct overhead_run *run)
{
    struct overhead_options *options = &run->options;
    options->lengths_model = options->lengths_model ? options->lengths_model : "LLaMA2-Chat-7B";
    options->conversation = options->conversation ? options->conversation : "vicuna";
    options->questions =
        path_or_shared(options->questions, "questions", "vicuna80.jsonl", &run->questions_path);
    if (!options->questions)
        return EXIT_USAGE;
    if (!options->model) {
        options->tokenizer = path_or_shared(options->tokenizer, "tokenizer",
                                            "tokenizer/llama.model", &run->tokenizer_path);
        if (!options->tokenizer)
            return EXIT_USAGE;
    } else if (options->tokenizer) {
        complain("--tokenizer and --model: the model has a tokenizer of its own");
        return EXIT_USAGE;
    }
    if (!overhead_points(options->lengths_model, "average", 0)) {
        complain("--model-lengths '%s': no lengths are known of this model (see sot-bench "
                 "--list-lengths)",
                 options->lengths_model);
        return EXIT_USAGE;
    }
    if (!questions_read(options->questions, &run->questions) || !select_questions(run))
        return EXIT_FAILED;
    /* Whether it can be written shows now; what it holds stays until there is something new. */
    if (options->json_path && !(run->json = fopen(options->json_path, "a"))) {
        complain("%s: %s", options->json_path, strerror(errno));
        return EXIT_FAILED;
    }
    run->setting.session = (sot_session_params)SOT_SESSION_PARAMS_INIT;
    run->setting.session.n_threads = options->n_threads;
    run->setting.session.isa = options->isa;
    run->setting.conversation = options->conversation;
    run->setting.lengths_model = options->lengths_model;
    run->setting.n_point_tokens =
        options->n_point_tokens ? options->n_point_tokens : DEFAULT_POINT_TOKENS;
    return load_model(run);
}

/* ---- Telling -----------------------------------------------------------------------------------
 */

static double per_question(const struct overhead_run *run, uint64_t n)
{
    return (double)n / run->overhead.n_questions;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void print_row(const struct overhead_run *run, unsigned row)
{
    const struct overhead_row *counted = &run->overhead.rows[row];
    const struct table7_row *paper = table7_find(run->options.lengths_model);
    double normal = per_question(run, run->overhead.normal);
    double sum = per_question(run, counted->stage1 + counted->stage2);
    printf("%-22s %8.2f %9.2f %9.2f %9.2f %7.2f", overhead_row_name(row), normal,
           per_question(run, counted->stage1), per_question(run, counted->stage2), sum,
           sum / normal);
    if (paper)
        printf(" %7.0f%%", 100 * sum / (paper->stage1 + paper->stage2));
    if (row >= ROW_TWO_SHOT)
        printf(" %9.2f", per_question(run, counted->first_stage1 + counted->first_stage2));
    printf("\n");
}

static void print_overhead(const struct overhead_run *run)
{
    const struct overhead_options *options = &run->options;
    const struct overhead *overhead = &run->overhead;
    const struct table7_row *paper = table7_find(options->lengths_model);
    struct text name = {0};
    text_clean(&name, file_name(options->questions), strlen(file_name(options->questions)));
    printf("questions  %u of %s, template %s\n", overhead->n_questions, name.bytes,
           options->conversation);
    printf(
        "skeletons  as many points as %s's: %.2f a question, %.2f words and %.2f tokens each\n\n",
        options->lengths_model, per_question(run, overhead->n_points), overhead_words(),
        (double)overhead->n_skeleton_tokens / (double)overhead->n_points);
    text_free(&name);
    printf("Prompt tokens computed a question\n%-22s %8s %9s %9s %9s %7s%s %9s\n", "", "normal",
           "stage 1", "stage 2", "sum", "ratio", paper ? " of paper" : "", "first");
    if (paper)
        printf("%-22s %8.2f %9.2f %9.2f %9.2f %7.2f %7.0f%%\n", "paper, Table 7", paper->normal,
               paper->stage1, paper->stage2, paper->stage1 + paper->stage2,
               (paper->stage1 + paper->stage2) / paper->normal, 100.0);
    for (unsigned row = 0; row < N_ROWS; row++)
        print_row(run, row);
    printf(
        "\nfirst: the sum for the first question of a session. %llu expansions were compared with\n"
        "those of a new session: all are the same, bit for bit.\n",
        (unsigned long long)overhead->n_compared);
}

static json_t *row_json(const struct overhead_run *run, unsigned row)
{
    const struct overhead_row *counted = &run->overhead.rows[row];
    double sum = per_question(run, counted->stage1 + counted->stage2);
    json_t *object =
        json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "name", overhead_row_name(row), "wording",
                  overhead_row_wording(row), "stage1", per_question(run, counted->stage1), "stage2",
                  per_question(run, counted->stage2), "sum", sum, "ratio",
                  sum / per_question(run, run->overhead.normal));
    if (row >= ROW_TWO_SHOT) {
        json_object_set_new(object, "first_stage1",
                            json_real(per_question(run, counted->first_stage1)));
        json_object_set_new(object, "first_stage2",
                            json_real(per_question(run, counted->first_stage2)));
    }
    return object;
}

static json_t *overhead_json(const struct overhead_run *run)
{
    const struct overhead_options *options = &run->options;
    const struct overhead *overhead = &run->overhead;
    const struct table7_row *paper = table7_find(options->lengths_model);
    struct text name = {0};
    text_valid(&name, file_name(options->questions), strlen(file_name(options->questions)));
    json_t *object = json_object();
    json_object_set_new(object, "version", json_string(sot_version_string()));
    json_object_set_new(object, "questions", json_string(name.bytes));
    json_object_set_new(object, "n_questions", json_integer(overhead->n_questions));
    json_object_set_new(object, "template", json_string(options->conversation));
    json_object_set_new(object, "model_lengths", json_string(options->lengths_model));
    json_object_set_new(object, "points", json_real(per_question(run, overhead->n_points)));
    json_object_set_new(object, "skeleton_tokens",
                        json_real(per_question(run, overhead->n_skeleton_tokens)));
    json_object_set_new(object, "normal", json_real(per_question(run, overhead->normal)));
    json_object_set_new(object, "expansions_compared", json_number(overhead->n_compared));
    json_object_set_new(object, "paper",
                        paper ? json_pack("{s:f, s:f, s:f}", "normal", paper->normal, "stage1",
                                          paper->stage1, "stage2", paper->stage2)
                              : json_null());
    json_t *rows = json_array();
    for (unsigned row = 0; row < N_ROWS; row++)
        json_array_append_new(rows, row_json(run, row));
    json_object_set_new(object, "rows", rows);
    text_free(&name);
    return object;
}

/* In the place of what the file held before. Returns 0 where that cannot be had. */
static int store(struct overhead_run *run)
{
    FILE *file = freopen(NULL, "w", run->json); /* closes it if it fails */
    run->json = NULL;
    if (!file)
        return 0;
    json_t *object = overhead_json(run);
    int failed = json_dumpf(object, file, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) != 0;
    failed |= fputc('\n', file) == EOF;
    failed |= fclose(file) != 0;
    json_decref(object);
    return !failed;
}

int command_overhead(int argc, char **argv)
{
    struct overhead_run run = {0};
    int code = option_table_parse(&table, &run.options, argc, argv, NULL);
    if (code < 0) {
        interrupt_install();
        code = prepare(&run);
    }
    if (code < 0)
        code = overhead_measure(&run.overhead, &run.setting, &run.questions);
    if (code < 0) {
        print_overhead(&run);
        code = EXIT_DONE;
        if (run.json && !store(&run)) {
            complain("%s: cannot be written", run.options.json_path);
            code = EXIT_FAILED;
        }
    }
    sot_model_free(run.setting.model);
    questions_free(&run.questions);
    text_free(&run.questions_path);
    text_free(&run.tokenizer_path);
    if (run.json)
        fclose(run.json);
    return code;
}
