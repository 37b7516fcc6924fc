/* A backend whose arithmetic is hashing: a row's "logits" are a hash of everything that a LLaMA's
 * logits depend on, read through the page tables as a real backend reads it. A wrong page,
 * position, table, group or order of calls gives another hash, so it is an exact oracle for pages,
 * batch and engine. fake_expected() computes the same hash from a plain list of tokens.
 * It also fails the test when a batch breaks a rule of backend.h, and can be told to fail. */
#ifndef SOT_TESTS_FAKE_BACKEND_H
#define SOT_TESTS_FAKE_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/fail.h"
#include "base/random.h"

enum { FAKE_LAYERS = 3, FAKE_VOCAB = 37 };

struct soti_device_weights {
    uint32_t n_contexts; /* alive */
};

/* What the fake is to do next, and what it has seen. */
typedef struct fake_control {
    int fail_after_calls; /* this many calls from now one returns DEVICE; negative: none */
    int cancel_at_layer;  /* sets *cancel while that layer computes; negative: never */
    atomic_int *cancel;
    uint32_t n_steps;
    uint32_t n_layers_run;
    uint32_t n_page_copies;
    uint32_t n_groups;      /* of the last batch */
    uint32_t n_prompt_rows; /* of the last batch */
    uint64_t n_page_reads;  /* of all attention calls: a shared page counts once per group */
    uint32_t context_fails; /* 1: context_create returns THREAD */
} fake_control;

struct soti_context {
    soti_device_weights *weights;
    soti_context_params params;
    const soti_rows *rows;
    uint32_t stage;  /* calls of this step so far, to check their order */
    uint64_t *pages; /* (FAKE_LAYERS, n_pages, SOTI_PAGE_TOKENS) */
    uint64_t *x;     /* (n_rows_max) the residual stream */
    uint64_t *a;     /* (n_rows_max) */
};

static fake_control fake = {.fail_after_calls = -1, .cancel_at_layer = -1};

static inline uint64_t fake_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9E3779B97F4A7C15u + b;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t fake_embed_token(int32_t token, uint32_t position)
{
    return fake_mix((uint64_t)token + 1, position);
}

static inline float fake_logit(uint64_t x, uint32_t id)
{
    return (float)(fake_mix(x, id) >> 40) * 0x1p-24f;
}

/* The last row's x of a whole text, without pages: (n) tokens. */
static inline uint64_t fake_expected(const int32_t *tokens, uint32_t n)
{
    uint64_t *x = calloc(n, sizeof *x);
    assert_non_null(x);
    for (uint32_t i = 0; i < n; i++) {
        x[i] = fake_embed_token(tokens[i], i);
    }
    for (uint32_t layer = 0; layer < FAKE_LAYERS; layer++) {
        uint64_t a = 0; /* what row i attends to grows by one position a row */
        for (uint32_t i = 0; i < n; i++) {
            a = fake_mix(a, fake_mix(x[i], layer));
            x[i] = fake_mix(fake_mix(fake_mix(x[i], a), 100 + layer), 200 + layer);
        }
    }
    uint64_t last = x[n - 1];
    free(x);
    return last;
}

static inline int32_t fake_expected_greedy(const int32_t *tokens, uint32_t n)
{
    uint64_t x = fake_expected(tokens, n);
    int32_t best = 0;
    for (int32_t id = 1; id < FAKE_VOCAB; id++) {
        best = fake_logit(x, (uint32_t)id) > fake_logit(x, (uint32_t)best) ? id : best;
    }
    return best;
}

static inline sot_status fake_call(void)
{
    if (fake.fail_after_calls >= 0 && fake.fail_after_calls-- == 0) {
        return soti_fail(SOT_ERR_DEVICE, "the fake device fails on purpose");
    }
    return SOT_OK;
}

static inline sot_status fake_context_create(soti_device_weights *weights,
                                             const soti_context_params *params, soti_context **out)
{
    if (fake.context_fails) {
        return soti_fail(SOT_ERR_THREAD, "the fake has no threads");
    }
    soti_context *context = calloc(1, sizeof *context);
    assert_non_null(context);
    size_t n_slots = (size_t)FAKE_LAYERS * params->n_pages * SOTI_PAGE_TOKENS;
    context->weights = weights;
    context->params = *params;
    context->pages = calloc(n_slots, sizeof *context->pages);
    context->x = calloc(params->n_rows_max, sizeof *context->x);
    context->a = calloc(params->n_rows_max, sizeof *context->a);
    assert_true(context->pages != NULL && context->x != NULL && context->a != NULL);
    weights->n_contexts++;
    *out = context;
    return SOT_OK;
}

static inline void fake_context_free(soti_context *context)
{
    context->weights->n_contexts--;
    free(context->pages);
    free(context->x);
    free(context->a);
    free(context);
}

