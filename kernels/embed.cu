/* The first and the last of a step's small kernels: x from the embedding, and the sums of squares
 * of the rows that logits are wanted of. Both leave square_sums as gemm_rows' norm reads them. */
#include "device.cuh"
#include "kernels.h"
#include "launch.cuh"

namespace soti
{
namespace
{

constexpr unsigned EMBED_THREADS = 256;
constexpr unsigned EMBED_WARPS = EMBED_THREADS / 32;
constexpr unsigned LANE_COLUMNS = 8;
constexpr unsigned SUM_COLUMNS = SOTI_CUDA_SUM_COLUMNS;
constexpr unsigned SUM_LANES = SUM_COLUMNS / LANE_COLUMNS;
constexpr unsigned EVERY_LANE = 0xFFFFFFFFu;

__device__ __forceinline__ float2 floats_of_halves(uint32_t bits)
{
    return make_float2(__half2float(__ushort_as_half((unsigned short)(bits & 0xFFFF))),
                       __half2float(__ushort_as_half((unsigned short)(bits >> 16))));
}

/* x = embedding[token], and its sums of squares.
 *   in      tokens (R), embedding (n_vocab, stride) FP16, columns from d_model on unused
 *   out     x (R, d_model) FP32, square_sums (R, ceil(d_model / 32)) FP32
 *   grid    n_rows_max blocks, one a row (those beyond counts->n_rows end at once), 256 threads
 *   tile    a warp takes 256 columns, a lane 8: 16 bytes in, 32 out
 *   shared  none
 *   bytes   R d_model (2 + 4) and 4 R ceil(d_model / 32)
 *   limit   latency: a decode step has 16 rows of 8 KB; prompts: memory
 *   sync    none but within a warp; deterministic
 *   oracle  exact for x; square_sums: float64, tolerance 32 2^-24 of the sum, an FP32 sum's bound
 *           (tests/cuda/test_embed.c) */
__global__ void __launch_bounds__(EMBED_THREADS)
    k_embed(soti_cuda_rows rows, const uint16_t *embedding, uint32_t stride, uint32_t d_model,
            float *x, float *square_sums)
{
    grid_dependency_wait();
    grid_dependency_launch();
    const uint32_t row = blockIdx.x;
    if (row >= rows.counts->n_rows) {
        return;
    }
    const uint16_t *from = embedding + (size_t)rows.tokens[row] * stride;
    float *to = x + (size_t)row * d_model;
    const uint32_t n_sums = (d_model + SUM_COLUMNS - 1) / SUM_COLUMNS;
    for (uint32_t first = warp_id() * 32 * LANE_COLUMNS; first < d_model;
         first += EMBED_THREADS * LANE_COLUMNS) {
        const uint32_t column = first + lane_id() * LANE_COLUMNS;
        uint4 halves = make_uint4(0, 0, 0, 0);
        if (column < d_model) {
            halves = load_16(from + column);
        }
        const uint32_t pairs[4] = {halves.x, halves.y, halves.z, halves.w};
        float sum = 0.0f;
#pragma unroll
        for (unsigned i = 0; i < LANE_COLUMNS / 2; i++) {
            const float2 pair = floats_of_halves(pairs[i]);
            const uint32_t at = column + 2 * i;
            if (d_model % 2 == 0 && at < d_model) {
                *reinterpret_cast<float2 *>(to + at) = pair;
                sum += pair.x * pair.x;
                sum += pair.y * pair.y;
            } else if (at < d_model) {
                to[at] = pair.x;
                sum += pair.x * pair.x;
                if (at + 1 < d_model) {
                    to[at + 1] = pair.y;
                    sum += pair.y * pair.y;
                }
            }
        }
        sum += __shfl_xor_sync(EVERY_LANE, sum, 1);
        sum += __shfl_xor_sync(EVERY_LANE, sum, 2);
        if (column < d_model && lane_id() % SUM_LANES == 0) {
            square_sums[(size_t)row * n_sums + column / SUM_COLUMNS] = sum;
        }
    }
}

/* square_sums of the rows that logit_rows names, in the order in which gemm_rows' residual adds
 * them up, so that a row of x has the same sums whoever made it.
 *   in      logit_rows (n_logits), x (R, d_model) FP32
 *   out     square_sums (R, ceil(d_model / 32)) FP32, of those rows
 *   grid    n_logits_max blocks, one a row (those beyond counts->n_logits end at once), 256 threads
 *   tile    a warp takes 32 columns, a lane one
 *   shared  none
 *   bytes   n_logits d_model (4 + 4 / 32)
 *   limit   latency
 *   sync    none but within a warp; deterministic
 *   oracle  float64, tolerance as k_embed */
__global__ void __launch_bounds__(EMBED_THREADS)
    k_logit_sums(soti_cuda_rows rows, const float *x, uint32_t d_model, float *square_sums)
{
    grid_dependency_wait();
    grid_dependency_launch();
    if (blockIdx.x >= rows.counts->n_logits) {
        return;
    }
    const uint32_t row = rows.logit_rows[blockIdx.x];
    const float *from = x + (size_t)row * d_model;
    const uint32_t n_sums = (d_model + SUM_COLUMNS - 1) / SUM_COLUMNS;
#pragma unroll 4
    for (uint32_t i_sum = warp_id(); i_sum < n_sums; i_sum += EMBED_WARPS) {
        const uint32_t column = i_sum * SUM_COLUMNS + lane_id();
        const float value = column < d_model ? from[column] : 0.0f;
        float sum = value * value;
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) {
            sum += __shfl_xor_sync(EVERY_LANE, sum, distance);
        }
        if (lane_id() == 0) {
            square_sums[(size_t)row * n_sums + i_sum] = sum;
        }
    }
}

} // namespace
} // namespace soti

extern "C" {

cudaError_t soti_launch_embed(const soti_cuda_launch *at, const soti_cuda_rows *rows,
                              uint32_t n_rows_max, const uint16_t *embedding, uint32_t stride,
                              uint32_t d_model, float *x, float *square_sums)
{
    using namespace soti;
    if (stride % SOTI_CUDA_PAD != 0 || d_model == 0 || d_model > stride) {
        return cudaErrorInvalidValue;
    }
    return launch(k_embed, dim3(n_rows_max), EMBED_THREADS, 0, at->stream, (int)at->overlap, *rows,
                  embedding, stride, d_model, x, square_sums);
}

cudaError_t soti_launch_logit_sums(const soti_cuda_launch *at, const soti_cuda_rows *rows,
                                   uint32_t n_logits_max, const float *x, uint32_t d_model,
                                   float *square_sums)
{
    using namespace soti;
    return launch(k_logit_sums, dim3(n_logits_max), EMBED_THREADS, 0, at->stream, (int)at->overlap,
                  *rows, x, d_model, square_sums);
}

} // extern "C"
