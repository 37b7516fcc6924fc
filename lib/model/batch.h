/* Assembles a ragged batch: rows, page tables, groups of rows with shared leading pages. Reserved
 * once, filled anew each step. */
#ifndef SOTI_MODEL_BATCH_H
#define SOTI_MODEL_BATCH_H

#include "backend/backend.h"
#include "model/kv.h"

/* What grouping knows about one sequence, and about the best cut of all sequences before it. */
typedef struct soti_batch_run {
    uint32_t first_row;
    uint32_t n_full;        /* pages that were full before this batch */
    uint32_t n_shared_next; /* of them, in common with the next sequence */
    uint32_t best_start;    /* the last group in front of this sequence begins there */
    uint32_t best_shared;   /* and shares so many pages */
    uint64_t n_saved;       /* page reads that the cut in front of this sequence saves */
} soti_batch_run;

typedef struct soti_batch {
    soti_rows rows; /* what the backend gets; points into the arrays below */
    uint32_t n_rows_max, n_sequences_max, n_logits_max, table_stride;
    int32_t *tokens;
    uint32_t *positions;
    uint32_t *sequences;
    uint32_t *page_tables;
    soti_row_group *groups;
    uint32_t *logit_rows;
    soti_batch_run *runs; /* (n_sequences_max + 1) */
} soti_batch;

sot_status soti_batch_create(uint32_t n_rows_max, uint32_t n_sequences_max, uint32_t n_logits_max,
                             uint32_t table_stride, soti_batch *out);
void soti_batch_free(soti_batch *batch);
void soti_batch_clear(soti_batch *batch);

/* Adds n_tokens rows behind the sequence's positions; pages must be reserved. is_prompt: they come
 * from a prompt; such rows are added before all others. want_logits: the last row gets logits;
 * returns its i_logit, else UINT32_MAX. The caller keeps within the limits. */
uint32_t soti_batch_add(soti_batch *batch, const soti_sequence *sequence, const int32_t *tokens,
                        uint32_t n_tokens, uint32_t is_prompt, uint32_t want_logits);

/* Forms the groups and completes batch->rows: neighbours with leading full pages in common, cut so
 * that most page reads are saved. grouping 0: every row its own group, nothing shared. */
void soti_batch_finish(soti_batch *batch, uint32_t grouping);

uint64_t soti_batch_bytes(const soti_batch *batch); /* reserved */

#endif
