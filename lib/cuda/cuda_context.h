/* What a context on a CUDA device holds, and the functions of lib/cuda/ that work on it. The table
 * of functions is in cuda_backend.c; start there.
 *
 * Rows of a batch are of two kinds (soti_rows.n_prompt_rows). The prompts' go through cuBLASLt
 * (cuda_products.c) and attention_prefill, generated ones through gemm_rows and attention_decode,
 * both on one stream. A batch of generated rows alone that wants logits is replayed as a graph that
 * was recorded at creation: its stages do nothing until logits launches it (cuda_graph.c). */
#ifndef SOTI_CUDA_CUDA_CONTEXT_H
#define SOTI_CUDA_CUDA_CONTEXT_H

#include "cuda/cuda_products.h"
#include "cuda/cuda_step.h"
#include "cuda/cuda_weights.h"

enum {
    /* Graphs are kept for batches of up to so many rows; a larger one keeps the device busy for
     * longer than launching its kernels takes. */
    SOTI_CUDA_GRAPH_ROWS = 64,
    SOTI_CUDA_N_GRAPHS = SOTI_CUDA_GRAPH_ROWS / SOTI_CUDA_COLUMN_ROWS
};

/* A matrix shape's cut, the same in every layer. */
typedef struct soti_cuda_cuts {
    soti_gemm_cut qkv, wo, gate_up, down, output;
} soti_cuda_cuts;

/* Generated rows as gemm_rows takes them: n_columns column tiles from first_row on. */
typedef struct soti_cuda_rows_plan {
    uint32_t first_row;
    uint32_t n_rows;    /* at most */
    uint32_t n_columns; /* of rows */
    uint32_t n_logit_columns;
} soti_cuda_rows_plan;

/* Where picks are handed to the device, as its own block and as the pinned one that is copied. */
typedef struct soti_cuda_picks {
    size_t n_picks_max;  /* of one launch */
    size_t n_recent_max; /* of all its picks together */
    size_t recent;       /* offset of the recent ids behind the picks */
    size_t bytes;
    char *block;       /* device */
    char *staging;     /* pinned */
    int32_t *tokens;   /* device */
    int32_t *chosen;   /* pinned */
    void *workspace;   /* device */
    uint32_t *is_seen; /* (n_vocab) bits, all 0 between picks */
} soti_cuda_picks;

struct soti_context {
    const soti_device *device;
    const soti_device_weights *weights;
    soti_cuda_health health;
    soti_context_params params;
    soti_cuda_limits limits;
    soti_cuda_launch launch;
    soti_cuda_products products;
    soti_cuda_cuts cuts;

    /* On the device. Rows are rounded up to whole chunks. */
    float *x;              /* (n_rows, d_model) the residual stream */
    float *square_sums;    /* (n_rows, ceil(d_model / SOTI_CUDA_SUM_COLUMNS)) */
    uint16_t *q;           /* (n_rows, n_head, d_page) */
    uint16_t *a;           /* (n_rows, a_stride) */
    uint16_t *h;           /* (n_rows, h_stride) */
    uint16_t *normed;      /* (CHUNK_ROWS, x_stride) of prompts */
    float *wide;           /* (CHUNK_ROWS, n_qkv, 2 d_ff or d_model) of prompts */
    float *logits;         /* (n_logits_max, n_vocab) */
    float *partials;       /* gemm_rows' workspace */
    uint32_t *counters;    /* and counters */
    float *rope;           /* (n_table_max * SOTI_PAGE_TOKENS, d_head / 2, 2) */
    soti_cuda_pages pages; /* of layer 0; layers lie layer_halves apart */
    size_t layer_halves;
    soti_attention_workspace attention;

    soti_cuda_step_layout layout;
    void *block;              /* the step, on the device */
    void *staging;            /* and pinned */
    cudaEvent_t copied;       /* staging may be written again */
    uint32_t is_copying;      /* and has not been waited for */
    soti_cuda_rows rows;      /* views of block */
    soti_cuda_counts step;    /* the current batch */
    uint32_t n_prompt_logits; /* its first rows of logits, which are of prompts' rows */
    uint32_t is_replayed;     /* the current batch is a graph's */

