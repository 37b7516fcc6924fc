/* The prompts' matrix products by cuBLASLt: out = input W', FP16 times FP16 to FP32, always in
 * chunks of the same number of rows by an algorithm that is chosen once per shape and does not cut
 * the sum over k, so that a row's bits depend on nothing but the row (BE-1). */
#ifndef SOTI_CUDA_CUDA_PRODUCTS_H
#define SOTI_CUDA_CUDA_PRODUCTS_H

#include "cuda/cuda_device.h"
#include "kernels/kernels.h"

enum { SOTI_CUDA_CHUNK_ROWS = 256 };

/* One shape of product, the same in every layer. */
typedef struct soti_cuda_product {
    cublasLtMatrixLayout_t weights; /* (n_out, stride) */
    cublasLtMatrixLayout_t input;   /* (CHUNK_ROWS, stride) */
    cublasLtMatrixLayout_t output;  /* (CHUNK_ROWS, n_out) */
    cublasLtMatmulAlgo_t algorithm;
    uint32_t adds; /* 1: out += */
    const char *name;
} soti_cuda_product;

typedef enum soti_cuda_product_kind {
    SOTI_CUDA_PRODUCT_QKV,
    SOTI_CUDA_PRODUCT_WO,
    SOTI_CUDA_PRODUCT_GATE_UP,
    SOTI_CUDA_PRODUCT_DOWN,
    SOTI_CUDA_N_PRODUCTS
} soti_cuda_product_kind;

typedef struct soti_cuda_products {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t description;
    soti_cuda_product products[SOTI_CUDA_N_PRODUCTS];
    size_t workspace_bytes; /* the most that an algorithm needs */
    void *workspace;        /* the context's */
    soti_cuda_health *health;
} soti_cuda_products;

/* Free it also behind a failure. Returns DEVICE, MEMORY, UNSUPPORTED. */
sot_status soti_cuda_products_create(const soti_cuda_shape *dims, soti_cuda_health *health,
                                     soti_cuda_products *out);
void soti_cuda_products_free(soti_cuda_products *products);

/* output = input W' for CHUNK_ROWS rows; kinds that add: output = before + input W', where before
 * may be output. All three matrices have CHUNK_ROWS rows, whatever is in the last ones. */
sot_status soti_cuda_multiply(const soti_cuda_products *products, soti_cuda_product_kind kind,
                              const uint16_t *weights, const uint16_t *input, const float *before,
                              float *output, cudaStream_t stream);

#endif
