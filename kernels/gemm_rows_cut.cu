/* How a product of gemm_rows is cut into slices of its columns: a choice between what blocks read
 * besides weights. One slice: every block reads all columns of the up to 16 rows. Several: a part
 * each, but sums of slices go through memory, and the last of them wait for a counter. Depends on
 * the shape and the device only (CU-1).
 *
 * The model counts bytes that pass one multiprocessor, at the rate at which it gets weights from
 * memory. For 132 of them (H100, H200) and 16 rows, in percent of a multiprocessor's even share of
 * the weights (tests/cuda/test_gemm_rows_cut.c prints this; idle: the busiest one's surplus; rows,
 * partials: read and written in L2; one row: 1/16 of these two). Predicted, not measured:
 *
 *              7B                        13B                       33B
 *              slices idle rows partials slices idle rows partials slices idle rows partials
 *     qkv           4  3.1  8.6      6.4      4  3.1  6.9      5.2      5  1.5  4.2      4.9
 *     output        4  3.1 12.9      6.4      4  3.1 10.3      5.2      5  1.5  6.3      4.9
 *     gate, up      4  0.7  4.8      6.3      4  3.1  3.8      5.2      2  0.2  5.9      1.9
 *     down          8  3.1  6.4      4.8     12  3.1  3.4      5.7     12  0.5  2.6      4.3
 *     logits        3  1.2  4.4      4.7      4  2.3  3.3      5.1      3  1.2  4.4      2.9 */
#include "gemm_rows_launch.cuh"

namespace
{

using namespace soti;

/* Of the model; guesses from data sheets until a device has been measured. */
constexpr double NEEDED_IN_FLIGHT = 60e3; /* bytes a multiprocessor must have under way */
constexpr double FROM_L2 = 0.8;           /* cost of a byte from L2 against one from memory */
constexpr double ROW_BYTES = 3.0;         /* of a row's column: FP32 before a norm, else FP16 */
constexpr double TAIL_BYTES = 36e3; /* a microsecond: fence, counter and partials at the end */

double cost_of(uint32_t n_tiles, uint32_t n_steps, uint32_t n_slices, uint32_t n_sm,
               uint32_t n_blocks)
{
    const uint32_t n_slice_steps = (n_steps + n_slices - 1) / n_slices;
    const uint32_t n_warp_steps = (n_slice_steps + SLICE_PARTS - 1) / SLICE_PARTS;
    const uint32_t n_chunks = (n_warp_steps + RING_STEPS - 1) / RING_STEPS;
    const uint32_t n_of_slice = n_blocks / n_slices;
    const double n_rounds = (double)((n_tiles + n_of_slice - 1) / n_of_slice);
    const double n_waves = (double)((n_blocks + n_sm - 1) / n_sm);
    const double in_flight =
        (double)n_slice_steps / SLICE_PARTS / n_chunks * GEMM_WARPS * HALF_ROWS * STEP_BYTES;
    const double rate = in_flight < NEEDED_IN_FLIGHT ? in_flight / NEEDED_IN_FLIGHT : 1.0;
    const double weights = n_rounds * TILE_ROWS * n_slice_steps * STEP_BYTES;
    const double rows = (double)GROUP_TOKENS * n_slice_steps * STEP_COLUMNS * ROW_BYTES;
    const double partials =
        n_slices > 1 ? n_rounds * 2 * GROUP_TOKENS * TILE_ROWS * sizeof(float) : 0.0;
    const double tail = n_slices > 1 ? TAIL_BYTES : 0.0;
    return n_waves * (weights / rate + FROM_L2 * (rows + partials) + tail);
}

} // namespace

extern "C" soti_gemm_cut soti_gemm_rows_cut(uint32_t n_out, uint32_t stride, uint32_t n_unit_rows,
                                            uint32_t n_sm, size_t max_shared_bytes)
{
    const uint32_t n_tiles = gemm_n_tiles(n_out, n_unit_rows), n_steps = stride / STEP_COLUMNS;
    soti_gemm_cut best = {};
    double best_cost = 0.0;
    for (uint32_t n_slices = 1; n_tiles > 0 && n_sm > 0 && n_slices <= n_steps; n_slices++) {
        const size_t shared_bytes = gemm_shared_bytes(gemm_n_slice_steps(stride, n_slices), 2);
        if (shared_bytes > max_shared_bytes) {
            continue;
        }
        uint32_t n_of_slice = n_sm / n_slices > 0 ? n_sm / n_slices : 1;
        n_of_slice = n_of_slice < n_tiles ? n_of_slice : n_tiles;
        const uint32_t n_blocks = n_of_slice * n_slices;
        const double cost = cost_of(n_tiles, n_steps, n_slices, n_sm, n_blocks);
        if (best.n_slices == 0 || cost < best_cost) {
            best_cost = cost;
            best.n_slices = n_slices;
            best.n_blocks = n_blocks;
            best.shared_bytes = shared_bytes;
        }
    }
    if (best.n_slices > 1) {
        best.partial_floats = (size_t)n_tiles * best.n_slices * GROUP_TOKENS * TILE_ROWS;
        best.n_counters = n_tiles;
    }
    return best;
}
