/* Reading a run and summing it up: see report_run.h. */
#include "report_run.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/text.h"
#include "paper.h"

const char *const mode_titles[N_MODES] = {"normal", "SoT", "SoT-R"};

static int succeeded(const struct record *record)
{
    return record && strcmp(record->status, "SOT_OK") == 0;
}

static int is_sot(const struct record *record)
{
    return record && strcmp(record->ran, "sot") == 0;
}

int report_compares(const struct report_question *question, unsigned mode)
{
    return succeeded(question->records[MODE_NORMAL]) && succeeded(question->records[mode]);
}

double report_speedup(const struct report_question *question, unsigned mode)
{
    if (!report_compares(question, mode) || question->records[mode]->total_ns == 0)
        return NAN;
    return (double)question->records[MODE_NORMAL]->total_ns /
           (double)question->records[mode]->total_ns;
}

double report_bound(const struct report_question *question, unsigned mode)
{
    if (!report_compares(question, mode) || !is_sot(question->records[mode]))
        return NAN;
    const struct record *record = question->records[mode];
    double steps = record->stages[STAGE_SKELETON].decode_tokens + (double)record->longest_point;
    return steps > 0 ? question->records[MODE_NORMAL]->n_tokens / steps : NAN;
}

int report_remark(const struct record *record, char *remark, size_t capacity)
{
    uint32_t n_cut = 0;
    for (uint32_t i = 0; i < record->n_points; i++)
        n_cut += strcmp(record->points[i].finish, "stop") != 0;
    const char *error = json_string_value(json_object_get(record->json, "error"));
    if (!succeeded(record))
        snprintf(remark, capacity, "failed: %s", error ? error : record->status);
    else if (is_sot(record) && record->n_points == 0)
        snprintf(remark, capacity, "the skeleton has no points: it is the answer");
    else if (record->n_points_dropped)
        snprintf(remark, capacity, "%" PRIu32 " points beyond the limit were not expanded",
                 record->n_points_dropped);
    else if (n_cut)
        snprintf(remark, capacity, "%" PRIu32 " of %" PRIu32 " expansions reached a limit", n_cut,
                 record->n_points);
    else if (strcmp(record->finish, "stop") != 0)
        snprintf(remark, capacity, "ended by a limit (%s)", record->finish);
    else if (!record->answer[0])
        snprintf(remark, capacity, "the answer is empty");
    else
        return 0;
    return 1;
}

/* What the router said, which is what ran unless it could not be. */
static int chose_sot(const struct record *record)
{
    const char *label = json_string_value(json_object_get(record->decision, "label"));
    return label ? strcmp(label, "sot") == 0 : is_sot(record);
}

static unsigned mode_of(const struct record *record)
{
    unsigned mode = 0;
    while (mode < N_MODES && strcmp(record->mode, mode_names[mode]) != 0)
        mode++;
    return mode;
}

static int by_question(const void *a, const void *b)
{
    const struct record *const *left = a;
    const struct record *const *right = b;
    int64_t one = (*left)->question_id;
    int64_t other = (*right)->question_id;
    if (one != other)
        return one < other ? -1 : 1;
    return *left < *right ? -1 : *left > *right;
}

static int by_appearance(const void *a, const void *b)
{
    const struct report_question *left = a;
    const struct report_question *right = b;
    return left->any < right->any ? -1 : left->any > right->any;
}

static void collect_questions(struct report_run *run)
{
    size_t n = run->records.n;
    const struct record **sorted = grow(NULL, (n + 1) * sizeof(*sorted));
    run->questions = grow(NULL, (n + 1) * sizeof *run->questions);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &run->records.records[i];
    qsort(sorted, n, sizeof *sorted, by_question);
    for (size_t i = 0; i < n; i++) {
        unsigned mode = mode_of(sorted[i]);
        if (mode == N_MODES)
            continue;
        size_t last = run->n_questions;
        if (last == 0 || run->questions[last - 1].any->question_id != sorted[i]->question_id)
            run->questions[run->n_questions++] = (struct report_question){.any = sorted[i]};
        run->questions[run->n_questions - 1].records[mode] = sorted[i];
        run->n_of_mode[mode]++;
    }
    qsort(run->questions, run->n_questions, sizeof *run->questions, by_appearance);
    free(sorted);
}

