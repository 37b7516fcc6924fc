/* Choosing tokens on the device: picks go up in one copy, only the tokens come back. */
#include "cuda/cuda_context.h"

#include <string.h>

#include "base/fail.h"

/* Of a sequence's tokens none counts twice, so a pick has at most n_vocab of them; there is room
 * for one such, and for what all sequences together can have. */
void soti_cuda_picks_limits(soti_context *context)
{
    soti_cuda_picks *picks = &context->picks;
    size_t n_vocab = context->limits.n_vocab;
    size_t n_positions = (size_t)context->limits.n_table * SOTI_PAGE_TOKENS;
    picks->n_picks_max = context->limits.n_logits > 0 ? context->limits.n_logits : 1;
    picks->n_recent_max = picks->n_picks_max * (n_positions < n_vocab ? n_positions : n_vocab);
    if (picks->n_recent_max < n_vocab) {
        picks->n_recent_max = n_vocab;
    }
    picks->recent = picks->n_picks_max * sizeof(soti_cuda_pick);
    picks->bytes = picks->recent + picks->n_recent_max * sizeof(int32_t);
}

/* Copies the tokens that the penalty applies to, each once; returns their number, or UINT32_MAX if
 * there is no room for all of them. */
static uint32_t put_recent(soti_context *context, const soti_pick *pick, size_t i_recent)
{
    soti_cuda_picks *picks = &context->picks;
    int32_t *to = (int32_t *)(void *)(picks->staging + picks->recent) + i_recent;
    uint32_t n = 0;
    uint32_t is_full = 0;
    for (uint32_t i = 0; i < pick->n_recent && pick->repetition_penalty != 1; i++) {
        int32_t id = pick->recent[i];
        if (id < 0 || (uint32_t)id >= context->limits.n_vocab ||
            (picks->is_seen[id / 32] >> (id % 32) & 1) != 0) {
            continue;
        }
        if (i_recent + n == picks->n_recent_max) {
            is_full = 1;
            break;
        }
        picks->is_seen[id / 32] |= UINT32_C(1) << (id % 32);
        to[n++] = id;
    }
    for (uint32_t i = 0; i < n; i++) {
        picks->is_seen[to[i] / 32] = 0;
    }
    return is_full ? UINT32_MAX : n;
}

/* Puts as many picks as there is room for into the staging block; returns their number. */
static uint32_t put_picks(soti_context *context, const soti_pick *from, uint32_t n_picks,
                          size_t *n_recent)
{
    soti_cuda_picks *picks = &context->picks;
    uint32_t n = 0;
    *n_recent = 0;
    for (; n < n_picks && n < picks->n_picks_max; n++) {
        const soti_pick *pick = &from[n];
        uint32_t n_own = put_recent(context, pick, *n_recent);
        if (n_own == UINT32_MAX) {
            break; /* the first finds room for all it can have */
        }
        soti_cuda_pick made = {.i_logit = pick->i_logit,
                               .temperature = pick->temperature,
                               .top_p = pick->top_p,
                               .repetition_penalty = pick->repetition_penalty,
                               .top_k = pick->top_k,
                               .n_recent = n_own,
                               .i_recent = (uint32_t)*n_recent,
                               .seed = pick->seed,
                               .stream = pick->stream,
                               .counter = pick->counter};
        memcpy(picks->staging + n * sizeof made, &made, sizeof made);
        *n_recent += n_own;
    }
    return n;
}

/* Up to n_picks picks; *n_done says how many. */
static sot_status pick_some(soti_context *context, const soti_pick *from, uint32_t n_picks,
                            int32_t *tokens, uint32_t *n_done)
{
    soti_cuda_picks *picks = &context->picks;
    cudaStream_t stream = context->launch.stream;
    soti_cuda_health *health = &context->health;
    size_t n_recent;
    uint32_t n = put_picks(context, from, n_picks, &n_recent);
    size_t bytes = picks->recent + n_recent * sizeof(int32_t);
    RETURN_IF_ERROR(soti_cuda_check(
        health,
        cudaMemcpyAsync(picks->block, picks->staging, bytes, cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync of %u picks", n));
    RETURN_IF_ERROR(soti_cuda_check(
        health,
        soti_launch_pick(
            &context->launch, context->logits, context->limits.n_vocab, (const void *)picks->block,
            n, (const void *)(picks->block + picks->recent), picks->workspace, picks->tokens),
        "launching pick"));
    RETURN_IF_ERROR(
        soti_cuda_check(health,
                        cudaMemcpyAsync(picks->chosen, picks->tokens, n * sizeof *tokens,
                                        cudaMemcpyDeviceToHost, stream),
                        "cudaMemcpyAsync of %u tokens", n));
    RETURN_IF_ERROR(soti_cuda_check(health, cudaStreamSynchronize(stream),
                                    "computing a step of %u rows (%u from prompts) on %s",
                                    context->step.n_rows, context->step.n_prompt_rows,
                                    context->device->title));
    context->is_copying = 0;
    memcpy(tokens, picks->chosen, n * sizeof *tokens);
    *n_done = n;
    return SOT_OK;
}

/* One pick of whatever the first row of logits holds. */
sot_status soti_cuda_picks_warm_up(soti_context *context)
{
    const soti_pick pick = {.top_p = 1, .repetition_penalty = 1};
    int32_t token;
    uint32_t n_done;
    return pick_some(context, &pick, 1, &token, &n_done);
}

sot_status soti_cuda_pick_tokens(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                                 int32_t *tokens)
{
    for (uint32_t i = 0; i < n_picks; i++) {
        if (picks[i].i_logit >= context->step.n_logits) {
            return soti_fail(SOT_ERR_DEVICE, "pick %u: row %u of %u rows of logits was asked for",
                             i, picks[i].i_logit, context->step.n_logits);
        }
    }
    for (uint32_t i = 0; i < n_picks;) {
        uint32_t n_done = 0;
        sot_status status = pick_some(context, picks + i, n_picks - i, tokens + i, &n_done);
        if (status != SOT_OK) {
            (void)cudaStreamSynchronize(context->launch.stream); /* it may read what is staged */
            return status;
        }
        i += n_done;
    }
    for (uint32_t i = 0; i < n_picks; i++) {
        if (tokens[i] < 0) {
            return soti_fail(SOT_ERR_DEVICE, "pick %u: none of %u logits is a finite number", i,
                             context->limits.n_vocab);
        }
    }
    return SOT_OK;
}

sot_status soti_cuda_read_logits(soti_context *context, uint32_t i_logit, float *out)
{
    if (i_logit >= context->step.n_logits) {
        return soti_fail(SOT_ERR_DEVICE, "row %u of %u rows of logits was asked for", i_logit,
                         context->step.n_logits);
    }
    size_t n_vocab = context->limits.n_vocab;
    RETURN_IF_ERROR(soti_cuda_check(&context->health,
                                    cudaMemcpyAsync(out, context->logits + i_logit * n_vocab,
                                                    n_vocab * sizeof *out, cudaMemcpyDeviceToHost,
                                                    context->launch.stream),
                                    "cudaMemcpyAsync of %zu logits", n_vocab));
    RETURN_IF_ERROR(soti_cuda_check(&context->health, cudaStreamSynchronize(context->launch.stream),
                                    "computing a step of %u rows (%u from prompts) on %s",
                                    context->step.n_rows, context->step.n_prompt_rows,
                                    context->device->title));
    context->is_copying = 0;
    return SOT_OK;
}
