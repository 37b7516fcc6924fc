/* "sot-eval run": the order of things. Each mode has a session of its own, so that neither finds
 * the other's pages; within a mode questions come in the file's order. What is recorded is never
 * asked again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../shared/answer_json.h"
#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/program.h"
#include "../shared/question_list.h"
#include "../shared/text.h"
#include "eval_commands.h"
#include "eval_progress.h"
#include "fastchat.h"
#include "records.h"
#include "run_facts.h"
#include "run_options.h"
#include "run_record.h"
#include "run_router.h"
#include "statistics.h"

struct run {
    struct run_options options;
    sot_generate_params params;
    sot_prompts *prompts; /* of --prompts, or NULL */
    struct run_router router;
    struct question_list questions;
    struct record_list records;
    struct record_file file;
    struct text records_path, facts_path;
    json_t *facts; /* to be written when the library has taken the parameters; NULL: it is there */
    struct eval_progress progress;
    sot_model *model;
    sot_model_info info;
    sot_session *session;
    struct memory_use memory;
    size_t n_new, n_failed; /* answers of this run */
};

static void path_in(struct text *path, const struct run *run, const char *name)
{
    text_clear(path);
    text_format(path, "%s/%s", run->options.directory, name);
}

static void on_log(int32_t level, const char *line, void *user)
{
    struct run *run = user;
    if (level < SOT_LOG_WARNING || run->options.quiet)
        return;
    eval_progress_clear(&run->progress);
    complain("warning: %s", line);
}

static int32_t on_event(const sot_event *event, void *user)
{
    struct run *run = user;
    (void)event;
    eval_progress_show(&run->progress);
    /* A call forgets what was cancelled before it began; what the user said then still counts. */
    return interrupt_seen();
}

static int interrupted(struct run *run)
{
    eval_progress_clear(&run->progress);
    complain("interrupted; %zu of %zu answers are recorded in %s; the same command goes on there",
             run->progress.n_done, run->progress.n_all, run->options.directory);
    return EXIT_INTERRUPTED;
}

static int open_session(struct run *run)
{
    sot_session_info info = SOT_SESSION_INFO_INIT;
    sot_status status = sot_session_create(run->model, &run->options.session, &run->session);
    if (status == SOT_OK)
        status = sot_session_get_info(run->session, &info);
    if (status != SOT_OK)
        return exit_code_of(status);
    interrupt_session(run->session);
    run->memory = memory_use_make(&run->info, &info);
    return -1;
}

static void close_session(struct run *run)
{
    interrupt_session(NULL);
    sot_session_free(run->session);
    run->session = NULL;
}

static int load(struct run *run)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = run->options.device;
    params.flags = model_flags(run->options.copy_weights, run->options.lock_weights);
    params.progress = eval_progress_load;
    params.progress_user = &run->progress;
    params.log = on_log;
    params.log_user = run;
    sot_status status = sot_model_load(run->options.model, &params, &run->model);
    eval_progress_clear(&run->progress);
    if (interrupt_seen()) {
        complain("interrupted while loading the model");
        return EXIT_INTERRUPTED;
    }
    if (status != SOT_OK)
        return exit_code_of(status);
    sot_model_get_info(run->model, &run->info);
    return open_session(run);
}

/* The first answer must not pay for waking up, nor for the pages of the templates' beginnings,
 * which are kept from answer to answer. Parameters that the library refuses show here. */
static int warm_up(struct run *run)
{
    sot_answer *answer = NULL;
    sot_generate_params params = run->params;
    params.max_tokens = params.max_skeleton_tokens = params.max_point_tokens = 1;
    sot_status status = sot_generate(run->session, "Hello", &params, &answer);
    sot_answer_free(answer);
    if (status == SOT_OK || status == SOT_ERR_CONTEXT_FULL)
        return -1;
    if (interrupt_seen())
        return interrupted(run);
    eval_progress_clear(&run->progress);
    return exit_code_of(status);
}

