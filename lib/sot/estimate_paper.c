/* The paper's own latency model to the letter (App. F, equations 1 to 4): every request is computed
 * whole, the batch keeps its width, all rows go on until the longest ends. */
#include "sot/estimate.h"

/* What one request with its response is taken for: l_i, l_o, B. */
typedef struct request {
    uint32_t n_prompt, n_tokens, n_sequences;
} request;

/* The sum of equation (1), and of (4) below it. */
static double decode_ns(const sot_profile *profile, const request *r, bool *outside)
{
    double ns = 0;
    for (uint32_t k = r->n_prompt; k < r->n_prompt + r->n_tokens; k++) {
        ns += soti_grid_at(&profile->tables[SOTI_TABLE_DECODE], r->n_sequences, k, outside);
    }
    return ns;
}

/* T of equation (1); prompts are looked up where the paper's grid has them. */
static double latency_ns(const sot_profile *profile, const request *r, bool *outside)
{
    uint32_t n_prompt = r->n_prompt / 10 * 10 + 1;
    return soti_grid_at(&profile->tables[SOTI_TABLE_PREFILL], r->n_sequences, n_prompt, outside) +
           decode_ns(profile, r, outside);
}

/* f(B, k): two operations a weight that is multiplied with, four for each element of a row's
 * queries and each token that the row attends to, itself included. */
static double step_flops(const sot_profile_info *info, uint32_t n_sequences, double n_context)
{
    double n_query = (double)info->n_head * info->d_head;
    double n_value = (double)info->n_kv * info->d_head;
    double d = info->d_model;
    double layer = 2 * d * n_query + 2 * d * n_value + 3 * d * info->d_ff;
    double weights = info->n_layer * layer + d * info->n_vocab;
    return n_sequences * (2 * weights + 4 * info->n_layer * n_query * (n_context + 1));
}

/* P of equation (4), in FLOP/s. */
static double achieved_flops(const sot_profile *profile, const request *r, bool *outside)
{
    double flops = 0;
    for (uint32_t k = r->n_prompt; k < r->n_prompt + r->n_tokens; k++) {
        flops += step_flops(&profile->info, r->n_sequences, k);
    }
    double ns = decode_ns(profile, r, outside);
    return ns > 0 ? flops / (ns / 1e9) : 0;
}

static request longest_request(const sot_lengths *lengths)
{
    request longest = {.n_sequences = lengths->n_points};
    for (uint32_t i = 0; i < lengths->n_points; i++) {
        uint32_t n_prompt = lengths->common_prompt + lengths->point_prompt_tails[i];
        uint32_t n_tokens = lengths->point_tokens[i];
        longest.n_prompt = longest.n_prompt > n_prompt ? longest.n_prompt : n_prompt;
        longest.n_tokens = longest.n_tokens > n_tokens ? longest.n_tokens : n_tokens;
    }
    return longest;
}

void soti_estimate_paper(const sot_profile *profile, const sot_lengths *lengths,
                         sot_estimate *estimate, bool *outside)
{
    const request normal = {lengths->normal_prompt, lengths->normal_tokens, 1};
    const request skeleton = {lengths->skeleton_prompt, lengths->skeleton_tokens, 1};
    const request expand = longest_request(lengths);
    estimate->paper_normal_ns = latency_ns(profile, &normal, outside);
    estimate->paper_normal_flops = achieved_flops(profile, &normal, outside);
    estimate->paper_skeleton_ns = latency_ns(profile, &skeleton, outside); /* (2) */
    if (lengths->n_points > 0) {
        estimate->paper_expand_ns = latency_ns(profile, &expand, outside); /* (3) */
        estimate->paper_expand_flops = achieved_flops(profile, &expand, outside);
    }
    double sot_ns = estimate->paper_skeleton_ns + estimate->paper_expand_ns;
    estimate->paper_speedup = sot_ns > 0 ? estimate->paper_normal_ns / sot_ns : 0;
}
