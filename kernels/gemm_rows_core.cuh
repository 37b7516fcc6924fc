/* The product of FP16 weights with up to 16 rows: how weights travel from memory to the matrix
 * instructions, and how the parts of a sum come together. What the rows are is gemm_rows_input.cuh,
 * what becomes of the sums is said by the kernels, gemm_rows.cu and gemm_rows_qkv.cu, which also
 * describe them; how a product is cut is gemm_rows_cut.cu.
 *
 * A row of the batch is called a token here, so that rows are always the weights'.
 *
 *   tile    32 rows of weights: two halves of 16 neighbours, at places the kernel names
 *   step    32 columns; a slice is a run of steps, and each of a block's 8 parts a run of its
 *   block   one slice of the columns; tiles b, b + blocks of the slice, ...
 *   warp    one half of each tile (warp % 2) and one part of the slice (warp / 2)
 *
 * In a step lane 4g + t loads 16 bytes of rows g and g + 8 at column 8t. They are the row operand
 * of two mma.m16n8k16, whose columns of k are thereby taken in another order; a sum does not care,
 * as long as tokens come in the same: lane 4g + t reads 16 bytes of token g at column 8t. So
 * weights need no shared memory, and no second copy in another order.
 *
 *   GR-1  Loads do not stop at a tile's end: each register of the ring is loaded again, with what
 *         comes a chunk on, as soon as it has been used, up to the last tile.
 *   GR-2  What one warp does for a token it does for that token alone, in an order that the cut
 *         fixes: CU-1.
 *   GR-3  A tile's slices are added up by the block that finishes last; it learns so a round later,
 *         and nobody waits: blocks need not run at the same time. */
#ifndef SOTI_KERNELS_GEMM_ROWS_CORE_CUH
#define SOTI_KERNELS_GEMM_ROWS_CORE_CUH

#include "device.cuh"
#include "kernels.h"

#include <string.h>

namespace soti
{

constexpr unsigned GEMM_WARPS = 16;
constexpr unsigned GEMM_THREADS = 32 * GEMM_WARPS;
constexpr unsigned GEMM_BLOCKS_PER_SM = 1; /* so up to 128 registers */
constexpr unsigned TILE_ROWS = 32;
constexpr unsigned HALF_ROWS = 16;
constexpr unsigned SLICE_PARTS = 8;
constexpr unsigned STEP_COLUMNS = 32;
constexpr unsigned STEP_BYTES = 2 * STEP_COLUMNS;
constexpr unsigned RING_STEPS = 6;  /* a warp's 16-byte loads in flight, times 2 for two rows */
constexpr unsigned SUM_STRIDE = 36; /* floats of a token's sums of a tile: no bank conflicts */
constexpr unsigned GROUP_TOKENS = SOTI_CUDA_GROUP_ROWS;
constexpr unsigned COLUMN_TOKENS = SOTI_CUDA_COLUMN_ROWS;
constexpr unsigned WHOLE_WARP = 0xFFFFFFFFu;

/* A product and its cut, as kernels get it. */
struct gemm_plan {
    const uint16_t *weights;
    uint32_t stride;
    uint32_t n_steps; /* of a row */
    uint32_t n_slices;
    uint32_t n_tiles;
    uint32_t first_row;
    uint32_t token_halves; /* between tokens in shared memory */
    float *partials;       /* [tile][slice][token][TILE_ROWS], where there are several slices */
    uint32_t *counters;    /* [tile] slices that have been written */
    soti_gemm_ahead ahead[2];
};

/* 16 neighbouring rows of weights, as many as there are. */
struct half_rows {
    uint32_t first;
    uint32_t n;
};

/* Shared memory of a block: the slice's tokens; sums of two tiles, [part][token][SUM_STRIDE];
 * 1 / root mean square of each token; whether this block adds up the slices of two tiles. A token's
 * steps are made odd, so that neighbours lie 64 bytes apart modulo 128: no bank conflicts. */
inline uint32_t gemm_token_halves(uint32_t n_slice_steps)
{
    return (n_slice_steps | 1) * STEP_COLUMNS;
}

inline size_t gemm_shared_bytes(uint32_t n_slice_steps, uint32_t n_columns)
{
    size_t token = sizeof(uint16_t) * gemm_token_halves(n_slice_steps) +
                   2 * SLICE_PARTS * SUM_STRIDE * sizeof(float) + sizeof(float);
    return COLUMN_TOKENS * n_columns * token + 2 * sizeof(uint32_t);
}

template <unsigned COLUMNS> struct gemm_shared {
    shared<half> tokens;
    shared<float> sums;
    shared<float> inverses;
    shared<uint32_t> is_last;

    static constexpr unsigned N_TOKENS = COLUMNS * COLUMN_TOKENS;
    static constexpr unsigned TILE_SUMS = SLICE_PARTS * N_TOKENS * SUM_STRIDE;

    __device__ __forceinline__ explicit gemm_shared(const gemm_plan &plan)
    {
        unsigned at = N_TOKENS * plan.token_halves * (unsigned)sizeof(half);
        tokens = shared_memory<half>(0);
        sums = shared_memory<float>(at);
        at += 2 * TILE_SUMS * (unsigned)sizeof(float);
        inverses = shared_memory<float>(at);
        at += N_TOKENS * (unsigned)sizeof(float);
        is_last = shared_memory<uint32_t>(at);
    }
};

__device__ __forceinline__ float warp_sum(float value)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(WHOLE_WARP, value, distance);
    }
    return value;
}