/* Generates, records. Returns -1 to go on, or an exit code. */
static int answer_question(struct run *run, const char *mode, const struct question *question)
{
    char moment[MOMENT_SIZE];
    sot_answer *answer = NULL;
    moment_now(moment);
    uint64_t begun_ns = time_ns();
    sot_status status = sot_generate(run->session, question->text, &run->params, &answer);
    uint64_t took_ns = time_ns() - begun_ns;
    if (status == SOT_ERR_CANCELLED) {
        sot_answer_free(answer);
        return interrupted(run);
    }
    /* Of these two the question can be the cause; any other would meet the next one, too. */
    if (status != SOT_OK && status != SOT_ERR_CONTEXT_FULL && status != SOT_ERR_ARGUMENT) {
        eval_progress_clear(&run->progress);
        complain("question %lld, mode %s: %s", (long long)question->id, mode, sot_error_message());
        sot_answer_free(answer);
        return EXIT_FAILED;
    }
    json_t *object = record_make(run->model, &run->memory, question, mode, moment, status, answer);
    sot_answer_free(answer);
    if (!record_file_append(&run->file, object)) {
        json_decref(object);
        return EXIT_FAILED;
    }
    if (!records_add(&run->records, object, run->file.path))
        return EXIT_FAILED;
    run->n_new++;
    run->n_failed += status != SOT_OK;
    eval_progress_end(&run->progress, took_ns);
    return interrupt_seen() ? interrupted(run) : -1;
}

/* Not before something was generated: what the library refuses shall not be in the way of a command
 * that is put right. */
static int write_facts(struct run *run)
{
    if (!run->facts)
        return -1;
    int written = run_facts_write(run->facts_path.bytes, run->facts);
    json_decref(run->facts);
    run->facts = NULL;
    return written ? -1 : EXIT_FAILED;
}

static int run_mode(struct run *run, unsigned i_mode)
{
    const char *mode = run->options.modes[i_mode];
    int code = -1;
    int is_warm = 0;
    run->params.mode = mode_number(mode);
    for (size_t i = 0; code < 0 && i < run->questions.n; i++) {
        const struct question *question = &run->questions.questions[i];
        if (records_find(&run->records, question->id, mode))
            continue;
        if (!run->session)
            code = open_session(run);
        eval_progress_begin(&run->progress, i_mode);
        if (code < 0 && !is_warm)
            code = warm_up(run);
        is_warm = 1;
        if (code < 0)
            code = write_facts(run);
        if (code < 0)
            code = answer_question(run, mode, question);
    }
    close_session(run);
    return code;
}

/* What is to be done of each mode, and what is known of how long it takes. */
static void plan(struct run *run)
{
    for (unsigned i = 0; i < run->options.n_modes; i++) {
        const char *mode = run->options.modes[i];
        size_t n_left = 0;
        size_t n_known = 0;
        uint64_t known_ns = 0;
        for (size_t j = 0; j < run->questions.n; j++)
            n_left += !records_find(&run->records, run->questions.questions[j].id, mode);
        for (size_t j = 0; j < run->records.n; j++) {
            if (strcmp(run->records.records[j].mode, mode) != 0)
                continue;
            n_known++;
            known_ns += run->records.records[j].total_ns;
        }
        eval_progress_add(&run->progress, mode, n_left, run->questions.n, n_known, known_ns);
    }
}

static int write_answers(struct run *run)
{
    static const char *const all_modes[] = {"normal", "sot", "routed"};
    struct text path = {0};
    struct text model = {0};
    int good = 1;
    model_name(&model, &run->info, run->options.model);
    for (size_t i = 0; good && i < sizeof all_modes / sizeof *all_modes; i++) {
        path_in(&path, run, "answers-");
        text_format(&path, "%s.jsonl", all_modes[i]);
        good = fastchat_write(path.bytes, &run->records, all_modes[i], model.bytes);
    }
    text_free(&model);
    text_free(&path);
    return good ? -1 : EXIT_FAILED;
}

static void print_results(const struct run *run)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < run->options.n_modes; i++) {
        struct statistics statistics;
        if (strcmp(run->options.modes[i], "normal") == 0)
            continue;
        statistics_make(&statistics, &run->records, run->options.modes[i]);
        if (run->options.json)
            json_array_append_new(all, statistics_json(&statistics));
        else
            statistics_print(&statistics);
        statistics_free(&statistics);
    }
    if (run->options.json)
        print_json(json_pack("{s:o}", "statistics", json_incref(all)));
    json_decref(all);
}

