/* The JSON object: see findings.h. Times in nanoseconds, rates per second, shares as fractions. */
#include <time.h>

#include "findings.h"
#include "findings_json.h"

/* JSON has no number that is not finite. */
static json_t *ratio(double part, double whole)
{
    return whole > 0 ? json_real(part / whole) : json_null();
}

static json_t *reals(const double *values, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

json_t *json_times(const uint64_t *times_ns, size_t n)
{
    json_t *times = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(times, json_number(times_ns[i]));
    return times;
}

void json_set_spread(json_t *object, const uint64_t *times_ns, size_t n)
{
    struct spread spread = spread_of(times_ns, n);
    json_object_set_new(object, "times_ns", json_times(times_ns, n));
    json_object_set_new(object, "median_ns", json_real(spread.median_ns));
    json_object_set_new(object, "least_ns", json_real(spread.least_ns));
    json_object_set_new(object, "most_ns", json_real(spread.most_ns));
}

static json_t *measured_machine_json(const struct findings *findings)
{
    json_t *object = machine_json();
    json_object_set_new(object, "threads", json_number(findings->n_threads));
    json_object_set_new(object, "pinned", json_boolean(findings->options->pin));
    json_object_set_new(object, "isa", json_name(findings->isa));
    json_object_set_new(object, "device", json_name(findings->options->device));
    if (findings->limits.device) {
        json_object_set_new(object, "gpu", json_name(cuda_device_name(findings->limits.device)));
        json_object_set_new(object, "cuda_driver",
                            json_number(cuda_device_driver(findings->limits.device)));
    }
    return object;
}

static json_t *rate_json(double rate)
{
    return rate > 0 ? json_real(rate) : json_null();
}

static json_t *limits_json(const struct limits *limits)
{
    json_t *object = json_object();
    json_object_set_new(object, "read_bytes_per_s", json_real(limits_bandwidth(limits)));
    json_object_set_new(object, "read_best_bytes_per_s", json_real(limits_best_bandwidth(limits)));
    json_object_set_new(object, "read_pattern",
                        limits->fastest.name ? json_name(limits->fastest.name) : json_null());
    json_object_set_new(object, "read_probe_bytes", json_number(limits->most_bytes));
    json_object_set_new(object, "read_probes", reals(limits->probes, limits->n_probes));
    json_object_set_new(object, "read_passes", reals(limits->passes, limits->n_passes));
    json_object_set_new(object, "fp32_isa", json_name(limits->fp32_isa));
    json_object_set_new(object, "fp32_flops", rate_json(limits->fp32));
    json_object_set_new(object, "bf16_amx_flops", rate_json(limits->amx));
    json_object_set_new(object, "product_flops", rate_json(limits->flops));
    return object;
}

static json_t *model_object(const struct findings *findings)
{
    const sot_model_info *info = &findings->info;
    json_t *object = json_object();
    json_object_set_new(object, "path", json_name(findings->options->model));
    json_object_set_new(object, "name", json_name(info->name));
    json_object_set_new(object, "n_parameters", json_number(info->n_parameters));
    json_object_set_new(object, "weight_bytes", json_number(info->weight_bytes));
    json_object_set_new(object, "n_layer", json_number(info->n_layer));
    json_object_set_new(object, "n_head", json_number(info->n_head));
    json_object_set_new(object, "n_kv", json_number(info->n_kv));
    json_object_set_new(object, "d_head", json_number(info->d_head));
    json_object_set_new(object, "d_model", json_number(info->d_model));
    json_object_set_new(object, "d_ff", json_number(info->d_ff));
    json_object_set_new(object, "n_vocab", json_number(info->n_vocab));
    return object;
}

static json_t *case_json(const struct findings *findings, const struct pass_case *pass)
{
    json_t *object = json_object();
    json_object_set_new(object, "case", json_name(case_name(pass->group)));
    json_object_set_new(object, "sequences", json_number(pass->n_sequences));
    json_object_set_new(object, "new_tokens", json_number(pass->n_new));
    json_object_set_new(object, "context", json_number(pass->n_past));
    json_object_set_new(object, "shared", json_number(pass->n_shared));
    if (pass->why_not) {
        json_object_set_new(object, "left_out", json_name(pass->why_not));
        return object;
    }
    json_set_spread(object, pass->times_ns, pass->n_times);
    double seconds = spread_of(pass->times_ns, pass->n_times).median_ns / 1e9;
    double n_tokens = (double)pass->n_sequences * pass->n_new;
    struct cost cost = pass_case_cost(&findings->passes, pass, &findings->costs, &findings->limits);
    json_object_set_new(object, "bytes", json_real(cost.bytes));
    json_object_set_new(object, "flops", json_real(cost.flops));
    json_object_set_new(object, "floor_ns", json_real(cost.floor_s * 1e9));
    json_object_set_new(object, "tokens_per_s", ratio(n_tokens, seconds));
    json_object_set_new(object, "share_of_bandwidth",
                        ratio(cost.bytes / seconds, limits_bandwidth(&findings->limits)));
    json_object_set_new(object, "share_of_flops",
                        ratio(cost.flops / seconds, findings->limits.flops));
    json_object_set_new(object, "share_of_floor", ratio(cost.floor_s, seconds));
    json_object_set_new(object, "nearby_read_bytes_per_s",
                        json_real(pass_case_bandwidth(pass, &findings->limits)));
    return object;
}

static json_t *cases_json(const struct findings *findings)
{
    json_t *array = json_array();
    for (size_t i = 0; i < findings->passes.n_cases; i++) {
        const struct pass_case *pass = &findings->passes.cases[i];
        if (pass->n_times || pass->why_not)
            json_array_append_new(array, case_json(findings, pass));
    }
    return array;
}

static json_t *tokens_json(const struct token_speed *tokens)
{
    if (tokens->n_times == 0)
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "bytes", json_number(tokens->n_bytes));
    json_object_set_new(object, "tokens", json_number(tokens->n_tokens));
    json_set_spread(object, tokens->times_ns, tokens->n_times);
    return object;
}

static json_t *load_json(const struct findings *findings)
{
    json_t *object = json_object();
    json_object_set_new(object, "load_ns", json_number(findings->load_ns));
    json_object_set_new(object, "session_ns", json_number(findings->passes.session_ns));
    json_object_set_new(object, "session_bytes", json_number(findings->passes.session_bytes));
    json_object_set_new(object, "first_pass_ns", json_number(findings->passes.first_ns));
    return object;
}

json_t *findings_json(const struct findings *findings)
{
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc))
        date[0] = '\0';
    json_t *object = json_object();
    json_object_set_new(object, "program", json_name("sot-bench"));
    json_object_set_new(object, "version", json_name(sot_version_string()));
    json_object_set_new(object, "date", json_name(date));
    json_object_set_new(object, "quick", json_boolean(findings->options->quick));
    json_object_set_new(object, "interrupted", json_boolean(findings->interrupted));
    json_object_set_new(object, "machine", measured_machine_json(findings));
    json_object_set_new(object, "limits", limits_json(&findings->limits));
    if (!findings->has_model)
        return object;
    json_object_set_new(object, "model", model_object(findings));
    json_object_set_new(object, "load", load_json(findings));
    json_object_set_new(object, "chunk_rows", json_number(findings->passes.n_chunk));
    json_object_set_new(object, "passes", cases_json(findings));
    json_object_set_new(object, "tokenizer", tokens_json(&findings->tokens));
    json_object_set_new(object, "replay", replay_json(findings));
    return object;
}
