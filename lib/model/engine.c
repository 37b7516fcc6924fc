/* See engine.h. A step has four parts, in this order so that a failure leaves nothing behind: plan
 * (who feeds how many tokens), reserve pages, compute, hand out. Only the last one changes lengths
 * and items. */
#include "engine.h"

#include <stdbool.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "model/batch.h"
#include "model/forward.h"

struct soti_engine {
    sot_model *model; /* retained */
    soti_engine_params params;
    soti_context *context;
    soti_kv *kv;
    soti_batch batch;
    uint32_t *n_planned; /* (max_batch) tokens of each item in this step */
    uint32_t *i_logits;  /* (max_batch) each item's row of logits, or UINT32_MAX */
    soti_pick *picks;    /* (max_batch) */
    int32_t *picked;     /* (max_batch) */
    uint32_t grouping;
};

static sot_status copy_page(void *user, uint32_t to_page, uint32_t from_page, uint32_t n_tokens)
{
    soti_engine *engine = user;
    return engine->model->placement.backend->page_copy(engine->context, to_page, from_page,
                                                       n_tokens);
}

static sot_status check_params(const soti_engine_params *params)
{
    if (params->n_ctx == 0 || params->max_batch == 0 || params->kv_tokens == 0 ||
        params->n_sequences == 0) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "n_ctx %u, max_batch %u, kv_tokens %u and n_sequences %u: none may be 0",
                         params->n_ctx, params->max_batch, params->kv_tokens, params->n_sequences);
    }
    if (params->chunk_rows < params->max_batch) {
        return soti_fail(SOT_ERR_ARGUMENT, "chunk_rows %u is less than max_batch %u",
                         params->chunk_rows, params->max_batch);
    }
    return SOT_OK;
}

static uint32_t pages_for(uint32_t n_tokens)
{
    return n_tokens / SOTI_PAGE_TOKENS + (n_tokens % SOTI_PAGE_TOKENS != 0);
}

/* Everything that a step needs, so that steps allocate nothing. */
static sot_status reserve_memory(soti_engine *engine, const char *isa)
{
    const soti_engine_params *params = &engine->params;
    uint32_t n_table_max = pages_for(params->n_ctx);
    uint32_t n_pages = pages_for(params->kv_tokens);
    RETURN_IF_ERROR(
        soti_kv_create(n_pages, params->n_sequences, n_table_max, copy_page, engine, &engine->kv));
    RETURN_IF_ERROR(soti_batch_create(params->chunk_rows, params->max_batch, params->max_batch,
                                      n_table_max, &engine->batch));
    engine->n_planned = soti_alloc(params->max_batch, sizeof *engine->n_planned);
    engine->i_logits = soti_alloc(params->max_batch, sizeof *engine->i_logits);
    engine->picks = soti_alloc(params->max_batch, sizeof *engine->picks);
    engine->picked = soti_alloc(params->max_batch, sizeof *engine->picked);
    if (engine->n_planned == NULL || engine->i_logits == NULL || engine->picks == NULL ||
        engine->picked == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_context_params context_params = {.n_rows_max = params->chunk_rows,
                                          .n_logits_max = params->max_batch,
                                          .n_sequences_max = params->max_batch,
                                          .n_pages = n_pages,
                                          .n_table_max = n_table_max,
                                          .n_threads = params->n_threads,
                                          .pin_threads = params->pin_threads,
                                          .isa = isa};
    return engine->model->placement.backend->context_create(engine->model->placement.weights,
                                                            &context_params, &engine->context);
}

sot_status soti_engine_create(sot_model *model, const soti_engine_params *params, soti_engine **out)
{
    *out = NULL;
    RETURN_IF_ERROR(check_params(params));
    soti_engine *engine = soti_alloc(1, sizeof *engine);
    if (engine == NULL) {
        return SOT_ERR_MEMORY;
    }
    engine->model = model;
    soti_model_retain(model);
    engine->params = *params;
    engine->params.isa = NULL; /* the caller's text, and needed only here */
    engine->grouping = 1;
    sot_status status = reserve_memory(engine, params->isa);
    if (status != SOT_OK) {
        soti_engine_free(engine);
        return status;
    }
    *out = engine;
    return SOT_OK;
}

void soti_engine_free(soti_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->context != NULL) {
        engine->model->placement.backend->context_free(engine->context);
    }
    soti_kv_free(engine->kv);
    soti_batch_free(&engine->batch);
    soti_free(engine->n_planned);
    soti_free(engine->i_logits);
    soti_free(engine->picks);
    soti_free(engine->picked);
    soti_model_release(engine->model);
    soti_free(engine);
}

