/* Inside of the cuBLASLt part: handles and descriptors, and how its calls begin. */
#ifndef SOTI_TEST_BLAS_STATE_H
#define SOTI_TEST_BLAS_STATE_H

#include "runtime_state.h"

#include <cublasLt.h>

namespace on_host
{

struct layout {
    cudaDataType type;
    uint64_t rows;
    uint64_t columns;
    int64_t stride;
};

struct description {
    bool is_transposed[2]; /* A, B */
};

struct preference {
    uint64_t workspace_bytes;
    uint32_t reductions;
    uint32_t alignments[4]; /* A, B, C, D */
};

struct blas_state {
    std::map<cublasLtHandle_t, int> handles; /* their devices */
    std::map<cublasLtMatrixLayout_t, layout> layouts;
    std::map<cublasLtMatmulDesc_t, description> descriptions;
    std::map<cublasLtMatmulPreference_t, preference> preferences;
};

blas_state &the_blas(); /* the runtime's lock guards it */
cublasStatus_t blas_status(cudaError_t error);

/* As api_call; body's status is cuBLAS's. */
template <class F> cublasStatus_t blas_call(unsigned rules, F &&body)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    cudaError_t error = begin_call(all, rules);
    if (error == cudaSuccess || (rules & CALL_FREES) != 0) {
        cublasStatus_t status = body(all, lock, the_blas());
        return error == cudaSuccess ? status : blas_status(error);
    }
    return blas_status(error);
}

template <class M, class K> auto find_in(M &map, K key)
{
    auto found = map.find(key);
    return found != map.end() ? &found->second : nullptr;
}

} // namespace on_host

#endif