/* Mean times of a mode; category NULL: over all questions. */
static struct report_time mean_time(const struct report_run *run, const char *category,
                                    unsigned mode)
{
    struct report_time sum = {0};
    size_t n = 0;
    for (size_t i = 0; i < run->n_questions; i++) {
        const struct report_question *question = &run->questions[i];
        if ((category && strcmp(question->any->category, category) != 0) ||
            !report_compares(question, mode == MODE_NORMAL ? MODE_SOT : mode))
            continue;
        const struct record *record = question->records[mode];
        double rest = (double)record->total_ns;
        for (unsigned j = 0; j < N_STAGES; j++) {
            sum.prefill[j] += (double)record->stages[j].prefill_ns / 1e9;
            sum.decode[j] += (double)record->stages[j].decode_ns / 1e9;
            rest -= (double)record->stages[j].prefill_ns + (double)record->stages[j].decode_ns;
        }
        sum.rest += rest > 0 ? rest / 1e9 : 0;
        n++;
    }
    double share = n ? 1 / (double)n : NAN;
    for (unsigned j = 0; j < N_STAGES; j++) {
        sum.prefill[j] *= share;
        sum.decode[j] *= share;
    }
    sum.rest *= share;
    return sum;
}

static void make_row(const struct report_run *run, const char *category, struct report_row *row)
{
    for (unsigned mode = 0; mode < N_MODES; mode++)
        row->times[mode] = mean_time(run, category, mode);
    for (size_t i = 0; i < run->n_questions; i++) {
        const struct report_question *question = &run->questions[i];
        if (category && strcmp(question->any->category, category) != 0)
            continue;
        const struct record *routed = question->records[MODE_ROUTED];
        row->n_labelled += question->any->suitable >= 0;
        row->n_suitable += question->any->suitable > 0;
        row->n_routed += routed && routed->decision;
        row->n_chosen += routed && routed->decision && chose_sot(routed);
    }
}

/* The paper's averages are means over the means of its categories: Fig. 11b's 343.0 tokens are. */
static struct category_statistics average_of(const struct report_run *run, size_t member)
{
    static const size_t means[] = {offsetof(struct category_statistics, points),
                                   offsetof(struct category_statistics, skeleton_tokens),
                                   offsetof(struct category_statistics, point_tokens),
                                   offsetof(struct category_statistics, longest_point),
                                   offsetof(struct category_statistics, balance),
                                   offsetof(struct category_statistics, normal_tokens),
                                   offsetof(struct category_statistics, mode_tokens),
                                   offsetof(struct category_statistics, normal_ns),
                                   offsetof(struct category_statistics, mode_ns),
                                   offsetof(struct category_statistics, longest_over_normal),
                                   offsetof(struct category_statistics, answer_over_normal),
                                   offsetof(struct category_statistics, speedup),
                                   offsetof(struct category_statistics, speedup_mean),
                                   offsetof(struct category_statistics, speedup_least),
                                   offsetof(struct category_statistics, speedup_most),
                                   offsetof(struct category_statistics, bound),
                                   offsetof(struct category_statistics, memory)};
    struct category_statistics average = {.category = "average"};
    for (size_t k = 0; k < sizeof means / sizeof *means; k++) {
        double sum = 0;
        size_t n = 0;
        for (size_t i = 0; i < run->n_categories; i++) {
            double value;
            memcpy(&value, (const char *)&run->rows[i] + member + means[k], sizeof value);
            sum += isfinite(value) ? value : 0;
            n += isfinite(value) != 0;
        }
        double mean = n ? sum / (double)n : NAN;
        memcpy((char *)&average + means[k], &mean, sizeof mean);
    }
    return average;
}

