/* cuBLASLt's products on the host against float64, and what is stricter here: RT-6 of
 * on_host_control.h. */
#include "runtime_test.h"

#include <cublasLt.h>
#include <math.h>
#include <stdlib.h>

#include "../random_source.h"

#define expect_blas(call, expected) assert_string_equal(cublasLtGetStatusName(call), #expected)
#define expect_blas_success(call)   expect_blas(call, CUBLAS_STATUS_SUCCESS)

enum { WORKSPACE_BYTES = 1 << 20 };

typedef struct blas_case {
    uint64_t m, n, k, a_stride, b_stride, d_stride;
    cublasOperation_t a_operation;
    uint32_t reductions;
    uint32_t alignment;
    size_t workspace_bytes;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a_layout, b_layout, d_layout;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t results[4];
    int n_found;
    cudaStream_t stream;
    void *workspace;
    uint16_t *a, *b;
    float *c, *d;
} blas_case;

/* Of a finite FP16 number; written apart from the layer's own. */
static double half_value(uint16_t half)
{
    int exponent = (half >> 10) & 31;
    double fraction = (half & 1023) / 1024.0;
    double magnitude = exponent == 0 ? ldexp(fraction, -14) : ldexp(1.0 + fraction, exponent - 15);
    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

/* Up to about 2 in size, subnormal numbers among them. */
static uint16_t random_half(random_source *source)
{
    uint32_t kind = (uint32_t)random_between(source, 0, 15);
    uint32_t exponent = kind == 0 ? 0 : 10 + kind % 6;
    return (uint16_t)(random_between(source, 0, 1) << 15 | exponent << 10 |
                      random_between(source, 0, 1023));
}

static void set_alignments(blas_case *all)
{
    for (int i = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
         i <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES; i++) {
        expect_blas_success(cublasLtMatmulPreferenceSetAttribute(
            all->preference, (cublasLtMatmulPreferenceAttributes_t)i, &all->alignment,
            sizeof all->alignment));
    }
}

static void make(blas_case *all)
{
    uint64_t a_rows = all->a_operation == CUBLAS_OP_T ? all->k : all->m;
    uint64_t a_columns = all->a_operation == CUBLAS_OP_T ? all->m : all->k;
    expect_blas_success(cublasLtCreate(&all->handle));
    expect_blas_success(cublasLtMatmulDescCreate(&all->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    expect_blas_success(cublasLtMatmulDescSetAttribute(all->desc, CUBLASLT_MATMUL_DESC_TRANSA,
                                                       &all->a_operation, sizeof all->a_operation));
    expect_blas_success(cublasLtMatrixLayoutCreate(&all->a_layout, CUDA_R_16F, a_rows, a_columns,
                                                   (int64_t)all->a_stride));
    expect_blas_success(cublasLtMatrixLayoutCreate(&all->b_layout, CUDA_R_16F, all->k, all->n,
                                                   (int64_t)all->b_stride));
    expect_blas_success(cublasLtMatrixLayoutCreate(&all->d_layout, CUDA_R_32F, all->m, all->n,
                                                   (int64_t)all->d_stride));
    expect_blas_success(cublasLtMatmulPreferenceCreate(&all->preference));
    expect_blas_success(cublasLtMatmulPreferenceSetAttribute(
        all->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &all->workspace_bytes,
        sizeof all->workspace_bytes));
    expect_blas_success(cublasLtMatmulPreferenceSetAttribute(
        all->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &all->reductions,
        sizeof all->reductions));
    if (all->alignment != 0) {
        set_alignments(all);
    }
    expect_blas_success(cublasLtMatmulAlgoGetHeuristic(
        all->handle, all->desc, all->a_layout, all->b_layout, all->d_layout, all->d_layout,
        all->preference, 4, all->results, &all->n_found));
    all->stream = new_stream();
    all->workspace = device_filled(WORKSPACE_BYTES, 0);
    all->a = (uint16_t *)(void *)device_filled(a_columns * all->a_stride * 2, 0x7E);
    all->b = (uint16_t *)(void *)device_filled(all->n * all->b_stride * 2, 0x7E);
    all->c = (float *)(void *)device_filled(all->n * all->d_stride * 4, 0x7F);
    all->d = (float *)(void *)device_filled(all->n * all->d_stride * 4, 0x7F);
    random_source source = {all->m * 1000 + all->n * 10 + all->k};
    for (uint64_t j = 0; j < a_columns; j++) {
        for (uint64_t i = 0; i < a_rows; i++) {
            all->a[j * all->a_stride + i] = random_half(&source);
        }
    }
    for (uint64_t j = 0; j < all->n; j++) {
        for (uint64_t i = 0; i < all->k; i++) {
            all->b[j * all->b_stride + i] = random_half(&source);
        }
        for (uint64_t i = 0; i < all->m; i++) {
            all->c[j * all->d_stride + i] = (float)half_value(random_half(&source));
        }
    }
}

static cublasStatus_t multiply(const blas_case *all, float alpha, float beta, const float *c,
                               int i_result)
{
    return cublasLtMatmul(all->handle, all->desc, &alpha, all->a, all->a_layout, all->b,
                          all->b_layout, &beta, c, all->d_layout, all->d, all->d_layout,
                          &all->results[i_result].algo, all->workspace,
                          all->results[i_result].workspaceSize, all->stream);
}

static void drop(blas_case *all)
{
    expect_blas_success(cublasLtMatmulPreferenceDestroy(all->preference));
    expect_blas_success(cublasLtMatrixLayoutDestroy(all->a_layout));
    expect_blas_success(cublasLtMatrixLayoutDestroy(all->b_layout));
    expect_blas_success(cublasLtMatrixLayoutDestroy(all->d_layout));
    expect_blas_success(cublasLtMatmulDescDestroy(all->desc));
    expect_blas_success(cublasLtDestroy(all->handle));
    expect_success(cudaStreamDestroy(all->stream));
    void *memory[] = {all->workspace, all->a, all->b, all->c, all->d};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        expect_success(cudaFree(memory[i]));
    }
    assert_int_equal(on_host_live_count(), 0);
}

/* FP32 sums of k products, each exact: k roundings of at most the sum of sizes. */
static void check_product(const blas_case *all, double alpha, double beta)
{
    for (uint64_t j = 0; j < all->n; j++) {
        for (uint64_t i = 0; i < all->d_stride; i++) {
            float is = all->d[j * all->d_stride + i];
            if (i >= all->m) {
                assert_memory_equal(&is, "\x7F\x7F\x7F\x7F", 4);
                continue;
            }
            double sum = 0, size = 0;
            for (uint64_t l = 0; l < all->k; l++) {
                uint64_t at =
                    all->a_operation == CUBLAS_OP_T ? i * all->a_stride + l : l * all->a_stride + i;
                double term = half_value(all->a[at]) * half_value(all->b[j * all->b_stride + l]);
                sum += term;
                size += fabs(term);
            }
            double before = beta != 0 ? beta * (double)all->c[j * all->d_stride + i] : 0;
            double slack = ldexp((double)(all->k + 4) * (size * fabs(alpha) + fabs(before)), -24);
            assert_true(fabs((double)is - (alpha * sum + before)) <= slack);
        }
    }
}

static void product_of_every_shape_is_float64s(void **state)
{
    (void)state;
    static const uint64_t sizes[][3] = {{1, 1, 1},     {3, 15, 7},    {4, 16, 64}, {5, 17, 65},
                                        {70, 33, 129}, {64, 64, 256}, {2, 100, 31}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            blas_case all = {.m = sizes[i][0],
                             .n = sizes[i][1],
                             .k = sizes[i][2],
                             .a_operation = kind % 2 == 0 ? CUBLAS_OP_T : CUBLAS_OP_N,
                             .reductions = kind / 2 == 0 ? CUBLASLT_REDUCTION_SCHEME_NONE
                                                         : CUBLASLT_REDUCTION_SCHEME_MASK,
                             .workspace_bytes = WORKSPACE_BYTES};
            all.a_stride = (all.a_operation == CUBLAS_OP_T ? all.k : all.m) + 8 * (kind % 2);
            all.b_stride = all.k + 3;
            all.d_stride = all.m + kind;
            make(&all);
            assert_int_equal(all.n_found, 2);
            expect_blas_success(multiply(&all, 1, 0, NULL, 0));
            assert_memory_equal(all.d, "\x7F\x7F\x7F\x7F", 4); /* not yet */
            expect_success(cudaStreamSynchronize(all.stream));
            check_product(&all, 1, 0);
            expect_blas_success(multiply(&all, 0.5f, 1, all.c, 1));
            expect_success(cudaStreamSynchronize(all.stream));
            check_product(&all, 0.5, 1);
            assert_string_equal(on_host_errors(), "");
            drop(&all);
        }
    }
}

static void product_of_a_column_has_the_same_bits_beside_any_others(void **state)
{
    (void)state;
    blas_case all = {.m = 37,
                     .n = 40,
                     .k = 300,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 300,
                     .b_stride = 300,
                     .d_stride = 37};
    float first[37];
    make(&all);
    assert_int_equal(all.n_found, 1); /* the other one wants a workspace */
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    expect_success(cudaStreamSynchronize(all.stream));
    memcpy(first, all.d, sizeof first);
    memcpy(all.b + 39 * 300, all.b, 300 * sizeof *all.b);
    memset(all.b + 300, 0x3C, 38 * 300 * sizeof *all.b);
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    expect_success(cudaStreamSynchronize(all.stream));
    assert_memory_equal(all.d, first, sizeof first);
    assert_memory_equal(all.d + (size_t)39 * 37, first, sizeof first);
    drop(&all);
}

static void product_of_infinities_and_nan_keeps_them(void **state)
{
    (void)state;
    blas_case all = {.m = 3,
                     .n = 1,
                     .k = 1,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 1,
                     .b_stride = 1,
                     .d_stride = 3};
    make(&all);
    all.a[0] = 0x7C00;
    all.a[1] = 0xFC00;
    all.a[2] = 0x7E01;
    all.b[0] = 0x3C00;
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    expect_success(cudaStreamSynchronize(all.stream));
    assert_true(isinf(all.d[0]) && all.d[0] > 0);
    assert_true(isinf(all.d[1]) && all.d[1] < 0);
    assert_true(isnan(all.d[2]));
    drop(&all);
}

static void product_uses_the_workspace_it_asked_for(void **state)
{
    (void)state;
    blas_case all = {.m = 4,
                     .n = 4,
                     .k = 4,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 4,
                     .b_stride = 4,
                     .d_stride = 4,
                     .workspace_bytes = WORKSPACE_BYTES};
    make(&all);
    size_t wanted = all.results[0].workspaceSize;
    unsigned char *workspace = all.workspace;
    assert_true(wanted > 0 && wanted < WORKSPACE_BYTES);
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    expect_success(cudaStreamSynchronize(all.stream));
    assert_true(workspace[0] != 0 && workspace[wanted - 1] != 0);
    assert_int_equal(workspace[wanted], 0);
    all.results[0].workspaceSize--;
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_INVALID_VALUE);
    drop(&all);
}

