/* The report's numbers as JSON: see report_json.h. */
#include "report_json.h"

#include <math.h>

#include "../shared/json_values.h"
#include "paper.h"

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *time_json(const struct report_time *time)
{
    static const char *const stages[] = {"normal", "skeleton", "expand", "route"};
    _Static_assert(sizeof stages / sizeof *stages == N_STAGES, "every stage has a name");
    json_t *object = json_object();
    for (unsigned i = 0; i < N_STAGES; i++)
        json_object_set_new(object, stages[i],
                            json_pack("{s:o, s:o}", "prefill_s", real(time->prefill[i]), "decode_s",
                                      real(time->decode[i])));
    json_object_set_new(object, "rest_s", real(time->rest));
    return object;
}

/* What statistics_json does not have of a row. */
static json_t *row_json(const struct report_row *row)
{
    json_t *times = json_object();
    for (unsigned mode = 0; mode < N_MODES; mode++)
        json_object_set_new(times, mode_names[mode], time_json(&row->times[mode]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "category", json_name(row->name), "times",
                     times, "n_labelled", json_number(row->n_labelled), "n_suitable",
                     json_number(row->n_suitable), "n_routed", json_number(row->n_routed),
                     "n_chosen", json_number(row->n_chosen));
}

/* The averages over the categories, which is what the paper states. */
static json_t *average_json(const struct category_statistics *row)
{
    struct category_statistics copy = *row;
    struct statistics statistics = {.mode = "", .rows = &copy, .n = 1};
    json_t *made = statistics_json(&statistics);
    json_t *object = json_incref(json_array_get(json_object_get(made, "categories"), 0));
    json_decref(made);
    static const char *const counts[] = {"category", "n_questions", "n_compared", "n_sot",
                                         "n_expanded"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_del(object, counts[i]);
    return object;
}

static json_t *statistics_of(const struct report_run *run, unsigned mode)
{
    struct statistics statistics;
    if (!run->n_of_mode[mode])
        return json_null();
    statistics_make(&statistics, &run->records, mode_names[mode]);
    json_t *object = statistics_json(&statistics);
    const struct report_row *average = report_average(run);
    json_object_set_new(object, "average",
                        average_json(mode == MODE_SOT ? &average->sot : &average->routed));
    statistics_free(&statistics);
    return object;
}

static json_t *remarks_json(const struct report_run *run)
{
    char remark[512];
    json_t *array = json_array();
    for (size_t i = 0; i < run->records.n; i++) {
        const struct record *record = &run->records.records[i];
        if (report_remark(record, remark, sizeof remark))
            json_array_append_new(
                array, json_pack("{s:I, s:o, s:o}", "question_id", (json_int_t)record->question_id,
                                 "mode", json_name(record->mode), "remark", json_name(remark)));
    }
    return array;
}

static json_t *run_json(const struct report_run *run)
{
    json_t *object = json_object();
    json_t *rows = json_array();
    json_t *groups = json_array();
    for (size_t i = 0; i < run->n_categories + 2; i++)
        if (i != run->n_categories)
            json_array_append_new(rows, row_json(&run->rows[i]));
    for (size_t i = 0; i < run->n_groups; i++)
        json_array_append_new(groups, json_pack("{s:o, s:o, s:o}", "points",
                                                json_number(run->groups[i].n_points), "questions",
                                                json_number(run->groups[i].n), "speedup_mean",
                                                real(run->groups[i].speedup)));
    json_object_set_new(object, "path", json_name(run->path));
    json_object_set_new(object, "data", run->data ? json_name(run->data) : json_null());
    json_object_set(object, "run", run->facts);
    json_object_set_new(object, "n_questions", json_number(run->n_questions));
    json_object_set_new(object, "sot", statistics_of(run, MODE_SOT));
    json_object_set_new(object, "routed", statistics_of(run, MODE_ROUTED));
    json_object_set_new(object, "rows", rows);
    json_object_set_new(object, "by_points", groups);
    json_object_set_new(object, "remarks", remarks_json(run));
    return object;
}

/* The paper's numbers that belong beside these. */
static json_t *paper_json(void)
{
    static const char *const categories[] = {
        "coding",    "math",    "fermi",          "roleplay",     "writing",
        "knowledge", "generic", "counterfactual", "common-sense", "average"};
    json_t *rows = json_array();
    json_t *routers = json_array();
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++) {
        const struct fig11_row *row = fig11_find("all models", categories[i]);
        json_array_append_new(
            rows, json_pack("{s:s, s:o, s:f, s:f, s:f, s:f, s:f, s:f}", "category", categories[i],
                            "speedup", real(paper_speedup(categories[i])), "points", row->points,
                            "normal_tokens", row->normal, "longest_point", row->longest,
                            "longest_over_normal", row->longest_normal, "balance", row->deviation,
                            "answer_over_normal", row->sot_normal));
    }
    for (size_t i = 0; i < paper_routers_count; i++) {
        const struct paper_router *router = &paper_routers[i];
        json_array_append_new(
            routers, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:f}", "name", router->name, "data",
                               router->data, "tn", json_number(router->tn), "fp",
                               json_number(router->fp), "fn", json_number(router->fn), "tp",
                               json_number(router->tp), "latency_s", router->latency_s));
    }
    return json_pack("{s:o, s:o, s:f}", "vicuna80", rows, "routers", routers, "memory_most",
                     PAPER_MEMORY_MOST);
}

json_t *report_json(const struct report_run *runs, size_t n_runs)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n_runs; i++)
        json_array_append_new(array, run_json(&runs[i]));
    return json_pack("{s:o, s:o}", "runs", array, "paper", paper_json());
}
