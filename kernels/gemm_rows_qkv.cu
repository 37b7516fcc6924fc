/* The product of the stacked q, k, v weights with up to 16 generated rows: rotary on q and k, q to
 * its array, k and v to the pages of the rows' positions. The product itself is gemm_rows_core.cuh.
 */
#include "gemm_rows_input.cuh"
#include "gemm_rows_launch.cuh"

namespace soti
{
namespace
{

/* A tile is of one head and has both of each rotary pair: 32 neighbouring rows where the pairs are
 * neighbours, 16 rows of the head's first half and the 16 across from them where they are not. */
template <bool IS_SPLIT> struct qkv_output {
    soti_cuda_rows rows;
    const float *rope;
    uint16_t *q;
    soti_cuda_pages pages;
    uint32_t n_head, n_kv, d_head, d_page;
    uint32_t n_head_tiles;
    uint32_t first_row;

    /* Row i of a tile within its head; d_head or more: there is none. */
    __device__ __forceinline__ uint32_t row_in_head(uint32_t tile_of_head, unsigned i) const
    {
        if (!IS_SPLIT) {
            return tile_of_head * TILE_ROWS + i;
        }
        const uint32_t pair = tile_of_head * HALF_ROWS + i % HALF_ROWS;
        return pair < d_head / 2 ? pair + i / HALF_ROWS * (d_head / 2) : d_head;
    }

    __device__ __forceinline__ half_rows rows_of(uint32_t tile, unsigned half) const
    {
        const uint32_t head = tile / n_head_tiles;
        const uint32_t first = row_in_head(tile % n_head_tiles, half * HALF_ROWS);
        const uint32_t end = IS_SPLIT && half == 0 ? d_head / 2 : d_head;
        const uint32_t n = first < end ? end - first : 0;
        return {head * d_head + first, n < HALF_ROWS ? n : HALF_ROWS};
    }

    __device__ __forceinline__ float ahead(uint32_t, unsigned) const
    {
        return 0.0f;
    }

    __device__ __forceinline__ void store(uint32_t tile, unsigned token, float sum, float) const
    {
        const float partner = __shfl_xor_sync(WHOLE_WARP, sum, IS_SPLIT ? (int)HALF_ROWS : 1);
        const uint32_t head = tile / n_head_tiles;
        const uint32_t column = row_in_head(tile % n_head_tiles, lane_id());
        if (column >= d_head) {
            return;
        }
        const uint32_t row = first_row + token, position = rows.positions[row];
        float value = sum;
        if (head < n_head + n_kv) {
            const bool is_second = IS_SPLIT ? column >= d_head / 2 : column % 2 != 0;
            const uint32_t pair = IS_SPLIT ? column % (d_head / 2) : column / 2;
            const float2 turn = *reinterpret_cast<const float2 *>(
                rope + 2 * ((size_t)position * (d_head / 2) + pair));
            value = sum * turn.x + (is_second ? partner : -partner) * turn.y;
        }
        *place(head, row, position, column) = __half_as_ushort(__float2half_rn(value));
    }

    __device__ __forceinline__ uint16_t *place(uint32_t head, uint32_t row, uint32_t position,
                                               uint32_t column) const
    {
        if (head < n_head) {
            return q + ((size_t)row * n_head + head) * d_page + column;
        }
        const uint32_t page = rows.page_tables[(size_t)rows.sequences[row] * rows.table_stride +
                                               position / SOTI_CUDA_PAGE_TOKENS];
        const uint32_t i_kv = (head - n_head) % n_kv;
        const size_t i_row =
            ((size_t)page * n_kv + i_kv) * SOTI_CUDA_PAGE_TOKENS + position % SOTI_CUDA_PAGE_TOKENS;
        return (head < n_head + n_kv ? pages.keys : pages.values) + i_row * d_page + column;
    }
};

/* q (R, n_head, d_page) FP16, k and v to pages = rotary(norm(x) weights'); x (R, K) FP32, weights
 * ((n_head + 2 n_kv) d_head, K). Everything else is as the comment of gemm_rows.cu says; results
 * are 2 (n_head + 2 n_kv) d_head R bytes, and each row's 4 d_head of rope are read, out of L1 after
 * the first head. Where 32 does not divide d_head a head's last tile has idle rows, which cost no
 * bytes. Tolerance: also 1 FP16 rounding of the result. */
template <unsigned COLUMNS, bool IS_SPLIT>
__global__ void __launch_bounds__(GEMM_THREADS, GEMM_BLOCKS_PER_SM)
    k_gemm_rows_qkv(gemm_plan plan, norm_input<false> input, qkv_output<IS_SPLIT> output)
{
    gemm_rows<COLUMNS>(plan, input, output);
}

template <bool IS_SPLIT>
cudaError_t launch_qkv(const soti_cuda_launch *at, const soti_gemm_rows *product,
                       const soti_cuda_shape *shape, const soti_cuda_rows *rows,
                       const soti_cuda_norm *input, const float *rope, uint16_t *q,
                       soti_cuda_pages pages)
{
    const gemm_plan plan = gemm_plan_of(product, shape->d_head);
    const norm_input<false> in = {&rows->counts->n_rows, nullptr, *input, product->n_in};
    const qkv_output<IS_SPLIT> out = {*rows,
                                      rope,
                                      q,
                                      pages,
                                      shape->n_head,
                                      shape->n_kv,
                                      shape->d_head,
                                      shape->d_page,
                                      (shape->d_head + TILE_ROWS - 1) / TILE_ROWS,
                                      product->first_row};
    return gemm_launch(at, product, k_gemm_rows_qkv<1, IS_SPLIT>, k_gemm_rows_qkv<2, IS_SPLIT>,
                       plan, in, out);
}

} // namespace
} // namespace soti

extern "C" cudaError_t soti_launch_gemm_rows_qkv(const soti_cuda_launch *at,
                                                 const soti_gemm_rows *product,
                                                 const soti_cuda_shape *shape,
                                                 const soti_cuda_rows *rows,
                                                 const soti_cuda_norm *input, const float *rope,
                                                 uint16_t *q, soti_cuda_pages pages)
{
    using namespace soti;
    if (shape->d_head == 0 || !gemm_product_is_valid(product, shape->d_head) ||
        shape->d_head % 2 != 0 || shape->n_kv == 0 || shape->d_head > shape->d_page ||
        product->n_out != (shape->n_head + 2 * shape->n_kv) * shape->d_head) {
        return cudaErrorInvalidValue;
    }
    return (shape->half_split_rope != 0 ? launch_qkv<true> : launch_qkv<false>)(at, product, shape,
                                                                                rows, input, rope,
                                                                                q, pages);
}
