/* See cuda_step.h. */
#include "cuda_step.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "cuda/cuda_items.h"

enum { ALIGNMENT = 64 };

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

sot_status soti_cuda_limits_make(const soti_context_params *params, uint32_t n_vocab,
                                 soti_cuda_limits *out)
{
    uint64_t n_positions = (uint64_t)params->n_table_max * SOTI_PAGE_TOKENS;
    uint64_t n_segments = (n_positions + SOTI_CUDA_SEGMENT_TOKENS - 1) / SOTI_CUDA_SEGMENT_TOKENS;
    uint64_t n_generated = least(params->n_rows_max, params->n_sequences_max);
    if (n_positions > INT32_MAX || n_generated * n_segments > INT32_MAX) {
        return soti_fail(SOT_ERR_MEMORY,
                         "%u sequences of %u pages have more parts than can be counted",
                         params->n_sequences_max, params->n_table_max);
    }
    *out = (soti_cuda_limits){
        .n_vocab = n_vocab,
        .n_rows = params->n_rows_max,
        .n_generated = (uint32_t)n_generated,
        .n_logits = params->n_logits_max,
        .n_sequences = params->n_sequences_max,
        .n_pages = params->n_pages,
        .n_table = params->n_table_max,
        .n_segments = (uint32_t)n_segments,
        .n_items = (uint32_t)(n_generated * n_segments),
        .n_tiles =
            least(params->n_rows_max, (uint64_t)params->n_rows_max / SOTI_CUDA_PROMPT_TILE_ROWS +
                                          params->n_sequences_max),
    };
    return SOT_OK;
}

/* Puts an array behind what is there; false: too large. */
static bool append(size_t *bytes, size_t count, size_t size, size_t *offset)
{
    size_t array;
    *offset = *bytes;
    return soti_mul(count, size, &array) && soti_add(array, ALIGNMENT - 1, &array) &&
           soti_add(*bytes, array / ALIGNMENT * ALIGNMENT, bytes);
}

sot_status soti_cuda_step_layout_make(const soti_cuda_limits *limits, soti_cuda_step_layout *out)
{
    size_t counts;
    size_t n_entries;
    size_t bytes = 0;
    if (!soti_mul(limits->n_sequences, limits->n_table, &n_entries) ||
        !append(&bytes, 1, sizeof(soti_cuda_counts), &counts) ||
        !append(&bytes, limits->n_rows, sizeof(int32_t), &out->tokens) ||
        !append(&bytes, limits->n_rows, sizeof(uint32_t), &out->positions) ||
        !append(&bytes, limits->n_rows, sizeof(uint32_t), &out->sequences) ||
        !append(&bytes, limits->n_logits, sizeof(uint32_t), &out->logit_rows) ||
        !append(&bytes, limits->n_items, sizeof(soti_cuda_item), &out->items) ||
        !append(&bytes, limits->n_tiles, sizeof(soti_cuda_tile), &out->tiles) ||
        !append(&bytes, n_entries, sizeof(uint32_t), &out->page_tables)) {
        return soti_fail(SOT_ERR_MEMORY, "page tables of %u sequences with %u pages are too large",
                         limits->n_sequences, limits->n_table);
    }
    out->bytes = bytes;
    return SOT_OK;
}

soti_cuda_rows soti_cuda_step_view(const soti_cuda_limits *limits,
                                   const soti_cuda_step_layout *layout, const void *block)
{
    const char *base = block;
    return (soti_cuda_rows){
        .counts = block,
        .tokens = (const void *)(base + layout->tokens),
        .positions = (const void *)(base + layout->positions),
        .sequences = (const void *)(base + layout->sequences),
        .page_tables = (const void *)(base + layout->page_tables),
        .table_stride = limits->n_table,
        .logit_rows = (const void *)(base + layout->logit_rows),
        .items = (const void *)(base + layout->items),
        .tiles = (const void *)(base + layout->tiles),
    };
}

size_t soti_cuda_step_bytes(const soti_cuda_limits *limits, const soti_cuda_step_layout *layout,
                            uint32_t n_sequences)
{
    size_t tables = (size_t)n_sequences * limits->n_table * sizeof(uint32_t);
    return layout->page_tables + tables;
}

static sot_status check_counts(const soti_cuda_limits *limits, const soti_rows *rows)
{
    if (rows->n_rows > limits->n_rows || rows->n_logits > limits->n_logits ||
        rows->n_sequences > limits->n_sequences) {
        return soti_fail(SOT_ERR_DEVICE,
                         "a batch of %u rows, %u sequences and %u rows of logits is over the "
                         "context's %u, %u and %u",
                         rows->n_rows, rows->n_sequences, rows->n_logits, limits->n_rows,
                         limits->n_sequences, limits->n_logits);
    }
    if (rows->n_prompt_rows > rows->n_rows ||
        rows->n_rows - rows->n_prompt_rows > limits->n_generated) {
        return soti_fail(SOT_ERR_DEVICE,
                         "a batch of %u rows, %u of them from prompts: at most %u may be generated",
                         rows->n_rows, rows->n_prompt_rows, limits->n_generated);
    }
    for (uint32_t i = 0; i < rows->n_logits; i++) {
        if (rows->logit_rows[i] >= rows->n_rows ||
            (i > 0 && rows->logit_rows[i] < rows->logit_rows[i - 1])) {
            return soti_fail(SOT_ERR_DEVICE,
                             "logits of row %u of %u were asked for, out of order or beyond",
                             rows->logit_rows[i], rows->n_rows);
        }
    }
    return SOT_OK;
}