static inline uint64_t fake_context_bytes(const soti_context *context)
{
    return (uint64_t)context->params.n_pages * SOTI_PAGE_TOKENS * FAKE_LAYERS *
           sizeof *context->pages;
}

static inline void fake_context_info(const soti_context *context, soti_context_info *out)
{
    *out = (soti_context_info){.n_threads = context->params.n_threads + 40, .isa = "fake"};
}

static inline uint32_t fake_page(const soti_rows *rows, uint32_t i_sequence, uint32_t i_page)
{
    return rows->page_tables[(size_t)i_sequence * rows->table_stride + i_page];
}

static inline uint64_t *fake_slot(soti_context *context, uint32_t layer, uint32_t page,
                                  uint32_t slot)
{
    size_t i_page = (size_t)layer * context->params.n_pages + page;
    return context->pages + i_page * SOTI_PAGE_TOKENS + slot;
}

static inline void fake_check_groups(const soti_rows *rows)
{
    uint32_t next_row = 0;
    for (uint32_t g = 0; g < rows->n_groups; g++) {
        const soti_row_group *group = &rows->groups[g];
        assert_int_equal(group->first_row, next_row);
        assert_true(group->n_rows > 0);
        next_row += group->n_rows;
        assert_true(next_row <= rows->n_rows);
        uint32_t first = rows->sequences[group->first_row];
        for (uint32_t r = group->first_row; r < next_row; r++) {
            assert_true(group->n_shared_pages * SOTI_PAGE_TOKENS <= rows->positions[r]);
            for (uint32_t p = 0; p < group->n_shared_pages; p++) {
                assert_int_equal(fake_page(rows, rows->sequences[r], p), fake_page(rows, first, p));
            }
        }
    }
    assert_int_equal(next_row, rows->n_rows);
}

static inline void fake_check_rows(const soti_context *context, const soti_rows *rows)
{
    assert_in_range(rows->n_rows, 1, context->params.n_rows_max);
    assert_in_range(rows->n_sequences, 1, context->params.n_sequences_max);
    assert_true(rows->n_logits <= context->params.n_logits_max);
    assert_true(rows->table_stride >= context->params.n_table_max);
    for (uint32_t r = 0; r < rows->n_rows; r++) {
        assert_in_range(rows->tokens[r], 0, FAKE_VOCAB - 1);
        assert_true(rows->sequences[r] < rows->n_sequences);
        if (r > 0 && rows->sequences[r] == rows->sequences[r - 1]) {
            assert_int_equal(rows->positions[r], rows->positions[r - 1] + 1);
        } else {
            assert_int_equal(rows->sequences[r], r == 0 ? 0 : rows->sequences[r - 1] + 1);
        }
        for (uint32_t p = 0; p <= rows->positions[r] / SOTI_PAGE_TOKENS; p++) {
            assert_true(fake_page(rows, rows->sequences[r], p) < context->params.n_pages);
        }
    }
    assert_true(rows->n_prompt_rows <= rows->n_rows);
    for (uint32_t r = rows->n_prompt_rows; r < rows->n_rows; r++) {
        assert_true(r == 0 || rows->sequences[r] != rows->sequences[r - 1]);
    }
    for (uint32_t i = 0; i < rows->n_logits; i++) {
        assert_true(rows->logit_rows[i] < rows->n_rows);
        assert_true(i == 0 || rows->logit_rows[i] > rows->logit_rows[i - 1]);
    }
    fake_check_groups(rows);
}

static inline sot_status fake_batch_begin(soti_context *context, const soti_rows *rows)
{
    fake_check_rows(context, rows);
    context->rows = rows;
    context->stage = 1;
    fake.n_steps++;
    fake.n_groups = rows->n_groups;
    fake.n_prompt_rows = rows->n_prompt_rows;
    return fake_call();
}

static inline sot_status fake_embed(soti_context *context)
{
    assert_int_equal(context->stage++, 1);
    for (uint32_t r = 0; r < context->rows->n_rows; r++) {
        context->x[r] = fake_embed_token(context->rows->tokens[r], context->rows->positions[r]);
    }
    return fake_call();
}

static inline sot_status fake_qkv(soti_context *context, uint32_t layer)
{
    const soti_rows *rows = context->rows;
    assert_int_equal(context->stage++, 2 + 5 * layer);
    for (uint32_t r = 0; r < rows->n_rows; r++) {
        uint32_t position = rows->positions[r];
        uint32_t page = fake_page(rows, rows->sequences[r], position / SOTI_PAGE_TOKENS);
        *fake_slot(context, layer, page, position % SOTI_PAGE_TOKENS) =
            fake_mix(context->x[r], layer);
    }
    fake.n_layers_run++;
    if (fake.cancel_at_layer == (int)layer) {
        atomic_store(fake.cancel, 1);
    }
    return fake_call();
}

