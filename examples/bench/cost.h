/* What passes over the model must at least move and compute: bytes read from and written to memory,
 * floating-point operations, and from both the shortest time that the machine allows. Activations
 * stay in caches and count for nothing. */
#ifndef SOT_BENCH_COST_H
#define SOT_BENCH_COST_H

#include <sot/sot.h>

/* The model's parts that cost something, from sot_model_info. */
struct cost_model {
    double layer_weights;  /* numbers in all layers' matrices, read once a pass */
    double output_weights; /* numbers in the output matrix, read where a row needs logits */
    double row_bytes;      /* embedding of one token */
    double position_bytes; /* keys and values of one position, all layers */
    double position_flops; /* attention of one row to one position, all layers */
};

struct cost_model cost_model_make(const sot_model_info *info);

/* One pass. */
struct pass {
    double n_rows;     /* tokens computed; their keys and values are written */
    double n_logits;   /* rows that get logits */
    double n_read;     /* different positions whose keys and values are read: a shared one once */
    double n_attended; /* positions that the rows attend to, summed over the rows */
};

/* Sums over passes. */
struct cost {
    double bytes, flops;
    double floor_s; /* sum of each pass's max(bytes / bandwidth, flops / rate) */
};

/* Adds a pass; bandwidth in bytes/s and rate in FLOP/s, 0: not known. */
void cost_add(struct cost *cost, const struct cost_model *model, const struct pass *pass,
              double bandwidth, double rate);

/* Decoding one token of each of n sequences behind n_past positions, of which n_shared are the same
 * pages in all. */
struct pass pass_decode(uint32_t n, uint32_t n_past, uint32_t n_shared);
/* Adds a prompt of n tokens behind n_past positions, in passes of at most n_chunk rows; the last
 * row gets logits if want_logits. */
void cost_add_prompt(struct cost *cost, const struct cost_model *model, uint32_t n, uint32_t n_past,
                     uint32_t n_chunk, int want_logits, double bandwidth, double rate);

#endif