static sot_status check_items(const soti_engine *engine, const soti_work *items, uint32_t n_items)
{
    if (n_items == 0 || n_items > engine->params.max_batch) {
        return soti_fail(SOT_ERR_ARGUMENT, "a step of %u items; from 1 to %u are possible", n_items,
                         engine->params.max_batch);
    }
    uint32_t n_vocab = engine->model->checkpoint.shape.n_vocab;
    for (uint32_t i = 0; i < n_items; i++) {
        if (items[i].n_tokens == 0) {
            return soti_fail(SOT_ERR_ARGUMENT, "item %u of the step has no tokens", i);
        }
        if (!items[i].is_prompt && items[i].n_tokens > 1) {
            return soti_fail(SOT_ERR_ARGUMENT,
                             "item %u of the step has %u generated tokens; each is a step of its "
                             "own",
                             i, items[i].n_tokens);
        }
        for (uint32_t k = 0; k < items[i].n_tokens; k++) {
            int32_t token = items[i].tokens[k];
            if (token < 0 || (uint32_t)token >= n_vocab) {
                return soti_fail(SOT_ERR_ARGUMENT,
                                 "token %u is %d; the vocabulary has %u tokens, from 0", k, token,
                                 n_vocab);
            }
        }
    }
    return SOT_OK;
}

/* Items with one token always have their row; the others share what is left, in order. */
static void plan_step(soti_engine *engine, const soti_work *items, uint32_t n_items)
{
    uint32_t n_left = engine->params.chunk_rows;
    for (uint32_t i = 0; i < n_items; i++) {
        n_left -= items[i].n_tokens == 1;
    }
    for (uint32_t i = 0; i < n_items; i++) {
        uint32_t n = items[i].n_tokens;
        if (n > 1) {
            n = n < n_left ? n : n_left;
            n_left -= n;
        }
        engine->n_planned[i] = n;
    }
}

static sot_status reserve_pages(soti_engine *engine, const soti_work *items, uint32_t n_items,
                                uint32_t *i_failed)
{
    for (uint32_t i = 0; i < n_items; i++) {
        uint64_t n_positions =
            (uint64_t)soti_sequence_length(items[i].sequence) + engine->n_planned[i];
        sot_status status = SOT_OK;
        if (n_positions > engine->params.n_ctx) {
            status = soti_fail(SOT_ERR_CONTEXT_FULL,
                               "the context is full: %llu tokens do not fit, n_ctx is %u",
                               (unsigned long long)n_positions, engine->params.n_ctx);
        } else {
            status = soti_sequence_reserve(engine->kv, items[i].sequence, engine->n_planned[i]);
        }
        if (status != SOT_OK) {
            if (i_failed != NULL) {
                *i_failed = i;
            }
            return soti_fail_in(status, "item %u of the step: ", i);
        }
    }
    return SOT_OK;
}

/* Adds the items of one kind. */
static void add_items(soti_engine *engine, const soti_work *items, uint32_t n_items, bool prompts)
{
    for (uint32_t i = 0; i < n_items; i++) {
        uint32_t n = engine->n_planned[i];
        if (n == 0 || (items[i].is_prompt != 0) != prompts) {
            continue;
        }
        uint32_t want_logits =
            n == items[i].n_tokens && (items[i].want_pick || items[i].logits != NULL);
        engine->i_logits[i] = soti_batch_add(&engine->batch, items[i].sequence, items[i].tokens, n,
                                             prompts, want_logits);
    }
}

static void fill_batch(soti_engine *engine, const soti_work *items, uint32_t n_items)
{
    soti_batch_clear(&engine->batch);
    for (uint32_t i = 0; i < n_items; i++) {
        engine->i_logits[i] = UINT32_MAX;
    }
    add_items(engine, items, n_items, true);
    add_items(engine, items, n_items, false);
    soti_batch_finish(&engine->batch, engine->grouping);
}

