/* What a CPU context holds, and the functions of lib/cpu/ that work on it. The table of functions
 * is in cpu_backend.c; start there.
 *
 * Pages: one mapping, touched only where positions are written. i_layer outermost, so that a
 * layer's pass stays within its own part; then blocks of SOTI_CPU_BLOCK_PAGES pages, in each of
 * which a head's keys, and then its values, lie together: pages in order of number are read at the
 * rate of one stream, and a page by page layout at half of that (its 4 KiB of a head lie 128 KiB
 * apart, each behind an address translation of its own).
 *
 *   layer 0                                  layer 1
 *   | pages 0..7 | pages 8..15 | ...         | pages 0..7 | ...
 *   '-----.------'
 *         | head 0: K of 8 pages | V of 8 pages | head 1: K of 8 pages | ...
 *                   '-----.----'
 *                         | K of page 0 | K of page 1 | ... | K of page 7
 *                           '----.----'
 *                                | position 0: d_head FP16 | position 1 | ... | position 15
 *
 * One head of one page is a (16, d_head) matrix. */
#ifndef SOTI_CPU_CPU_CONTEXT_H
#define SOTI_CPU_CPU_CONTEXT_H

#include <stdatomic.h>

#include "backend/backend.h"
#include "base/pool.h"
#include "cpu/cpu_kernels.h"

enum {
    SOTI_CPU_UNIT_OUT = 32,        /* weight rows of one unit of work */
    SOTI_CPU_TILE_ROWS = 128,      /* rows that pass over a unit together, while it is in L2 */
    SOTI_CPU_SPAN_ROWS = 16,       /* rows of one unit of attention */
    SOTI_CPU_SEGMENT_TOKENS = 128, /* positions that have a softmax of their own; whole pages */
    SOTI_CPU_BLOCK_PAGES = 8,      /* pages whose heads lie together */
    SOTI_CPU_BLOCKS_MAX = 16
};

struct soti_device {
    soti_log log;
};

struct soti_device_weights {
    soti_shape shape;
    soti_weights view; /* arrays borrowed */
};

/* Rows of one group that one thread attends for together, one key/value head at a time. */
typedef struct soti_cpu_span {
    uint32_t first_row;
    uint32_t n_rows;
    uint32_t n_shared_pages;
} soti_cpu_span;

typedef struct soti_cpu_candidate {
    float value;
    uint32_t id;
} soti_cpu_candidate;

/* Each thread's own. n_queries = SPAN_ROWS * n_head / n_kv */
typedef struct soti_cpu_scratch {
    float *tiles;                   /* (2, TILE_ROWS, UNIT_OUT) */
    float *queries;                 /* (n_queries, d_head) */
    float *scores;                  /* (n_queries, SEGMENT_TOKENS) */
    float *sums;                    /* (n_queries, d_head) of one segment */
    soti_softmax *states;           /* (n_queries) of one segment */
    soti_softmax *totals;           /* (n_queries) of the segments so far */
    soti_cpu_candidate *candidates; /* (n_vocab) */
    double *weights;                /* (n_vocab) of the candidates */
} soti_cpu_scratch;

struct soti_context {
    soti_shape shape;
    soti_weights view;
    soti_context_params params;
    const soti_cpu_kernels *kernels;
    soti_pool *pool;
    soti_rows rows; /* the current batch */

    /* Activations: rows padded so that neighbours fall into different cache sets. */
    size_t model_stride, head_stride, ff_stride, vocab_stride;
    float *x;        /* (n_rows_max, d_model) the residual stream */
    float *normed;   /* (n_rows_max, d_model) */
    float *q;        /* (n_rows_max, n_head * d_head) */
    float *attended; /* (n_rows_max, n_head * d_head) */
    float *hidden;   /* (n_rows_max, d_ff) */
    float *packed;   /* the input of a product, packed: (n_rows_max, longest n_in) */
    float *logits;   /* (n_logits_max, n_vocab) */

    /* Rotary angles, filled up to the largest position seen. */
    double *frequencies;     /* (d_head / 2) radians per position */
    float *cosines, *sines;  /* (n_table_max * SOTI_PAGE_TOKENS, d_head / 2) */
    uint32_t n_angles_ready; /* positions */

    uint16_t *pages;
    size_t pages_bytes;