static void algorithms_split_k_unless_told_not_to(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        blas_case all = {.m = 4,
                         .n = 4,
                         .k = 4,
                         .a_operation = CUBLAS_OP_T,
                         .a_stride = 4,
                         .b_stride = 4,
                         .d_stride = 4,
                         .reductions = i == 0 ? CUBLASLT_REDUCTION_SCHEME_NONE
                                              : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE};
        uint32_t n_splits = 0;
        make(&all);
        expect_blas_success(cublasLtMatmulAlgoConfigGetAttribute(&all.results[0].algo,
                                                                 CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                                 &n_splits, sizeof n_splits, NULL));
        assert_int_equal(n_splits, i + 1);
        drop(&all);
    }
}

static void product_that_does_not_fit_its_description_is_refused(void **state)
{
    (void)state;
    blas_case all = {.m = 8,
                     .n = 4,
                     .k = 16,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 16,
                     .b_stride = 16,
                     .d_stride = 8,
                     .alignment = 16};
    make(&all);
    uint16_t *a = all.a;
    all.a = a + 1;
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_INVALID_VALUE); /* too short now */
    all.a = a;
    float *d = all.d;
    all.d = d + 1;
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_INVALID_VALUE);
    all.d = d;
    uint64_t k = 15;
    expect_blas_success(
        cublasLtMatrixLayoutSetAttribute(all.b_layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &k, sizeof k));
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_INVALID_VALUE);
    expect_blas_success(
        cublasLtMatrixLayoutSetAttribute(all.a_layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &k, sizeof k));
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_INVALID_VALUE); /* another's */
    drop(&all);
}

