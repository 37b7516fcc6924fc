/* JSON objects of answers: see answer_json.h. */
#include "answer_json.h"

#include <stdio.h>
#include <string.h>

#include "json_values.h"

static json_t *stage_json(const sot_stats *stats, unsigned i)
{
    json_t *stage = json_object();
    json_object_set_new(stage, "prefill_ns", json_number(stats->prefill_ns[i]));
    json_object_set_new(stage, "decode_ns", json_number(stats->decode_ns[i]));
    json_object_set_new(stage, "prefill_tokens", json_number(stats->prefill_tokens[i]));
    json_object_set_new(stage, "reused_tokens", json_number(stats->reused_tokens[i]));
    json_object_set_new(stage, "decode_tokens", json_number(stats->decode_tokens[i]));
    json_object_set_new(stage, "decode_steps", json_number(stats->decode_steps[i]));
    json_object_set_new(stage, "max_rows", json_number(stats->max_rows[i]));
    return stage;
}

static json_t *stats_json(const sot_stats *stats)
{
    static const char *const stages[] = {"normal", "skeleton", "expand"};
    json_t *object = json_object();
    json_object_set_new(object, "total_ns", json_number(stats->total_ns));
    json_object_set_new(object, "n_points", json_number(stats->n_points));
    json_object_set_new(object, "n_points_dropped", json_number(stats->n_points_dropped));
    json_object_set_new(object, "longest_expansion", json_number(stats->longest_expansion));
    json_object_set_new(object, "peak_page_tokens", json_number(stats->peak_page_tokens));
    json_object_set_new(object, "session_bytes", json_number(stats->session_bytes));
    for (unsigned i = 0; i < 3; i++)
        json_object_set_new(object, stages[i], stage_json(stats, i));
    return object;
}

/* What only an answer in routed mode has. */
static void set_routing(json_t *object, const sot_stats *stats, const sot_decision *decision)
{
    static const char *const routers[] = {"none",   "prompting", "trained",
                                          "always", "never",     "callback"};
    static const char *const labels[] = {"undecided", "normal", "sot"};
    char letter[] = {(char)decision->letter, '\0'};
    json_t *made = json_object();
    json_object_set_new(made, "router",
                        json_name(routers[decision->router < 6 ? decision->router : 0]));
    json_object_set_new(made, "label",
                        json_name(labels[decision->label < 3 ? decision->label : 0]));
    json_object_set_new(made, "letter", letter[0] ? json_name(letter) : json_null());
    json_object_set_new(made, "score", json_real((double)decision->score));
    json_object_set_new(made, "n_tokens", json_number(decision->n_tokens));
    json_object_set_new(made, "latency_ns", json_number(decision->latency_ns));
    json_object_set_new(object, "decision", made);
    json_t *stats_object = json_object_get(object, "stats");
    json_object_set_new(stats_object, "route", stage_json(stats, SOT_STAGE_ROUTE - 1));
    json_object_set_new(stats_object, "route_ns", json_number(stats->route_ns));
    json_object_set_new(stats_object, "spent_tokens", json_number(stats->spent_tokens));
    json_object_set_new(stats_object, "won_ns", json_integer((json_int_t)stats->won_ns));
}

static json_t *points_json(const sot_answer *answer, const sot_points *points)
{
    json_t *array = json_array();
    size_t n_points = points ? sot_points_count(points) : 0;
    for (size_t i = 0; i < n_points; i++) {
        /* Where the answer ended before the points were begun, they have no expansion. */
        const char *expansion = sot_answer_point(answer, i);
        json_t *point = json_object();
        json_object_set_new(point, "index", json_name(sot_points_index(points, i)));
        json_object_set_new(point, "text",
                            json_text(sot_points_text(points, i), sot_points_text_size(points, i)));
        json_object_set_new(point, "expansion", json_name(expansion ? expansion : ""));
        json_object_set_new(point, "finish",
                            json_name(finish_name(sot_answer_point_finish(answer, i))));
        json_object_set_new(point, "tokens", json_number(sot_answer_point_tokens(answer, i)));
        json_array_append_new(array, point);
    }
    return array;
}

