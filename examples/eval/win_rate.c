/* sot-eval win-rate: from a judge's verdicts to win, tie and lose and net win rates, per category
 * and over all questions. The rule is in win_rate.h, reading in win_rate_verdicts.c. */
#include "win_rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/json_values.h"
#include "../shared/option_table.h"
#include "../shared/program.h"
#include "../shared/text.h"
#include "eval_commands.h"

struct win_rate_options {
    const char *pairs, *questions, *candidate, *rule;
    int json;
};

static const char usage[] =
    "Usage: sot-eval win-rate [options] VERDICTS\n\n"
    "Sums up a judge's verdicts: how often the candidate's answer wins, ties and loses against "
    "the\n"
    "baseline's, and the net win rate, (won - lost) / questions. VERDICTS has one JSON object a\n"
    "line: {\"id\": of a prompt of sot-eval judge-pairs, \"text\": what the judge wrote}, or a\n"
    "pairwise record of FastChat's.\n";

static const struct option_row rows[] = {
    {"pairs", 0, OPTION_TEXT, offsetof(struct win_rate_options, pairs), 0, 0, "FILE",
     "the prompts that were judged; needed for verdicts by id"},
    {"questions", 0, OPTION_TEXT, offsetof(struct win_rate_options, questions), 0, 0, "FILE",
     "questions with their categories, for FastChat's records"},
    {"candidate", 0, OPTION_TEXT, offsetof(struct win_rate_options, candidate), 0, 0, "NAME",
     "which model of FastChat's records is the candidate\n(default: model_1 of the first)"},
    {"rule", 0, OPTION_TEXT, offsetof(struct win_rate_options, rule), 0, 0, "RULE",
     "sum (default): of the two orders' scores, as in the paper;\n"
     "agree: a tie where the orders disagree, as in FastChat"},
    {"json", 0, OPTION_FLAG, offsetof(struct win_rate_options, json), 0, 0, NULL,
     "print one JSON object"},
};

static const struct option_table table = {
    .name = "sot-eval win-rate",
    .usage = usage,
    .remarks = "Exit codes: 0 summed up, 1 failed, 2 wrong usage.\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .most_arguments = 1,
};

/* What a comparison comes to. */
struct summary {
    struct tally all;
    size_t n_judged, n_excluded;
    size_t n_agree;            /* questions on which both orders say the same */
    size_t n_first, n_second;  /* verdicts for the answer that was shown first, second */
    const char **categories;   /* (n_categories) in the order of the questions */
    struct tally *by_category; /* (n_categories) */
    size_t n_categories;
};

static struct tally *tally_of(struct summary *summary, const char *category)
{
    size_t n = summary->n_categories;
    for (size_t i = 0; i < n; i++)
        if (strcmp(summary->categories[i], category) == 0)
            return &summary->by_category[i];
    summary->categories = grow(summary->categories, (n + 1) * sizeof *summary->categories);
    summary->by_category = grow(summary->by_category, (n + 1) * sizeof *summary->by_category);
    summary->categories[n] = category;
    summary->by_category[n] = (struct tally){0};
    summary->n_categories++;
    return &summary->by_category[n];
}

static void count(struct tally *tally, int result)
{
    tally->n_win += result > 0;
    tally->n_tie += result == 0;
    tally->n_lose += result < 0;
}

static int is_judged(const struct judged_question *question)
{
    return question->verdicts[ORDER_AB].state == VERDICT_GIVEN &&
           question->verdicts[ORDER_BA].state == VERDICT_GIVEN;
}

static struct summary summarize(const struct comparison_of_two *comparison, int rule)
{
    struct summary summary = {0};
    for (size_t i = 0; i < comparison->n; i++) {
        const struct judged_question *question = &comparison->questions[i];
        int first = question->verdicts[ORDER_AB].score;
        int second = question->verdicts[ORDER_BA].score;
        if (!is_judged(question)) {
            summary.n_excluded++;
            continue;
        }
        int result = rule_apply(rule, first, second);
        count(&summary.all, result);
        count(tally_of(&summary, question->category), result);
        summary.n_judged++;
        summary.n_agree += first == second;
        summary.n_first += (size_t)((first > 0) + (second < 0));
        summary.n_second += (size_t)((first < 0) + (second > 0));
    }
    if (summary.n_judged)
        tally_complete(&summary.all);
    for (size_t i = 0; i < summary.n_categories; i++)
        tally_complete(&summary.by_category[i]);
    return summary;
}

static void summary_free(struct summary *summary)
{
    free(summary->categories);
    free(summary->by_category);
}

static const char *why_excluded(const struct verdict *verdict)
{
    return verdict->state == VERDICT_MISSING ? "there is no verdict" : verdict->why_not;
}

static const char *const order_names[N_ORDERS] = {"ab", "ba"};

/* To standard error: which questions do not count, and why. */
static void say_excluded(const struct comparison_of_two *comparison)
{
    for (size_t i = 0; i < comparison->n; i++)
        for (size_t order = 0; order < N_ORDERS; order++) {
            const struct verdict *verdict = &comparison->questions[i].verdicts[order];
            if (verdict->state != VERDICT_GIVEN)
                complain("question %s is left out (%s against %s, order %s): %s",
                         comparison->questions[i].key, comparison->candidate, comparison->baseline,
                         order_names[order], why_excluded(verdict));
        }
}