    cudaGraphExec_t graphs[SOTI_CUDA_N_GRAPHS]; /* [n_columns - 1] */
    uint32_t n_graphs;
    uint32_t use_graphs; /* 1; tests compare with 0 */

    soti_cuda_picks picks;
    soti_cuda_memory memory; /* what the device arrays lie in */
    size_t pinned_bytes;
};

/* cuda_context.c */
sot_status soti_cuda_context_create(const soti_device_weights *weights,
                                    const soti_context_params *params, soti_context **out);
void soti_cuda_context_free(soti_context *context);
uint64_t soti_cuda_context_bytes(const soti_context *context);

/* cuda_rope.c: (n_positions, d_head / 2, 2), computed in double precision. */
void soti_cuda_rope_fill(const soti_shape *shape, size_t n_positions, float *table);

/* cuda_stages.c */
sot_status soti_cuda_batch_begin(soti_context *context, const soti_rows *rows);
sot_status soti_cuda_embed(soti_context *context);
sot_status soti_cuda_qkv(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_attention(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_attention_output(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_gate_up(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_down(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_logits(soti_context *context);
sot_status soti_cuda_page_copy(soti_context *context, uint32_t to_page, uint32_t from_page,
                               uint32_t n_tokens);

/* cuda_prompt.c: the stages for the prompts' rows of the current batch. */
sot_status soti_cuda_prompt_qkv(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_prompt_attention(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_prompt_attention_output(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_prompt_gate_up(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_prompt_down(soti_context *context, uint32_t i_layer);

/* cuda_decode.c: the stages for generated rows, wherever they are. */
sot_status soti_cuda_decode_embed(soti_context *context, const soti_cuda_rows_plan *plan);
sot_status soti_cuda_decode_qkv(soti_context *context, const soti_cuda_rows_plan *plan,
                                uint32_t i_layer);
sot_status soti_cuda_decode_attention(soti_context *context, uint32_t i_layer);
sot_status soti_cuda_decode_attention_output(soti_context *context, const soti_cuda_rows_plan *plan,
                                             uint32_t i_layer);
sot_status soti_cuda_decode_gate_up(soti_context *context, const soti_cuda_rows_plan *plan,
                                    uint32_t i_layer);
sot_status soti_cuda_decode_down(soti_context *context, const soti_cuda_rows_plan *plan,
                                 uint32_t i_layer);
sot_status soti_cuda_decode_logits(soti_context *context, const soti_cuda_rows_plan *plan);
/* All of them for all layers, behind each other. */
sot_status soti_cuda_decode_step(soti_context *context, const soti_cuda_rows_plan *plan);

/* cuda_warm_up.c: launches every kernel once, before graphs are recorded. */
sot_status soti_cuda_warm_up(soti_context *context);

/* cuda_graph.c: recording at creation, one graph for each number of column tiles. */
sot_status soti_cuda_graphs_create(soti_context *context);
void soti_cuda_graphs_free(soti_context *context);
/* Copies the step's block and computes it. */
sot_status soti_cuda_graph_launch(soti_context *context);
/* Whether the current batch has a graph, which copies page tables for as many sequences as rows. */
uint32_t soti_cuda_graph_fits(const soti_context *context, uint32_t n_sequences);

/* cuda_pick.c */
void soti_cuda_picks_limits(soti_context *context);
sot_status soti_cuda_picks_warm_up(soti_context *context);
sot_status soti_cuda_pick_tokens(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                                 int32_t *tokens);
sot_status soti_cuda_read_logits(soti_context *context, uint32_t i_logit, float *out);

/* Queues the copy of the first bytes of the step's block. */
sot_status soti_cuda_copy_step(soti_context *context, uint32_t n_sequences);

/* Column tiles that so many rows take. */
static inline uint32_t soti_cuda_columns_of(uint32_t n_rows)
{
    return n_rows / SOTI_CUDA_COLUMN_ROWS + (n_rows % SOTI_CUDA_COLUMN_ROWS != 0);
}

/* One layer's keys and values. */
static inline soti_cuda_pages soti_cuda_layer_pages(const soti_context *context, uint32_t i_layer)
{
    size_t offset = i_layer * context->layer_halves;
    return (soti_cuda_pages){.keys = context->pages.keys + offset,
                             .values = context->pages.values + offset};
}

#endif