/* warp_id() as lane 0 has it: lets the compiler see that all lanes have the same. */
__device__ __forceinline__ unsigned uniform_warp_id()
{
    return __shfl_sync(WHOLE_WARP, warp_id(), 0);
}

/* A block's columns, and of them a warp's. */
struct slice_columns {
    uint32_t first_step; /* of the row */
    uint32_t n_steps;
};

__device__ __forceinline__ slice_columns slice_of_block(const gemm_plan &plan)
{
    uint32_t slice = blockIdx.x % plan.n_slices;
    uint32_t begin = slice * plan.n_steps / plan.n_slices;
    return {begin, (slice + 1) * plan.n_steps / plan.n_slices - begin};
}

/* A warp's steps of a slice, in chunks of up to RING_STEPS that differ by one at most. */
struct warp_steps {
    uint32_t warp;
    uint32_t first_step; /* within the slice */
    uint32_t n_chunks;
    uint32_t n_chunk_steps; /* of the shorter chunks */
    uint32_t n_longer;      /* the first chunks: one step more */

    __device__ __forceinline__ explicit warp_steps(const slice_columns &slice)
    {
        warp = uniform_warp_id();
        const uint32_t part = warp / 2;
        first_step = part * slice.n_steps / SLICE_PARTS;
        uint32_t n_steps = (part + 1) * slice.n_steps / SLICE_PARTS - first_step;
        n_chunks = (n_steps + RING_STEPS - 1) / RING_STEPS;
        n_chunk_steps = n_chunks == 0 ? 0 : n_steps / n_chunks;
        n_longer = n_steps - n_chunks * n_chunk_steps;
    }

    __device__ __forceinline__ uint32_t size(uint32_t i_chunk) const
    {
        return i_chunk < n_chunks ? n_chunk_steps + (i_chunk < n_longer ? 1 : 0) : 0;
    }
};

/* This thread's lines of what comes after the product. */
__device__ __forceinline__ void fetch_ahead(const gemm_plan &plan, unsigned warp)
{
    constexpr size_t LINE_BYTES = 128;
    const size_t first =
        ((size_t)blockIdx.x * GEMM_THREADS + warp * 32 + lane_id_anew()) * LINE_BYTES;
#pragma unroll
    for (unsigned i = 0; i < 2; i++) {
#pragma unroll 1
        for (size_t at = first; at < plan.ahead[i].n_bytes;
             at += (size_t)gridDim.x * GEMM_THREADS * LINE_BYTES) {
            prefetch_l2(static_cast<const char *>(plan.ahead[i].at) + at);
        }
    }
}

/* A warp's weights on their way: what has been asked for, and where the next chunk lies. */
struct weight_ring {
    uint4 of_row[RING_STEPS][2]; /* this lane's of rows g and g + 8 */
    const uint16_t *next[2];
    uint32_t n_next;

    /* At the first chunk of a tile. Rows that do not exist read one that does. */
    template <class Output>
    __device__ __forceinline__ void aim(const gemm_plan &plan, const Output &output,
                                        const slice_columns &slice, const warp_steps &steps,
                                        uint32_t tile)
    {
        n_next = tile < plan.n_tiles ? steps.size(0) : 0;
        if (n_next == 0) {
            return;
        }
        const half_rows rows = output.rows_of(tile, steps.warp % 2);
        const unsigned lane = lane_id_anew();
        const uint32_t column = (slice.first_step + steps.first_step) * STEP_COLUMNS + lane % 4 * 8;
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            uint32_t row = lane / 4 + 8 * i;
            row = rows.n == 0 ? 0 : rows.first + (row < rows.n ? row : rows.n - 1);
            next[i] = plan.weights + (size_t)row * plan.stride + column;
        }
    }

    /* At the chunk of the same tile behind the one that next points to. */
    __device__ __forceinline__ void advance(uint32_t n_steps)
    {
        next[0] += n_next * STEP_COLUMNS;
        next[1] += n_next * STEP_COLUMNS;
        n_next = n_steps;
    }

    __device__ __forceinline__ void load(unsigned j)
    {
        if (j < n_next) {
            of_row[j][0] = load_stream_16(next[0] + j * STEP_COLUMNS);
            of_row[j][1] = load_stream_16(next[1] + j * STEP_COLUMNS);
        }
    }
};

