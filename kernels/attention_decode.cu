/* Attention of generated rows: contexts are cut into segments of 128 positions, items of up to 16
 * rows that see the same pages of a segment are worked off by a fixed grid, and a row's segments
 * are merged by whoever finished the last of them. Which rows share an item is up to the host
 * (rows->items); it changes what is read, and no bit of the result. */
#include "attention.cuh"
#include "launch.cuh"

using namespace soti;

namespace
{

enum {
    N_WARPS = 4,
    N_THREADS = N_WARPS * 32,
    BLOCKS_PER_SM = 4,
    SEGMENT = SOTI_CUDA_SEGMENT_TOKENS,
    WARP_TOKENS = SEGMENT / N_WARPS,
    WARP_PAGES = WARP_TOKENS / SOTI_CUDA_PAGE_TOKENS,
    KEY_TILES = WARP_TOKENS / 8,
    N_ROWS = SOTI_CUDA_GROUP_ROWS,
    N_PARTS = N_WARPS * N_ROWS
};

/* A part of a row's context in the workspace: d_page sums of values, then the largest score and the
 * sum of the weights. Rounded up to 16 bytes. */
__host__ __device__ constexpr size_t state_floats(uint32_t d_page)
{
    return d_page + 4;
}

__device__ __forceinline__ uint32_t segment_count(uint32_t position)
{
    return position / SEGMENT + 1;
}

/* One head of an item, as a warp sees it. */
struct decode_unit {
    uint32_t first_row, n_rows, i_head;
    uint32_t i_first;          /* first position of the warp's part of the segment */
    uint32_t i_last;           /* last position that any of the rows sees */
    uint32_t own[2];           /* positions of this lane's rows g and g + 8 */
    size_t offset[WARP_PAGES]; /* of the warp's pages; not set where no row sees them */
};

template <int D>
__device__ __forceinline__ decode_unit read_unit(const attention_shape &shape,
                                                 const soti_cuda_rows &rows, uint32_t i_unit)
{
    soti_cuda_item item = rows.items[i_unit / shape.n_head];
    uint32_t lane = lane_id();
    uint32_t i_row = lane % N_ROWS;
    uint32_t position = i_row < item.n_rows ? rows.positions[item.first_row + i_row] : 0;
    decode_unit unit;
    unit.first_row = item.first_row;
    unit.n_rows = item.n_rows;
    unit.i_head = i_unit % shape.n_head;
    unit.i_first = item.i_segment * SEGMENT + warp_id() * WARP_TOKENS;
    unit.i_last = __reduce_max_sync(ALL_LANES, position);
    unit.own[0] = __shfl_sync(ALL_LANES, position, (int)(lane / 4));
    unit.own[1] = __shfl_sync(ALL_LANES, position, (int)(lane / 4 + 8));
    uint32_t i_kv = unit.i_head / (shape.n_head / shape.n_kv);
    uint32_t sequence = rows.sequences[item.first_row];
    for (uint32_t p = 0; p < WARP_PAGES; p++) {
        uint32_t i_position = unit.i_first + p * PAGE_TOKENS;
        unit.offset[p] = 0;
        if (i_position <= unit.i_last) {
            unit.offset[p] = page_offset<D>(rows, shape.n_kv, sequence, i_kv, i_position);
        }
    }
    return unit;
}

/* Asks for the keys or the values of a unit. A hint, so it may come before they are complete. */
template <int D>
__device__ __forceinline__ void prefetch_part(const decode_unit &unit, const uint16_t *part)
{
    uint32_t i_half = lane_id() * 64; /* a line's */
    for (uint32_t p = 0; p < WARP_PAGES; p++) {
        uint32_t i_position = unit.i_first + p * PAGE_TOKENS + i_half / D;
        if (i_half < PAGE_TOKENS * D && i_position <= unit.i_last) {
            prefetch_l2(part + unit.offset[p] + i_half);
        }
    }
}

/* Of 16 bytes. */
template <int I> __device__ __forceinline__ uint32_t word(const uint4 &v)
{
    return I == 0 ? v.x : I == 1 ? v.y : I == 2 ? v.z : v.w;
}

/* The warp's 32 keys, tile i of 8 of them in key[i]. In each step of 32 columns, lane (g, t) holds
 * columns 8t .. 8t + 7 of key g. */
template <int D>
__device__ __forceinline__ void load_keys(uint4 (&key)[KEY_TILES][D / 32], const decode_unit &unit,
                                          const uint16_t *keys)
{
    uint32_t g = lane_id() / 4;
#pragma unroll
    for (uint32_t i = 0; i < KEY_TILES; i++) {
        uint32_t i_key = i % 2 * 8 + g;
        const uint16_t *from = keys + unit.offset[i / 2] + i_key * D + lane_id() % 4 * 8;
        bool is_seen = unit.i_first + i / 2 * PAGE_TOKENS + i_key <= unit.i_last;
#pragma unroll
        for (uint32_t step = 0; step < D / 32; step++) {
            key[i][step] = is_seen ? load_16(from + step * 32) : make_uint4(0, 0, 0, 0);
        }
    }
}

/* Scores of the 16 rows against the keys. A lane holds the same columns of query rows g and g + 8:
 * which of a product's k they are called does not matter as long as both sides call them the same.
 */
template <int D>
__device__ __forceinline__ void score(float (&scores)[KEY_TILES][4],
                                      const uint4 (&key)[KEY_TILES][D / 32],
                                      const decode_unit &unit, uint32_t n_head, const uint16_t *q)
{
    const uint4 zero = make_uint4(0, 0, 0, 0);
    uint32_t g = lane_id() / 4;
    size_t row_halves = (size_t)n_head * D;
    const uint16_t *query =
        q + (unit.first_row + g) * row_halves + unit.i_head * D + lane_id() % 4 * 8;
#pragma unroll
    for (uint32_t step = 0; step < D / 32; step++) {
        uint4 low = g < unit.n_rows ? load_16(query + step * 32) : zero;
        uint4 high = g + 8 < unit.n_rows ? load_16(query + 8 * row_halves + step * 32) : zero;
        const uint32_t a[4] = {low.x, high.x, low.y, high.y};
        const uint32_t a_next[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
        for (uint32_t i = 0; i < KEY_TILES; i++) {
            const uint32_t b[2] = {key[i][step].x, key[i][step].y};
            const uint32_t b_next[2] = {key[i][step].z, key[i][step].w};
            mma_m16n8k16(scores[i], a, b);
            mma_m16n8k16(scores[i], a_next, b_next);
        }
    }
}

/* Values of a page at the positions 2t, 2t + 1, 2t + 8, 2t + 9 that this lane is to hold of a
 * product's k, columns 8g .. 8g + 7 of each 64. Zero behind the last position: 0 times what was
 * never written could be NaN. */
template <int D>
__device__ __forceinline__ void load_values(uint4 (&value)[D / 64][4], const decode_unit &unit,
                                            uint32_t i_page, const uint16_t *values)
{
    uint32_t column = lane_id() / 4 * 8;
    const uint16_t *from = values + unit.offset[i_page] + column;
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t i_value = lane_id() % 4 * 2 + i % 2 + i / 2 * 8;
        bool is_seen = unit.i_first + i_page * PAGE_TOKENS + i_value <= unit.i_last;
#pragma unroll
        for (uint32_t c = 0; c < D / 64; c++) {
            value[c][i] = is_seen ? load_16(from + i_value * D + c * 64) : make_uint4(0, 0, 0, 0);
        }
    }
}

/* Columns 8n + 2w and 8n + 2w + 1, n = 0 .. 8, of 64 take part in two products. */
template <int W>
__device__ __forceinline__ void add_value_words(float (&even)[4], float (&odd)[4],
                                                const uint32_t (&weights)[4],
                                                const uint4 (&value)[4])
{
    uint32_t at_0 = word<W>(value[0]);
    uint32_t at_1 = word<W>(value[1]);
    uint32_t at_8 = word<W>(value[2]);
    uint32_t at_9 = word<W>(value[3]);
    const uint32_t b_even[2] = {(at_0 & 0xFFFFu) | at_1 << 16, (at_8 & 0xFFFFu) | at_9 << 16};
    const uint32_t b_odd[2] = {at_0 >> 16 | (at_1 & 0xFFFF0000u),
                               at_8 >> 16 | (at_9 & 0xFFFF0000u)};
    mma_m16n8k16(even, weights, b_even);
    mma_m16n8k16(odd, weights, b_odd);
}

/* sums[8c + j] holds columns 64c + 8n + j, n = 0 .. 8, of the rows. */
template <int D>
__device__ __forceinline__ void add_values(float (&sums)[D / 8][4], const uint32_t (&weights)[4],
                                           const uint4 (&value)[D / 64][4])
{
#pragma unroll
    for (uint32_t c = 0; c < D / 64; c++) {
        add_value_words<0>(sums[c * 8], sums[c * 8 + 1], weights, value[c]);
        add_value_words<1>(sums[c * 8 + 2], sums[c * 8 + 3], weights, value[c]);
        add_value_words<2>(sums[c * 8 + 4], sums[c * 8 + 5], weights, value[c]);
        add_value_words<3>(sums[c * 8 + 6], sums[c * 8 + 7], weights, value[c]);
    }
}

/* Where the four warps meet. A row's sums lie in the order in which lanes hold them, column
 * 64c + 16t + e at 64c + 4e + t, and rows 4 floats further apart than they need: each store of a
 * warp then meets each of the 32 banks once. */
template <int D> struct decode_shared {
    static constexpr uint32_t ROW = D + 4;
    static constexpr uint32_t N_SUMS = N_PARTS * ROW;
    shared<float> largest;    /* (N_WARPS, N_ROWS) scores */
    shared<float> totals;     /* (N_WARPS, N_ROWS) of the weights */
    shared<float> sums;       /* (N_WARPS, N_ROWS, ROW) */
    shared<uint32_t> merging; /* (N_ROWS) segments of a row that is complete, or 0 */
};

__device__ __forceinline__ uint32_t place_of_column(uint32_t column)
{
    return column / 64 * 64 + column % 16 * 4 + column % 64 / 16;
}

/* Masks what a row must not see, and turns scores into weights relative to the largest score of the
 * row in the segment, all warps' parts. Returns with weights[p] as the operand of page p. */
template <int D>
__device__ __forceinline__ void weigh(uint32_t (&weights)[WARP_PAGES][4],
                                      float (&scores)[KEY_TILES][4], const decode_unit &unit,
                                      float scale, const decode_shared<D> &block)
{
    uint32_t lane = lane_id();
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        float largest = -INFINITY;
#pragma unroll
        for (uint32_t i = 0; i < KEY_TILES * 2; i++) {
            uint32_t position = unit.i_first + i / 2 * 8 + lane % 4 * 2 + i % 2;
            float &value = scores[i / 2][h * 2 + i % 2];
            value = position <= unit.own[h] ? value * scale : -INFINITY;
            largest = fmaxf(largest, value);
        }
        largest = row_max(largest);
        if (lane % 4 == 0) {
            block.largest[warp_id() * N_ROWS + h * 8 + lane / 4] = largest;
        }
    }
    __syncthreads();
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t i_row = h * 8 + lane / 4;
        float largest = block.largest[i_row];
#pragma unroll
        for (uint32_t w = 1; w < N_WARPS; w++) {
            largest = fmaxf(largest, block.largest[w * N_ROWS + i_row]);
        }
        float total = 0;
#pragma unroll
        for (uint32_t i = 0; i < KEY_TILES; i++) {
            weights[i / 2][i % 2 * 2 + h] = weight_pair(
                exp2f(scores[i][h * 2] - largest), exp2f(scores[i][h * 2 + 1] - largest), total);
        }
        total = row_sum(total);
        if (lane % 4 == 0) {
            block.totals[warp_id() * N_ROWS + i_row] = total;
        }
    }
}

