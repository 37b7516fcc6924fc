/* cuBLASLt's products: a heuristic that says which of two algorithms would do, and the product as a
 * piece of work of its stream. RT-6 says what is stricter here. */
#include "blas_product.h"
#include "blas_state.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace on_host
{

namespace
{

constexpr size_t algorithm_workspace = 64 * 1024;
constexpr uint64_t algorithm_mark = 0x736f74616c676f31;

/* What cublasLtMatmulAlgo_t holds. */
struct algorithm {
    uint64_t mark;
    uint64_t m;
    uint64_t n;
    uint64_t k;
    uint32_t id;
    uint32_t n_splits;
    uint32_t workspace_bytes;
    uint16_t alignments[4];
    uint8_t is_transposed;
    uint8_t unused[11];
};
static_assert(sizeof(algorithm) == sizeof(cublasLtMatmulAlgo_t));

/* The shapes of a product; NOT_SUPPORTED or INVALID_VALUE if it is none that this multiplies. */
cublasStatus_t shape_of(const description &desc, const layout &a, const layout &b, const layout &c,
                        const layout &d, product *out)
{
    if (desc.is_transposed[1] || a.type != CUDA_R_16F || b.type != CUDA_R_16F ||
        c.type != CUDA_R_32F || d.type != CUDA_R_32F) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    bool is_transposed = desc.is_transposed[0];
    out->m = is_transposed ? a.columns : a.rows;
    out->k = is_transposed ? a.rows : a.columns;
    out->n = b.columns;
    out->a_is_transposed = is_transposed;
    if (b.rows != out->k || c.rows != out->m || d.rows != out->m || c.columns != out->n ||
        d.columns != out->n) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    for (const layout *each : {&a, &b, &c, &d}) {
        if (each->stride < 0 || static_cast<uint64_t>(each->stride) < each->rows) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
    }
    out->a_stride = static_cast<size_t>(a.stride);
    out->b_stride = static_cast<size_t>(b.stride);
    out->c_stride = static_cast<size_t>(c.stride);
    out->d_stride = static_cast<size_t>(d.stride);
    return CUBLAS_STATUS_SUCCESS;
}

size_t bytes_of(const layout &what)
{
    size_t size = what.type == CUDA_R_16F ? 2 : 4;
    return what.columns == 0
               ? 0
               : ((what.columns - 1) * static_cast<size_t>(what.stride) + what.rows) * size;
}

/* All of an operand in one allocation of a device, as aligned as was promised. An allocation's
 * beginning counts as aligned to 256 bytes, as CUDA's are. */
cublasStatus_t check_operand(const runtime &all, const char *name, const void *memory,
                             const layout &shape, uint32_t alignment)
{
    char text[200];
    if (kind_of(all, memory, bytes_of(shape)) != memory_kind::device) {
        snprintf(text, sizeof text, "cublasLtMatmul: %s, %zu bytes at %p, is no device memory",
                 name, bytes_of(shape), memory);
        report_error(text);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    uintptr_t at = offset_in_allocation(all, memory);
    if (at % alignment != 0) {
        snprintf(text, sizeof text,
                 "cublasLtMatmul: %s is not aligned to %u bytes, which the preference promised",
                 name, alignment);
        report_error(text);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    return CUBLAS_STATUS_SUCCESS;
}

bool is_made_for(const algorithm &algo, const product &what)
{
    return algo.mark == algorithm_mark && algo.m == what.m && algo.n == what.n &&
           algo.k == what.k && (algo.is_transposed != 0) == what.a_is_transposed;
}

/* What a call names: its product's shapes, and the layouts again for what lies in memory. */
struct request {
    product what;
    const layout *shapes[4]; /* A, B, C, D */
};

cublasStatus_t read_request(const blas_state &blas, cublasLtHandle_t handle,
                            cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a_layout,
                            cublasLtMatrixLayout_t b_layout, cublasLtMatrixLayout_t c_layout,
                            cublasLtMatrixLayout_t d_layout, request *out)
{
    const cublasLtMatrixLayout_t layouts[4] = {a_layout, b_layout, c_layout, d_layout};
    const description *described = find_in(blas.descriptions, desc);
    if (find_in(blas.handles, handle) == nullptr) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (described == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    for (int i = 0; i < 4; i++) {
        out->shapes[i] = find_in(blas.layouts, layouts[i]);
        if (out->shapes[i] == nullptr) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
    }
    return shape_of(*described, *out->shapes[0], *out->shapes[1], *out->shapes[2], *out->shapes[3],
                    &out->what);
}

/* Of two: the first wants a workspace, which the preference may not give. */
algorithm make_algorithm(const preference &preferred, const product &what, uint32_t id)
{
    algorithm algo = {};
    algo.mark = algorithm_mark;
    algo.m = what.m;
    algo.n = what.n;
    algo.k = what.k;
    algo.id = id;
    algo.n_splits = preferred.reductions == CUBLASLT_REDUCTION_SCHEME_NONE ? 1 : 2;
    algo.workspace_bytes = id == 0 ? algorithm_workspace : 0;
    algo.is_transposed = what.a_is_transposed;
    for (int i = 0; i < 4; i++) {
        algo.alignments[i] = static_cast<uint16_t>(preferred.alignments[i]);
    }
    return algo;
}

/* The operands of a product, and its workspace: there, and aligned. */
cublasStatus_t check_operands(const runtime &all, const product &what, const layout *layouts,
                              const algorithm &algo, const void *workspace)
{
    const void *operands[4] = {what.a, what.b, what.beta != 0 ? what.c : what.d, what.d};
    const char *names[4] = {"A", "B", "C", "D"};
    for (int i = 0; i < 4; i++) {
        cublasStatus_t status =
            check_operand(all, names[i], operands[i], layouts[i], algo.alignments[i]);
        if (status != CUBLAS_STATUS_SUCCESS) {
            return status;
        }
    }
    if (algo.workspace_bytes == 0) {
        return CUBLAS_STATUS_SUCCESS;
    }
    uint64_t n_floats = algo.workspace_bytes / sizeof(float);
    layout scratch = {CUDA_R_32F, n_floats, 1, static_cast<int64_t>(n_floats)};
    return check_operand(all, "the workspace", workspace, scratch, 16);
}

/* As it runs: memory may have been freed since. */
bool are_still_there(const product &what, const layout *layouts, const algorithm &algo,
                     const void *workspace)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    return check_operands(all, what, layouts, algo, workspace) == CUBLAS_STATUS_SUCCESS;
}

} // namespace

} // namespace on_host

using namespace on_host;

extern "C" {

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                               cublasLtMatrixLayout_t a_layout, cublasLtMatrixLayout_t b_layout,
                               cublasLtMatrixLayout_t c_layout, cublasLtMatrixLayout_t d_layout,
                               cublasLtMatmulPreference_t preference, int n_wanted,
                               cublasLtMatmulHeuristicResult_t results[], int *n_found)
{
    return blas_call(CALL_PLAIN, [&](runtime &, held_lock &, blas_state &blas) {
        request asked = {};
        const on_host::preference *preferred = find_in(blas.preferences, preference);
        *n_found = 0;
        if (preferred == nullptr || n_wanted < 1) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        cublasStatus_t status =
            read_request(blas, handle, desc, a_layout, b_layout, c_layout, d_layout, &asked);
        if (status != CUBLAS_STATUS_SUCCESS) {
            return status;
        }
        for (uint32_t id = 0; id < 2 && *n_found < n_wanted; id++) {
            algorithm algo = make_algorithm(*preferred, asked.what, id);
            if (algo.workspace_bytes <= preferred->workspace_bytes) {
                cublasLtMatmulHeuristicResult_t *result = &results[(*n_found)++];
                *result = {};
                memcpy(&result->algo, &algo, sizeof algo);
                result->workspaceSize = algo.workspace_bytes;
                result->wavesCount = 1;
            }
        }
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void *value, size_t n_bytes, size_t *n_written)
{
    return blas_call(CALL_READS, [&](runtime &, held_lock &, blas_state &) {
        algorithm held;
        memcpy(&held, algo, sizeof held);
        uint32_t number = 0;
        if (held.mark != algorithm_mark || value == nullptr || n_bytes != sizeof number) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        switch (attribute) {
        case CUBLASLT_ALGO_CONFIG_ID:
            number = held.id;
            break;
        case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
            number = held.n_splits;
            break;
        case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
            number = held.n_splits > 1 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                       : CUBLASLT_REDUCTION_SCHEME_NONE;
            break;
        default:
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        memcpy(value, &number, sizeof number);
        if (n_written != nullptr) {
            *n_written = sizeof number;
        }
        return CUBLAS_STATUS_SUCCESS;
    });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    return blas_call(CALL_PLAIN, [&](runtime &all, held_lock &lock, blas_state &blas) {
        request asked = {};
        cublasStatus_t status =
            read_request(blas, handle, desc, a_layout, b_layout, c_layout, d_layout, &asked);
        if (status != CUBLAS_STATUS_SUCCESS) {
            return status;
        }
        if (algo == nullptr) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        algorithm held;
        memcpy(&held, algo, sizeof held);
        std::shared_ptr<on_host::stream> on = find_stream(all, stream);
        if (on == nullptr || on->device != blas.handles[handle] || alpha == nullptr ||
            beta == nullptr || !is_made_for(held, asked.what) ||
            workspace_bytes < held.workspace_bytes) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        asked.what.a = static_cast<const uint16_t *>(a);
        asked.what.b = static_cast<const uint16_t *>(b);
        asked.what.c = static_cast<const float *>(c);
        asked.what.d = static_cast<float *>(d);
        asked.what.n_splits = held.n_splits;
        memcpy(&asked.what.alpha, alpha, sizeof asked.what.alpha);
        memcpy(&asked.what.beta, beta, sizeof asked.what.beta);
        std::array<layout, 4> layouts;
        for (size_t i = 0; i < layouts.size(); i++) {
            layouts[i] = *asked.shapes[i];
        }
        status = check_operands(all, asked.what, layouts.data(), held, workspace);
        if (status != CUBLAS_STATUS_SUCCESS) {
            return status;
        }
        return blas_status(queue_work(all, lock, on, [=, what = asked.what]() -> cudaError_t {
            if (!are_still_there(what, layouts.data(), held, workspace)) {
                return cudaErrorIllegalAddress;
            }
            if (held.workspace_bytes > 0) {
                memset(workspace, 0x7E, held.workspace_bytes);
            }
            multiply(what);
            return cudaSuccess;
        }));
    });
}
}
