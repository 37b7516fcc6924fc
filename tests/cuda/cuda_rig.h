/* For the tests of lib/cuda/: a random model opened on a backend, sequences whose pages the test
 * hands out itself, and batches of their rows. The same calls go to the CPU's table and to CUDA's.
 */
#ifndef SOT_TESTS_CUDA_RIG_H
#define SOT_TESTS_CUDA_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/fail.h"
#include "unit/cpu_model.h"

enum {
    RIG_TABLE = 20, /* pages of a sequence */
    RIG_POSITIONS = RIG_TABLE * SOTI_PAGE_TOKENS,
    RIG_PAGES = 160,
    RIG_ROWS = 300,
    RIG_SEQUENCES = 24,
    RIG_VOCAB_MAX = 128
};

/* Where kernels run on the host: what was found wrong, what is still alive. */
const char *on_host_errors(void) __attribute__((weak));
uint64_t on_host_live_count(void) __attribute__((weak));

/* A group's teardown: all was given back, and no kernel touched what it must not. */
static inline int rig_check_host(void **state)
{
    (void)state;
    if (on_host_errors) {
        assert_string_equal(on_host_errors(), "");
        assert_int_equal(on_host_live_count(), 0);
    }
    return 0;
}

/* What a backend said last through soti_host. */
typedef struct rig_said {
    sot_status status;
    char sentence[SOTI_FAIL_MESSAGE_BYTES];
} rig_said;

static _Thread_local rig_said said;

static inline void rig_listen(sot_status status, const char *sentence)
{
    said.status = status;
    strncpy(said.sentence, sentence, sizeof said.sentence - 1);
}

