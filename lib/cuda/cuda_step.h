/* What changes from step to step, in one block that is copied to the device at the start of each:
 *
 *   | counts | tokens | positions | sequences | logit rows | items | tiles | page tables |
 *
 * Page tables come last, so that a copy may end behind those of the batch's sequences. Plain C, no
 * calls of CUDA. */
#ifndef SOTI_CUDA_CUDA_STEP_H
#define SOTI_CUDA_CUDA_STEP_H

#include "backend/backend.h"
#include "kernels/kernels.h"

/* What a context can take. */
typedef struct soti_cuda_limits {
    uint32_t n_vocab;
    uint32_t n_rows;
    uint32_t n_generated; /* of them */
    uint32_t n_logits;
    uint32_t n_sequences;
    uint32_t n_pages;
    uint32_t n_table;    /* pages of one sequence */
    uint32_t n_segments; /* of one row */
    uint32_t n_items;
    uint32_t n_tiles;
} soti_cuda_limits;

/* Offsets in bytes. */
typedef struct soti_cuda_step_layout {
    size_t tokens, positions, sequences, logit_rows, items, tiles, page_tables;
    size_t bytes;
} soti_cuda_step_layout;

/* Returns MEMORY where sizes overflow. */
sot_status soti_cuda_limits_make(const soti_context_params *params, uint32_t n_vocab,
                                 soti_cuda_limits *out);
sot_status soti_cuda_step_layout_make(const soti_cuda_limits *limits, soti_cuda_step_layout *out);

/* A block's arrays, wherever it lies. */
soti_cuda_rows soti_cuda_step_view(const soti_cuda_limits *limits,
                                   const soti_cuda_step_layout *layout, const void *block);

/* Bytes from the block's beginning on that a batch of n_sequences needs. */
size_t soti_cuda_step_bytes(const soti_cuda_limits *limits, const soti_cuda_step_layout *layout,
                            uint32_t n_sequences);

/* Checks a batch against the limits and writes it to block. Returns DEVICE. */
sot_status soti_cuda_step_fill(const soti_cuda_limits *limits, const soti_cuda_step_layout *layout,
                               const soti_rows *rows, void *block, soti_cuda_counts *counts);

#endif