static void say_done(const struct run *run)
{
    char took[DURATION_SIZE];
    eval_progress_clear(&run->progress);
    if (run->options.quiet)
        return;
    duration_print(took, (double)(time_ns() - run->progress.begun_ns) / 1e9);
    if (run->n_failed)
        complain("warning: %zu of the new answers are incomplete; see their status in %s",
                 run->n_failed, run->records_path.bytes);
    complain("%zu answers in %s; %zu of them are new and took %s", run->progress.n_all,
             run->options.directory, run->n_new, took);
}

/* Opens what is there of the output directory, or begins it. */
static int open_directory(struct run *run)
{
    unsigned state;
    sot_session_info info = SOT_SESSION_INFO_INIT;
    if (mkdir(run->options.directory, 0777) != 0 && errno != EEXIST) {
        complain("%s: %s", run->options.directory, strerror(errno));
        return EXIT_FAILED;
    }
    sot_session_get_info(run->session, &info);
    path_in(&run->facts_path, run, "run.json");
    path_in(&run->records_path, run, "records.jsonl");
    run->facts = run_facts_make(&run->options, &run->info, &info, &run->questions, run->prompts,
                                run->router.facts);
    if (!run_facts_agree(run->facts_path.bytes, run->facts, &state) ||
        !record_file_open(&run->file, run->records_path.bytes, &run->records))
        return EXIT_FAILED;
    if (state == FACTS_ABSENT && run->records.n > 0) {
        complain("%s: there are records, but no run.json beside them that says what of",
                 run->records_path.bytes);
        return EXIT_FAILED;
    }
    if (state == FACTS_THERE) {
        json_decref(run->facts);
        run->facts = NULL;
    }
    return -1;
}

static int read_inputs(struct run *run)
{
    const struct run_options *options = &run->options;
    if (options->prompts_path) {
        sot_status status = sot_prompts_load(options->prompts_path, &run->prompts);
        if (status != SOT_OK)
            return exit_code_of(status);
        run->params.prompts = run->prompts;
    }
    int code = run_router_open(&run->router, options, &run->params);
    if (code >= 0)
        return code;
    if (!questions_read(options->questions, &run->questions))
        return EXIT_FAILED;
    if (!questions_select(&run->questions, options->questions, options->ids, options->category,
                          options->limit))
        return EXIT_USAGE;
    if (run->questions.n_turns_left_out && !options->quiet)
        complain("warning: %s: of each question the first turn is asked; %zu others are left out",
                 options->questions, run->questions.n_turns_left_out);
    return -1;
}

static int run_all(struct run *run)
{
    int code = read_inputs(run);
    if (code < 0)
        code = load(run);
    if (code < 0)
        code = open_directory(run);
    if (code >= 0)
        return code;
    plan(run);
    for (unsigned i = 0; code < 0 && i < run->options.n_modes; i++)
        code = run_mode(run, i);
    /* What is recorded is readable for FastChat after every run. */
    int answers_code = write_answers(run);
    code = code < 0 ? answers_code : code;
    if (code >= 0)
        return code;
    say_done(run);
    print_results(run);
    return EXIT_DONE;
}

int command_run(int argc, char **argv)
{
    struct run run = {.info = SOT_MODEL_INFO_INIT, .file.fd = -1};
    int code = run_options_parse(&run.options, argc, argv);
    if (code < 0) {
        run.params = run.options.generate;
        run.params.on_event = on_event;
        run.params.event_user = &run;
        eval_progress_open(&run.progress, run.options.quiet);
        interrupt_install();
        code = run_all(&run);
    }
    close_session(&run);
    sot_model_free(run.model);
    record_file_close(&run.file);
    records_free(&run.records);
    questions_free(&run.questions);
    run_router_close(&run.router);
    sot_prompts_free(run.prompts);
    json_decref(run.facts);
    text_free(&run.records_path);
    text_free(&run.facts_path);
    return code;
}
