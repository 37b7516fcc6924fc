/* cuBLASLt's handles, matrix layouts, descriptions of products and preferences: what they are told
 * is kept, what the layer cannot do is refused. */
#include "blas_state.h"

#include <cstring>

namespace on_host
{

blas_state &the_blas()
{
    static blas_state *all = new blas_state();
    return *all;
}

cublasStatus_t blas_status(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation:
        return CUBLAS_STATUS_ALLOC_FAILED;
    default:
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
}

blas_live count_blas()
{
    const blas_state &blas = the_blas();
    return {blas.handles.size(),
            blas.layouts.size() + blas.descriptions.size() + blas.preferences.size()};
}

void forget_blas()
{
    the_blas() = {};
}

namespace
{

template <class T> cublasStatus_t take(const void *value, size_t n_bytes, T *out)
{
    if (value == nullptr || n_bytes != sizeof *out) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(out, value, sizeof *out);
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

} // namespace on_host

using namespace on_host;

extern "C" {

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
        return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
        return "CUBLAS_STATUS_LICENSE_ERROR";
    }
    return "CUBLAS_STATUS_UNKNOWN";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "success";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "the requested functionality is not supported";
    default:
        return cublasLtGetStatusName(status);
    }
}

size_t cublasLtGetVersion(void)
{
    return 130000;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    return blas_call(CALL_UNSAFE, [&](runtime &all, held_lock &, blas_state &blas) {
        *handle = new_handle<cublasLtHandle_t>(all);
        blas.handles[*handle] = this_thread().device;
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return blas_call(CALL_UNSAFE | CALL_FREES, [&](runtime &, held_lock &, blas_state &blas) {
        return blas.handles.erase(handle) == 1 ? CUBLAS_STATUS_SUCCESS
                                               : CUBLAS_STATUS_NOT_INITIALIZED;
    });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    return blas_call(CALL_READS, [&](runtime &all, held_lock &, blas_state &blas) {
        *layout = new_handle<cublasLtMatrixLayout_t>(all);
        blas.layouts[*layout] = {type, rows, cols, ld};
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    return blas_call(CALL_READS | CALL_FREES, [&](runtime &, held_lock &, blas_state &blas) {
        return blas.layouts.erase(layout) == 1 ? CUBLAS_STATUS_SUCCESS
                                               : CUBLAS_STATUS_INVALID_VALUE;
    });
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t n_bytes)
{
    return blas_call(CALL_READS, [&](runtime &, held_lock &, blas_state &blas) {
        on_host::layout *found = find_in(blas.layouts, layout);
        if (found == nullptr) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        int32_t order = CUBLASLT_ORDER_COL;
        cublasStatus_t status;
        switch (attribute) {
        case CUBLASLT_MATRIX_LAYOUT_TYPE:
            return take(value, n_bytes, &found->type);
        case CUBLASLT_MATRIX_LAYOUT_ROWS:
            return take(value, n_bytes, &found->rows);
        case CUBLASLT_MATRIX_LAYOUT_COLS:
            return take(value, n_bytes, &found->columns);
        case CUBLASLT_MATRIX_LAYOUT_LD:
            return take(value, n_bytes, &found->stride);
        case CUBLASLT_MATRIX_LAYOUT_ORDER:
            status = take(value, n_bytes, &order);
            return status != CUBLAS_STATUS_SUCCESS || order == CUBLASLT_ORDER_COL
                       ? status
                       : CUBLAS_STATUS_NOT_SUPPORTED;
        }
        return CUBLAS_STATUS_INVALID_VALUE;
    });
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    return blas_call(CALL_READS, [&](runtime &all, held_lock &, blas_state &blas) {
        if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC) ||
            scale != CUDA_R_32F) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        *desc = new_handle<cublasLtMatmulDesc_t>(all);
        blas.descriptions[*desc] = {};
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    return blas_call(CALL_READS | CALL_FREES, [&](runtime &, held_lock &, blas_state &blas) {
        return blas.descriptions.erase(desc) == 1 ? CUBLAS_STATUS_SUCCESS
                                                  : CUBLAS_STATUS_INVALID_VALUE;
    });
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t n_bytes)
{
    return blas_call(CALL_READS, [&](runtime &, held_lock &, blas_state &blas) {
        description *found = find_in(blas.descriptions, desc);
        int32_t operation = CUBLAS_OP_N;
        if (found == nullptr || take(value, n_bytes, &operation) != CUBLAS_STATUS_SUCCESS) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        if (attribute != CUBLASLT_MATMUL_DESC_TRANSA && attribute != CUBLASLT_MATMUL_DESC_TRANSB) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        if (operation != CUBLAS_OP_N && operation != CUBLAS_OP_T) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        found->is_transposed[attribute == CUBLASLT_MATMUL_DESC_TRANSB] = operation == CUBLAS_OP_T;
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    return blas_call(CALL_READS, [&](runtime &all, held_lock &, blas_state &blas) {
        *preference = new_handle<cublasLtMatmulPreference_t>(all);
        blas.preferences[*preference] = {0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    return blas_call(CALL_READS | CALL_FREES, [&](runtime &, held_lock &, blas_state &blas) {
        return blas.preferences.erase(preference) == 1 ? CUBLAS_STATUS_SUCCESS
                                                       : CUBLAS_STATUS_INVALID_VALUE;
    });
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t n_bytes)
{
    return blas_call(CALL_READS, [&](runtime &, held_lock &, blas_state &blas) {
        on_host::preference *found = find_in(blas.preferences, preference);
        if (found == nullptr) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        switch (attribute) {
        case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
            return take(value, n_bytes, &found->workspace_bytes);
        case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
            return take(value, n_bytes, &found->reductions);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
            return take(value, n_bytes,
                        &found->alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]);
        default:
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
    });
}
}