static void product_with_less_alignment_than_promised_is_refused(void **state)
{
    (void)state;
    blas_case all = {.m = 8,
                     .n = 4,
                     .k = 16,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 24,
                     .b_stride = 24,
                     .d_stride = 8};
    make(&all); /* promises 256, which beginnings of allocations have */
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    on_host_forget_errors();
    all.a += 8;
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_INVALID_VALUE);
    assert_non_null(strstr(on_host_errors(), "A is not aligned to 256 bytes"));
    on_host_forget_errors();
    all.a -= 8;
    drop(&all);
}

static void product_whose_memory_is_freed_before_it_runs_is_an_error(void **state)
{
    (void)state;
    blas_case all = {.m = 8,
                     .n = 4,
                     .k = 16,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 16,
                     .b_stride = 16,
                     .d_stride = 8};
    make(&all);
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    expect_success(cudaFree(all.b));
    expect_cuda(cudaStreamSynchronize(all.stream), cudaErrorIllegalAddress);
    expect_blas(multiply(&all, 1, 0, NULL, 0), CUBLAS_STATUS_EXECUTION_FAILED);
    expect_cuda(cudaGetLastError(), cudaErrorIllegalAddress);
}

static void product_in_a_graph_multiplies_what_is_there_then(void **state)
{
    (void)state;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    blas_case all = {.m = 8,
                     .n = 4,
                     .k = 16,
                     .a_operation = CUBLAS_OP_T,
                     .a_stride = 16,
                     .b_stride = 16,
                     .d_stride = 8};
    make(&all);
    expect_success(cudaStreamBeginCapture(all.stream, cudaStreamCaptureModeThreadLocal));
    expect_blas_success(multiply(&all, 1, 0, NULL, 0));
    expect_success(cudaStreamEndCapture(all.stream, &graph));
    expect_success(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 2; i++) {
        all.b[3] = (uint16_t)(0x3C00 + i);
        expect_success(cudaGraphLaunch(exec, all.stream));
        expect_success(cudaStreamSynchronize(all.stream));
        check_product(&all, 1, 0);
    }
    expect_success(cudaGraphDestroy(graph));
    expect_success(cudaGraphExecDestroy(exec));
    drop(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        runtime_test(product_of_every_shape_is_float64s),
        runtime_test(product_of_a_column_has_the_same_bits_beside_any_others),
        runtime_test(product_of_infinities_and_nan_keeps_them),
        runtime_test(product_uses_the_workspace_it_asked_for),
        runtime_test(algorithms_split_k_unless_told_not_to),
        runtime_test(product_that_does_not_fit_its_description_is_refused),
        runtime_test(product_with_less_alignment_than_promised_is_refused),
        runtime_test(product_whose_memory_is_freed_before_it_runs_is_an_error),
        runtime_test(product_in_a_graph_multiplies_what_is_there_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