static inline void rig_check_said(sot_status status, const char *words)
{
    assert_int_equal(said.status, status);
    if (strstr(said.sentence, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", said.sentence, words);
    }
}

static const soti_host rig_host = {.fail = rig_listen};

typedef struct rig {
    const soti_backend *backend;
    soti_device *device;
    soti_device_weights *weights;
    soti_context *context;
    uint32_t n_layer;
    uint32_t n_vocab;
} rig;

static inline soti_context_params rig_params(void)
{
    return (soti_context_params){.n_rows_max = RIG_ROWS,
                                 .n_logits_max = RIG_SEQUENCES,
                                 .n_sequences_max = RIG_SEQUENCES,
                                 .n_pages = RIG_PAGES,
                                 .n_table_max = RIG_TABLE,
                                 .n_threads = 1};
}

static inline void rig_close(rig *all)
{
    if (all->context != NULL) {
        all->backend->context_free(all->context);
    }
    if (all->weights != NULL) {
        all->backend->weights_free(all->weights);
    }
    if (all->device != NULL) {
        all->backend->device_close(all->device);
    }
}

/* What was opened before a failure is closed by rig_close. */
static inline sot_status rig_try(rig *all, const soti_backend *backend, const cpu_model *model,
                                 uint32_t i_device, const soti_context_params *params)
{
    *all =
        (rig){.backend = backend, .n_layer = model->shape.n_layer, .n_vocab = model->shape.n_vocab};
    RETURN_IF_ERROR(backend->device_open(i_device, &rig_host, &all->device));
    RETURN_IF_ERROR(backend->weights_create(all->device, &model->shape, &model->view, NULL, NULL,
                                            &all->weights));
    return backend->context_create(all->weights, params, &all->context);
}

static inline void rig_open(rig *all, const soti_backend *backend, const cpu_model *model)
{
    soti_context_params params = rig_params();
    sot_status status = rig_try(all, backend, model, 0, &params);
    if (status != SOT_OK) {
        fail_msg("%s: %d, %s", backend->name, status, said.sentence);
    }
}

/* Tokens that a sequence will have, and where its positions are. */
typedef struct rig_sequence {
    int32_t tokens[RIG_POSITIONS];
    uint32_t pages[RIG_TABLE];
} rig_sequence;

/* Its first n_shared pages and their tokens are those of another one; the rest come from
 * next_page. */
static inline void rig_sequence_make(rig_sequence *made, const rig_sequence *other,
                                     uint32_t n_shared, uint32_t n_own, uint32_t next_page,
                                     uint64_t seed, uint32_t n_vocab)
{
    memset(made, 0, sizeof *made);
    for (uint32_t i = 0; i < RIG_TABLE; i++) {
        made->pages[i] = i < n_shared           ? other->pages[i]
                         : i < n_shared + n_own ? next_page + i - n_shared
                                                : UINT32_MAX;
    }
    for (uint32_t i = 0; i < RIG_POSITIONS; i++) {
        uint32_t block[4];
        soti_random_block(seed, 99, i, block);
        made->tokens[i] =
            i < n_shared * SOTI_PAGE_TOKENS ? other->tokens[i] : (int32_t)(block[0] % n_vocab);
    }
}

typedef struct rig_batch {
    int32_t tokens[RIG_ROWS];
    uint32_t positions[RIG_ROWS];
    uint32_t sequences[RIG_ROWS];
    uint32_t tables[RIG_SEQUENCES * RIG_TABLE];
    soti_row_group groups[RIG_ROWS];
    uint32_t logit_rows[RIG_SEQUENCES];
    soti_rows rows;
} rig_batch;

static inline void rig_batch_clear(rig_batch *batch)
{
    batch->rows = (soti_rows){.tokens = batch->tokens,
                              .positions = batch->positions,
                              .sequences = batch->sequences,
                              .page_tables = batch->tables,
                              .table_stride = RIG_TABLE,
                              .groups = batch->groups,
                              .logit_rows = batch->logit_rows};
}

/* Rows first .. first + n of a sequence, the last one's logits; returns their index. */
static inline uint32_t rig_batch_add(rig_batch *batch, const rig_sequence *sequence, uint32_t first,
                                     uint32_t n, int is_prompt)
{
    soti_rows *rows = &batch->rows;
    uint32_t row = rows->n_rows;
    for (uint32_t i = 0; i < n; i++) {
        batch->tokens[row + i] = sequence->tokens[first + i];
        batch->positions[row + i] = first + i;
        batch->sequences[row + i] = rows->n_sequences;
    }
    memcpy(batch->tables + (size_t)rows->n_sequences * RIG_TABLE, sequence->pages,
           sizeof sequence->pages);
    batch->groups[rows->n_groups++] = (soti_row_group){.first_row = row, .n_rows = n};
    rows->n_rows += n;
    rows->n_prompt_rows += is_prompt ? n : 0;
    rows->n_sequences++;
    batch->logit_rows[rows->n_logits] = rows->n_rows - 1;
    return rows->n_logits++;
}

/* From row first on all are one group that shares n_shared pages. */
static inline void rig_batch_group(rig_batch *batch, uint32_t first, uint32_t n_shared)
{
    uint32_t n = 0;
    while (n < batch->rows.n_groups && batch->groups[n].first_row < first) {
        n++;
    }
    batch->groups[n] = (soti_row_group){
        .first_row = first, .n_rows = batch->rows.n_rows - first, .n_shared_pages = n_shared};
    batch->rows.n_groups = n + 1;
}

static inline sot_status rig_run(rig *all, const rig_batch *batch)
{
    const soti_backend *backend = all->backend;
    RETURN_IF_ERROR(backend->batch_begin(all->context, &batch->rows));
    RETURN_IF_ERROR(backend->embed(all->context));
    for (uint32_t i = 0; i < all->n_layer; i++) {
        RETURN_IF_ERROR(backend->qkv(all->context, i));
        RETURN_IF_ERROR(backend->attention(all->context, i));
        RETURN_IF_ERROR(backend->attention_output(all->context, i));
        RETURN_IF_ERROR(backend->gate_up(all->context, i));
        RETURN_IF_ERROR(backend->down(all->context, i));
    }
    return batch->rows.n_logits > 0 ? backend->logits(all->context) : SOT_OK;
}

static inline void rig_step(rig *all, const rig_batch *batch)
{
    if (rig_run(all, batch) != SOT_OK) {
        fail_msg("%s: %s", all->backend->name, said.sentence);
    }
}

static inline void rig_read(rig *all, uint32_t i_logit, float *out)
{
    if (all->backend->read_logits(all->context, i_logit, out) != SOT_OK) {
        fail_msg("%s: %s", all->backend->name, said.sentence);
    }
}

/* One sequence's rows alone, as one batch. */
static inline void rig_feed(rig *all, const rig_sequence *sequence, uint32_t first, uint32_t n,
                            int is_prompt, float *logits)
{
    static _Thread_local rig_batch batch;
    rig_batch_clear(&batch);
    uint32_t i_logit = rig_batch_add(&batch, sequence, first, n, is_prompt);
    rig_step(all, &batch);
    if (logits != NULL) {
        rig_read(all, i_logit, logits);
    }
}

#endif