json_t *answer_json(const sot_answer *answer)
{
    sot_stats stats = SOT_STATS_INIT;
    sot_answer_get_stats(answer, &stats);
    const sot_points *points = sot_answer_points(answer);
    json_t *object = json_object();
    json_object_set_new(object, "mode",
                        json_name(stats.mode == SOT_MODE_NORMAL ? "normal" : "sot"));
    json_object_set_new(object, "text",
                        json_text(sot_answer_text(answer), sot_answer_text_size(answer)));
    json_object_set_new(object, "finish", json_name(finish_name(sot_answer_finish(answer))));
    json_t *skeleton = json_null();
    if (points) {
        skeleton = json_object();
        json_object_set_new(skeleton, "source",
                            json_text(sot_points_source(points), sot_points_source_size(points)));
        json_object_set_new(skeleton, "dropped", json_number(sot_points_dropped(points)));
    }
    json_object_set_new(object, "skeleton", skeleton);
    json_object_set_new(object, "points", points_json(answer, points));
    json_object_set_new(object, "stats", stats_json(&stats));
    sot_decision decision = SOT_DECISION_INIT;
    if (sot_answer_get_decision(answer, &decision) == SOT_OK &&
        decision.router != SOT_ROUTER_DEFAULT)
        set_routing(object, &stats, &decision);
    return object;
}

static json_t *ratio(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

json_t *comparison_json(const struct comparison *comparison)
{
    json_t *object = json_object();
    json_object_set_new(object, "normal_ns", json_number(comparison->normal.total_ns));
    json_object_set_new(object, "sot_ns", json_number(comparison->sot.total_ns));
    json_object_set_new(object, "normal_tokens", json_number(comparison->normal_tokens));
    json_object_set_new(object, "sot_tokens", json_number(comparison->sot_tokens));
    json_object_set_new(object, "skeleton_tokens", json_number(comparison->sot.decode_tokens[1]));
    json_object_set_new(object, "longest_expansion",
                        json_number(comparison->sot.longest_expansion));
    json_object_set_new(object, "speedup", ratio(comparison->speedup));
    json_object_set_new(object, "bound", ratio(comparison->bound));
    json_object_set_new(object, "share_of_bound", ratio(comparison->share));
    return object;
}

json_t *model_json(const sot_model_info *info)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_name(info->name));
    json_object_set_new(object, "device", json_name(info->device));
    json_object_set_new(object, "conversation", json_name(info->conversation));
    json_object_set_new(object, "n_parameters", json_number(info->n_parameters));
    json_object_set_new(object, "weight_bytes", json_number(info->weight_bytes));
    json_object_set_new(object, "converted_bytes", json_number(info->converted_bytes));
    json_object_set_new(object, "n_layer", json_number(info->n_layer));
    json_object_set_new(object, "n_head", json_number(info->n_head));
    json_object_set_new(object, "n_kv", json_number(info->n_kv));
    json_object_set_new(object, "d_head", json_number(info->d_head));
    json_object_set_new(object, "d_model", json_number(info->d_model));
    json_object_set_new(object, "d_ff", json_number(info->d_ff));
    json_object_set_new(object, "n_vocab", json_number(info->n_vocab));
    json_object_set_new(object, "n_ctx_train", json_number(info->n_ctx_train));
    json_object_set_new(object, "bos_id", json_integer(info->bos_id));
    json_object_set_new(object, "eos_id", json_integer(info->eos_id));
    json_object_set_new(object, "rope_theta", json_real((double)info->rope_theta));
    json_object_set_new(object, "rope_scale", json_real((double)info->rope_scale));
    json_object_set_new(object, "norm_eps", json_real((double)info->norm_eps));
    json_object_set_new(object, "has_tokenizer", json_boolean(info->has_tokenizer));
    return object;
}

static void print_dumped(json_t *object, size_t flags)
{
    char *dumped = json_dumps(object, flags);
    if (dumped) {
        fputs(dumped, stdout);
        fputc('\n', stdout);
    }
    free(dumped);
    json_decref(object);
}

void print_json(json_t *object)
{
    print_dumped(object, JSON_INDENT(2));
}

void print_json_line(json_t *object)
{
    print_dumped(object, 0);
}