static void print_tally(const char *name, const struct tally *tally)
{
    size_t n = tally->n_win + tally->n_tie + tally->n_lose;
    printf("%-22s %9zu %5zu %5zu %5zu  %+8.1f%%  %+7.1f%% to %+6.1f%%\n", name, n, tally->n_win,
           tally->n_tie, tally->n_lose, 100 * tally->net, 100 * tally->low, 100 * tally->high);
}

static void print_clean(const char *string)
{
    struct text clean = {0};
    text_clean(&clean, string, strlen(string));
    fputs(clean.bytes ? clean.bytes : "", stdout);
    text_free(&clean);
}

static void print_summary(const struct comparison_of_two *comparison, const struct summary *summary)
{
    print_clean(comparison->candidate);
    printf(" against ");
    print_clean(comparison->baseline);
    printf("\n%-22s %9s %5s %5s %5s  %9s  %s\n", "category", "questions", "win", "tie", "lose",
           "net", "95% interval");
    for (size_t i = 0; i < summary->n_categories; i++) {
        struct text name = {0};
        text_clean(&name, summary->categories[i], strlen(summary->categories[i]));
        print_tally(name.size ? name.bytes : "-", &summary->by_category[i]);
        text_free(&name);
    }
    print_tally("all", &summary->all);
    printf("both orders agree on %zu of %zu questions; of %zu verdicts %zu prefer the answer "
           "shown\nfirst, %zu the one shown second; %zu questions left out\n",
           summary->n_agree, summary->n_judged, 2 * summary->n_judged, summary->n_first,
           summary->n_second, summary->n_excluded);
}

static json_t *tally_json(const struct tally *tally)
{
    size_t n = tally->n_win + tally->n_tie + tally->n_lose;
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:[f, f]}", "questions", (json_int_t)n, "win",
                     (json_int_t)tally->n_win, "tie", (json_int_t)tally->n_tie, "lose",
                     (json_int_t)tally->n_lose, "net_win_rate", tally->net, "interval_95",
                     tally->low, tally->high);
}

static json_t *excluded_json(const struct comparison_of_two *comparison)
{
    json_t *excluded = json_array();
    for (size_t i = 0; i < comparison->n; i++)
        for (size_t order = 0; order < N_ORDERS; order++) {
            const struct verdict *verdict = &comparison->questions[i].verdicts[order];
            if (verdict->state != VERDICT_GIVEN)
                json_array_append_new(excluded,
                                      json_pack("{s:s, s:s, s:s}", "question_id",
                                                comparison->questions[i].key, "order",
                                                order_names[order], "why", why_excluded(verdict)));
        }
    return excluded;
}

static json_t *summary_json(const struct comparison_of_two *comparison,
                            const struct summary *summary)
{
    json_t *object = json_object();
    json_object_set_new(object, "candidate", json_string(comparison->candidate));
    json_object_set_new(object, "baseline", json_string(comparison->baseline));
    json_object_set_new(object, "all", summary->n_judged ? tally_json(&summary->all) : json_null());
    json_t *categories = json_array();
    for (size_t i = 0; i < summary->n_categories; i++) {
        json_t *category = tally_json(&summary->by_category[i]);
        json_object_set_new(category, "category", json_string(summary->categories[i]));
        json_array_append_new(categories, category);
    }
    json_object_set_new(object, "categories", categories);
    json_object_set_new(object, "orders_agree", json_number(summary->n_agree));
    json_object_set_new(object, "prefer_first", json_number(summary->n_first));
    json_object_set_new(object, "prefer_second", json_number(summary->n_second));
    json_object_set_new(object, "excluded", excluded_json(comparison));
    return object;
}

/* Returns 0 where nothing was judged. */
static int report(const struct verdicts *verdicts, int rule, int as_json)
{
    json_t *comparisons = json_array();
    size_t n_judged = 0;
    for (size_t i = 0; i < verdicts->n; i++) {
        const struct comparison_of_two *comparison = &verdicts->comparisons[i];
        struct summary summary = summarize(comparison, rule);
        n_judged += summary.n_judged;
        say_excluded(comparison);
        if (as_json)
            json_array_append_new(comparisons, summary_json(comparison, &summary));
        else if (summary.n_judged)
            print_summary(comparison, &summary);
        if (!as_json && i + 1 < verdicts->n)
            printf("\n");
        summary_free(&summary);
    }
    json_t *object = json_pack("{s:s, s:o}", "rule", rule == RULE_SUM ? "sum" : "agree",
                               "comparisons", comparisons);
    if (as_json) {
        json_dumpf(object, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(object);
    if (!n_judged)
        complain("no question has a verdict in both orders");
    return n_judged > 0;
}

int command_win_rate(int argc, char **argv)
{
    struct win_rate_options options = {0};
    struct arguments arguments = {0};
    struct verdicts verdicts = {0};
    int code = option_table_parse(&table, &options, argc, argv, &arguments);
    if (code >= 0)
        return code;
    int rule = options.rule && strcmp(options.rule, "agree") == 0 ? RULE_AGREE : RULE_SUM;
    if (arguments.n != 1) {
        complain("no verdicts (see sot-eval win-rate --help)");
        return EXIT_USAGE;
    }
    if (options.rule && rule == RULE_SUM && strcmp(options.rule, "sum") != 0) {
        complain("--rule '%s': sum or agree is expected", options.rule);
        return EXIT_USAGE;
    }
    struct verdict_files files = {arguments.names[0], options.pairs, options.questions,
                                  options.candidate};
    if (!verdicts_read(&verdicts, &files))
        return EXIT_FAILED;
    code = report(&verdicts, rule, options.json) ? EXIT_DONE : EXIT_FAILED;
    verdicts_free(&verdicts);
    return code;
}
