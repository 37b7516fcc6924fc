/* FP16 of CUDA on the host: the types and the conversions, rounded to nearest, ties to even. There
 * is no arithmetic: kernels compute in FP32. */
#ifndef SOTI_TEST_CUDA_FP16_H
#define SOTI_TEST_CUDA_FP16_H

#include <cuda_runtime.h>

#if defined(__cplusplus)

struct alignas(2) __half {
    uint16_t bits;
};
using half = __half;
static_assert(sizeof(half) == 2);

struct alignas(4) __half2 {
    half x, y;
};
using half2 = __half2;

inline unsigned short __half_as_ushort(half h)
{
    return h.bits;
}

inline half __ushort_as_half(unsigned short bits)
{
    return {bits};
}

inline float __half2float(half h)
{
    uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000) << 16;
    uint32_t magnitude = static_cast<uint32_t>(h.bits & 0x7FFF) << 13;
    if (magnitude >= 0x0F800000u) { /* infinite, or not a number */
        return __uint_as_float(sign | magnitude | 0x7F800000u);
    }
    /* The exponent's bias, 112 more: a product, so that subnormals become normal. */
    float value = __uint_as_float(magnitude) * 0x1p112f;
    return __uint_as_float(sign | __float_as_uint(value));
}

inline half __float2half_rn(float value)
{
    uint32_t bits = __float_as_uint(value);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    uint32_t result;
    if (magnitude > 0x7F800000) {
        return {0x7FFF}; /* what the device makes of any NaN */
    }
    if (magnitude >= 0x477FF000) { /* 65520, half way to what would follow the largest half */
        result = 0x7C00;
    } else if (magnitude < 0x38800000) { /* below 2^-14: adding 1/2 leaves units of 2^-24 */
        result = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3F000000;
    } else {
        result = (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    }
    return {static_cast<uint16_t>(sign | result)};
}

inline half __float2half(float value)
{
    return __float2half_rn(value);
}

inline half2 __halves2half2(half x, half y)
{
    return {x, y};
}

inline half2 __floats2half2_rn(float x, float y)
{
    return {__float2half_rn(x), __float2half_rn(y)};
}

inline half2 __float22half2_rn(float2 value)
{
    return __floats2half2_rn(value.x, value.y);
}

inline float2 __half22float2(half2 value)
{
    return {__half2float(value.x), __half2float(value.y)};
}

inline half __low2half(half2 value)
{
    return value.x;
}

inline half __high2half(half2 value)
{
    return value.y;
}

inline float __low2float(half2 value)
{
    return __half2float(value.x);
}

inline float __high2float(half2 value)
{
    return __half2float(value.y);
}

#endif /* __cplusplus */

#endif
