/* What a device must be able to do: a versioned table of functions behind which CPU and CUDA look
 * the same. lib/model/ is the only caller; the order of calls is fixed and drawn below.
 *
 *   device_open -> weights_create -> context_create -> [ step ]* -> context_free -> ...
 *   step: batch_begin, embed, { qkv, attention, attention_output, gate_up, down } per layer,
 *         logits, then pick and read_logits in any number
 *
 * Promises every backend keeps:
 *   BE-1  batch-invariance: a row's results depend on its own sequence only, bit for bit: not on
 *         the other rows, their number, their order, nor on how a prompt was cut into steps. They
 *         may depend on which of the sequence's tokens came from a prompt and which were
 *         generated: a backend may compute the two in different ways.
 *   BE-2  after context_create nothing is allocated that can fail.
 *   BE-3  a context is used by one thread at a time, device and weights by any number.
 *   BE-4  FP16 weights and pages, FP32 residual stream and accumulation. */
#ifndef SOTI_BACKEND_BACKEND_H
#define SOTI_BACKEND_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/shape.h"
#include "sot/status.h"

#define SOTI_BACKEND_VERSION 3u

enum {
    SOTI_PAGE_TOKENS = 16 /* positions p with the same p / 16 lie in one page */
};

/* Weights as they lie in the file map: row-major, FP16 little-endian, at any even address.
 * Norms are FP32. Everything is borrowed and outlives the backend's weights object. */
typedef struct soti_layer_weights {
    const float *attention_norm; /* (d_model) */
    const uint16_t *wq;          /* (n_head * d_head, d_model) */
    const uint16_t *wk;          /* (n_kv * d_head, d_model) */
    const uint16_t *wv;          /* (n_kv * d_head, d_model) */
    const uint16_t *wo;          /* (d_model, n_head * d_head) */
    const float *ffn_norm;       /* (d_model) */
    const uint16_t *w_gate;      /* (d_ff, d_model) */
    const uint16_t *w_up;        /* (d_ff, d_model) */
    const uint16_t *w_down;      /* (d_model, d_ff) */
} soti_layer_weights;

typedef struct soti_weights {
    const uint16_t *embedding;        /* (n_vocab, d_model) */
    const soti_layer_weights *layers; /* (n_layer) */
    const float *output_norm;         /* (d_model) */
    const uint16_t *output;           /* (n_vocab, d_model); the embedding's own when tied */
} soti_weights;

typedef struct soti_context_params {
    uint32_t n_rows_max;      /* rows of one step */
    uint32_t n_logits_max;    /* rows of one step whose logits are computed */
    uint32_t n_sequences_max; /* sequences of one step */
    uint32_t n_pages;         /* pages of the pool */
    uint32_t n_table_max;     /* pages of one sequence */
    uint32_t n_threads;       /* CPU; 0: one per CPU */
    uint32_t pin_threads;     /* CPU; 1: workers stay on one CPU each */
    const char *isa;          /* CPU; NULL: the best there is */
} soti_context_params;

/* What a context came to. */
typedef struct soti_context_info {
    uint32_t n_threads; /* CPU; 0 elsewhere */
    const char *isa;    /* CPU: the instruction set in use, a literal; "" elsewhere */
} soti_context_info;

/* Rows first_row .. first_row + n_rows belong to sequences whose tables agree in their first
 * n_shared_pages entries, every position of those pages being before each row's own. The groups of
 * a batch are disjoint, in order, and cover it; one may hold rows of prompts and generated ones. */
typedef struct soti_row_group {
    uint32_t first_row;
    uint32_t n_rows;
    uint32_t n_shared_pages;
} soti_row_group;

/* A ragged batch. Rows of one sequence are neighbours with ascending positions; a row attends to
 * positions 0 .. its own. All arrays are borrowed until the next batch_begin. */
typedef struct soti_rows {
    uint32_t n_rows;
    uint32_t n_prompt_rows; /* the first of them come from prompts; each of the rest was generated
                               and is its sequence's only row */
    const int32_t *tokens;  /* (n_rows) */
    const uint32_t *positions; /* (n_rows) */
    const uint32_t *sequences; /* (n_rows) index of a page table, ascending */
    uint32_t n_sequences;
    const uint32_t *page_tables; /* (n_sequences, table_stride) pages in order of position */
    uint32_t table_stride;
    uint32_t n_groups;
    const soti_row_group *groups; /* (n_groups) */
    uint32_t n_logits;
    const uint32_t *logit_rows; /* (n_logits) ascending */
} soti_rows;

/* How to choose one token from one row of logits. In this order: penalty, temperature, top-k,
 * top-p, draw. temperature 0 takes the largest logit, the lowest id among equals. */
