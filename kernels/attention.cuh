/* What attention_decode.cu and attention_prefill.cu share: how they see a shape, which lane holds
 * which row, and FP16 pairs. In both, rows are the 16-row operand of mma.m16n8k16: lane l holds
 * rows g and g + 8, g = l / 4, at columns 2t and 2t + 1, t = l % 4, of each accumulator. Scores are
 * kept times log2(e), so that exp2f is the exponential. */
#ifndef SOTI_KERNELS_ATTENTION_CUH
#define SOTI_KERNELS_ATTENTION_CUH

#include "device.cuh"
#include "kernels.h"

#include <math.h>
#include <string.h>

namespace soti
{

struct attention_shape {
    uint32_t n_head, n_kv, d_head, a_stride;
    float scale; /* log2(e) / sqrt(d_head) */
};

inline attention_shape attention_shape_of(const soti_cuda_shape *shape)
{
    const double log2_e = 1.4426950408889634;
    return {shape->n_head, shape->n_kv, shape->d_head, shape->a_stride,
            (float)(log2_e / sqrt((double)shape->d_head))};
}

/* What both launchers refuse. The pairs of an output row must not straddle 4 bytes. */
inline bool attention_shape_is_valid(const soti_cuda_shape *shape)
{
    return shape->n_kv > 0 && shape->n_head % shape->n_kv == 0 && shape->d_head > 0 &&
           shape->d_head % 2 == 0 && shape->a_stride % 2 == 0 && shape->d_head <= shape->d_page &&
           shape->d_page % 64 == 0 && shape->d_page <= 128;
}

constexpr unsigned ALL_LANES = 0xFFFFFFFFu;
constexpr uint32_t PAGE_TOKENS = SOTI_CUDA_PAGE_TOKENS;

/* The page that holds a position of a sequence, and in it the rows of one key/value head. */
template <int D_PAGE>
__device__ __forceinline__ size_t page_offset(const soti_cuda_rows &rows, uint32_t n_kv,
                                              uint32_t sequence, uint32_t i_kv, uint32_t position)
{
    uint32_t page = rows.page_tables[(size_t)sequence * rows.table_stride + position / PAGE_TOKENS];
    return ((size_t)page * n_kv + i_kv) * (PAGE_TOKENS * D_PAGE);
}

__device__ __forceinline__ uint32_t half_pair(float low, float high)
{
    __half2 pair = __floats2half2_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

__device__ __forceinline__ float2 floats_of_pair(uint32_t bits)
{
    __half2 pair;
    memcpy(&pair, &bits, sizeof bits);
    return __half22float2(pair);
}

/* Two exponentials of a row as FP16; sum takes in what they were rounded to, so that a row's
 * weights add up to one. */
__device__ __forceinline__ uint32_t weight_pair(float low, float high, float &sum)
{
    uint32_t bits = half_pair(low, high);
    float2 rounded = floats_of_pair(bits);
    sum += rounded.x + rounded.y;
    return bits;
}

/* Over the four lanes that hold a row. */
__device__ __forceinline__ float row_max(float value)
{
    value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, 1));
    return fmaxf(value, __shfl_xor_sync(ALL_LANES, value, 2));
}

__device__ __forceinline__ float row_sum(float value)
{
    value += __shfl_xor_sync(ALL_LANES, value, 1);
    return value + __shfl_xor_sync(ALL_LANES, value, 2);
}

} // namespace soti

#endif
