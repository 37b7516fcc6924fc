/* Timing passes: see passes.h. The library runs them (sot_session_measure); here is which ones, and
 * that memory suffices for them. */
#include "passes.h"

#include <stdlib.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/text.h"
#include "progress.h"

enum {
    PAGE_SLACK = 64, /* positions a sequence may take beyond its own, for whole pages */
    BATCH_MOST = 16,
    CONTEXT_MOST = 1024
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static void add_case(struct passes *passes, struct pass_case pass)
{
    passes->cases = grow(passes->cases, (passes->n_cases + 1) * sizeof *passes->cases);
    passes->cases[passes->n_cases++] = pass;
}

static void plan_prefill(struct passes *passes, int quick)
{
    static const uint32_t all[] = {1, 16, 64, 128, 256, 512, 700};
    static const uint32_t few[] = {1, 16, 128};
    for (size_t i = 0; i < (quick ? COUNT_OF(few) : COUNT_OF(all)); i++)
        add_case(passes, (struct pass_case){.group = CASE_PREFILL,
                                            .n_sequences = 1,
                                            .n_new = quick ? few[i] : all[i]});
}

static void plan_decode(struct passes *passes, int quick)
{
    static const uint32_t all_batches[] = {1, 2, 4, 6, 8, 12, BATCH_MOST};
    static const uint32_t few_batches[] = {1, 4, BATCH_MOST};
    static const uint32_t all_contexts[] = {1, 128, 512, CONTEXT_MOST};
    static const uint32_t few_contexts[] = {1, CONTEXT_MOST};
    for (size_t i = 0; i < (quick ? COUNT_OF(few_batches) : COUNT_OF(all_batches)); i++)
        for (size_t j = 0; j < (quick ? COUNT_OF(few_contexts) : COUNT_OF(all_contexts)); j++)
            add_case(passes,
                     (struct pass_case){.group = CASE_DECODE,
                                        .n_sequences = quick ? few_batches[i] : all_batches[i],
                                        .n_new = 1,
                                        .n_past = quick ? few_contexts[j] : all_contexts[j]});
}

static void plan_attention(struct passes *passes, int quick)
{
    static const uint32_t all[] = {0, 256, 512, CONTEXT_MOST};
    static const uint32_t few[] = {0, CONTEXT_MOST};
    for (size_t i = 0; i < (quick ? COUNT_OF(few) : COUNT_OF(all)); i++)
        add_case(passes, (struct pass_case){.group = CASE_ATTENTION,
                                            .n_sequences = BATCH_MOST,
                                            .n_new = 1,
                                            .n_past = CONTEXT_MOST,
                                            .n_shared = quick ? few[i] : all[i]});
}

/* Positions that the page pool must hold for a case. */
static uint64_t positions_of(const struct pass_case *pass)
{
    uint64_t own = (uint64_t)pass->n_past - pass->n_shared + pass->n_new + PAGE_SLACK;
    return pass->n_shared + pass->n_sequences * own;
}

/* Strikes out what does not fit into half of the memory that is free; returns the positions that
 * the rest needs. */
static uint64_t fit_memory(struct passes *passes, double position_bytes, uint64_t available)
{
    uint64_t most = 0;
    for (size_t i = 0; i < passes->n_cases; i++) {
        struct pass_case *pass = &passes->cases[i];
        uint64_t positions = positions_of(pass);
        if (available && (double)positions * position_bytes > (double)available / 2)
            pass->why_not = "its pages need more than half of the free memory";
        else
            most = positions > most ? positions : most;
    }
    return most;
}

static sot_status measure_case(struct pass_case *pass, sot_session *session, uint32_t repeats)
{
    sot_measure_params params = SOT_MEASURE_PARAMS_INIT;
    params.n_sequences = pass->n_sequences;
    params.n_new = pass->n_new;
    params.n_past = pass->n_past;
    params.n_shared = pass->n_shared;
    params.n_repeats = repeats;
    pass->times_ns = grow(NULL, repeats * sizeof *pass->times_ns);
    for (size_t i = 0; i < repeats; i++)
        pass->times_ns[i] = 0;
    sot_status status = sot_session_measure(session, &params, pass->times_ns);
    while (pass->n_times < repeats && pass->times_ns[pass->n_times])
        pass->n_times++;
    return status;
}

static sot_status measure_cases(struct passes *passes, sot_session *session,
                                const struct bench_options *options, struct limits *limits)
{
    for (size_t i = 0; i < passes->n_cases; i++) {
        struct pass_case *pass = &passes->cases[i];
        if (pass->why_not)
            continue;
        limits_probe(limits, LIMITS_SHORT_PROBE);
        pass->n_probes_before = limits->n_probes;
        progress_say("case %zu of %zu: %s, %u x %u tokens behind %u", i + 1, passes->n_cases,
                     case_name(pass->group), pass->n_sequences, pass->n_new, pass->n_past);
        if (interrupt_seen())
            return SOT_ERR_CANCELLED;
        sot_status status = measure_case(pass, session, options->repeats);
        if (status != SOT_OK)
            return status;
    }
    limits_probe(limits, LIMITS_SHORT_PROBE);
    limits_rest(limits);
    return SOT_OK;
}

/* A new session's first pass: threads wake, weights are mapped and read from where they lie. */
static sot_status measure_first(struct passes *passes, sot_session *session, uint32_t n_vocab)
{
    int32_t token = 0;
    float *logits = grow(NULL, n_vocab * sizeof *logits);
    uint64_t begin = time_ns();
    sot_status status = sot_logits(session, &token, 1, logits);
    passes->first_ns = time_ns() - begin;
    free(logits);
    return status;
}

int passes_measure(struct passes *passes, sot_model *model, const sot_session_params *base,
                   const struct bench_options *options, struct limits *limits)
{
    sot_session_params params = *base;
    sot_session *session;
    sot_session_info session_info = SOT_SESSION_INFO_INIT;
    sot_model_info info = SOT_MODEL_INFO_INIT;
    sot_model_get_info(model, &info);
    struct cost_model costs = cost_model_make(&info);
    if (options->cases & CASE_PREFILL)
        plan_prefill(passes, options->quick);
    if (options->cases & CASE_DECODE)
        plan_decode(passes, options->quick);
    if (options->cases & CASE_ATTENTION)
        plan_attention(passes, options->quick);
    params.n_ctx = CONTEXT_MOST + PAGE_SLACK;
    params.max_batch = BATCH_MOST;
    params.kv_tokens =
        (uint32_t)fit_memory(passes, costs.position_bytes, limits_available(limits)) + PAGE_SLACK;
    uint64_t begin = time_ns();
    sot_status status = sot_session_create(model, &params, &session);
    passes->session_ns = time_ns() - begin;
    if (status != SOT_OK)
        return exit_code_of(status);
    sot_session_get_info(session, &session_info);
    passes->n_chunk = session_info.chunk_rows;
    passes->session_bytes = session_info.session_bytes;
    interrupt_session(session);
    status = measure_first(passes, session, info.n_vocab);
    if (status == SOT_OK)
        status = measure_cases(passes, session, options, limits);
    interrupt_session(NULL);
    sot_session_free(session);
    if (status == SOT_ERR_CANCELLED && interrupt_seen())
        return EXIT_INTERRUPTED;
    return status == SOT_OK ? -1 : exit_code_of(status);
}

double pass_case_bandwidth(const struct pass_case *pass, const struct limits *limits)
{
    size_t before = pass->n_probes_before;
    if (before == 0 || before >= limits->n_probes)
        return limits_bandwidth(limits);
    return (limits->probes[before - 1] + limits->probes[before]) / 2;
}

struct cost pass_case_cost(const struct passes *passes, const struct pass_case *pass,
                           const struct cost_model *model, const struct limits *limits)
{
    struct cost cost = {0};
    double bandwidth = limits_bandwidth(limits);
    if (pass->n_new > 1) {
        cost_add_prompt(&cost, model, pass->n_new, pass->n_past, passes->n_chunk, 1, bandwidth,
                        limits->flops);
    } else {
        struct pass decode = pass_decode(pass->n_sequences, pass->n_past, pass->n_shared);
        cost_add(&cost, model, &decode, bandwidth, limits->flops);
    }
    return cost;
}

void passes_free(struct passes *passes)
{
    for (size_t i = 0; i < passes->n_cases; i++)
        free(passes->cases[i].times_ns);
    free(passes->cases);
    *passes = (struct passes){0};
}
