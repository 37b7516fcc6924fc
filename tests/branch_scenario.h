/* What expanding a skeleton does to the engine, as a random case: a common prefix, branches with
 * beginnings of their own, sampling until each branch has its tokens. A case can be run in many
 * ways (setup); what comes out must not depend on the way, bit for bit. */
#ifndef SOT_TESTS_BRANCH_SCENARIO_H
#define SOT_TESTS_BRANCH_SCENARIO_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/engine.h"
#include "random_source.h"

enum { BRANCHES_MAX = 6, PREFIX_MAX = 70, SUFFIX_MAX = 40, DECODE_MAX = 10, VOCAB_MAX = 512 };

typedef struct scenario {
    const char *device; /* NULL: "cpu" */
    char path[256];
    uint32_t n_vocab, n_prefix, n_branches;
    int32_t prefix[PREFIX_MAX];
    uint32_t n_suffix[BRANCHES_MAX];
    int32_t suffix[BRANCHES_MAX][SUFFIX_MAX];
    uint32_t n_decode[BRANCHES_MAX]; /* branches leave the batch at different times */
    soti_sampler_params sampling;
} scenario;

/* A way to run it. */
typedef struct setup {
    uint32_t chunk_rows, n_threads;
    uint32_t together; /* 1: all branches in one batch; 0: one after the other */
    uint32_t reversed; /* 1: the last branch comes first */
    uint32_t forked;   /* 1: the prefix is computed once; 0: by every branch again */
    uint32_t grouping;
    const char *isa;
} setup;

typedef struct outcome {
    int32_t tokens[BRANCHES_MAX][DECODE_MAX];
    float logits[BRANCHES_MAX][VOCAB_MAX]; /* behind all tokens but the last */
} outcome;

typedef struct branch {
    soti_sequence *sequence;
    int32_t text[PREFIX_MAX + SUFFIX_MAX + DECODE_MAX];
    uint32_t n_text, n_fed, n_decoded;
    soti_sampler sampler;
} branch;

static const uint32_t scenario_d_heads[] = {2, 6, 8, 10, 16, 18, 64, 128};
static const char *const scenario_files[] = {"gqa-tied/hf", "gqa-tied/model.gguf", "linear/hf",
                                             "mqa/model.gguf", "f32/model.gguf"};

/* random: models have as many key/value heads as heads; the golden ones have fewer. */
static inline void scenario_choose_model(scenario *s, random_source *random)
{
    if (random_between(random, 0, 2) == 0) {
        uint32_t i = random_between(random, 0, sizeof scenario_files / sizeof *scenario_files - 1);
        snprintf(s->path, sizeof s->path, SOT_TEST_DIR "/golden/data/%s", scenario_files[i]);
        return;
    }
    uint32_t i = random_between(random, 0, sizeof scenario_d_heads / sizeof *scenario_d_heads - 1);
    uint32_t n_head = random_between(random, 1, scenario_d_heads[i] < 64 ? 4 : 1);
    snprintf(s->path, sizeof s->path, "random:%ux%ux%ux%ux%u?seed=%u", scenario_d_heads[i] * n_head,
             random_between(random, 1, 2), n_head, random_between(random, 1, 70),
             random_between(random, 259, 300), random_between(random, 0, 1000));
}

static inline void scenario_fill(scenario *s, random_source *random)
{
    for (uint32_t i = 0; i < PREFIX_MAX; i++) {
        s->prefix[i] = (int32_t)random_between(random, 0, s->n_vocab - 1);
    }
    s->n_prefix = random_between(random, 0, PREFIX_MAX);
    s->n_branches = random_between(random, 1, BRANCHES_MAX);
    for (uint32_t b = 0; b < s->n_branches; b++) {
        s->n_suffix[b] = random_between(random, 1, SUFFIX_MAX);
        s->n_decode[b] = random_between(random, 1, DECODE_MAX);
        for (uint32_t i = 0; i < SUFFIX_MAX; i++) {
            s->suffix[b][i] = (int32_t)random_between(random, 0, s->n_vocab - 1);
        }
    }
    s->sampling = (soti_sampler_params){.seed = random_next(random)};
    if (random_between(random, 0, 1)) {
        s->sampling.temperature = 0.9f;
        s->sampling.top_p = 0.95f;
        s->sampling.top_k = random_between(random, 0, 50);
        s->sampling.repetition_penalty = 1.1f;
    }
}

