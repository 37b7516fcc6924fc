/* Attention of the prompts' rows: tiles of up to 64 neighbouring rows of a sequence against all
 * keys up to the last that one of them sees, 64 at a time, with a running softmax. The cut of the
 * context is fixed by positions; how a prompt was cut into batches and tiles changes no bit. */
#include "attention.cuh"
#include "launch.cuh"

using namespace soti;

namespace
{

enum {
    N_WARPS = 4,
    N_THREADS = N_WARPS * 32,
    BLOCKS_PER_SM = 2,
    WARP_ROWS = 16,
    KEYS = 64, /* of a tile */
    KEY_TILES = KEYS / 8,
    TILE_PAGES = KEYS / SOTI_CUDA_PAGE_TOKENS,
    STAGES = 2
};
static_assert(N_WARPS * WARP_ROWS == SOTI_CUDA_PROMPT_TILE_ROWS, "a warp for each 16 rows");

/* A tile of keys or values in shared memory: rows 16 bytes further apart than they need, so that
 * the eight rows that ldmatrix fetches at once lie in different banks. */
template <int D> struct tile_layout {
    static constexpr uint32_t ROW = D + 8;
    static constexpr uint32_t HALVES = KEYS * ROW;
    static constexpr size_t SHARED_BYTES = (size_t)STAGES * 2 * HALVES * sizeof(uint16_t);
};

/* The rows of a block, as a warp sees them. */
struct prefill_rows {
    uint32_t first_row, n_rows, i_head, i_kv, sequence;
    uint32_t i_last;   /* last position that any row of the block sees */
    uint32_t own[2];   /* positions of this lane's rows g and g + 8; 0 behind the last row */
    uint32_t earliest; /* of the warp's positions */
    uint32_t latest;
};

__device__ __forceinline__ prefill_rows read_rows(const attention_shape &shape,
                                                  const soti_cuda_rows &rows, uint32_t i_tile)
{
    soti_cuda_tile tile = rows.tiles[i_tile];
    uint32_t lane = lane_id();
    uint32_t position[2];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t i_row = i * 32 + lane;
        position[i] = i_row < tile.n_rows ? rows.positions[tile.first_row + i_row] : 0;
    }
    prefill_rows block;
    block.first_row = tile.first_row;
    block.n_rows = tile.n_rows;
    block.i_head = blockIdx.x;
    block.i_kv = blockIdx.x / (shape.n_head / shape.n_kv);
    block.sequence = rows.sequences[tile.first_row];
    block.i_last =
        __reduce_max_sync(ALL_LANES, position[0] > position[1] ? position[0] : position[1]);
    uint32_t of_half = warp_id() < N_WARPS / 2 ? position[0] : position[1];
    int i_first = (int)(warp_id() % 2 * WARP_ROWS + lane / 4);
    block.own[0] = __shfl_sync(ALL_LANES, of_half, i_first);
    block.own[1] = __shfl_sync(ALL_LANES, of_half, i_first + 8);
    block.earliest =
        __reduce_min_sync(ALL_LANES, block.own[0] < block.own[1] ? block.own[0] : block.own[1]);
    block.latest =
        __reduce_max_sync(ALL_LANES, block.own[0] > block.own[1] ? block.own[0] : block.own[1]);
    return block;
}

/* The warp's 16 rows of q as the operand of each 16 columns. */
template <int D>
__device__ __forceinline__ void load_queries(uint32_t (&query)[D / 16][4],
                                             const attention_shape &shape,
                                             const prefill_rows &block, const uint32_t *q_pairs)
{
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t i_row = warp_id() * WARP_ROWS + h * 8 + lane_id() / 4;
        bool is_there = i_row < block.n_rows;
        const uint32_t *from =
            q_pairs + ((size_t)(block.first_row + i_row) * shape.n_head + block.i_head) * (D / 2) +
            lane_id() % 4;
#pragma unroll
        for (uint32_t step = 0; step < D / 16; step++) {
            query[step][h] = is_there ? from[step * 8] : 0;
            query[step][h + 2] = is_there ? from[step * 8 + 4] : 0;
        }
    }
}

/* Starts the copies of a tile's keys and values. Zeros where no row of the block looks: 0 times
 * what was never written could be NaN. */
