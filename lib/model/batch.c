/* See batch.h. Grouping is a cut of the batch's sequences into runs of neighbours. A run of n rows
 * with p leading pages in common reads those once instead of n times: it saves p * (n - 1) page
 * reads. finish() finds the cut that saves most. */
#include "batch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

sot_status soti_batch_create(uint32_t n_rows_max, uint32_t n_sequences_max, uint32_t n_logits_max,
                             uint32_t table_stride, soti_batch *out)
{
    *out = (soti_batch){.n_rows_max = n_rows_max,
                        .n_sequences_max = n_sequences_max,
                        .n_logits_max = n_logits_max,
                        .table_stride = table_stride};
    size_t n_entries;
    if (!soti_mul(n_sequences_max, table_stride, &n_entries)) {
        return soti_fail(SOT_ERR_MEMORY, "page tables of %u sequences with %u pages are too large",
                         n_sequences_max, table_stride);
    }
    out->tokens = soti_alloc(n_rows_max, sizeof *out->tokens);
    out->positions = soti_alloc(n_rows_max, sizeof *out->positions);
    out->sequences = soti_alloc(n_rows_max, sizeof *out->sequences);
    out->groups = soti_alloc(n_rows_max, sizeof *out->groups);
    out->page_tables = soti_alloc(n_entries, sizeof *out->page_tables);
    out->logit_rows = soti_alloc(n_logits_max, sizeof *out->logit_rows);
    out->runs = soti_alloc((size_t)n_sequences_max + 1, sizeof *out->runs);
    if (out->tokens == NULL || out->positions == NULL || out->sequences == NULL ||
        out->groups == NULL || out->page_tables == NULL || out->logit_rows == NULL ||
        out->runs == NULL) {
        soti_batch_free(out);
        return SOT_ERR_MEMORY;
    }
    soti_batch_clear(out);
    return SOT_OK;
}

void soti_batch_free(soti_batch *batch)
{
    soti_free(batch->tokens);
    soti_free(batch->positions);
    soti_free(batch->sequences);
    soti_free(batch->groups);
    soti_free(batch->page_tables);
    soti_free(batch->logit_rows);
    soti_free(batch->runs);
    *batch = (soti_batch){0};
}

void soti_batch_clear(soti_batch *batch)
{
    batch->rows = (soti_rows){.tokens = batch->tokens,
                              .positions = batch->positions,
                              .sequences = batch->sequences,
                              .page_tables = batch->page_tables,
                              .table_stride = batch->table_stride,
                              .groups = batch->groups,
                              .logit_rows = batch->logit_rows};
}

uint32_t soti_batch_add(soti_batch *batch, const soti_sequence *sequence, const int32_t *tokens,
                        uint32_t n_tokens, uint32_t is_prompt, uint32_t want_logits)
{
    soti_rows *rows = &batch->rows;
    uint32_t i_sequence = rows->n_sequences++;
    uint32_t length = soti_sequence_length(sequence);
    memcpy(batch->page_tables + (size_t)i_sequence * batch->table_stride,
           soti_sequence_pages(sequence),
           soti_sequence_page_count(sequence) * sizeof *batch->page_tables);
    memcpy(batch->tokens + rows->n_rows, tokens, n_tokens * sizeof *tokens);
    batch->runs[i_sequence].first_row = rows->n_rows;
    batch->runs[i_sequence].n_full = length / SOTI_PAGE_TOKENS;
    for (uint32_t i = 0; i < n_tokens; i++) {
        batch->positions[rows->n_rows + i] = length + i;
        batch->sequences[rows->n_rows + i] = i_sequence;
    }
    rows->n_rows += n_tokens;
    if (is_prompt) {
        rows->n_prompt_rows = rows->n_rows;
    }
    if (!want_logits) {
        return UINT32_MAX;
    }
    batch->logit_rows[rows->n_logits] = rows->n_rows - 1;
    return rows->n_logits++;
}

/* Leading pages that sequences i and i + 1 have in common, written in full before this batch. */
static uint32_t pages_shared_with_next(const soti_batch *batch, uint32_t i)
{
    const uint32_t *a = batch->page_tables + (size_t)i * batch->table_stride;
    const uint32_t *b = a + batch->table_stride;
    uint32_t most = batch->runs[i].n_full;
    most = batch->runs[i + 1].n_full < most ? batch->runs[i + 1].n_full : most;
    uint32_t n = 0;
    while (n < most && a[n] == b[n]) {
        n++;
    }
    return n;
}

/* The best run that ends before sequence end, given the best cuts of everything before it. */
static void choose_run(soti_batch *batch, uint32_t end)
{
    soti_batch_run *runs = batch->runs;
    uint32_t shared = runs[end - 1].n_full;
    uint32_t end_row = runs[end].first_row;
    runs[end].best_start = end - 1;
    runs[end].best_shared = shared;
    runs[end].n_saved =
        runs[end - 1].n_saved + (uint64_t)shared * (end_row - runs[end - 1].first_row - 1);
    for (uint32_t start = end - 1; start-- > 0;) {
        shared = runs[start].n_shared_next < shared ? runs[start].n_shared_next : shared;
        if (shared == 0) {
            return;
        }
        uint64_t n_saved =
            runs[start].n_saved + (uint64_t)shared * (end_row - runs[start].first_row - 1);
        if (n_saved > runs[end].n_saved) {
            runs[end].n_saved = n_saved;
            runs[end].best_start = start;
            runs[end].best_shared = shared;
        }
    }
}

static void form_groups(soti_batch *batch)
{
    soti_batch_run *runs = batch->runs;
    uint32_t n_sequences = batch->rows.n_sequences;
    runs[0].n_saved = 0;
    runs[n_sequences].first_row = batch->rows.n_rows;
    for (uint32_t end = 1; end <= n_sequences; end++) {
        runs[end - 1].n_shared_next =
            end < n_sequences ? pages_shared_with_next(batch, end - 1) : 0;
        choose_run(batch, end);
    }
    uint32_t n_groups = 0;
    for (uint32_t end = n_sequences; end > 0; end = runs[end].best_start) {
        n_groups++;
    }
    batch->rows.n_groups = n_groups;
    uint32_t end_row = batch->rows.n_rows;
    for (uint32_t end = n_sequences; end > 0; end = runs[end].best_start) {
        uint32_t first_row = runs[runs[end].best_start].first_row;
        batch->groups[--n_groups] = (soti_row_group){.first_row = first_row,
                                                     .n_rows = end_row - first_row,
                                                     .n_shared_pages = runs[end].best_shared};
        end_row = first_row;
    }
}

void soti_batch_finish(soti_batch *batch, uint32_t grouping)
{
    if (grouping) {
        form_groups(batch);
        return;
    }
    batch->rows.n_groups = batch->rows.n_rows;
    for (uint32_t i = 0; i < batch->rows.n_rows; i++) {
        batch->groups[i] = (soti_row_group){.first_row = i, .n_rows = 1};
    }
}

uint64_t soti_batch_bytes(const soti_batch *batch)
{
    uint64_t per_row = sizeof *batch->tokens + sizeof *batch->positions + sizeof *batch->sequences +
                       sizeof *batch->groups;
    uint64_t per_sequence =
        sizeof *batch->runs + (uint64_t)batch->table_stride * sizeof *batch->page_tables;
    return batch->n_rows_max * per_row + batch->n_sequences_max * per_sequence +
           batch->n_logits_max * sizeof *batch->logit_rows + sizeof *batch->runs;
}