/* Puts down the warp's sums for the rows that there are. */
template <int D>
__device__ __forceinline__ void put_sums(const decode_shared<D> &block, const decode_unit &unit,
                                         const float (&sums)[D / 8][4])
{
    uint32_t lane = lane_id();
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t i_row = h * 8 + lane / 4;
        if (i_row >= unit.n_rows) {
            continue;
        }
        uint32_t at = (warp_id() * N_ROWS + i_row) * decode_shared<D>::ROW + lane % 4;
#pragma unroll
        for (uint32_t i = 0; i < D / 8; i++) {
            block.sums[at + i / 8 * 64 + i % 8 * 4] = sums[i][h * 2];
            block.sums[at + i / 8 * 64 + i % 8 * 4 + 32] = sums[i][h * 2 + 1];
        }
    }
}

template <int D> struct decode_output {
    attention_shape shape;
    soti_attention_workspace workspace;
    uint16_t *a;
    uint32_t n_prompt_rows;

    __device__ __forceinline__ size_t query(const decode_unit &unit, uint32_t i_row) const
    {
        return (size_t)(unit.first_row + i_row - n_prompt_rows) * shape.n_head + unit.i_head;
    }

    __device__ __forceinline__ float *states(const decode_unit &unit, uint32_t i_row) const
    {
        return workspace.states + query(unit, i_row) * workspace.n_segments_max * state_floats(D);
    }

    __device__ __forceinline__ void finish(const decode_unit &unit, uint32_t i_row, uint32_t column,
                                           float value) const
    {
        if (column < shape.d_head) {
            a[(size_t)(unit.first_row + i_row) * shape.a_stride + unit.i_head * shape.d_head +
              column] = __half_as_ushort(__float2half_rn(value));
        }
    }
};