template <int D>
__device__ __forceinline__ void fetch_tile(shared<half> keys, shared<half> values,
                                           const attention_shape &shape, const prefill_rows &block,
                                           const soti_cuda_rows &rows, const soti_cuda_pages &pages,
                                           uint32_t i_first)
{
    constexpr uint32_t ROW_THREADS = D / 8; /* 16 bytes each */
    constexpr uint32_t STEP_ROWS = N_THREADS / ROW_THREADS;
    uint32_t column = threadIdx.x % ROW_THREADS * 8;
#pragma unroll
    for (uint32_t p = 0; p < TILE_PAGES; p++) {
        uint32_t i_page_position = i_first + p * PAGE_TOKENS;
        size_t page = 0;
        if (i_page_position <= block.i_last) {
            page = page_offset<D>(rows, shape.n_kv, block.sequence, block.i_kv, i_page_position);
        }
#pragma unroll
        for (uint32_t r = 0; r < PAGE_TOKENS; r += STEP_ROWS) {
            uint32_t i_row = r + threadIdx.x / ROW_THREADS;
            uint32_t to = (p * PAGE_TOKENS + i_row) * tile_layout<D>::ROW + column;
            if (i_page_position + i_row <= block.i_last) {
                cp_async_16(keys + to, pages.keys + page + i_row * D + column);
                cp_async_16(values + to, pages.values + page + i_row * D + column);
            } else {
                shared_store_16(keys + to, make_uint4(0, 0, 0, 0));
                shared_store_16(values + to, make_uint4(0, 0, 0, 0));
            }
        }
    }
    cp_async_commit();
}

/* The running softmax of rows g and g + 8, and their sums of values: sums[j] holds columns 8j + 2t
 * and 8j + 2t + 1. */
template <int D> struct prefill_state {
    float largest[2], total[2];
    float sums[D / 8][4];
};

template <int D>
__device__ __forceinline__ void score_tile(float (&scores)[KEY_TILES][4],
                                           const uint32_t (&query)[D / 16][4], shared<half> keys)
{
    uint32_t lane = lane_id();
    shared<half> from =
        keys + ((lane % 8 + lane / 16 * 8) * tile_layout<D>::ROW + lane / 8 % 2 * 8);
#pragma unroll
    for (uint32_t step = 0; step < D / 16; step++) {
#pragma unroll
        for (uint32_t i = 0; i < KEY_TILES; i += 2) {
            uint32_t key[4];
            ldmatrix_x4(key, from + (i * 8 * tile_layout<D>::ROW + step * 16));
            const uint32_t b[2] = {key[0], key[1]};
            const uint32_t b_next[2] = {key[2], key[3]};
            mma_m16n8k16(scores[i], query[step], b);
            mma_m16n8k16(scores[i + 1], query[step], b_next);
        }
    }
}

/* Scores of a tile to weights, relative to the largest score so far; what was summed up before is
 * brought to the same scale. A tile of which a row sees nothing leaves the row's state as it is,
 * bit for bit: the factor is 1 and the weights are 0. */
template <int D>
__device__ __forceinline__ void weigh_tile(uint32_t (&weights)[TILE_PAGES][4],
                                           prefill_state<D> &state, float (&scores)[KEY_TILES][4],
                                           const prefill_rows &block, float scale, uint32_t i_first)
{
    bool is_masked = i_first + KEYS - 1 > block.earliest;
    uint32_t i_column = i_first + lane_id() % 4 * 2;
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        float largest = state.largest[h];
#pragma unroll
        for (uint32_t i = 0; i < KEY_TILES * 2; i++) {
            float &value = scores[i / 2][h * 2 + i % 2];
            value *= scale;
            if (is_masked && i_column + i / 2 * 8 + i % 2 > block.own[h]) {
                value = -INFINITY;
            }
            largest = fmaxf(largest, value);
        }
        largest = row_max(largest);
        float factor = exp2f(state.largest[h] - largest);
        float total = 0;
#pragma unroll
        for (uint32_t i = 0; i < KEY_TILES; i++) {
            weights[i / 2][i % 2 * 2 + h] = weight_pair(
                exp2f(scores[i][h * 2] - largest), exp2f(scores[i][h * 2 + 1] - largest), total);
        }
        state.largest[h] = largest;
        state.total[h] = state.total[h] * factor + total;
#pragma unroll
        for (uint32_t j = 0; j < D / 8; j++) {
            state.sums[j][h * 2] *= factor;
            state.sums[j][h * 2 + 1] *= factor;
        }
    }
}

template <int D>
__device__ __forceinline__ void
add_tile(prefill_state<D> &state, const uint32_t (&weights)[TILE_PAGES][4], shared<half> values)
{
    uint32_t lane = lane_id();
    shared<half> from = values + (lane % 16 * tile_layout<D>::ROW + lane / 16 * 8);
#pragma unroll
    for (uint32_t p = 0; p < TILE_PAGES; p++) {
#pragma unroll
        for (uint32_t j = 0; j < D / 8; j += 2) {
            uint32_t value[4];
            ldmatrix_x4_trans(value, from + (p * PAGE_TOKENS * tile_layout<D>::ROW + j * 8));
            const uint32_t b[2] = {value[0], value[1]};
            const uint32_t b_next[2] = {value[2], value[3]};
            mma_m16n8k16(state.sums[j], weights[p], b);
            mma_m16n8k16(state.sums[j + 1], weights[p], b_next);
        }
    }
}