static sot_status pick_tokens(soti_engine *engine, const soti_work *items, uint32_t n_items)
{
    const soti_backend *backend = engine->model->placement.backend;
    uint32_t n_picks = 0;
    for (uint32_t i = 0; i < n_items; i++) {
        if (engine->i_logits[i] == UINT32_MAX) {
            continue;
        }
        if (items[i].logits != NULL) {
            RETURN_IF_ERROR(
                backend->read_logits(engine->context, engine->i_logits[i], items[i].logits));
        }
        if (items[i].want_pick) {
            engine->picks[n_picks] = items[i].pick;
            engine->picks[n_picks].i_logit = engine->i_logits[i];
            n_picks++;
        }
    }
    if (n_picks == 0) {
        return SOT_OK;
    }
    return backend->pick(engine->context, engine->picks, n_picks, engine->picked);
}

static void hand_out(soti_engine *engine, soti_work *items, uint32_t n_items)
{
    uint32_t i_pick = 0;
    for (uint32_t i = 0; i < n_items; i++) {
        soti_sequence_advance(items[i].sequence, engine->n_planned[i]);
        items[i].n_taken = engine->n_planned[i];
        if (engine->i_logits[i] != UINT32_MAX && items[i].want_pick) {
            items[i].picked = engine->picked[i_pick++];
            items[i].has_picked = 1;
        }
    }
}

sot_status soti_engine_step(soti_engine *engine, soti_work *items, uint32_t n_items,
                            const atomic_int *cancel, uint32_t *i_failed)
{
    for (uint32_t i = 0; i < n_items; i++) {
        items[i].n_taken = 0;
        items[i].has_picked = 0;
    }
    RETURN_IF_ERROR(check_items(engine, items, n_items));
    plan_step(engine, items, n_items);
    RETURN_IF_ERROR(reserve_pages(engine, items, n_items, i_failed));
    fill_batch(engine, items, n_items);
    RETURN_IF_ERROR(soti_forward(engine->model->placement.backend, engine->context,
                                 engine->model->checkpoint.shape.n_layer, &engine->batch.rows,
                                 cancel));
    RETURN_IF_ERROR(pick_tokens(engine, items, n_items));
    hand_out(engine, items, n_items);
    return SOT_OK;
}

sot_status soti_engine_fill(soti_engine *engine, soti_sequence *sequence, uint32_t from_page,
                            uint32_t n_tokens)
{
    RETURN_IF_ERROR(soti_sequence_reserve(engine->kv, sequence, n_tokens));
    const uint32_t *pages = soti_sequence_pages(sequence);
    for (uint32_t i = pages_for(soti_sequence_length(sequence));
         i < soti_sequence_page_count(sequence); i++) {
        RETURN_IF_ERROR(copy_page(engine, pages[i], from_page, SOTI_PAGE_TOKENS));
    }
    soti_sequence_advance(sequence, n_tokens);
    return SOT_OK;
}

soti_kv *soti_engine_kv(soti_engine *engine)
{
    return engine->kv;
}

soti_context_info soti_engine_info(const soti_engine *engine)
{
    soti_context_info info;
    engine->model->placement.backend->context_info(engine->context, &info);
    return info;
}

uint32_t soti_engine_context_size(const soti_engine *engine)
{
    return engine->params.n_ctx;
}

uint32_t soti_engine_max_batch(const soti_engine *engine)
{
    return engine->params.max_batch;
}

uint32_t soti_engine_chunk_rows(const soti_engine *engine)
{
    return engine->params.chunk_rows;
}

uint64_t soti_engine_bytes(const soti_engine *engine)
{
    uint64_t per_item = sizeof *engine->n_planned + sizeof *engine->i_logits +
                        sizeof *engine->picks + sizeof *engine->picked;
    return sizeof *engine + soti_kv_bytes(engine->kv) + soti_batch_bytes(&engine->batch) +
           engine->params.max_batch * per_item +
           engine->model->placement.backend->context_bytes(engine->context);
}

void soti_engine_set_grouping(soti_engine *engine, uint32_t grouping)
{
    engine->grouping = grouping;
}