/* The rows' results of the segment, warps' parts in order: to a, or to the workspace where a row
 * has further segments. */
template <int D>
__device__ __forceinline__ void put_rows(const decode_shared<D> &block, const decode_unit &unit,
                                         const soti_cuda_rows &rows, const decode_output<D> &output)
{
    uint32_t column = threadIdx.x % D;
    for (uint32_t i_row = threadIdx.x / D; i_row < unit.n_rows; i_row += N_THREADS / D) {
        float total = block.totals[i_row];
        float sum = block.sums[i_row * decode_shared<D>::ROW + place_of_column(column)];
#pragma unroll
        for (uint32_t w = 1; w < N_WARPS; w++) {
            uint32_t i_part = w * N_ROWS + i_row;
            total += block.totals[i_part];
            sum += block.sums[i_part * decode_shared<D>::ROW + place_of_column(column)];
        }
        if (segment_count(rows.positions[unit.first_row + i_row]) == 1) {
            output.finish(unit, i_row, column, sum / total);
            continue;
        }
        uint32_t i_segment = unit.i_first / SEGMENT;
        float *state = output.states(unit, i_row) + i_segment * state_floats(D);
        state[column] = sum;
        if (column == 0) {
            float largest = block.largest[i_row];
            for (uint32_t w = 1; w < N_WARPS; w++) {
                largest = fmaxf(largest, block.largest[w * N_ROWS + i_row]);
            }
            state[D] = largest;
            state[D + 1] = total;
        }
    }
}

