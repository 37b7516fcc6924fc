/* What lies between the prompts' products, which cuBLASLt computes: the norm in front of them,
 * rotary and the way to pages behind q, k and v, SwiGLU behind gate and up; and the copying of
 * pages. All are small beside the products, so they are written plainly. */
#include "device.cuh"
#include "kernels.h"
#include "launch.cuh"

namespace soti
{
namespace
{

constexpr unsigned STEP_THREADS = 256;
constexpr unsigned STEP_WARPS = STEP_THREADS / 32;
constexpr unsigned COPY_THREADS = 128;
constexpr unsigned ALL_LANES = 0xFFFFFFFFu;

__device__ __forceinline__ uint32_t halves_of(float low, float high)
{
    return (uint32_t)__half_as_ushort(__float2half_rn(low)) |
           (uint32_t)__half_as_ushort(__float2half_rn(high)) << 16;
}

/* Two columns of a row of n floats; 0 for one behind its end. */
__device__ __forceinline__ float2 pair_at(const float *row, uint32_t column, uint32_t n)
{
    return make_float2(row[column], column + 1 < n ? row[column + 1] : 0.0f);
}

/* The same number in all threads of a block, added up in an order that is always the same. */
__device__ __forceinline__ float sum_of_block(float sum)
{
    SHARED_ARRAY(float, warp_sums, STEP_WARPS);
    for (unsigned distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(ALL_LANES, sum, (int)distance);
    }
    if (lane_id() == 0) {
        warp_sums[warp_id()] = sum;
    }
    __syncthreads();
    float total = 0.0f;
    for (unsigned i = 0; i < STEP_WARPS; i++) {
        total += warp_sums[i];
    }
    return total;
}

/* out = x / sqrt(mean(x^2) + eps) * weight, rounded to FP16.
 *   in      x (R, d_model) FP32 from row first_row on, weight (d_model) FP32
 *   out     out (R, stride) FP16 from row 0 on; columns from d_model + d_model % 2 on untouched
 *   grid    R blocks, one a row, 256 threads
 *   tile    a thread takes columns 2 t, 2 t + 1 and so on every 512
 *   shared  32 bytes: a sum of each warp
 *   bytes   R d_model (4 + 2), the second reading of x from L1; weight from L2
 *   limit   memory
 *   sync    one barrier; deterministic, rows independent
 *   oracle  float64, tolerance one rounding to FP16 and 2^-20 of the value before it
 *           (tests/cuda/test_prefill_steps.c) */
__global__ void __launch_bounds__(STEP_THREADS)
    k_norm(uint32_t first_row, const float *x, const float *weight, float eps, uint32_t d_model,
           uint16_t *out, uint32_t stride)
{
    grid_dependency_wait();
    grid_dependency_launch();
    const float *from = x + (size_t)(first_row + blockIdx.x) * d_model;
    float sum = 0.0f;
    for (uint32_t column = 2 * threadIdx.x; column < d_model; column += 2 * STEP_THREADS) {
        const float2 pair = pair_at(from, column, d_model);
        sum += pair.x * pair.x + pair.y * pair.y;
    }
    const float factor = rsqrtf(sum_of_block(sum) / (float)d_model + eps);
    uint32_t *to = reinterpret_cast<uint32_t *>(out + (size_t)blockIdx.x * stride);
    for (uint32_t column = 2 * threadIdx.x; column < d_model; column += 2 * STEP_THREADS) {
        const float2 pair = pair_at(from, column, d_model);
        const float2 gain = pair_at(weight, column, d_model);
        to[column / 2] = halves_of(pair.x * factor * gain.x, pair.y * factor * gain.y);
    }
}

/* A head's row in q or in a page: (d_page) FP16. Heads are counted through q, k and v. */
__device__ __forceinline__ uint16_t *head_place(const soti_cuda_shape &shape,
                                                const soti_cuda_rows &rows, uint32_t row,
                                                uint32_t head, uint32_t position, uint16_t *q,
                                                soti_cuda_pages pages)
{
    if (head < shape.n_head) {
        return q + ((size_t)row * shape.n_head + head) * shape.d_page;
    }
    const uint32_t i_head = head - shape.n_head;
    uint16_t *layer = i_head < shape.n_kv ? pages.keys : pages.values;
    const uint32_t kv = i_head < shape.n_kv ? i_head : i_head - shape.n_kv;
    const size_t i_page = (size_t)rows.sequences[row] * rows.table_stride;
    const uint32_t page = rows.page_tables[i_page + position / SOTI_CUDA_PAGE_TOKENS];
    const size_t line = ((size_t)page * shape.n_kv + kv) * SOTI_CUDA_PAGE_TOKENS;
    return layer + (line + position % SOTI_CUDA_PAGE_TOKENS) * shape.d_page;
}

/* q and k turned by their positions, v as it is; q to q, k and v to pages.
 *   in      qkv (R, n_qkv) FP32 of rows first_row and on; rope (n_positions, d_head / 2, 2)
 *   out     q (., n_head, d_page) FP16 at those rows; their positions in pages; FP16 columns from
 *           d_head on untouched
 *   grid    R blocks, one a row, 256 threads
 *   tile    a thread takes one pair of one head at a time: neighbours of v's and of interleaved
 *           heads, columns i and i + d_head / 2 of half-split ones
 *   shared  none
 *   bytes   R n_qkv (4 + 2); angles from L2
 *   limit   memory
 *   sync    none; deterministic, rows independent
 *   oracle  float64, tolerance one rounding to FP16 and 2^-22 of the larger of the pair
 *           (tests/cuda/test_prefill_steps.c) */
__global__ void __launch_bounds__(STEP_THREADS)
    k_rotary_pages(soti_cuda_shape shape, soti_cuda_rows rows, uint32_t first_row, const float *qkv,
                   const float *rope, uint16_t *q, soti_cuda_pages pages)
{
    grid_dependency_wait();
    grid_dependency_launch();
    const uint32_t row = first_row + blockIdx.x;
    const uint32_t position = rows.positions[row];
    const uint32_t half = shape.d_head / 2;
    const float *from = qkv + (size_t)blockIdx.x * shape.n_qkv;
    const float *angles = rope + (size_t)position * shape.d_head;
    for (uint32_t i = threadIdx.x; i < shape.n_qkv / 2; i += STEP_THREADS) {
        const uint32_t head = i / half;
        const uint32_t pair = i % half;
        const bool is_value = head >= shape.n_head + shape.n_kv;
        const bool is_split = !is_value && shape.half_split_rope != 0;
        const uint32_t first = is_split ? pair : 2 * pair;
        const uint32_t second = is_split ? pair + half : 2 * pair + 1;
        const float a = from[head * shape.d_head + first];
        const float b = from[head * shape.d_head + second];
        const float cosine = is_value ? 1.0f : angles[2 * pair];
        const float sine = is_value ? 0.0f : angles[2 * pair + 1];
        const float turned_a = is_value ? a : a * cosine - b * sine;
        const float turned_b = is_value ? b : a * sine + b * cosine;
        uint16_t *to = head_place(shape, rows, row, head, position, q, pages);
        if (is_split) {
            to[first] = __half_as_ushort(__float2half_rn(turned_a));
            to[second] = __half_as_ushort(__float2half_rn(turned_b));
        } else {
            reinterpret_cast<uint32_t *>(to)[pair] = halves_of(turned_a, turned_b);
        }
    }
}

__device__ __forceinline__ float gated(float gate, float up)
{
    return gate / (1.0f + expf(-gate)) * up;
}

/* h = silu(gate) * up.
 *   in      gate_up (R, 2 d_ff) FP32: a row's gates, then its ups
 *   out     h (R, h_stride) FP16; columns from d_ff + d_ff % 2 on untouched
 *   grid    (ceil(d_ff / 512), R) blocks, 256 threads
 *   tile    a thread takes two neighbouring columns
 *   shared  none
 *   bytes   R d_ff (8 + 2)
 *   limit   memory
 *   sync    none; deterministic, rows independent
 *   oracle  float64, tolerance one rounding to FP16 and 2^-20 of the value before it
 *           (tests/cuda/test_prefill_steps.c) */
__global__ void __launch_bounds__(STEP_THREADS)
    k_swiglu(const float *gate_up, uint32_t d_ff, uint16_t *h, uint32_t h_stride)
{
    grid_dependency_wait();
    grid_dependency_launch();
    const uint32_t column = 2 * (blockIdx.x * STEP_THREADS + threadIdx.x);
    if (column >= d_ff) {
        return;
    }
    const float *row = gate_up + (size_t)blockIdx.y * 2 * d_ff;
    const float2 gate = pair_at(row, column, d_ff);
    const float2 up = pair_at(row + d_ff, column, d_ff);
    uint32_t *to = reinterpret_cast<uint32_t *>(h + (size_t)blockIdx.y * h_stride);
    to[column / 2] = halves_of(gated(gate.x, up.x), gated(gate.y, up.y));
}

/* The first n_tokens positions of a page, to another page.
 *   in,out  pages (n_layer, n_pages, n_kv, 16, d_page) FP16, layers layer_halves apart
 *   grid    (n_layer, n_kv, 2) blocks: keys, then values; 128 threads
 *   tile    a thread takes 16 bytes at a time
 *   shared  none
 *   bytes   4 n_layer n_kv n_tokens d_page read, as many written
 *   limit   latency: 5 MB in all for 16 positions of 7B
 *   sync    none; deterministic
 *   oracle  exact (tests/cuda/test_prefill_steps.c) */
__global__ void __launch_bounds__(COPY_THREADS)
    k_page_copy(soti_cuda_pages first_layer, size_t layer_halves, uint32_t head_halves,
                uint32_t to_page, uint32_t from_page, uint32_t n_halves)
{
    grid_dependency_wait();
    grid_dependency_launch();
    uint16_t *layer = blockIdx.z == 0 ? first_layer.keys : first_layer.values;
    layer += blockIdx.x * layer_halves;
    const uint16_t *from = layer + ((size_t)from_page * gridDim.y + blockIdx.y) * head_halves;
    uint16_t *to = layer + ((size_t)to_page * gridDim.y + blockIdx.y) * head_halves;
    for (uint32_t i = 8 * threadIdx.x; i < n_halves; i += 8 * COPY_THREADS) {
        store_16(to + i, load_16(from + i));
    }
}

} // namespace
} // namespace soti

