/* What the CUDA kernels offer to the host side in lib/cuda/: one launcher per kernel, plain C,
 * every pointer to device memory unless it says otherwise. Each launcher queues work on its stream
 * and returns what CUDA said about queueing it. The kernels' own comments say what they cost.
 *
 *   CU-1  A row's results depend on its own sequence only, bit for bit: the cut of a product or of
 *         a context into parts is fixed by shapes, positions and the device, never by the number
 *         of rows, and parts are added up in a fixed order.
 *
 *   CU-2  Numbers that change from step to step are read from device memory (soti_cuda_rows), and
 *         grids are fixed by the context, so that a step can be replayed as one graph.
 *
 *   CU-3  overlap = 1 lets a kernel start before the one in front of it has ended; every block of
 *         every kernel then waits before it reads what others wrote, or ends. soti_cuda_rows is
 *         copied, which nothing overlaps, and may be read before.
 *
 *   CU-4  Workspace counters are zero between launches; the kernel that used them leaves them so.
 */
#ifndef SOTI_KERNELS_KERNELS_H
#define SOTI_KERNELS_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SOTI_CUDA_GROUP_ROWS = 16,  /* rows that one gemm_rows launch or one attention item handles */
    SOTI_CUDA_COLUMN_ROWS = 8,  /* of them, to one column tile of a matrix instruction */
    SOTI_CUDA_SUM_COLUMNS = 32, /* columns of x behind one entry of square_sums */
    SOTI_CUDA_SEGMENT_TOKENS = 128, /* positions that one part of a decode row's context holds */
    SOTI_CUDA_PAGE_TOKENS = 16,
    SOTI_CUDA_PROMPT_TILE_ROWS = 64, /* rows of one prompt tile, all of one sequence */
    SOTI_CUDA_PAD =
        64 /* d_page and the strides of FP16 matrices are multiples, filled with zeros */
};

typedef struct soti_cuda_shape {
    uint32_t n_head, n_kv, d_head, d_model, d_ff, n_vocab;
    uint32_t half_split_rope; /* 0: pairs (2i, 2i+1); 1: pairs (i, i + d_head/2) */
    float norm_eps;
    uint32_t d_page;   /* d_head rounded up to SOTI_CUDA_PAD: 64 or 128 */
    uint32_t n_qkv;    /* (n_head + 2 n_kv) d_head: rows of the stacked q, k, v matrix */
    uint32_t x_stride; /* d_model rounded up: of FP16 matrices with d_model columns */
    uint32_t a_stride; /* n_head d_head rounded up: of a, and of the output projection */
    uint32_t h_stride; /* d_ff rounded up: of h, and of the down projection */
} soti_cuda_shape;

/* Rows first_row .. first_row + n_rows see the same page at each position of a segment; one head of
 * them is one unit of work of attention_decode. */
typedef struct soti_cuda_item {
    uint32_t first_row; /* within the batch */
    uint32_t n_rows;    /* 1 .. SOTI_CUDA_GROUP_ROWS */
    uint32_t i_segment; /* positions i_segment * SOTI_CUDA_SEGMENT_TOKENS and on */
} soti_cuda_item;

/* Neighbouring rows of one sequence: one head of them is one block of attention_prefill. */
typedef struct soti_cuda_tile {
    uint32_t first_row;
    uint32_t n_rows; /* 1 .. SOTI_CUDA_PROMPT_TILE_ROWS */
} soti_cuda_tile;

typedef struct soti_cuda_counts {
    uint32_t n_rows;        /* in all */
    uint32_t n_prompt_rows; /* the first of them */
    uint32_t n_logits;
    uint32_t n_items;
    uint32_t n_tiles;
} soti_cuda_counts;

/* A step: the arrays stay where they are for a context's life, a copy at the start of each step
 * renews what they hold. */
typedef struct soti_cuda_rows {
    const soti_cuda_counts *counts;
    const int32_t *tokens;       /* (n_rows) */
    const uint32_t *positions;   /* (n_rows) */
    const uint32_t *sequences;   /* (n_rows) index of a page table */
    const uint32_t *page_tables; /* (n_sequences, table_stride) */
    uint32_t table_stride;
    const uint32_t *logit_rows;  /* (n_logits) */
    const soti_cuda_item *items; /* (n_items) of the generated rows */
    const soti_cuda_tile *tiles; /* (n_tiles) of the prompts' rows */
} soti_cuda_rows;

/* One layer's keys and values: [page][n_kv][SOTI_CUDA_PAGE_TOKENS][d_page] FP16 each. Columns from
 * d_head on are zero from the start and stay so. */
typedef struct soti_cuda_pages {
    uint16_t *keys;
    uint16_t *values;
} soti_cuda_pages;

