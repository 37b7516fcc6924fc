/* See cuda_products.h. cuBLAS knows columns only: what is row-major here is the transpose there, so
 * it computes out' = W input' with W (stride, n_out) read transposed. */
#include "cuda_products.h"

#include "base/fail.h"

/* What NVIDIA advises for Hopper; smaller devices' algorithms take what they need of it. */
static const size_t workspace_most = (size_t)32 << 20;

/* Of rows that lie so many bytes apart, the first at a multiple of 256. */
static uint32_t alignment_of(size_t row_bytes)
{
    uint32_t alignment = 256;
    while (row_bytes % alignment != 0) {
        alignment /= 2;
    }
    return alignment;
}

static sot_status set_preference(soti_cuda_health *health, cublasLtMatmulPreference_t preference,
                                 size_t in_bytes, size_t out_bytes)
{
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_NONE;
    uint32_t in = alignment_of(in_bytes);
    uint32_t out = alignment_of(out_bytes);
    size_t most = workspace_most;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        const void *value;
        size_t size;
    } settings[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &in, sizeof in},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &in, sizeof in},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out, sizeof out},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out, sizeof out},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        RETURN_IF_ERROR(soti_cuda_check_blas(
            health,
            cublasLtMatmulPreferenceSetAttribute(preference, settings[i].attribute,
                                                 settings[i].value, settings[i].size),
            "cublasLtMatmulPreferenceSetAttribute %d", (int)settings[i].attribute));
    }
    return SOT_OK;
}

static sot_status choose_algorithm(soti_cuda_products *all, soti_cuda_product *product,
                                   cublasLtMatmulPreference_t preference)
{
    cublasLtMatmulHeuristicResult_t found = {0};
    int n_found = 0;
    RETURN_IF_ERROR(soti_cuda_check_blas(
        all->health,
        cublasLtMatmulAlgoGetHeuristic(all->handle, all->description, product->weights,
                                       product->input, product->output, product->output, preference,
                                       1, &found, &n_found),
        "cublasLtMatmulAlgoGetHeuristic for %s", product->name));
    if (n_found < 1 || found.state != CUBLAS_STATUS_SUCCESS) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "cuBLAS has no algorithm for %s", product->name);
    }
    product->algorithm = found.algo;
    if (found.workspaceSize > all->workspace_bytes) {
        all->workspace_bytes = found.workspaceSize;
    }
    return SOT_OK;
}

static sot_status make_layout(soti_cuda_health *health, cublasLtMatrixLayout_t *out,
                              cudaDataType_t type, uint32_t n_columns, uint32_t n_rows,
                              const char *name)
{
    return soti_cuda_check_blas(
        health, cublasLtMatrixLayoutCreate(out, type, n_columns, n_rows, (int64_t)n_columns),
        "cublasLtMatrixLayoutCreate for %s", name);
}

static sot_status make_product(soti_cuda_products *all, soti_cuda_product_kind kind,
                               const char *name, uint32_t n_out, uint32_t stride, uint32_t adds)
{
    soti_cuda_product *product = &all->products[kind];
    product->name = name;
    product->adds = adds;
    RETURN_IF_ERROR(make_layout(all->health, &product->weights, CUDA_R_16F, stride, n_out, name));
    RETURN_IF_ERROR(
        make_layout(all->health, &product->input, CUDA_R_16F, stride, SOTI_CUDA_CHUNK_ROWS, name));
    RETURN_IF_ERROR(
        make_layout(all->health, &product->output, CUDA_R_32F, n_out, SOTI_CUDA_CHUNK_ROWS, name));
    cublasLtMatmulPreference_t preference = NULL;
    RETURN_IF_ERROR(soti_cuda_check_blas(all->health, cublasLtMatmulPreferenceCreate(&preference),
                                         "cublasLtMatmulPreferenceCreate for %s", name));
    sot_status status =
        set_preference(all->health, preference, stride * sizeof(uint16_t), n_out * sizeof(float));
    if (status == SOT_OK) {
        status = choose_algorithm(all, product, preference);
    }
    (void)cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

sot_status soti_cuda_products_create(const soti_cuda_shape *dims, soti_cuda_health *health,
                                     soti_cuda_products *out)
{
    *out = (soti_cuda_products){.health = health};
    cublasOperation_t transposed = CUBLAS_OP_T;
    RETURN_IF_ERROR(soti_cuda_check_blas(health, cublasLtCreate(&out->handle), "cublasLtCreate"));
    RETURN_IF_ERROR(soti_cuda_check_blas(
        health, cublasLtMatmulDescCreate(&out->description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate"));
    RETURN_IF_ERROR(soti_cuda_check_blas(
        health,
        cublasLtMatmulDescSetAttribute(out->description, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof transposed),
        "cublasLtMatmulDescSetAttribute"));
    RETURN_IF_ERROR(make_product(out, SOTI_CUDA_PRODUCT_QKV, "the prompts' q, k and v", dims->n_qkv,
                                 dims->x_stride, 0));
    RETURN_IF_ERROR(make_product(out, SOTI_CUDA_PRODUCT_WO, "the prompts' attention output",
                                 dims->d_model, dims->a_stride, 1));
    RETURN_IF_ERROR(make_product(out, SOTI_CUDA_PRODUCT_GATE_UP, "the prompts' gate and up",
                                 2 * dims->d_ff, dims->x_stride, 0));
    return make_product(out, SOTI_CUDA_PRODUCT_DOWN, "the prompts' down projection", dims->d_model,
                        dims->h_stride, 1);
}

static void free_layout(cublasLtMatrixLayout_t layout)
{
    if (layout != NULL) {
        (void)cublasLtMatrixLayoutDestroy(layout);
    }
}

void soti_cuda_products_free(soti_cuda_products *products)
{
    for (int i = 0; i < SOTI_CUDA_N_PRODUCTS; i++) {
        free_layout(products->products[i].weights);
        free_layout(products->products[i].input);
        free_layout(products->products[i].output);
    }
    if (products->description != NULL) {
        (void)cublasLtMatmulDescDestroy(products->description);
    }
    if (products->handle != NULL) {
        (void)cublasLtDestroy(products->handle);
    }
    *products = (soti_cuda_products){0};
}

sot_status soti_cuda_multiply(const soti_cuda_products *products, soti_cuda_product_kind kind,
                              const uint16_t *weights, const uint16_t *input, const float *before,
                              float *output, cudaStream_t stream)
{
    const soti_cuda_product *product = &products->products[kind];
    const float one = 1;
    const float zero = 0;
    return soti_cuda_check_blas(
        products->health,
        cublasLtMatmul(products->handle, products->description, &one, weights, product->weights,
                       input, product->input, product->adds ? &one : &zero, before, product->output,
                       output, product->output, &product->algorithm, products->workspace,
                       products->workspace_bytes, stream),
        "cublasLtMatmul of %s", product->name);
}