extern "C" cudaError_t soti_launch_norm(const soti_cuda_launch *launch, uint32_t first_row,
                                        uint32_t n_rows, const float *x, const float *weight,
                                        float eps, uint32_t d_model, uint16_t *out, uint32_t stride)
{
    return soti::launch(soti::k_norm, dim3(n_rows), soti::STEP_THREADS, 0, launch->stream,
                        (int)launch->overlap, first_row, x, weight, eps, d_model, out, stride);
}

extern "C" cudaError_t
soti_launch_rotary_pages(const soti_cuda_launch *launch, const soti_cuda_shape *shape,
                         const soti_cuda_rows *rows, uint32_t first_row, uint32_t n_rows,
                         const float *qkv, const float *rope, uint16_t *q, soti_cuda_pages pages)
{
    return soti::launch(soti::k_rotary_pages, dim3(n_rows), soti::STEP_THREADS, 0, launch->stream,
                        (int)launch->overlap, *shape, *rows, first_row, qkv, rope, q, pages);
}

extern "C" cudaError_t soti_launch_swiglu(const soti_cuda_launch *launch, uint32_t n_rows,
                                          const float *gate_up, uint32_t d_ff, uint16_t *h,
                                          uint32_t h_stride)
{
    const uint32_t n_blocks = (d_ff + 2 * soti::STEP_THREADS - 1) / (2 * soti::STEP_THREADS);
    return soti::launch(soti::k_swiglu, dim3(n_blocks, n_rows), soti::STEP_THREADS, 0,
                        launch->stream, (int)launch->overlap, gate_up, d_ff, h, h_stride);
}

extern "C" cudaError_t soti_launch_page_copy(const soti_cuda_launch *launch,
                                             const soti_cuda_shape *shape,
                                             soti_cuda_pages first_layer, uint32_t n_layer,
                                             size_t layer_halves, uint32_t to_page,
                                             uint32_t from_page, uint32_t n_tokens)
{
    return soti::launch(soti::k_page_copy, dim3(n_layer, shape->n_kv, 2), soti::COPY_THREADS, 0,
                        launch->stream, (int)launch->overlap, first_layer, layer_halves,
                        SOTI_CUDA_PAGE_TOKENS * shape->d_page, to_page, from_page,
                        n_tokens * shape->d_page);
}