/* One column of a row whose segments are all in the workspace, in order of position. Lane i looks
 * after the factor of every 32nd segment from i on. */
template <int D>
__device__ __forceinline__ float merged_column(const float *states, uint32_t n_segments,
                                               uint32_t column)
{
    float largest = -INFINITY;
    for (uint32_t i = lane_id(); i < n_segments; i += 32) {
        largest = fmaxf(largest, load_fresh(states + i * state_floats(D) + D));
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, distance));
    }
    float sum = 0;
    float total = 0;
    for (uint32_t first = 0; first < n_segments; first += 32) {
        uint32_t i = first + lane_id();
        float factor = 0;
        if (i < n_segments) {
            const float *state = states + i * state_floats(D);
            factor = exp2f(load_fresh(state + D) - largest);
            total += factor * load_fresh(state + D + 1);
        }
        uint32_t n = n_segments - first < 32 ? n_segments - first : 32;
        const float *part = states + first * state_floats(D) + column;
#pragma unroll 4
        for (uint32_t s = 0; s < n; s++) {
            sum += __shfl_sync(ALL_LANES, factor, (int)s) * load_fresh(part + s * state_floats(D));
        }
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        total += __shfl_xor_sync(ALL_LANES, total, distance);
    }
    return sum / total;
}

/* Counts the segment as done for each row; rows of which it was the last are merged. */
template <int D>
__device__ __forceinline__ void merge_rows(const decode_shared<D> &block, const decode_unit &unit,
                                           const soti_cuda_rows &rows,
                                           const decode_output<D> &output)
{
    __syncthreads();
    if (threadIdx.x < unit.n_rows) {
        uint32_t n_segments = segment_count(rows.positions[unit.first_row + threadIdx.x]);
        uint32_t merging = 0;
        if (n_segments > 1) {
            uint32_t *counter = output.workspace.counters + output.query(unit, threadIdx.x);
            fence_device(); /* the block's states, before the counter says that they are there */
            if (atomicAdd(counter, 1u) == n_segments - 1) {
                *counter = 0;
                merging = n_segments;
                fence_device();
            }
        }
        block.merging[threadIdx.x] = merging;
    }
    __syncthreads();
    uint32_t column = threadIdx.x % D;
    for (uint32_t i_row = threadIdx.x / D; i_row < unit.n_rows; i_row += N_THREADS / D) {
        uint32_t n_segments = block.merging[i_row];
        if (n_segments > 0) {
            output.finish(unit, i_row, column,
                          merged_column<D>(output.states(unit, i_row), n_segments, column));
        }
    }
}