/* One tile's sums of this warp's part into shared memory; loads run on into next_tile. */
template <unsigned COLUMNS, class Output>
__device__ __forceinline__ void
multiply_tile(weight_ring &ring, const gemm_plan &plan, const Output &output,
              const slice_columns &slice, const warp_steps &steps,
              const gemm_shared<COLUMNS> &memory, uint32_t next_tile, shared<float> sums)
{
    const unsigned g = lane_id() / 4, t = lane_id() % 4;
    float d[COLUMNS][4];
#pragma unroll
    for (unsigned c = 0; c < COLUMNS; c++) {
        d[c][0] = d[c][1] = d[c][2] = d[c][3] = 0.0f;
    }
    shared<half> token =
        memory.tokens + (g * plan.token_halves + steps.first_step * STEP_COLUMNS + t * 8);
#pragma unroll 1
    for (uint32_t chunk = 0; chunk < steps.n_chunks; chunk++) {
        const uint32_t n = steps.size(chunk);
        if (chunk + 1 < steps.n_chunks) {
            ring.advance(steps.size(chunk + 1));
        } else {
            ring.aim(plan, output, slice, steps, next_tile);
            if (next_tile >= plan.n_tiles) {
                fetch_ahead(plan, steps.warp);
            }
        }
#pragma unroll
        for (unsigned j = 0; j < RING_STEPS; j++) {
            if (j < n) {
                const uint4 low = ring.of_row[j][0], high = ring.of_row[j][1];
                const uint32_t first[4] = {low.x, high.x, low.y, high.y};
                const uint32_t second[4] = {low.z, high.z, low.w, high.w};
                uint4 b[COLUMNS];
#pragma unroll
                for (unsigned c = 0; c < COLUMNS; c++) {
                    b[c] = shared_load_16(
                        token + (c * COLUMN_TOKENS * plan.token_halves + j * STEP_COLUMNS));
                }
#pragma unroll
                for (unsigned c = 0; c < COLUMNS; c++) {
                    mma_m16n8k16(d[c], first, {b[c].x, b[c].y});
                }
#pragma unroll
                for (unsigned c = 0; c < COLUMNS; c++) {
                    mma_m16n8k16(d[c], second, {b[c].z, b[c].w});
                }
            }
            ring.load(j);
        }
        token += n * STEP_COLUMNS;
    }
    const unsigned part = steps.warp / 2, row = steps.warp % 2 * HALF_ROWS + g;
#pragma unroll
    for (unsigned c = 0; c < COLUMNS; c++) {
        const unsigned i_token = part * gemm_shared<COLUMNS>::N_TOKENS + c * COLUMN_TOKENS + 2 * t;
        sums[i_token * SUM_STRIDE + row] = d[c][0];
        sums[(i_token + 1) * SUM_STRIDE + row] = d[c][1];
        sums[i_token * SUM_STRIDE + row + 8] = d[c][2];
        sums[(i_token + 1) * SUM_STRIDE + row + 8] = d[c][3];
    }
}

/* Row lane_id() of a tile for one token, over the block's slice. */
template <unsigned COLUMNS>
__device__ __forceinline__ float sum_of_parts(shared<float> sums, unsigned token)
{
    float sum = 0.0f;
#pragma unroll
    for (unsigned part = 0; part < SLICE_PARTS; part++) {
        sum += sums[(part * gemm_shared<COLUMNS>::N_TOKENS + token) * SUM_STRIDE + lane_id()];
    }
    return sum;
}

__device__ __forceinline__ float *partial_at(const gemm_plan &plan, uint32_t tile, uint32_t slice,
                                             unsigned token)
{
    size_t i_token = ((size_t)tile * plan.n_slices + slice) * GROUP_TOKENS + token;
    return plan.partials + i_token * TILE_ROWS + lane_id();
}

/* One thread says that the block's partial of a tile is written, by all threads and before the last
 * barrier, and leaves in is_last whether all slices' are. */
__device__ __forceinline__ void count_slice(const gemm_plan &plan, uint32_t tile,
                                            shared<uint32_t> is_last)
{
    fence_device();
    uint32_t before = atomicAdd(&plan.counters[tile], 1u);
    *is_last = before + 1 == plan.n_slices ? 1u : 0u;
    if (before + 1 == plan.n_slices) {
        plan.counters[tile] = 0;
        fence_device();
    }
}

