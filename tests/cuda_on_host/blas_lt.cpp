/* cuBLASLt as far as the project calls it: descriptors, a heuristic that says which of two
 * algorithms would do, and the product as a piece of work of its stream. RT-6 says what is stricter
 * here. */
#include "blas_product.h"
#include "runtime_state.h"

#include <cublasLt.h>

#include <cstdio>
#include <cstring>

namespace on_host
{

namespace
{

constexpr size_t algorithm_workspace = 64 * 1024;
constexpr uint64_t algorithm_mark = 0x736f74616c676f31;

struct layout {
    cudaDataType type;
    uint64_t rows;
    uint64_t columns;
    int64_t stride;

    bool operator==(const layout &other) const
    {
        return type == other.type && rows == other.rows && columns == other.columns &&
               stride == other.stride;
    }
};

struct description {
    bool is_transposed[2]; /* A, B */
};

struct preference {
    uint64_t workspace_bytes;
    uint32_t reductions;
    uint32_t alignments[4]; /* A, B, C, D */
};

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

struct blas_state {
    std::map<cublasLtHandle_t, int> handles; /* their devices */
    std::map<cublasLtMatrixLayout_t, layout> layouts;
    std::map<cublasLtMatmulDesc_t, description> descriptions;
    std::map<cublasLtMatmulPreference_t, preference> preferences;
};

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

template <class T> cublasStatus_t take(const void *value, size_t n_bytes, T *out)
{
    if (value == nullptr || n_bytes != sizeof *out) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(out, value, sizeof *out);
    return CUBLAS_STATUS_SUCCESS;
}

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

} // namespace

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

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                               cublasLtMatrixLayout_t a_layout, cublasLtMatrixLayout_t b_layout,
                               cublasLtMatrixLayout_t c_layout, cublasLtMatrixLayout_t d_layout,
                               cublasLtMatmulPreference_t preference, int n_wanted,
                               cublasLtMatmulHeuristicResult_t results[], int *n_found)
{
    return blas_call(CALL_PLAIN, [&](runtime &, held_lock &, blas_state &blas) {
        const description *described = find_in(blas.descriptions, desc);
        const on_host::preference *preferred = find_in(blas.preferences, preference);
        const layout *shapes[4] = {find_in(blas.layouts, a_layout), find_in(blas.layouts, b_layout),
                                   find_in(blas.layouts, c_layout),
                                   find_in(blas.layouts, d_layout)};
        *n_found = 0;
        if (find_in(blas.handles, handle) == nullptr) {
            return CUBLAS_STATUS_NOT_INITIALIZED;
        }
        if (described == nullptr || preferred == nullptr || n_wanted < 1 || shapes[0] == nullptr ||
            shapes[1] == nullptr || shapes[2] == nullptr || shapes[3] == nullptr) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        product what = {};
        cublasStatus_t status =
            shape_of(*described, *shapes[0], *shapes[1], *shapes[2], *shapes[3], &what);
        /* The first is the faster one and wants a workspace. */
        for (uint32_t id = 0; id < 2 && *n_found < n_wanted && status == CUBLAS_STATUS_SUCCESS;
             id++) {
            algorithm algo = {algorithm_mark, what.m, what.n, what.k, id, 1, 0, {}, 0, {}};
            algo.n_splits = preferred->reductions == CUBLASLT_REDUCTION_SCHEME_NONE ? 1 : 2;
            algo.workspace_bytes = id == 0 ? algorithm_workspace : 0;
            algo.is_transposed = what.a_is_transposed;
            for (int i = 0; i < 4; i++) {
                algo.alignments[i] = static_cast<uint16_t>(preferred->alignments[i]);
            }
            if (algo.workspace_bytes > preferred->workspace_bytes) {
                continue;
            }
            cublasLtMatmulHeuristicResult_t *result = &results[(*n_found)++];
            *result = {};
            memcpy(&result->algo, &algo, sizeof algo);
            result->workspaceSize = algo.workspace_bytes;
            result->state = CUBLAS_STATUS_SUCCESS;
            result->wavesCount = 1;
        }
        return status;
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
        const description *described = find_in(blas.descriptions, desc);
        const layout *shapes[4] = {find_in(blas.layouts, a_layout), find_in(blas.layouts, b_layout),
                                   find_in(blas.layouts, c_layout),
                                   find_in(blas.layouts, d_layout)};
        const int *device = find_in(blas.handles, handle);
        std::shared_ptr<on_host::stream> on = find_stream(all, stream);
        if (device == nullptr) {
            return CUBLAS_STATUS_NOT_INITIALIZED;
        }
        if (described == nullptr || on == nullptr || *device != on->device || alpha == nullptr ||
            beta == nullptr || shapes[0] == nullptr || shapes[1] == nullptr ||
            shapes[2] == nullptr || shapes[3] == nullptr) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        if (algo == nullptr) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        product what = {};
        cublasStatus_t status =
            shape_of(*described, *shapes[0], *shapes[1], *shapes[2], *shapes[3], &what);
        if (status != CUBLAS_STATUS_SUCCESS) {
            return status;
        }
        algorithm held;
        memcpy(&held, algo, sizeof held);
        if (!is_made_for(held, what) || workspace_bytes < held.workspace_bytes) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        memcpy(&what.alpha, alpha, sizeof what.alpha);
        memcpy(&what.beta, beta, sizeof what.beta);
        const void *operands[4] = {a, b, what.beta != 0 ? c : d, d};
        const char *names[4] = {"A", "B", "C", "D"};
        for (int i = 0; i < 4; i++) {
            status = check_operand(all, names[i], operands[i], *shapes[i], held.alignments[i]);
            if (status != CUBLAS_STATUS_SUCCESS) {
                return status;
            }
        }
        layout scratch = {CUDA_R_32F, held.workspace_bytes / 4, 1,
                          static_cast<int64_t>(held.workspace_bytes / 4)};
        if (held.workspace_bytes > 0) {
            status = check_operand(all, "the workspace", workspace, scratch, 16);
            if (status != CUBLAS_STATUS_SUCCESS) {
                return status;
            }
        }
        what.a = static_cast<const uint16_t *>(a);
        what.b = static_cast<const uint16_t *>(b);
        what.c = static_cast<const float *>(c);
        what.d = static_cast<float *>(d);
        what.n_splits = held.n_splits;
        size_t scribbled = held.workspace_bytes;
        return blas_status(queue_work(all, lock, on, [what, workspace, scribbled] {
            if (scribbled > 0) {
                memset(workspace, 0x7E, scribbled);
            }
            multiply(what);
            return cudaSuccess;
        }));
    });
}
}
