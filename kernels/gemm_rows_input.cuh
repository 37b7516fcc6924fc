/* What gemm_rows multiplies weights with: a slice of up to 16 rows of the batch, brought to shared
 * memory as FP16. Rows and columns that do not exist become zeros. */
#ifndef SOTI_KERNELS_GEMM_ROWS_INPUT_CUH
#define SOTI_KERNELS_GEMM_ROWS_INPUT_CUH

#include "gemm_rows_core.cuh"

namespace soti
{

constexpr unsigned GROUP_COLUMNS = 8; /* FP16 columns in 16 bytes */
constexpr unsigned STEP_GROUPS = STEP_COLUMNS / GROUP_COLUMNS;

__device__ __forceinline__ uint32_t half_pair_bits(float low, float high)
{
    __half2 pair = __floats2half2_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

/* Rows as they are: (n_rows, stride) FP16, for a product whose own stride that is. */
struct half_input {
    const soti_cuda_counts *counts;
    const uint16_t *rows;

    __device__ __forceinline__ uint32_t n_rows() const
    {
        return counts->n_rows;
    }

    template <unsigned COLUMNS>
    __device__ __forceinline__ void stage(const gemm_plan &plan, const slice_columns &slice,
                                          const gemm_shared<COLUMNS> &memory, unsigned warp,
                                          uint32_t n_tokens) const
    {
        const unsigned token = warp;
        if (token < COLUMNS * COLUMN_TOKENS) {
            const uint16_t *row = rows + (size_t)(plan.first_row + token) * plan.stride +
                                  slice.first_step * STEP_COLUMNS;
            for (unsigned group = lane_id(); group < slice.n_steps * STEP_GROUPS; group += 32) {
                shared<half> to =
                    memory.tokens + (token * plan.token_halves + group * GROUP_COLUMNS);
                if (token < n_tokens) {
                    cp_async_16(to, row + group * GROUP_COLUMNS);
                } else {
                    shared_store_16(to, make_uint4(0, 0, 0, 0));
                }
            }
        }
        cp_async_commit();
        cp_async_wait<0>();
    }
};

/* norm(x) of rows that gather names, or of rows as they come (gather is not looked at). The sum of
 * squares is added up by one warp, lane i taking every 32nd of its entries, then pairwise; x / rms
 * * weight is computed in FP32. */
template <bool IS_GATHERED> struct norm_input {
    const uint32_t *n_rows_at;
    const uint32_t *gather;
    soti_cuda_norm norm;
    uint32_t d_model;

    __device__ __forceinline__ uint32_t n_rows() const
    {
        return *n_rows_at;
    }

    __device__ __forceinline__ size_t row_of(const gemm_plan &plan, unsigned token) const
    {
        uint32_t i_row = plan.first_row + token;
        return IS_GATHERED ? gather[i_row] : i_row;
    }

    /* Four columns; those from d_model on are zeros. */
    __device__ __forceinline__ float4 load_some(const float *row, unsigned column) const
    {
        return make_float4(column < d_model ? row[column] : 0.0f,
                           column + 1 < d_model ? row[column + 1] : 0.0f,
                           column + 2 < d_model ? row[column + 2] : 0.0f,
                           column + 3 < d_model ? row[column + 3] : 0.0f);
    }

    template <unsigned COLUMNS>
    __device__ __forceinline__ void invert(const gemm_plan &plan,
                                           const gemm_shared<COLUMNS> &memory, unsigned warp,
                                           uint32_t n_tokens) const
    {
        const uint32_t n_sums = (d_model + SOTI_CUDA_SUM_COLUMNS - 1) / SOTI_CUDA_SUM_COLUMNS;
        const unsigned token = warp;
        if (token < n_tokens) {
            const float *sums = norm.square_sums + row_of(plan, token) * n_sums;
            float sum = 0.0f;
#pragma unroll 4
            for (uint32_t i = lane_id(); i < n_sums; i += 32) {
                sum += sums[i];
            }
            sum = warp_sum(sum);
            if (lane_id() == 0) {
                memory.inverses[token] = rsqrtf(sum / (float)d_model + norm.eps);
            }
        }
    }

    /* A warp's share at a time: 8 columns a lane of 2 or 4 tokens. */
    template <unsigned COLUMNS> struct share {
        float4 x[2 * COLUMNS][2];
        float4 weight[2];
    };

    /* For tokens that do not exist the last one's. */
    template <unsigned COLUMNS>
    __device__ __forceinline__ void find_rows(const gemm_plan &plan, unsigned first_token,
                                              uint32_t n_tokens,
                                              uint32_t (&rows)[2 * COLUMNS]) const
    {
#pragma unroll
        for (unsigned i = 0; i < 2 * COLUMNS; i++) {
            const unsigned token = first_token + i;
            rows[i] = plan.first_row + (token < n_tokens ? token : n_tokens - 1);
        }
#pragma unroll
        for (unsigned i = 0; i < 2 * COLUMNS && IS_GATHERED; i++) {
            rows[i] = gather[rows[i]];
        }
    }

    /* All rows are known before the first is asked for, and how wide loads may be is decided once:
     * what stands between two loads delays the second, in front of a launch's first product. */
    template <unsigned COLUMNS>
    __device__ __forceinline__ void load(const gemm_plan &plan, unsigned column, bool is_there,
                                         unsigned first_token, uint32_t n_tokens,
                                         share<COLUMNS> &to) const
    {
        uint32_t rows[2 * COLUMNS];
        find_rows<COLUMNS>(plan, first_token, n_tokens, rows);
#pragma unroll
        for (unsigned i = 0; i < 2 * COLUMNS; i++) {
            to.x[i][0] = to.x[i][1] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        to.weight[0] = to.weight[1] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (!is_there || column >= d_model) {
            return;
        }
        if (d_model % GROUP_COLUMNS == 0) {
#pragma unroll
            for (unsigned i = 0; i < 2 * COLUMNS; i++) {
                if (first_token + i < n_tokens) {
                    const float4 *from = reinterpret_cast<const float4 *>(
                        norm.x + (size_t)rows[i] * d_model + column);
                    to.x[i][0] = from[0];
                    to.x[i][1] = from[1];
                }
            }
            const float4 *from = reinterpret_cast<const float4 *>(norm.weight + column);
            to.weight[0] = from[0];
            to.weight[1] = from[1];
            return;
        }
#pragma unroll
        for (unsigned i = 0; i < 2 * COLUMNS; i++) {
            if (first_token + i < n_tokens) {
                const float *row = norm.x + (size_t)rows[i] * d_model;
                to.x[i][0] = load_some(row, column);
                to.x[i][1] = load_some(row, column + 4);
            }
        }
        to.weight[0] = load_some(norm.weight, column);
        to.weight[1] = load_some(norm.weight, column + 4);
    }

    __device__ __forceinline__ static uint4 normed(const float4 (&x)[2], const float4 (&w)[2],
                                                   float by)
    {
        return make_uint4(half_pair_bits(x[0].x * by * w[0].x, x[0].y * by * w[0].y),
                          half_pair_bits(x[0].z * by * w[0].z, x[0].w * by * w[0].w),
                          half_pair_bits(x[1].x * by * w[1].x, x[1].y * by * w[1].y),
                          half_pair_bits(x[1].z * by * w[1].z, x[1].w * by * w[1].w));
    }

    /* The first share is asked for before the root mean squares are known. */
    template <unsigned COLUMNS>
    __device__ __forceinline__ void stage(const gemm_plan &plan, const slice_columns &slice,
                                          const gemm_shared<COLUMNS> &memory, unsigned warp,
                                          uint32_t n_tokens) const
    {
        constexpr unsigned N_TOGETHER = 2 * COLUMNS;
        constexpr unsigned N_BATCHES = COLUMNS * COLUMN_TOKENS / N_TOGETHER;
        const uint32_t n_groups = slice.n_steps * STEP_GROUPS;
        const uint32_t n_shares = (n_groups + 31) / 32 * N_BATCHES;
        bool are_known = false;
#pragma unroll 1
        for (uint32_t i = warp; i < n_shares || !are_known; i += GEMM_WARPS) {
            const uint32_t group = i / N_BATCHES * 32 + lane_id();
            const unsigned first_token = i % N_BATCHES * N_TOGETHER;
            const bool is_there = group < n_groups;
            share<COLUMNS> mine;
            load<COLUMNS>(plan, slice.first_step * STEP_COLUMNS + group * GROUP_COLUMNS, is_there,
                          first_token, n_tokens, mine);
            if (!are_known) {
                invert<COLUMNS>(plan, memory, warp, n_tokens);
                __syncthreads();
                are_known = true;
            }
#pragma unroll
            for (unsigned j = 0; j < N_TOGETHER && is_there; j++) {
                const unsigned token = first_token + j;
                const float by = token < n_tokens ? (float)memory.inverses[token] : 0.0f;
                shared_store_16(memory.tokens + (token * plan.token_halves + group * GROUP_COLUMNS),
                                normed(mine.x[j], mine.weight, by));
            }
        }
    }
};

} // namespace soti

#endif
