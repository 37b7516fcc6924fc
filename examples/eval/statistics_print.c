/* Statistics as a table and as JSON: see statistics.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../shared/json_values.h"
#include "../shared/text.h"
#include "statistics.h"

static void print_cell(int width, int n_digits, double value, const char *unit)
{
    char cell[32] = "-";
    if (!isnan(value))
        snprintf(cell, sizeof cell, "%.*f%s", n_digits, value, unit);
    printf("%*s", width, cell);
}

static void print_routing(const struct routing *routing)
{
    size_t n_labelled = routing->tn + routing->fp + routing->fn + routing->tp;
    printf("\nrouter: %zu of %zu questions by SoT, %zu undecided, %.3f ms a question\n",
           routing->n_sot, routing->n, routing->n_undecided, routing->latency_ns / 1e6);
    if (n_labelled)
        printf("against the labels of %zu questions: tn %zu, fp %zu, fn %zu, tp %zu, accuracy "
               "%.3f\n",
               n_labelled, routing->tn, routing->fp, routing->fn, routing->tp,
               (double)(routing->tn + routing->tp) / (double)n_labelled);
}

void statistics_print(const struct statistics *statistics)
{
    int is_routed = strcmp(statistics->mode, "routed") == 0;
    const char *name = is_routed ? "SoT-R" : "SoT";
    int width = 8;
    for (size_t i = 0; i < statistics->n; i++) {
        int size = (int)strlen(statistics->rows[i].category);
        width = size > width ? size : width;
    }
    printf("%s against normal generation\n\n", name);
    printf("%-*s  asked  compared  by SoT  points  longest  balance   normal  %6s  speed-up  "
           "bound  memory\n",
           width, "category", name);
    for (size_t i = 0; i < statistics->n; i++) {
        const struct category_statistics *row = &statistics->rows[i];
        struct text clean = {0};
        text_clean(&clean, row->category, strlen(row->category));
        printf("%-*s  %5zu  %8zu  %6zu", width, clean.bytes ? clean.bytes : "", row->n_questions,
               row->n_compared, row->n_sot);
        text_free(&clean);
        print_cell(8, 1, row->points, "");
        print_cell(9, 1, row->longest_point, "");
        print_cell(9, 1, row->balance, "");
        print_cell(9, 1, row->normal_tokens, "");
        print_cell(8, 1, row->mode_tokens, "");
        print_cell(10, 2, row->speedup, "x");
        print_cell(7, 2, row->bound, "x");
        print_cell(8, 3, row->memory, "x");
        printf("\n");
    }
    if (statistics->routing.n)
        print_routing(&statistics->routing);
}

static void set_real(json_t *object, const char *member, double value)
{
    json_object_set_new(object, member, isnan(value) ? json_null() : json_real(value));
}

static void set_count(json_t *object, const char *member, size_t value)
{
    json_object_set_new(object, member, json_number(value));
}

static json_t *row_json(const struct category_statistics *row)
{
    json_t *object = json_object();
    json_object_set_new(object, "category", json_text(row->category, strlen(row->category)));
    set_count(object, "n_questions", row->n_questions);
    set_count(object, "n_compared", row->n_compared);
    set_count(object, "n_sot", row->n_sot);
    set_count(object, "n_expanded", row->n_expanded);
    set_real(object, "points", row->points);
    set_real(object, "skeleton_tokens", row->skeleton_tokens);
    set_real(object, "point_tokens", row->point_tokens);
    set_real(object, "longest_point", row->longest_point);
    set_real(object, "balance", row->balance);
    set_real(object, "normal_tokens", row->normal_tokens);
    set_real(object, "mode_tokens", row->mode_tokens);
    set_real(object, "normal_ns", row->normal_ns);
    set_real(object, "mode_ns", row->mode_ns);
    set_real(object, "longest_over_normal", row->longest_over_normal);
    set_real(object, "answer_over_normal", row->answer_over_normal);
    set_real(object, "speedup", row->speedup);
    set_real(object, "speedup_mean", row->speedup_mean);
    set_real(object, "speedup_least", row->speedup_least);
    set_real(object, "speedup_most", row->speedup_most);
    set_real(object, "bound", row->bound);
    set_real(object, "memory", row->memory);
    return object;
}

static json_t *routing_json(const struct routing *routing)
{
    json_t *object = json_object();
    set_count(object, "n", routing->n);
    set_count(object, "n_sot", routing->n_sot);
    set_count(object, "n_undecided", routing->n_undecided);
    set_count(object, "tn", routing->tn);
    set_count(object, "fp", routing->fp);
    set_count(object, "fn", routing->fn);
    set_count(object, "tp", routing->tp);
    set_real(object, "latency_ns", routing->latency_ns);
    return object;
}

json_t *statistics_json(const struct statistics *statistics)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < statistics->n; i++)
        json_array_append_new(rows, row_json(&statistics->rows[i]));
    json_t *object = json_object();
    json_object_set_new(object, "mode", json_string(statistics->mode));
    json_object_set_new(object, "categories", rows);
    json_object_set_new(object, "routing",
                        statistics->routing.n ? routing_json(&statistics->routing) : json_null());
    return object;
}