template <int D>
__device__ __forceinline__ void put_rows(const prefill_state<D> &state,
                                         const attention_shape &shape, const prefill_rows &block,
                                         uint32_t *a_pairs)
{
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t i_row = warp_id() * WARP_ROWS + h * 8 + lane_id() / 4;
        float factor = 1.0f / row_sum(state.total[h]);
        if (i_row >= block.n_rows) {
            continue;
        }
        uint32_t *to =
            a_pairs +
            ((size_t)(block.first_row + i_row) * shape.a_stride + block.i_head * shape.d_head) / 2;
#pragma unroll
        for (uint32_t j = 0; j < D / 8; j++) {
            uint32_t column = j * 8 + lane_id() % 4 * 2;
            if (column < shape.d_head) {
                to[column / 2] =
                    half_pair(state.sums[j][h * 2] * factor, state.sums[j][h * 2 + 1] * factor);
            }
        }
    }
}

/* a = softmax(q K' / sqrt(d_head)) V of the prompts' rows, positions 0 .. own of each.
 *   in      q (n_rows, n_head, d_page) as pairs; pages [page][n_kv][16][d_page] of keys and of
 *           values, FP16, zero from column d_head on; rows->tiles
 *   out     a (n_rows, a_stride) FP16 as pairs, d_head columns a head
 *   grid    (n_head, n_tiles) blocks of 128 threads, last tiles first: they see the most
 *   tile    64 rows, 16 a warp, against 64 keys at multiples of 64. Queries, sums and the running
 *           softmax stay in registers, and so do the weights between the two products
 *   shared  2 stages * 2 * 64 * (d_page + 8) * 2 bytes (36864 or 69632), dynamic
 *   bytes   of a block: 4 d_page a position up to its last row's, 2 d_page a row in and out; L2
 *           answers most of it
 *   limit   matrix instructions, 4 * 64 * 64 d_page operations a tile of keys that is not wholly in
 *           the future, one ldmatrix for two of them, and exponentials; all of it about a percent
 *           of a prompt's work at 512 tokens of 7B
 *   sync    the block's barrier before and behind each tile, whose successor is being copied
 *           meanwhile; nothing between blocks. Deterministic; a tile of which a row sees nothing
 *           leaves the row's state alone, so a row's bits depend on its sequence and its position
 *           only (CU-1)
 *   oracle  float64 over the FP16 operands (tests/cuda/test_attention_prefill.c); tolerance as for
 *           attention_decode */
template <int D>
__global__ void __launch_bounds__(N_THREADS, BLOCKS_PER_SM)
    k_attention_prefill(attention_shape shape, soti_cuda_rows rows, const uint32_t *q_pairs,
                        soti_cuda_pages pages, uint32_t *a_pairs)
{
    using layout = tile_layout<D>;
    const prefill_rows block = read_rows(shape, rows, gridDim.y - 1 - blockIdx.y);
    const shared<half> tiles = shared_memory<half>(0);
    uint32_t query[D / 16][4];
    prefill_state<D> state = {};
    state.largest[0] = state.largest[1] = -INFINITY;
    grid_dependency_wait();
    grid_dependency_launch();
    load_queries<D>(query, shape, block, q_pairs);
    fetch_tile<D>(tiles, tiles + layout::HALVES, shape, block, rows, pages, 0);
    for (uint32_t i_first = 0; i_first <= block.i_last; i_first += KEYS) {
        uint32_t i_stage = i_first / KEYS % STAGES;
        shared<half> keys = tiles + i_stage * 2 * layout::HALVES;
        shared<half> next = tiles + (1 - i_stage) * 2 * layout::HALVES;
        if (i_first + KEYS <= block.i_last) {
            fetch_tile<D>(next, next + layout::HALVES, shape, block, rows, pages, i_first + KEYS);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        if (i_first <= block.latest) {
            float scores[KEY_TILES][4] = {};
            uint32_t weights[TILE_PAGES][4];
            score_tile<D>(scores, query, keys);
            weigh_tile<D>(weights, state, scores, block, shape.scale, i_first);
            add_tile<D>(state, weights, keys + layout::HALVES);
        }
        __syncthreads();
    }
    put_rows<D>(state, shape, block, a_pairs);
}

} // namespace

extern "C" cudaError_t soti_launch_attention_prefill(const soti_cuda_launch *launch,
                                                     const soti_cuda_shape *shape,
                                                     const soti_cuda_rows *rows, uint32_t n_tiles,
                                                     const uint16_t *q, soti_cuda_pages pages,
                                                     uint16_t *a)
{
    if (!attention_shape_is_valid(shape)) {
        return cudaErrorInvalidValue;
    }
    if (n_tiles == 0) {
        return cudaSuccess;
    }
    auto kernel = shape->d_page == 64 ? k_attention_prefill<64> : k_attention_prefill<128>;
    size_t shared_bytes =
        shape->d_page == 64 ? tile_layout<64>::SHARED_BYTES : tile_layout<128>::SHARED_BYTES;
    return soti::launch(kernel, dim3(shape->n_head, n_tiles), N_THREADS, shared_bytes,
                        launch->stream, (int)launch->overlap, attention_shape_of(shape), *rows,
                        reinterpret_cast<const uint32_t *>(q), pages,
                        reinterpret_cast<uint32_t *>(a));
}