static void make_rows(struct report_run *run)
{
    struct statistics sot, routed;
    statistics_make(&sot, &run->records, mode_names[MODE_SOT]);
    statistics_make(&routed, &run->records, mode_names[MODE_ROUTED]);
    run->n_categories = sot.n - 1;
    run->rows = grow(NULL, (sot.n + 1) * sizeof *run->rows);
    for (size_t i = 0; i <= sot.n; i++) {
        size_t i_statistics = i < sot.n - 1 ? i : sot.n - 1;
        int is_all = i_statistics == sot.n - 1;
        struct report_row *row = &run->rows[i];
        *row =
            (struct report_row){.sot = sot.rows[i_statistics], .routed = routed.rows[i_statistics]};
        row->name = is_all ? "all questions" : row->sot.category;
        make_row(run, is_all ? NULL : row->name, row);
    }
    struct report_row *average = &run->rows[run->n_categories];
    average->name = "average";
    average->sot = average_of(run, offsetof(struct report_row, sot));
    average->routed = average_of(run, offsetof(struct report_row, routed));
    run->routing = routed.routing;
    statistics_free(&sot);
    statistics_free(&routed);
}

const struct report_row *report_average(const struct report_run *run)
{
    return &run->rows[run->n_categories];
}

const struct report_row *report_all(const struct report_run *run)
{
    return &run->rows[run->n_categories + 1];
}

static int by_points(const void *a, const void *b)
{
    const struct points_group *left = a;
    const struct points_group *right = b;
    return left->n_points < right->n_points ? -1 : left->n_points > right->n_points;
}

static void group_by_points(struct report_run *run)
{
    run->groups = grow(NULL, (run->n_questions + 1) * sizeof *run->groups);
    for (size_t i = 0; i < run->n_questions; i++) {
        const struct record *record = run->questions[i].records[MODE_SOT];
        double speedup = report_speedup(&run->questions[i], MODE_SOT);
        if (!is_sot(record) || !isfinite(speedup))
            continue;
        size_t j = 0;
        while (j < run->n_groups && run->groups[j].n_points != record->n_points)
            j++;
        if (j == run->n_groups)
            run->groups[run->n_groups++] = (struct points_group){.n_points = record->n_points};
        run->groups[j].n++;
        run->groups[j].speedup += speedup;
    }
    for (size_t j = 0; j < run->n_groups; j++)
        run->groups[j].speedup /= (double)run->groups[j].n;
    qsort(run->groups, run->n_groups, sizeof *run->groups, by_points);
}

static const char *recognize(const struct report_run *run)
{
    int is_vicuna = 1;
    for (size_t i = 0; i < run->n_categories; i++)
        is_vicuna = is_vicuna && isfinite(paper_speedup(run->rows[i].name));
    for (size_t i = 0; i < run->n_questions; i++)
        if (run->questions[i].any->difficulty >= 0)
            return "wizardlm";
    return is_vicuna ? "vicuna80" : NULL;
}

int report_run_read(struct report_run *run, const char *path)
{
    struct text file = {0};
    json_error_t error;
    *run = (struct report_run){.path = path};
    text_format(&file, "%s/run.json", path);
    run->facts = json_load_file(file.bytes, JSON_REJECT_DUPLICATES, &error);
    int is_good = json_is_object(run->facts);
    if (!is_good && error.line > 0)
        complain("%s: line %d: %s", file.bytes, error.line,
                 run->facts ? "an object is expected" : error.text);
    else if (!is_good)
        complain("%s: %s", file.bytes, run->facts ? "an object is expected" : strerror(errno));
    if (is_good) {
        text_clear(&file);
        text_format(&file, "%s/records.jsonl", path);
        is_good = records_read(file.bytes, 0, &run->records);
    }
    if (is_good)
        collect_questions(run);
    if (is_good && run->n_questions == 0) {
        complain("%s: there are no records in it", file.bytes);
        is_good = 0;
    }
    text_free(&file);
    if (is_good) {
        make_rows(run);
        group_by_points(run);
        run->data = recognize(run);
    } else {
        report_run_free(run);
    }
    return is_good;
}

void report_run_free(struct report_run *run)
{
    json_decref(run->facts);
    records_free(&run->records);
    free(run->questions);
    free(run->rows);
    free(run->groups);
    *run = (struct report_run){0};
}