/* Shared pages through the table of the group's first row, the rest through each row's own. */
static inline sot_status fake_attention(soti_context *context, uint32_t layer)
{
    const soti_rows *rows = context->rows;
    assert_int_equal(context->stage++, 3 + 5 * layer);
    for (uint32_t g = 0; g < rows->n_groups; g++) {
        const soti_row_group *group = &rows->groups[g];
        uint32_t first = rows->sequences[group->first_row];
        fake.n_page_reads += group->n_shared_pages;
        for (uint32_t r = group->first_row; r < group->first_row + group->n_rows; r++) {
            uint64_t a = 0;
            for (uint32_t position = 0; position <= rows->positions[r]; position++) {
                uint32_t i_page = position / SOTI_PAGE_TOKENS;
                uint32_t reader = i_page < group->n_shared_pages ? first : rows->sequences[r];
                uint32_t page = fake_page(rows, reader, i_page);
                a = fake_mix(a, *fake_slot(context, layer, page, position % SOTI_PAGE_TOKENS));
            }
            context->a[r] = a;
            fake.n_page_reads += rows->positions[r] / SOTI_PAGE_TOKENS + 1 - group->n_shared_pages;
        }
    }
    return fake_call();
}

static inline sot_status fake_attention_output(soti_context *context, uint32_t layer)
{
    assert_int_equal(context->stage++, 4 + 5 * layer);
    for (uint32_t r = 0; r < context->rows->n_rows; r++) {
        context->x[r] = fake_mix(context->x[r], context->a[r]);
    }
    return fake_call();
}

static inline sot_status fake_gate_up(soti_context *context, uint32_t layer)
{
    assert_int_equal(context->stage++, 5 + 5 * layer);
    for (uint32_t r = 0; r < context->rows->n_rows; r++) {
        context->x[r] = fake_mix(context->x[r], 100 + layer);
    }
    return fake_call();
}

static inline sot_status fake_down(soti_context *context, uint32_t layer)
{
    assert_int_equal(context->stage++, 6 + 5 * layer);
    for (uint32_t r = 0; r < context->rows->n_rows; r++) {
        context->x[r] = fake_mix(context->x[r], 200 + layer);
    }
    return fake_call();
}

static inline sot_status fake_logits(soti_context *context)
{
    assert_int_equal(context->stage++, 2 + 5 * FAKE_LAYERS);
    return fake_call();
}

static inline sot_status fake_read_logits(soti_context *context, uint32_t i_logit, float *out)
{
    assert_true(i_logit < context->rows->n_logits);
    uint64_t x = context->x[context->rows->logit_rows[i_logit]];
    for (uint32_t id = 0; id < FAKE_VOCAB; id++) {
        out[id] = fake_logit(x, id);
    }
    return fake_call();
}

static inline sot_status fake_pick(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                                   int32_t *tokens)
{
    assert_int_equal(context->stage, 3 + 5 * FAKE_LAYERS);
    for (uint32_t i = 0; i < n_picks; i++) {
        float logits[FAKE_VOCAB];
        sot_status status = fake_read_logits(context, picks[i].i_logit, logits);
        if (status != SOT_OK) {
            return status;
        }
        tokens[i] = 0;
        for (int32_t id = 1; id < FAKE_VOCAB; id++) {
            tokens[i] = logits[id] > logits[tokens[i]] ? id : tokens[i];
        }
        if (picks[i].temperature > 0.0f) { /* any function of the row and the stream will do */
            float u = soti_random_uniform(picks[i].seed, picks[i].stream, picks[i].counter);
            tokens[i] = (tokens[i] + (int32_t)(u * FAKE_VOCAB)) % FAKE_VOCAB;
        }
    }
    return SOT_OK;
}

static inline sot_status fake_page_copy(soti_context *context, uint32_t to_page, uint32_t from_page,
                                        uint32_t n_tokens)
{
    assert_in_range(n_tokens, 1, SOTI_PAGE_TOKENS);
    for (uint32_t layer = 0; layer < FAKE_LAYERS; layer++) {
        memcpy(fake_slot(context, layer, to_page, 0), fake_slot(context, layer, from_page, 0),
               n_tokens * sizeof *context->pages);
    }
    fake.n_page_copies++;
    return fake_call();
}

static const soti_backend fake_backend = {
    .version = SOTI_BACKEND_VERSION,
    .table_size = sizeof fake_backend,
    .name = "fake",
    .step_rows = 128,
    .context_create = fake_context_create,
    .context_free = fake_context_free,
    .context_bytes = fake_context_bytes,
    .context_info = fake_context_info,
    .batch_begin = fake_batch_begin,
    .embed = fake_embed,
    .qkv = fake_qkv,
    .attention = fake_attention,
    .attention_output = fake_attention_output,
    .gate_up = fake_gate_up,
    .down = fake_down,
    .logits = fake_logits,
    .pick = fake_pick,
    .read_logits = fake_read_logits,
    .page_copy = fake_page_copy,
};

#endif