static inline void scenario_step(soti_engine *engine, soti_work *items, uint32_t n_items)
{
    if (soti_engine_step(engine, items, n_items, NULL, NULL) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
}

static inline void scenario_feed_prefix(soti_engine *engine, const scenario *s,
                                        soti_sequence *sequence)
{
    for (uint32_t n_done = 0; n_done < s->n_prefix;) {
        soti_work item = {.sequence = sequence,
                          .tokens = s->prefix + n_done,
                          .n_tokens = s->n_prefix - n_done,
                          .is_prompt = 1};
        scenario_step(engine, &item, 1);
        n_done += item.n_taken;
    }
}

static inline void branch_begin(soti_engine *engine, const scenario *s, uint32_t i,
                                const soti_sequence *parent, branch *out)
{
    out->n_decoded = 0;
    memcpy(out->text, s->prefix, s->n_prefix * sizeof *out->text);
    memcpy(out->text + s->n_prefix, s->suffix[i], s->n_suffix[i] * sizeof *out->text);
    out->n_text = s->n_prefix + s->n_suffix[i];
    out->n_fed = parent != NULL ? s->n_prefix : 0;
    assert_int_equal(soti_sampler_init(&out->sampler, &s->sampling, i), SOT_OK);
    if (parent == NULL) {
        out->sequence = soti_sequence_create(soti_engine_kv(engine));
        assert_non_null(out->sequence);
    } else {
        assert_int_equal(
            soti_sequence_fork(soti_engine_kv(engine), parent, s->n_prefix, &out->sequence),
            SOT_OK);
    }
}

static inline soti_work branch_work(const scenario *s, uint32_t i, const branch *b, outcome *out)
{
    const int32_t *generated = b->text + s->n_prefix + s->n_suffix[i];
    return (soti_work){.sequence = b->sequence,
                       .tokens = b->text + b->n_fed,
                       .n_tokens = b->n_text - b->n_fed,
                       .is_prompt = b->n_fed < s->n_prefix + s->n_suffix[i],
                       .want_pick = 1,
                       .pick = soti_sampler_pick(&b->sampler, 0, generated, b->n_decoded),
                       .logits = out->logits[i]};
}

/* Runs the listed branches to their ends in one batch. */
static inline void run_branches(soti_engine *engine, const scenario *s, branch *branches,
                                const uint32_t *order, uint32_t n, outcome *out)
{
    for (;;) {
        soti_work items[BRANCHES_MAX];
        uint32_t members[BRANCHES_MAX];
        uint32_t n_items = 0;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t i = order[k];
            if (branches[i].n_decoded < s->n_decode[i]) {
                items[n_items] = branch_work(s, i, &branches[i], out);
                members[n_items++] = i;
            }
        }
        if (n_items == 0) {
            return;
        }
        scenario_step(engine, items, n_items);
        for (uint32_t k = 0; k < n_items; k++) {
            branch *b = &branches[members[k]];
            b->n_fed += items[k].n_taken;
            if (items[k].has_picked) {
                out->tokens[members[k]][b->n_decoded++] = items[k].picked;
                b->text[b->n_text++] = items[k].picked;
            }
        }
    }
}

static inline void scenario_run(sot_model *model, const scenario *s, const setup *how, outcome *out)
{
    soti_engine *engine;
    const uint32_t n_ctx = PREFIX_MAX + SUFFIX_MAX + DECODE_MAX;
    const soti_engine_params params = {.n_threads = how->n_threads,
                                       .n_ctx = n_ctx,
                                       .max_batch = how->together ? BRANCHES_MAX : 1,
                                       .kv_tokens = (BRANCHES_MAX + 1) * (n_ctx + SOTI_PAGE_TOKENS),
                                       .chunk_rows = how->chunk_rows,
                                       .n_sequences = BRANCHES_MAX + 1,
                                       .isa = how->isa};
    if (soti_engine_create(model, &params, &engine) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    soti_engine_set_grouping(engine, how->grouping);
    memset(out, 0, sizeof *out);
    soti_sequence *parent = NULL;
    if (how->forked) {
        parent = soti_sequence_create(soti_engine_kv(engine));
        scenario_feed_prefix(engine, s, parent);
    }
    branch branches[BRANCHES_MAX];
    uint32_t order[BRANCHES_MAX];
    for (uint32_t i = 0; i < s->n_branches; i++) {
        order[i] = how->reversed ? s->n_branches - 1 - i : i;
        branch_begin(engine, s, i, parent, &branches[i]);
    }
    if (how->together) {
        run_branches(engine, s, branches, order, s->n_branches, out);
    } else {
        for (uint32_t i = 0; i < s->n_branches; i++) {
            run_branches(engine, s, branches, &order[i], 1, out);
        }
    }
    soti_engine_free(engine);
}

static inline sot_model *scenario_open(scenario *s, random_source *random)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model = NULL;
    params.device = s->device != NULL ? s->device : "cpu";
    scenario_choose_model(s, random);
    if (soti_model_open(s->path, &params, &model) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    s->n_vocab = model->checkpoint.shape.n_vocab;
    assert_true(s->n_vocab <= VOCAB_MAX);
    scenario_fill(s, random);
    return model;
}

#endif
