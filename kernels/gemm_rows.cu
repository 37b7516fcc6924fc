/* Products of FP16 weights with up to 16 generated rows whose epilogues need nothing but a tile:
 * gate and up, the two behind which x grows, and logits. gemm_rows_core.cuh is where to start
 * reading; q, k, v are in gemm_rows_qkv.cu.
 *
 * All variants, with K = stride, S = n_slices, N = n_out, R = rows (<= 8 n_columns):
 *   grid    cut.n_blocks, about one a multiprocessor: each a slice, and tiles of 32 rows in turn
 *   block   512 threads, 16 warps: 2 halves of a tile x 8 parts of the slice; <= 128 registers
 *   shared  8 n_columns (64 (ceil(K / 32 / S) | 1) + 2308) + 8 bytes
 *   bytes   2 N K of weights, once; n_blocks R K / S (2 or 4) of rows out of L2; where S > 1,
 *           4 N R S written and read again of partials, in L2; 4 N R of results; for the next
 *           launch, ahead's into L2
 *   limit   memory: up to 96 KiB of weights are on their way for each block at any time; how much
 *           the rest comes to is in gemm_rows_cut.cu
 *   sync    one __syncthreads a tile; slices by a counter a tile, no block waits for another;
 *           deterministic: steps, parts, slices are added in this order, always
 *   oracle  float64 loops over the FP16 operands (tests/cuda/test_gemm_rows.c); tolerance: the
 *           bound of an FP32 sum, 2^-23 (K / 8 + 24 + S) sum |a b|, and the FP16 roundings, of
 *           norm(x) and h, that FP32 may have turned the other way */
#include "gemm_rows_input.cuh"
#include "gemm_rows_launch.cuh"

namespace soti
{
namespace
{

__device__ __forceinline__ half_rows rows_before(uint32_t first, uint32_t end)
{
    const uint32_t n = first < end ? end - first : 0;
    return {first, n < HALF_ROWS ? n : HALF_ROWS};
}

/* x += sums; a tile is the 32 columns of one entry of square_sums. */
struct residual_output {
    float *x;
    float *square_sums;
    uint32_t d_model;
    uint32_t first_row;

    __device__ __forceinline__ half_rows rows_of(uint32_t tile, unsigned half) const
    {
        return rows_before(tile * TILE_ROWS + half * HALF_ROWS, d_model);
    }

    __device__ __forceinline__ float *place(uint32_t tile, unsigned token) const
    {
        return x + (size_t)(first_row + token) * d_model + tile * TILE_ROWS + lane_id();
    }

    __device__ __forceinline__ float ahead(uint32_t tile, unsigned token) const
    {
        return tile * TILE_ROWS + lane_id() < d_model ? *place(tile, token) : 0.0f;
    }

    __device__ __forceinline__ void store(uint32_t tile, unsigned token, float sum,
                                          float before) const
    {
        const bool is_there = tile * TILE_ROWS + lane_id() < d_model;
        const float value = is_there ? before + sum : 0.0f;
        const float square_sum = warp_sum(value * value);
        if (is_there) {
            *place(tile, token) = value;
        }
        if (lane_id() == 0) {
            const uint32_t n_sums = (d_model + TILE_ROWS - 1) / TILE_ROWS;
            square_sums[(size_t)(first_row + token) * n_sums + tile] = square_sum;
        }
    }
};
static_assert(TILE_ROWS == SOTI_CUDA_SUM_COLUMNS);

/* h = silu(gate) * up; a tile is 16 rows of gate and the same of up. */
struct gate_up_output {
    uint16_t *h;
    uint32_t d_ff;
    uint32_t h_stride;
    uint32_t first_row;

    __device__ __forceinline__ half_rows rows_of(uint32_t tile, unsigned half) const
    {
        half_rows rows = rows_before(tile * HALF_ROWS, d_ff);
        rows.first += half * d_ff;
        return rows;
    }

    __device__ __forceinline__ float ahead(uint32_t, unsigned) const
    {
        return 0.0f;
    }

    __device__ __forceinline__ void store(uint32_t tile, unsigned token, float sum, float) const
    {
        const float up = __shfl_down_sync(WHOLE_WARP, sum, HALF_ROWS);
        const uint32_t column = tile * HALF_ROWS + lane_id();
        if (lane_id() < HALF_ROWS && column < d_ff) {
            const float value = sum / (1.0f + expf(-sum)) * up;
            h[(size_t)(first_row + token) * h_stride + column] =
                __half_as_ushort(__float2half_rn(value));
        }
    }
};

struct logits_output {
    float *logits;
    uint32_t n_vocab;
    uint32_t first_row;

