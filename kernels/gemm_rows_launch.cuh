/* Host side of gemm_rows' launchers: from a product and its cut to what a kernel takes. */
#ifndef SOTI_KERNELS_GEMM_ROWS_LAUNCH_CUH
#define SOTI_KERNELS_GEMM_ROWS_LAUNCH_CUH

#include "gemm_rows_core.cuh"
#include "launch.cuh"

namespace soti
{

/* Tiles of a product whose epilogue needs n_unit_rows rows together: a tile is of one unit. */
inline uint32_t gemm_n_tiles(uint32_t n_out, uint32_t n_unit_rows)
{
    if (n_unit_rows <= 1) {
        return (n_out + TILE_ROWS - 1) / TILE_ROWS;
    }
    return n_out / n_unit_rows * ((n_unit_rows + TILE_ROWS - 1) / TILE_ROWS);
}

inline uint32_t gemm_n_slice_steps(uint32_t stride, uint32_t n_slices)
{
    return (stride / STEP_COLUMNS + n_slices - 1) / n_slices;
}

/* Whether a product is one that a kernel can take, and cut as soti_gemm_rows_cut would. */
inline bool gemm_product_is_valid(const soti_gemm_rows *product, uint32_t n_unit_rows)
{
    const soti_gemm_cut *cut = &product->cut;
    return product->n_out > 0 && product->n_in > 0 && product->n_in <= product->stride &&
           product->stride % SOTI_CUDA_PAD == 0 && product->n_columns >= 1 &&
           product->n_columns <= 2 && cut->n_slices > 0 && cut->n_blocks > 0 &&
           cut->n_blocks % cut->n_slices == 0 &&
           cut->n_blocks / cut->n_slices <= gemm_n_tiles(product->n_out, n_unit_rows) &&
           cut->n_slices <= product->stride / STEP_COLUMNS &&
           (cut->n_slices == 1 || (product->partials != nullptr && product->counters != nullptr));
}

inline gemm_plan gemm_plan_of(const soti_gemm_rows *product, uint32_t n_unit_rows)
{
    gemm_plan plan;
    plan.weights = product->weights;
    plan.stride = product->stride;
    plan.n_steps = product->stride / STEP_COLUMNS;
    plan.n_slices = product->cut.n_slices;
    plan.n_tiles = gemm_n_tiles(product->n_out, n_unit_rows);
    plan.first_row = product->first_row;
    plan.token_halves = gemm_token_halves(gemm_n_slice_steps(product->stride, plan.n_slices));
    plan.partials = product->partials;
    plan.counters = product->counters;
    plan.ahead[0] = product->ahead[0];
    plan.ahead[1] = product->ahead[1];
    return plan;
}

/* one and two: the kernel for up to 8 and up to 16 rows. */
template <class... P, class... A>
cudaError_t gemm_launch(const soti_cuda_launch *at, const soti_gemm_rows *product,
                        void (*one)(P...), void (*two)(P...), A... args)
{
    uint32_t n_slice_steps = gemm_n_slice_steps(product->stride, product->cut.n_slices);
    return launch(product->n_columns == 1 ? one : two, dim3(product->cut.n_blocks), GEMM_THREADS,
                  gemm_shared_bytes(n_slice_steps, product->n_columns), at->stream,
                  (int)at->overlap, args...);
}

} // namespace soti

#endif