/* How launches of a context are made. */
typedef struct soti_cuda_launch {
    cudaStream_t stream;
    uint32_t n_sm;    /* multiprocessors of the device */
    uint32_t overlap; /* CU-3; 0 where the device cannot */
} soti_cuda_launch;

/* --- gemm_rows.cu: FP16 weights times the generated rows, up to 16 at a time -------------------
 */

/* How a product is cut. Made once for a matrix and a device by soti_gemm_rows_cut, on the host. */
typedef struct soti_gemm_cut {
    uint32_t n_slices; /* parts of n_in, each with its own blocks */
    uint32_t n_blocks;
    size_t partial_floats; /* workspace that 16 rows need */
    uint32_t n_counters;
    size_t shared_bytes; /* of a block, for 16 rows */
} soti_gemm_cut;

/* n_unit_rows: output rows that one epilogue needs together: d_head for q, k, v; 1 elsewhere.
 * max_shared_bytes: what a block may have on the device. */
soti_gemm_cut soti_gemm_rows_cut(uint32_t n_out, uint32_t stride, uint32_t n_unit_rows,
                                 uint32_t n_sm, size_t max_shared_bytes);

/* Constant memory; n_bytes 0: none. */
typedef struct soti_gemm_ahead {
    const void *at;
    size_t n_bytes;
} soti_gemm_ahead;

typedef struct soti_gemm_rows {
    const uint16_t *weights; /* (n_out, stride) FP16; columns from n_in on are zero */
    uint32_t n_out, n_in, stride;
    soti_gemm_cut cut;
    float *partials;    /* (cut.partial_floats); one launch at a time uses them */
    uint32_t *counters; /* (cut.n_counters), CU-4 */
    uint32_t first_row; /* rows first_row .. first_row + 16, as far as the batch has them */
    uint32_t
        n_columns; /* column tiles: 1 or 2, for up to 8 or 16 rows; a row's bits are the same */
    /* What the next launches read first: brought to L2 once this product's own weights are all on
     * their way, so that memory does not rest between two launches. It changes no result. */
    soti_gemm_ahead ahead[2];
} soti_gemm_rows;

/* The input of a product behind a norm: norm(x) = x / sqrt(mean(x^2) + eps) * weight, the mean from
 * square_sums. Rounded to FP16. */
typedef struct soti_cuda_norm {
    const float *x;           /* (n_rows, d_model) */
    const float *weight;      /* (d_model) */
    const float *square_sums; /* (n_rows, ceil(d_model / SOTI_CUDA_SUM_COLUMNS)) */
    float eps;
} soti_cuda_norm;

/* q, k, v = norm(x) W'; rotary on q and k; q to q: (n_rows, n_head, d_page) FP16; k, v to pages.
 * rope: (n_positions, d_head / 2, 2) FP32, cosine and sine. */
cudaError_t soti_launch_gemm_rows_qkv(const soti_cuda_launch *launch, const soti_gemm_rows *product,
                                      const soti_cuda_shape *shape, const soti_cuda_rows *rows,
                                      const soti_cuda_norm *input, const float *rope, uint16_t *q,
                                      soti_cuda_pages pages);
/* h = silu(gate) * up, gate = rows 0 .. d_ff of the product, up = the rest; h: (n_rows, h_stride)
 * FP16, columns from d_ff on stay zero. */
cudaError_t soti_launch_gemm_rows_gate_up(const soti_cuda_launch *launch,
                                          const soti_gemm_rows *product, const soti_cuda_rows *rows,
                                          const soti_cuda_norm *input, uint16_t *h,
                                          uint32_t h_stride);
/* x += input W'; input: (n_rows, product->stride) FP16. Renews square_sums of the rows. */
cudaError_t soti_launch_gemm_rows_residual(const soti_cuda_launch *launch,
                                           const soti_gemm_rows *product,
                                           const soti_cuda_rows *rows, const uint16_t *input,
                                           float *x, float *square_sums);
/* logits[i] = norm(x[logit_rows[i]]) W', (n_logits, n_vocab) FP32; product->first_row counts
 * logits. */
cudaError_t soti_launch_gemm_rows_logits(const soti_cuda_launch *launch,
                                         const soti_gemm_rows *product, const soti_cuda_rows *rows,
                                         const soti_cuda_norm *input, float *logits);

/* --- embed.cu ----------------------------------------------------------------------------------
 */

/* x = embedding[token], for all rows of the batch up to n_rows_max; square_sums as
 * soti_launch_gemm_rows_residual. embedding: (n_vocab, stride) FP16. */
cudaError_t soti_launch_embed(const soti_cuda_launch *launch, const soti_cuda_rows *rows,
                              uint32_t n_rows_max, const uint16_t *embedding, uint32_t stride,
                              uint32_t d_model, float *x, float *square_sums);