template <int D>
__device__ __forceinline__ void
attend(uint32_t i_unit, uint32_t n_units, const soti_cuda_rows &rows, const uint16_t *q,
       const soti_cuda_pages &pages, const decode_shared<D> &block, const decode_output<D> &output)
{
    const decode_unit unit = read_unit<D>(output.shape, rows, i_unit);
    float scores[KEY_TILES][4] = {};
    uint32_t weights[WARP_PAGES][4];
    float sums[D / 8][4] = {};
    uint4 key[KEY_TILES][D / 32];
    uint4 value[WARP_PAGES][D / 64][4];
    load_keys<D>(key, unit, pages.keys);
    prefetch_part<D>(unit, pages.values);
    if (i_unit + gridDim.x < n_units) {
        prefetch_part<D>(read_unit<D>(output.shape, rows, i_unit + gridDim.x), pages.keys);
    }
    score<D>(scores, key, unit, output.shape.n_head, q);
#pragma unroll
    for (uint32_t p = 0; p < WARP_PAGES; p++) {
        load_values<D>(value[p], unit, p, pages.values);
    }
    weigh<D>(weights, scores, unit, output.shape.scale, block);
#pragma unroll
    for (uint32_t p = 0; p < WARP_PAGES; p++) {
        add_values<D>(sums, weights[p], value[p]);
    }
    put_sums<D>(block, unit, sums);
    __syncthreads();
    put_rows<D>(block, unit, rows, output);
    if (unit.i_last >= SEGMENT) {
        merge_rows<D>(block, unit, rows, output);
    }
}

