/* sot-eval judge-pairs: for every question two prompts for a judge, one in each order of the two
 * answers, so that a judge that prefers a place prefers nobody. sot-eval(1) says what a line
 * holds; win_rate.c reads what comes of it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/option_table.h"
#include "../shared/program.h"
#include "../shared/question_list.h"
#include "../shared/text.h"
#include "eval_commands.h"
#include "judge_answers.h"
#include "judge_template.h"
#include "run_facts.h"

struct judge_options {
    const char *questions, *output, *template_path;
};

static const char usage[] =
    "Usage: sot-eval judge-pairs [options] --questions FILE -o PAIRS CANDIDATE BASELINE...\n\n"
    "Writes, for every question and every BASELINE, two prompts that ask a judge to compare the\n"
    "CANDIDATE's answer with the BASELINE's, one in each order of the two. Each of them is "
    "DIR:MODE\n"
    "(a folder that sot-eval run made, and normal, sot or routed), the same with the "
    "records.jsonl\n"
    "in it, or a file in FastChat's answer format.\n";

static const struct option_row rows[] = {
    {"questions", 0, OPTION_TEXT, offsetof(struct judge_options, questions), 0, 0, "FILE",
     "the questions, one JSON object a line"},
    {"output", 'o', OPTION_TEXT, offsetof(struct judge_options, output), 0, 0, "FILE",
     "where the prompts go; -: standard output"},
    {"template", 0, OPTION_TEXT, offsetof(struct judge_options, template_path), 0, 0, "FILE",
     "JSON object with prompt_template, which holds {question},\n"
     "{answer_a} and {answer_b}, and system_prompt"},
};

static const struct option_table table = {
    .name = "sot-eval judge-pairs",
    .usage = usage,
    .remarks = "Exit codes: 0 written, 1 failed, 2 wrong usage.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .most_arguments = ARGUMENTS_MOST,
};

struct pairs {
    struct question_list questions;
    struct judge_template template;
    struct answers *sources; /* (n_sources) the candidate, then the baselines */
    size_t n_sources;
    struct text written;
    size_t n_pairs, n_missing;
};

static json_t *message(const char *role, const char *bytes, size_t size)
{
    json_t *object = json_object();
    json_object_set_new(object, "role", json_string(role));
    json_object_set_new(object, "content", json_stringn(bytes, size));
    return object;
}

static struct piece piece_of(const json_t *string)
{
    return (struct piece){json_string_value(string), json_string_length(string)};
}

/* One line: the answers in the order [0], or [1] where the baseline comes first. */
static void add_prompt(struct pairs *pairs, const struct question *question, size_t i_baseline,
                       const json_t *const answers[2], int is_swapped)
{
    const char *order = is_swapped ? "ba" : "ab";
    struct judge_case which = {{question->text, strlen(question->text)},
                               piece_of(answers[is_swapped]),
                               piece_of(answers[!is_swapped])};
    struct text prompt = {0};
    struct text id = {0};
    judge_template_fill(&prompt, &pairs->template, &which);
    text_format(&id, "%" PRId64 "/%zu/%s", question->id, i_baseline, order);
    json_t *line = json_object();
    json_object_set_new(line, "id", json_stringn(id.bytes, id.size));
    json_object_set_new(line, "question_id", json_integer(question->id));
    json_object_set_new(line, "category", json_string(question->category));
    json_object_set_new(line, "order", json_string(order));
    json_object_set_new(line, "candidate", json_string(pairs->sources[0].label));
    json_object_set_new(line, "baseline", json_string(pairs->sources[i_baseline].label));
    json_t *messages = json_array();
    if (pairs->template.system[0])
        json_array_append_new(
            messages, message("system", pairs->template.system, strlen(pairs->template.system)));
    json_array_append_new(messages, message("user", prompt.bytes, prompt.size));
    json_object_set_new(line, "messages", messages);
    char *dumped = json_dumps(line, JSON_COMPACT);
    text_string(&pairs->written, dumped ? dumped : "");
    text_string(&pairs->written, "\n");
    free(dumped);
    json_decref(line);
    text_free(&prompt);
    text_free(&id);
}

/* A question that one of the two has not answered is said and left out. */
static void add_question(struct pairs *pairs, const struct question *question)
{
    char key[32];
    snprintf(key, sizeof key, "%" PRId64, question->id);
    for (size_t i = 1; i < pairs->n_sources; i++) {
        const json_t *answers[2];
        answers[0] = json_object_get(pairs->sources[0].by_question, key);
        answers[1] = json_object_get(pairs->sources[i].by_question, key);
        if (!answers[0] || !answers[1]) {
            complain("question %s is left out: no answer of %s", key,
                     pairs->sources[answers[0] ? i : 0].label);
            pairs->n_missing++;
            continue;
        }
        add_prompt(pairs, question, i, answers, 0);
        add_prompt(pairs, question, i, answers, 1);
        pairs->n_pairs++;
    }
}

static int read_sources(struct pairs *pairs, const struct judge_options *options,
                        const struct arguments *arguments)
{
    if (!judge_template_read(&pairs->template, options->template_path) ||
        !questions_read(options->questions, &pairs->questions))
        return 0;
    pairs->sources = grow(NULL, (size_t)arguments->n * sizeof *pairs->sources);
    for (int i = 0; i < arguments->n; i++) {
        if (!answers_read(&pairs->sources[pairs->n_sources], arguments->names[i]))
            return 0;
        pairs->n_sources++;
    }
    return 1;
}

/* Returns 0 after having said what is wrong. */
static int write_pairs(struct pairs *pairs, const char *path)
{
    for (size_t i = 0; i < pairs->questions.n; i++)
        add_question(pairs, &pairs->questions.questions[i]);
    if (!pairs->n_pairs) {
        complain("no question was answered by both: nothing is written");
        return 0;
    }
    if (strcmp(path, "-") == 0) {
        fputs(pairs->written.bytes, stdout); /* whether that failed is for main to see */
        return 1;
    }
    return file_replace(path, pairs->written.bytes, pairs->written.size);
}

static int check(const struct judge_options *options, const struct arguments *arguments)
{
    if (arguments->n < 2)
        complain("a candidate and at least one baseline are expected, %d were named "
                 "(see sot-eval judge-pairs --help)",
                 arguments->n);
    else if (!options->questions)
        complain("--questions FILE is missing (see sot-eval judge-pairs --help)");
    else if (!options->output)
        complain("-o FILE is missing (see sot-eval judge-pairs --help)");
    else
        return -1;
    return EXIT_USAGE;
}

int command_judge_pairs(int argc, char **argv)
{
    struct judge_options options = {0};
    struct arguments arguments = {0};
    struct pairs pairs = {0};
    int code = option_table_parse(&table, &options, argc, argv, &arguments);
    if (code < 0)
        code = check(&options, &arguments);
    if (code >= 0)
        return code;
    code = EXIT_FAILED;
    if (read_sources(&pairs, &options, &arguments) && write_pairs(&pairs, options.output)) {
        code = EXIT_DONE;
        fprintf(stderr, "%s: %zu comparisons, %zu prompts, %zu left out\n", program_name,
                pairs.n_pairs, 2 * pairs.n_pairs, pairs.n_missing);
    }
    for (size_t i = 0; i < pairs.n_sources; i++)
        answers_free(&pairs.sources[i]);
    free(pairs.sources);
    text_free(&pairs.written);
    questions_free(&pairs.questions);
    judge_template_free(&pairs.template);
    return code;
}