/* A kernel that is sent to a wrong address takes the whole process's context with it. */
static sot_status check_row(const soti_cuda_limits *limits, const soti_rows *rows, uint32_t i)
{
    if (rows->tokens[i] < 0 || (uint32_t)rows->tokens[i] >= limits->n_vocab) {
        return soti_fail(SOT_ERR_DEVICE, "row %u: token %d is not one of %u", i, rows->tokens[i],
                         limits->n_vocab);
    }
    if (rows->positions[i] / SOTI_PAGE_TOKENS >= limits->n_table) {
        return soti_fail(SOT_ERR_DEVICE, "row %u: position %u is behind the last of %u pages", i,
                         rows->positions[i], limits->n_table);
    }
    if (rows->sequences[i] >= rows->n_sequences ||
        (i > 0 && rows->sequences[i] < rows->sequences[i - 1])) {
        return soti_fail(SOT_ERR_DEVICE, "row %u: sequence %u of %u is out of order", i,
                         rows->sequences[i], rows->n_sequences);
    }
    return SOT_OK;
}

/* Segments beyond a row's own would be written behind its part of the workspace. */
static sot_status check_shared(const soti_rows *rows, uint32_t i_group)
{
    const soti_row_group *group = &rows->groups[i_group];
    for (uint32_t i = group->first_row; i < group->first_row + group->n_rows; i++) {
        if (group->n_shared_pages > rows->positions[i] / SOTI_PAGE_TOKENS) {
            return soti_fail(SOT_ERR_DEVICE, "group %u shares %u pages, which row %u is not behind",
                             i_group, group->n_shared_pages, i);
        }
    }
    return SOT_OK;
}

static sot_status check_groups(const soti_rows *rows)
{
    uint32_t n_covered = 0;
    for (uint32_t i = 0; i < rows->n_groups; i++) {
        const soti_row_group *group = &rows->groups[i];
        if (group->first_row != n_covered || group->n_rows > rows->n_rows - n_covered) {
            return soti_fail(SOT_ERR_DEVICE, "group %u has %u rows from %u on, behind %u of %u", i,
                             group->n_rows, group->first_row, n_covered, rows->n_rows);
        }
        RETURN_IF_ERROR(check_shared(rows, i));
        n_covered += group->n_rows;
    }
    if (n_covered != rows->n_rows) {
        return soti_fail(SOT_ERR_DEVICE, "groups cover %u of %u rows", n_covered, rows->n_rows);
    }
    return SOT_OK;
}

/* The pages up to the position of the sequence's last row, which is row i. */
static sot_status copy_table(const soti_cuda_limits *limits, const soti_rows *rows, uint32_t i,
                             uint32_t *tables)
{
    uint32_t sequence = rows->sequences[i];
    uint32_t n_pages = rows->positions[i] / SOTI_PAGE_TOKENS + 1;
    const uint32_t *from = rows->page_tables + (size_t)sequence * rows->table_stride;
    uint32_t *to = tables + (size_t)sequence * limits->n_table;
    for (uint32_t k = 0; k < n_pages; k++) {
        if (from[k] >= limits->n_pages) {
            return soti_fail(SOT_ERR_DEVICE, "sequence %u: page %u is not one of %u", sequence,
                             from[k], limits->n_pages);
        }
        to[k] = from[k];
    }
    return SOT_OK;
}

/* An empty array may be NULL. */
static void put(void *to, const void *from, size_t n_words)
{
    if (n_words > 0) {
        memcpy(to, from, n_words * sizeof(uint32_t));
    }
}

sot_status soti_cuda_step_fill(const soti_cuda_limits *limits, const soti_cuda_step_layout *layout,
                               const soti_rows *rows, void *block, soti_cuda_counts *counts)
{
    char *base = block;
    RETURN_IF_ERROR(check_counts(limits, rows));
    for (uint32_t i = 0; i < rows->n_rows; i++) {
        RETURN_IF_ERROR(check_row(limits, rows, i));
        if (i + 1 == rows->n_rows || rows->sequences[i + 1] != rows->sequences[i]) {
            RETURN_IF_ERROR(copy_table(limits, rows, i, (void *)(base + layout->page_tables)));
        }
    }
    RETURN_IF_ERROR(check_groups(rows));
    if (soti_cuda_items_of(rows, NULL) > limits->n_items ||
        soti_cuda_tiles_of(rows, NULL) > limits->n_tiles) {
        return soti_fail(SOT_ERR_DEVICE,
                         "%u generated rows in %u sequences: each must be its sequence's only row",
                         rows->n_rows - rows->n_prompt_rows, rows->n_sequences);
    }
    put(base + layout->tokens, rows->tokens, rows->n_rows);
    put(base + layout->positions, rows->positions, rows->n_rows);
    put(base + layout->sequences, rows->sequences, rows->n_rows);
    put(base + layout->logit_rows, rows->logit_rows, rows->n_logits);
    *counts = (soti_cuda_counts){
        .n_rows = rows->n_rows,
        .n_prompt_rows = rows->n_prompt_rows,
        .n_logits = rows->n_logits,
        .n_items = soti_cuda_items_of(rows, (void *)(base + layout->items)),
        .n_tiles = soti_cuda_tiles_of(rows, (void *)(base + layout->tiles)),
    };
    memcpy(base, counts, sizeof *counts);
    return SOT_OK;
}
