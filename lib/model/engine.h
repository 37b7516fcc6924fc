/* Sequences and tokens in, tokens out: the engine owns pages and a backend context and runs one
 * ragged batch a step through the layers. lib/sot/ knows the model through this file alone.
 *
 * A step takes work items, one per sequence. Each names tokens to feed behind the sequence's
 * positions; the engine takes as many of all items' tokens as fit into one pass (chunk_rows), items
 * in order, and says how many it took. An item whose last token was taken gets its pick. Items with
 * one token (decode rows) are always taken whole when there are at most max_batch items. In the
 * batch prompts go before what was generated, each kind in the items' order. */
#ifndef SOTI_MODEL_ENGINE_H
#define SOTI_MODEL_ENGINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "model/kv.h"
#include "model/loaded.h"
#include "model/sampler.h"

typedef struct soti_engine soti_engine;

typedef struct soti_engine_params {
    uint32_t n_threads;   /* 0: one per CPU */
    uint32_t pin_threads; /* 1: workers stay on one CPU each */
    uint32_t n_ctx;       /* tokens per sequence */
    uint32_t max_batch;   /* items of one step */
    uint32_t kv_tokens;   /* tokens in the pool, rounded up to pages */
    uint32_t chunk_rows;  /* rows of one step, >= max_batch */
    uint32_t n_sequences; /* that may live at once */
    const char *isa;      /* NULL: best */
} soti_engine_params;

typedef struct soti_work {
    soti_sequence *sequence;
    const int32_t *tokens; /* (n_tokens) to feed, n_tokens > 0 */
    uint32_t n_tokens;
    uint32_t is_prompt; /* 1: of a prompt; 0: generated, and then it is one token (BE-1) */
    uint32_t want_pick; /* 1: choose a token behind the last one */
    soti_pick pick;     /* how; i_logit is the engine's */
    float *logits;      /* (n_vocab) copied out behind the last token, or NULL */
    /* out */
    uint32_t n_taken;    /* tokens fed in this step */
    uint32_t has_picked; /* 1: picked is valid */
    int32_t picked;
} soti_work;

/* The engine keeps the model alive. Statuses as sot_session_create. */
sot_status soti_engine_create(sot_model *model, const soti_engine_params *params,
                              soti_engine **out);
void soti_engine_free(soti_engine *engine);

/* One pass over the weights. cancel (may be NULL) is looked at between layers: CANCELLED then, and
 * no sequence has advanced. Returns ARGUMENT (more items than max_batch, an item without tokens,
 * more than one generated token, a token outside the vocabulary); CONTEXT_FULL before computing
 * anything if an item's sequence cannot get the pages for what would be taken: the sentence and
 * *i_failed (may be NULL) say which item; DEVICE. */
sot_status soti_engine_step(soti_engine *engine, soti_work *items, uint32_t n_items,
                            const atomic_int *cancel, uint32_t *i_failed);

/* Appends n_tokens positions to a sequence without computing them: every page that this takes
 * becomes a copy of from_page, which was written before. For measuring, where what is in the pages
 * does not matter but that they are there. Returns CONTEXT_FULL, with no position added; DEVICE. */
sot_status soti_engine_fill(soti_engine *engine, soti_sequence *sequence, uint32_t from_page,
                            uint32_t n_tokens);

soti_kv *soti_engine_kv(soti_engine *engine); /* for sequences: create, fork, free, counts */
soti_context_info soti_engine_info(const soti_engine *engine);
uint32_t soti_engine_context_size(const soti_engine *engine);
uint32_t soti_engine_max_batch(const soti_engine *engine);
uint32_t soti_engine_chunk_rows(const soti_engine *engine);
uint64_t soti_engine_bytes(const soti_engine *engine);

/* For tests: 0 makes every group a single row (flat attention); default 1. */
void soti_engine_set_grouping(soti_engine *engine, uint32_t grouping);

#endif