/* a = softmax(q K' / sqrt(d_head)) V of the generated rows, positions 0 .. own of each.
 *   in      q (n_rows, n_head, d_page); pages [page][n_kv][16][d_page] of keys and of values, FP16,
 *           zero from column d_head on; rows->items
 *   out     a (n_rows, a_stride) FP16, d_head columns a head
 *   grid    4 blocks of 128 threads a multiprocessor, whatever the step; block b works off units
 *           b, b + grid, ... of n_items n_head, unit u being head u % n_head of item u / n_head
 *   tile    16 rows, 128 positions, d_page columns; 32 of the positions a warp. Rows that an item
 *           lacks are zeros: one row and 16 are the same instructions
 *   shared  4 warps * 16 rows * (d_page + 6) * 4 + 64 bytes (17984 or 34368), static
 *   bytes   of a unit: 4 d_page a position that its rows see (n_head / n_kv heads ask for the same
 *           ones, L2 answers all but the first), 2 d_page a row in and out; for rows of more than
 *           one segment 4 (d_page + 2) written and read again. A group of rows reads its segment
 *           once, not once a row
 *   limit   memory where there are many positions: a unit's keys are all asked for before the first
 *           is used, 128 KB a multiprocessor at d_page 128. Latency at one row and a short context,
 *           where units are fewer than blocks: item, page number, keys, values and merge wait for
 *           each other. The pages of a block's first unit are therefore asked for before
 *           grid_dependency_wait(); what names them (rows) is copied to the device at the step's
 *           beginning and written by no kernel. Later, a unit's values and the next one's keys are
 *           asked for while its keys are on their way; both of the next one's would be 34 MB on
 *           132 multiprocessors, too much of an L2 (unmeasured)
 *   sync    warps of a block meet twice, over the largest scores and over the sums, and add up in
 *           order of position; largest scores are read behind the second meeting only for rows of
 *           several segments, and merge_rows' barriers follow before the next unit writes there.
 *           Blocks meet over a counter a row and head (CU-4): the last to arrive merges all
 *           segments in order of position, so who it is changes nothing. Deterministic, and a
 *           row's bits do not depend on the items that it is in (CU-1)
 *   oracle  float64 over the FP16 operands (tests/cuda/test_attention_decode.c); tolerance: about
 *           2^-10 of the weighted mean of |v|, since weights are rounded to FP16, and the result's
 *           own rounding */
template <int D>
__global__ void __launch_bounds__(N_THREADS, BLOCKS_PER_SM)
    k_attention_decode(attention_shape shape, soti_cuda_rows rows, const uint16_t *q,
                       soti_cuda_pages pages, soti_attention_workspace workspace, uint16_t *a)
{
    SHARED_ARRAY(float, largest, N_PARTS);
    SHARED_ARRAY(float, totals, N_PARTS);
    SHARED_ARRAY(float, sums, decode_shared<D>::N_SUMS);
    SHARED_ARRAY(uint32_t, merging, N_ROWS);
    const decode_shared<D> block = {largest, totals, sums, merging};
    const decode_output<D> output = {shape, workspace, a, rows.counts->n_prompt_rows};
    uint32_t n_units = rows.counts->n_items * shape.n_head;
    if (blockIdx.x < n_units) {
        const decode_unit first = read_unit<D>(shape, rows, blockIdx.x);
        prefetch_part<D>(first, pages.keys);
        prefetch_part<D>(first, pages.values);
    }
    grid_dependency_wait();
    grid_dependency_launch();
    for (uint32_t i_unit = blockIdx.x; i_unit < n_units; i_unit += gridDim.x) {
        attend<D>(i_unit, n_units, rows, q, pages, block, output);
    }
}

} // namespace

extern "C" size_t soti_attention_state_floats(const soti_cuda_shape *shape, uint32_t n_rows_max,
                                              uint32_t n_segments_max)
{
    return state_floats(shape->d_page) * shape->n_head * n_rows_max * n_segments_max;
}

extern "C" cudaError_t
soti_launch_attention_decode(const soti_cuda_launch *launch, const soti_cuda_shape *shape,
                             const soti_cuda_rows *rows, const uint16_t *q, soti_cuda_pages pages,
                             const soti_attention_workspace *workspace, uint16_t *a)
{
    if (!attention_shape_is_valid(shape)) {
        return cudaErrorInvalidValue;
    }
    auto kernel = shape->d_page == 64 ? k_attention_decode<64> : k_attention_decode<128>;
    return soti::launch(kernel, dim3(launch->n_sm * BLOCKS_PER_SM), N_THREADS, 0, launch->stream,
                        (int)launch->overlap, attention_shape_of(shape), *rows, q, pages,
                        *workspace, a);
}
