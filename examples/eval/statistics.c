/* Statistics of records: see statistics.h. */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/text.h"

/* Of the values that are defined. */
struct mean {
    double sum;
    size_t n;
};

/* Sums while a category's questions are gone through. */
struct sums {
    double points, skeleton_tokens;
    double point_tokens, n_points, longest_point, balance;
    double normal_tokens, mode_tokens, normal_ns, mode_ns;
    double critical_tokens; /* that cannot be generated side by side */
    struct mean longest_over_normal, answer_over_normal, speedup;
    double normal_peak, mode_peak;
};

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static void add(struct mean *mean, double value)
{
    if (isnan(value))
        return;
    mean->sum += value;
    mean->n++;
}

static double mean_of(struct mean mean)
{
    return ratio(mean.sum, (double)mean.n);
}

static int succeeded(const struct record *record)
{
    return record && strcmp(record->status, "SOT_OK") == 0;
}

static double deviation(const struct record *record)
{
    double sum = 0;
    double squares = 0;
    for (uint32_t i = 0; i < record->n_points; i++)
        sum += record->points[i].tokens;
    double mean = sum / record->n_points;
    for (uint32_t i = 0; i < record->n_points; i++)
        squares += (record->points[i].tokens - mean) * (record->points[i].tokens - mean);
    return sqrt(squares / record->n_points);
}

/* What is known of a mode's answer by itself. */
static void add_answer(struct category_statistics *row, struct sums *sums,
                       const struct record *record)
{
    if (strcmp(record->ran, "sot") != 0)
        return;
    row->n_sot++;
    sums->points += record->n_points;
    sums->skeleton_tokens += record->stages[STAGE_SKELETON].decode_tokens;
    if (record->n_points == 0)
        return;
    row->n_expanded++;
    sums->longest_point += record->longest_point;
    sums->balance += deviation(record);
    sums->n_points += record->n_points;
    for (uint32_t i = 0; i < record->n_points; i++)
        sums->point_tokens += record->points[i].tokens;
}

static void add_pair(struct category_statistics *row, struct sums *sums,
                     const struct record *normal, const struct record *record)
{
    int is_sot = strcmp(record->ran, "sot") == 0;
    double speedup = ratio((double)normal->total_ns, (double)record->total_ns);
    row->n_compared++;
    sums->normal_tokens += normal->n_tokens;
    sums->mode_tokens += record->n_tokens;
    sums->normal_ns += (double)normal->total_ns;
    sums->mode_ns += (double)record->total_ns;
    add(&sums->speedup, speedup);
    row->speedup_least = fmin(row->speedup_least, speedup);
    row->speedup_most = fmax(row->speedup_most, speedup);
    sums->critical_tokens +=
        is_sot ? record->stages[STAGE_SKELETON].decode_tokens + (double)record->longest_point
               : record->stages[STAGE_NORMAL].decode_tokens;
    sums->critical_tokens += record->stages[STAGE_ROUTE].decode_tokens;
    add(&sums->answer_over_normal, ratio(record->answer_tokens, normal->answer_tokens));
    if (is_sot && record->n_points > 0)
        add(&sums->longest_over_normal, ratio(record->longest_point, normal->n_tokens));
    sums->normal_peak = fmax(sums->normal_peak, (double)normal->peak_bytes);
    sums->mode_peak = fmax(sums->mode_peak, (double)record->peak_bytes);
}

static void finish(struct category_statistics *row, const struct sums *sums)
{
    double n_compared = (double)row->n_compared;
    row->points = ratio(sums->points, (double)row->n_sot);
    row->skeleton_tokens = ratio(sums->skeleton_tokens, (double)row->n_sot);
    row->point_tokens = ratio(sums->point_tokens, sums->n_points);
    row->longest_point = ratio(sums->longest_point, (double)row->n_expanded);
    row->balance = ratio(sums->balance, (double)row->n_expanded);
    row->normal_tokens = ratio(sums->normal_tokens, n_compared);
    row->mode_tokens = ratio(sums->mode_tokens, n_compared);
    row->normal_ns = ratio(sums->normal_ns, n_compared);
    row->mode_ns = ratio(sums->mode_ns, n_compared);
    row->longest_over_normal = mean_of(sums->longest_over_normal);
    row->answer_over_normal = mean_of(sums->answer_over_normal);
    row->speedup = ratio(sums->normal_ns, sums->mode_ns);
    row->speedup_mean = mean_of(sums->speedup);
    row->bound = ratio(sums->normal_tokens, sums->critical_tokens);
    row->memory = ratio(sums->mode_peak, sums->normal_peak);
}

/* category NULL: all of them. */
static void make_row(struct category_statistics *row, const struct record_list *list,
                     const char *mode, const char *category)
{
    struct sums sums = {0};
    *row = (struct category_statistics){
        .category = category ? category : "all", .speedup_least = NAN, .speedup_most = NAN};
    for (size_t i = 0; i < list->n; i++) {
        const struct record *record = &list->records[i];
        if (category && strcmp(record->category, category) != 0)
            continue;
        if (strcmp(record->mode, "normal") == 0) {
            row->n_questions += !records_find(list, record->question_id, mode);
            continue;
        }
        if (strcmp(record->mode, mode) != 0)
            continue;
        const struct record *normal = records_find(list, record->question_id, "normal");
        row->n_questions++;
        if (!succeeded(record))
            continue;
        add_answer(row, &sums, record);
        if (succeeded(normal))
            add_pair(row, &sums, normal, record);
    }
    finish(row, &sums);
}

/* A row and a column of the table below. */
static size_t *routed_cell(struct routing *routing, int suitable, int is_sot)
{
    return suitable ? (is_sot ? &routing->tp : &routing->fn)
                    : (is_sot ? &routing->fp : &routing->tn);
}

static void make_routing(struct routing *routing, const struct record_list *list, const char *mode)
{
    double latency_ns = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct record *record = &list->records[i];
        if (!record->decision || strcmp(record->mode, mode) != 0)
            continue;
        const char *label = json_string_value(json_object_get(record->decision, "label"));
        int is_sot = label && strcmp(label, "sot") == 0;
        routing->n++;
        routing->n_sot += (size_t)is_sot;
        routing->n_undecided += label && strcmp(label, "undecided") == 0;
        latency_ns += json_number_value(json_object_get(record->decision, "latency_ns"));
        if (record->suitable >= 0)
            ++*routed_cell(routing, record->suitable, is_sot);
    }
    routing->latency_ns = ratio(latency_ns, (double)routing->n);
}

void statistics_make(struct statistics *statistics, const struct record_list *list,
                     const char *mode)
{
    *statistics = (struct statistics){.mode = mode};
    statistics->rows = grow(NULL, (list->n + 1) * sizeof *statistics->rows);
    for (size_t i = 0; i < list->n; i++) {
        const char *category = list->records[i].category;
        size_t j = 0;
        while (j < statistics->n && strcmp(statistics->rows[j].category, category) != 0)
            j++;
        if (j == statistics->n)
            make_row(&statistics->rows[statistics->n++], list, mode, category);
    }
    make_row(&statistics->rows[statistics->n++], list, mode, NULL);
    make_routing(&statistics->routing, list, mode);
}

void statistics_free(struct statistics *statistics)
{
    free(statistics->rows);
    *statistics = (struct statistics){0};
}