/* Adds up the slices of a tile for this warp's token, and hands the sums on. */
template <class Output>
__device__ __forceinline__ void add_slices(const gemm_plan &plan, const Output &output,
                                           uint32_t tile, unsigned token)
{
    constexpr uint32_t N_AHEAD = 4;
    const float ahead = output.ahead(tile, token);
    float sum = 0.0f;
#pragma unroll 1
    for (uint32_t slice = 0; slice < plan.n_slices; slice += N_AHEAD) {
        float part[N_AHEAD];
#pragma unroll
        for (uint32_t i = 0; i < N_AHEAD; i++) {
            part[i] = slice + i < plan.n_slices
                          ? load_fresh(partial_at(plan, tile, slice + i, token))
                          : 0.0f;
        }
#pragma unroll
        for (uint32_t i = 0; i < N_AHEAD; i++) {
            sum += part[i];
        }
    }
    output.store(tile, token, sum, ahead);
}

/* What a block does. Input has
 *     uint32_t n_rows()                         of the batch; read from device memory
 *     template <unsigned COLUMNS> void stage(...)    tokens of the slice to shared memory
 * and Output, whose functions a whole warp calls, lane i being row i of a tile,
 *     half_rows rows_of(tile, half)             where a tile's weights are
 *     float ahead(tile, token)                  what store will need from memory, asked for early
 *     void store(tile, token, sum, ahead)
 *
 * Round i multiplies tile i. With several slices it also tells the others of tile i - 1, whose
 * partials lie before the round's barrier, and adds up tile i - 2 if this block was told to; two
 * rounds without a product end it. So neither the fence nor the counter's way to memory and back
 * holds up more than one warp, whose loads are on their way meanwhile (GR-1). */
template <unsigned COLUMNS, class Input, class Output>
__device__ __forceinline__ void gemm_rows(const gemm_plan &plan, const Input &input,
                                          const Output &output)
{
    const gemm_shared<COLUMNS> memory(plan);
    const slice_columns slice = slice_of_block(plan);
    const warp_steps steps(slice);
    const uint32_t tile_step = gridDim.x / plan.n_slices;
    const uint32_t first_tile = blockIdx.x / plan.n_slices;
    weight_ring ring;
    ring.aim(plan, output, slice, steps, first_tile);
#pragma unroll
    for (unsigned j = 0; j < RING_STEPS; j++) {
        ring.load(j);
    }
    const uint32_t n_rows = input.n_rows(); /* CU-3 */
    grid_dependency_wait();
    if (n_rows <= plan.first_row) {
        return;
    }
    const uint32_t n_left = n_rows - plan.first_row;
    const uint32_t n_tokens = n_left < COLUMNS * COLUMN_TOKENS ? n_left : COLUMNS * COLUMN_TOKENS;
    input.template stage<COLUMNS>(plan, slice, memory, steps.warp, n_tokens);
    __syncthreads();
    grid_dependency_launch();

    const bool is_sliced = plan.n_slices > 1;
    const unsigned token = steps.warp; /* whose sums this warp sees to */
    const uint32_t n_tiles = (plan.n_tiles - first_tile + tile_step - 1) / tile_step;
#pragma unroll 1
    for (uint32_t i = 0; i < n_tiles + (is_sliced ? 2 : 0); i++) {
        const uint32_t tile = first_tile + i * tile_step;
        shared<float> sums = memory.sums + i % 2 * gemm_shared<COLUMNS>::TILE_SUMS;
        if (i < n_tiles) {
            multiply_tile(ring, plan, output, slice, steps, memory, tile + tile_step, sums);
        }
        __syncthreads();
        if (is_sliced && i >= 1 && i <= n_tiles && threadIdx.x == i % GEMM_WARPS * 32) {
            count_slice(plan, tile - tile_step, memory.is_last + i % 2);
        }
        if (token >= n_tokens) {
            continue;
        }
        if (i < n_tiles) {
            const float ahead = is_sliced ? 0.0f : output.ahead(tile, token);
            const float sum = sum_of_parts<COLUMNS>(sums, token);
            if (is_sliced) {
                *partial_at(plan, tile, blockIdx.x % plan.n_slices, token) = sum;
            } else {
                output.store(tile, token, sum, ahead);
            }
        }
        if (i >= 2 && is_sliced && memory.is_last[(i - 1) % 2] != 0) {
            add_slices(plan, output, tile - 2 * tile_step, token);
        }
    }
}

} // namespace soti

#endif