    soti_cpu_span *spans; /* (n_rows_max) */
    uint32_t n_spans;
    uint32_t n_parts;      /* segments that are units of their own; 0: spans are */
    atomic_uint next_unit; /* of what threads take one by one */

    /* Segments that await merging, of a batch of at most SPAN_ROWS rows:
     * (n_segments, n_kv, n_rows, n_head / n_kv) of each. */
    float *part_sums; /* d_head floats each */
    soti_softmax *part_states;

    soti_cpu_scratch *scratch;         /* (n_threads) */
    void *blocks[SOTI_CPU_BLOCKS_MAX]; /* what the arrays above lie in */
    uint32_t n_blocks;
    uint32_t is_short; /* a reservation has failed */
    uint64_t bytes;    /* of all of it */
};

/* cpu_context.c */
sot_status soti_cpu_context_create(soti_device_weights *weights, const soti_context_params *params,
                                   soti_context **out);
void soti_cpu_context_free(soti_context *context);
sot_status soti_cpu_batch_begin(soti_context *context, const soti_rows *rows);
sot_status soti_cpu_page_copy(soti_context *context, uint32_t to_page, uint32_t from_page,
                              uint32_t n_tokens);

static inline size_t soti_cpu_page_blocks(const soti_context_params *params)
{
    return ((size_t)params->n_pages + SOTI_CPU_BLOCK_PAGES - 1) / SOTI_CPU_BLOCK_PAGES;
}

/* A head of a page: (SOTI_PAGE_TOKENS, d_head). i_value 0: keys, 1: values. */
static inline uint16_t *soti_cpu_page(const soti_context *context, uint32_t i_layer, uint32_t page,
                                      uint32_t i_value, uint32_t i_kv)
{
    const soti_shape *shape = &context->shape;
    size_t n_blocks = soti_cpu_page_blocks(&context->params);
    size_t i_block = i_layer * n_blocks + page / SOTI_CPU_BLOCK_PAGES;
    size_t i_head = (i_block * shape->n_kv + i_kv) * 2 + i_value;
    size_t i_page = i_head * SOTI_CPU_BLOCK_PAGES + page % SOTI_CPU_BLOCK_PAGES;
    return context->pages + i_page * SOTI_PAGE_TOKENS * shape->d_head;
}

/* The page table of a row. */
static inline const uint32_t *soti_cpu_table(const soti_context *context, uint32_t i_row)
{
    const soti_rows *rows = &context->rows;
    return rows->page_tables + (size_t)rows->sequences[i_row] * rows->table_stride;
}

/* cpu_stages.c */
sot_status soti_cpu_embed(soti_context *context);
sot_status soti_cpu_qkv(soti_context *context, uint32_t i_layer);
sot_status soti_cpu_attention_output(soti_context *context, uint32_t i_layer);
sot_status soti_cpu_gate_up(soti_context *context, uint32_t i_layer);
sot_status soti_cpu_down(soti_context *context, uint32_t i_layer);
sot_status soti_cpu_logits(soti_context *context);

/* cpu_attention.c */
/* How many segments of how many queries wait at most; 0: threads never share a span. */
uint32_t soti_cpu_attention_parts(const soti_context *context, size_t *n_queries);
void soti_cpu_attention_plan(soti_context *context); /* spans of the current batch */
sot_status soti_cpu_attention(soti_context *context, uint32_t i_layer);

/* cpu_rope.c */
void soti_cpu_rope_frequencies(const soti_shape *shape, double *frequencies);
void soti_cpu_rope_prepare(soti_context *context, uint32_t n_positions);
/* Turns n pairs, from pair i_pair on, of one head at a position: pair i is (first[i * step],
 * second[i * step]). */
void soti_cpu_rope_turn(const soti_context *context, uint32_t position, uint32_t i_pair, uint32_t n,
                        float *first, float *second, uint32_t step);

/* cpu_pick.c */
sot_status soti_cpu_pick(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                         int32_t *tokens);
/* The choice itself: logits (n_vocab) are left as they are; candidates and weights (n_vocab) are
 * room to work in. False: no logit is finite. */
int soti_cpu_pick_one(const float *logits, uint32_t n_vocab, const soti_pick *pick,
                      soti_cpu_candidate *candidates, double *weights, int32_t *token);

#endif