typedef struct soti_pick {
    uint32_t i_logit; /* index into logit_rows */
    float temperature;
    float top_p;              /* (0, 1]; 1: off */
    float repetition_penalty; /* > 0; 1: off */
    uint32_t top_k;           /* 0: off */
    uint64_t seed;
    uint64_t stream;       /* of the sequence */
    uint64_t counter;      /* of the token in the sequence: soti_random_uniform's arguments */
    const int32_t *recent; /* (n_recent) tokens the penalty applies to; repeats count once */
    uint32_t n_recent;
} soti_pick;

/* What a backend needs of libsot: a backend in a shared library of its own has its own copy of
 * lib/base/, so the sentence of a failure must be carried over to the copy that the host reads. */
typedef struct soti_host {
    void (*fail)(sot_status status, const char *sentence); /* on the failing thread; NULL: nobody
                                                              listens */
    soti_log log;
} soti_host;

typedef struct soti_device soti_device;
typedef struct soti_device_weights soti_device_weights;
typedef struct soti_context soti_context;

typedef struct soti_backend {
    uint32_t version; /* SOTI_BACKEND_VERSION */
    uint32_t table_size;
    const char *name;    /* "cpu" */
    uint32_t step_rows;  /* of one step where the host names no number: as many as make a prompt's
                            products worth their weights' way from memory */
    uint32_t rows_alike; /* 1: BE-1 without its exception, a row does not depend on which tokens
                            were generated; so what was generated may begin another prompt */

    /* Opens device number i_device; host is copied, NULL: silence. Returns DEVICE, MEMORY. */
    sot_status (*device_open)(uint32_t i_device, const soti_host *host, soti_device **out);
    void (*device_close)(soti_device *device);

    /* Makes weights usable on the device: CPU uses them in place. progress as in sot.h, may be
     * NULL. Returns MEMORY, DEVICE, CANCELLED, UNSUPPORTED. */
    sot_status (*weights_create)(soti_device *device, const soti_shape *shape,
                                 const soti_weights *weights, sot_progress_fn progress, void *user,
                                 soti_device_weights **out);
    void (*weights_free)(soti_device_weights *weights);

    /* Reserves pages, activations, threads. Returns MEMORY, THREAD, DEVICE, UNSUPPORTED (isa). */
    sot_status (*context_create)(soti_device_weights *weights, const soti_context_params *params,
                                 soti_context **out);
    void (*context_free)(soti_context *context);
    uint64_t (*context_bytes)(const soti_context *context); /* reserved, pages included */
    void (*context_info)(const soti_context *context, soti_context_info *out);

    /* Takes a batch within the context's limits, tokens < n_vocab. Returns DEVICE. */
    sot_status (*batch_begin)(soti_context *context, const soti_rows *rows);

    /* x = embedding[token]                                        x: (n_rows, d_model) FP32 */
    sot_status (*embed)(soti_context *context);
    /* q, k, v = norm(x) Wq', Wk', Wv'; rotary on q and k; k and v to their pages */
    sot_status (*qkv)(soti_context *context, uint32_t i_layer);
    /* a = softmax(q K' / sqrt(d_head)) V                          a: (n_rows, n_head * d_head) */
    sot_status (*attention)(soti_context *context, uint32_t i_layer);
    /* x += a Wo' */
    sot_status (*attention_output)(soti_context *context, uint32_t i_layer);
    /* h = silu(norm(x) Wgate') * (norm(x) Wup')                   h: (n_rows, d_ff) */
    sot_status (*gate_up)(soti_context *context, uint32_t i_layer);
    /* x += h Wdown' */
    sot_status (*down)(soti_context *context, uint32_t i_layer);
    /* logits = norm(x[logit_rows]) Wout'                          (n_logits, n_vocab) FP32 */
    sot_status (*logits)(soti_context *context);

    /* tokens[i] by picks[i]; i_logit may repeat. Returns DEVICE. */
    sot_status (*pick)(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                       int32_t *tokens);
    /* Copies one row of logits: out (n_vocab). */
    sot_status (*read_logits)(soti_context *context, uint32_t i_logit, float *out);

    /* Copies the first n_tokens positions of every layer from one page to another. */
    sot_status (*page_copy)(soti_context *context, uint32_t to_page, uint32_t from_page,
                            uint32_t n_tokens);
} soti_backend;

/* The backend inside libsot. Declared here so that lib/model/ needs no other header of it. */
const soti_backend *soti_cpu_backend(void);

/* The one symbol that a backend's shared library exports: its table, or NULL if it does not know
 * this version (SOTI_BACKEND_VERSION of the caller). The table lives as long as the library stays
 * open. */
#define SOTI_CUDA_PLUGIN "soti_cuda_plugin"
typedef const soti_backend *(*soti_plugin_fn)(uint32_t version);
const soti_backend *soti_cuda_plugin(uint32_t version);

#endif