/* square_sums of the rows that logits are wanted of, n_logits_max at most. */
cudaError_t soti_launch_logit_sums(const soti_cuda_launch *launch, const soti_cuda_rows *rows,
                                   uint32_t n_logits_max, const float *x, uint32_t d_model,
                                   float *square_sums);

/* --- attention_decode.cu: a = softmax(q K' / sqrt(d_head)) V for the generated rows
 * --------------- */

/* Workspace of attention_decode for n_rows generated rows with contexts of up to n_positions. */
typedef struct soti_attention_workspace {
    float *states; /* (soti_attention_state_floats) parts of contexts, before they are merged */
    uint32_t *counters; /* (n_rows, n_head), CU-4 */
    uint32_t n_rows_max;
    uint32_t n_segments_max; /* of one row */
} soti_attention_workspace;

size_t soti_attention_state_floats(const soti_cuda_shape *shape, uint32_t n_rows_max,
                                   uint32_t n_segments_max);

/* q as above; a: (n_rows, a_stride) FP16, columns from n_head d_head on stay zero. Every generated
 * row must be covered by items for each of its segments 0 .. position / SOTI_CUDA_SEGMENT_TOKENS,
 * once. Works off rows->counts->n_items items with a fixed grid. */
cudaError_t soti_launch_attention_decode(const soti_cuda_launch *launch,
                                         const soti_cuda_shape *shape, const soti_cuda_rows *rows,
                                         const uint16_t *q, soti_cuda_pages pages,
                                         const soti_attention_workspace *workspace, uint16_t *a);

/* --- attention_prefill.cu: the same for the prompts' rows ----------------------------------------
 */

cudaError_t soti_launch_attention_prefill(const soti_cuda_launch *launch,
                                          const soti_cuda_shape *shape, const soti_cuda_rows *rows,
                                          uint32_t n_tiles, const uint16_t *q,
                                          soti_cuda_pages pages, uint16_t *a);

/* --- prefill_steps.cu: what lies between the prompts' products
 * ------------------------------------ */

/* out = norm(x) as FP16 for rows first_row .. first_row + n_rows; the mean is computed here. out:
 * (n_rows, stride), columns from d_model on stay zero; row first_row goes to out's row 0. */
cudaError_t soti_launch_norm(const soti_cuda_launch *launch, uint32_t first_row, uint32_t n_rows,
                             const float *x, const float *weight, float eps, uint32_t d_model,
                             uint16_t *out, uint32_t stride);
/* qkv: (n_rows, n_qkv) FP32 of rows first_row and on, through rotary to q and pages. */
cudaError_t soti_launch_rotary_pages(const soti_cuda_launch *launch, const soti_cuda_shape *shape,
                                     const soti_cuda_rows *rows, uint32_t first_row,
                                     uint32_t n_rows, const float *qkv, const float *rope,
                                     uint16_t *q, soti_cuda_pages pages);
/* gate_up: (n_rows, 2 d_ff) FP32, to h: (n_rows, h_stride) FP16. */
cudaError_t soti_launch_swiglu(const soti_cuda_launch *launch, uint32_t n_rows,
                               const float *gate_up, uint32_t d_ff, uint16_t *h, uint32_t h_stride);
/* Copies the first n_tokens positions of a page in every layer; layers lie layer_halves apart. */
cudaError_t soti_launch_page_copy(const soti_cuda_launch *launch, const soti_cuda_shape *shape,
                                  soti_cuda_pages first_layer, uint32_t n_layer,
                                  size_t layer_halves, uint32_t to_page, uint32_t from_page,
                                  uint32_t n_tokens);

/* --- pick.cu: one token from one row of logits ---------------------------------------------------
 */

/* soti_pick of lib/backend/backend.h, on the device. */
typedef struct soti_cuda_pick {
    uint32_t i_logit;
    float temperature, top_p, repetition_penalty;
    uint32_t top_k;
    uint32_t n_recent;
    uint32_t i_recent; /* where its tokens begin in recent */
    uint32_t reserved;
    uint64_t seed, stream, counter;
} soti_cuda_pick;

/* picks: (n_picks); recent: ids within the vocabulary; tokens: (n_picks). workspace: as many bytes
 * as soti_pick_workspace_bytes says for n_picks. logits are left as they are. */
size_t soti_pick_workspace_bytes(uint32_t n_vocab, uint32_t n_picks);
cudaError_t soti_launch_pick(const soti_cuda_launch *launch, const float *logits, uint32_t n_vocab,
                             const soti_cuda_pick *picks, uint32_t n_picks, const int32_t *recent,
                             void *workspace, int32_t *tokens);

#ifdef __cplusplus
}
#endif

#endif
