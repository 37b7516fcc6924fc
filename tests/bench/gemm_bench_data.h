/* The device memory behind bench_gemm_rows.c: weights in several copies, rows that have been
 * generated, what the fused kernels read and write beside them. */
#ifndef SOT_BENCH_GEMM_DATA_H
#define SOT_BENCH_GEMM_DATA_H

#include "kernels.h"

/* What went wrong ends the program, with the call's own words. */
#define BENCH_CHECK(call) bench_check((call), #call)
void bench_check(cudaError_t status, const char *call);

struct bench_shape {
    char name[16];
    uint32_t d_model, d_ff, n_head, n_kv, d_head, n_vocab;
};

enum { BENCH_QKV, BENCH_O, BENCH_GATE_UP, BENCH_DOWN, BENCH_OUTPUT, BENCH_PRODUCTS };

struct bench_product {
    int kind;
    const char *name;
    uint32_t n_out, n_in, stride;
    uint32_t n_copies; /* of the weights; together they are larger than any cache */
    soti_gemm_cut cut;
    soti_gemm_rows rows; /* what a launch is told */
};

struct bench_data {
    soti_cuda_launch launch;
    soti_cuda_shape shape;
    soti_cuda_rows rows;
    soti_cuda_pages pages;
    soti_cuda_norm norm;
    uint16_t *weights;             /* copies of the largest product */
    uint16_t *halves;              /* (n_rows_max, widest stride) rows as FP16 */
    void *wide;                    /* (n_rows_max, widest n_out) FP32: results */
    float *x, *sums, *norm_weight; /* (16, d_model), (16, ...), (d_model) */
    float *rope;
    float *partials;
    uint32_t *counters;
    void *step; /* soti_cuda_rows' arrays */
};

/* Memory for all five products of a shape, and what they are; n_rows_max rows for cuBLAS. */
void bench_open(struct bench_data *data, const struct bench_shape *shape,
                struct bench_product products[BENCH_PRODUCTS], const struct cudaDeviceProp *device,
                uint32_t n_rows_max);
void bench_close(struct bench_data *data);

void bench_set_rows(struct bench_data *data, struct bench_product *product, uint32_t n_rows);
const uint16_t *bench_weights(const struct bench_data *data, const struct bench_product *product,
                              uint32_t i_copy);
cudaError_t bench_launch(const struct bench_data *data, const struct bench_product *product,
                         uint32_t i_copy);

/* Sorts. */
double bench_median(double *values, size_t n);

#endif