    __device__ __forceinline__ half_rows rows_of(uint32_t tile, unsigned half) const
    {
        return rows_before(tile * TILE_ROWS + half * HALF_ROWS, n_vocab);
    }

    __device__ __forceinline__ float ahead(uint32_t, unsigned) const
    {
        return 0.0f;
    }

    __device__ __forceinline__ void store(uint32_t tile, unsigned token, float sum, float) const
    {
        const uint32_t column = tile * TILE_ROWS + lane_id();
        if (column < n_vocab) {
            logits[(size_t)(first_row + token) * n_vocab + column] = sum;
        }
    }
};

/* x (R, N) FP32 += input (R, K) FP16 times weights (N, K)'; square_sums (R, ceil(N / 32)) renewed.
 * Beyond the file's comment: 4 N R of x read, ahead of the sums. */
template <unsigned COLUMNS>
__global__ void __launch_bounds__(GEMM_THREADS, GEMM_BLOCKS_PER_SM)
    k_gemm_rows_residual(gemm_plan plan, half_input input, residual_output output)
{
    gemm_rows<COLUMNS>(plan, input, output);
}

/* h (R, h_stride) FP16 = silu(norm(x) gate') * norm(x) up'; weights (2 d_ff, K), gate first.
 * Results are 2 d_ff R bytes. */
template <unsigned COLUMNS>
__global__ void __launch_bounds__(GEMM_THREADS, GEMM_BLOCKS_PER_SM)
    k_gemm_rows_gate_up(gemm_plan plan, norm_input<false> input, gate_up_output output)
{
    gemm_rows<COLUMNS>(plan, input, output);
}

/* logits (R, N) FP32 = norm(x[logit_rows]) weights'. */
template <unsigned COLUMNS>
__global__ void __launch_bounds__(GEMM_THREADS, GEMM_BLOCKS_PER_SM)
    k_gemm_rows_logits(gemm_plan plan, norm_input<true> input, logits_output output)
{
    gemm_rows<COLUMNS>(plan, input, output);
}

} // namespace
} // namespace soti

extern "C" {

cudaError_t soti_launch_gemm_rows_residual(const soti_cuda_launch *at,
                                           const soti_gemm_rows *product,
                                           const soti_cuda_rows *rows, const uint16_t *input,
                                           float *x, float *square_sums)
{
    using namespace soti;
    if (!gemm_product_is_valid(product, 1)) {
        return cudaErrorInvalidValue;
    }
    const gemm_plan plan = gemm_plan_of(product, 1);
    const half_input in = {rows->counts, input};
    const residual_output out = {x, square_sums, product->n_out, product->first_row};
    return gemm_launch(at, product, k_gemm_rows_residual<1>, k_gemm_rows_residual<2>, plan, in,
                       out);
}

cudaError_t soti_launch_gemm_rows_gate_up(const soti_cuda_launch *at, const soti_gemm_rows *product,
                                          const soti_cuda_rows *rows, const soti_cuda_norm *input,
                                          uint16_t *h, uint32_t h_stride)
{
    using namespace soti;
    if (!gemm_product_is_valid(product, 1) || product->n_out % 2 != 0) {
        return cudaErrorInvalidValue;
    }
    const gemm_plan plan = gemm_plan_of(product, 1);
    const norm_input<false> in = {&rows->counts->n_rows, nullptr, *input, product->n_in};
    const gate_up_output out = {h, product->n_out / 2, h_stride, product->first_row};
    return gemm_launch(at, product, k_gemm_rows_gate_up<1>, k_gemm_rows_gate_up<2>, plan, in, out);
}

cudaError_t soti_launch_gemm_rows_logits(const soti_cuda_launch *at, const soti_gemm_rows *product,
                                         const soti_cuda_rows *rows, const soti_cuda_norm *input,
                                         float *logits)
{
    using namespace soti;
    if (!gemm_product_is_valid(product, 1)) {
        return cudaErrorInvalidValue;
    }
    const gemm_plan plan = gemm_plan_of(product, 1);
    const norm_input<true> in = {&rows->counts->n_logits, rows->logit_rows, *input, product->n_in};
    const logits_output out = {logits, product->n_out, product->first_row};
    return gemm_launch(at, product, k_gemm_rows_logits<1>, k_gemm_rows_logits<2>, plan, in, out);
}

} // extern "C"
