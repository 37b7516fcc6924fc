/* See half.h. */
#include "half.h"

#include <string.h>

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float soti_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1Fu;
    uint32_t mantissa = half & 0x3FFu;
    if (exponent == 31) {
        return float_from_bits(sign | 0x7F800000u | (mantissa << 13));
    }
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24 is exact in binary32 */
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t soti_half_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
    }
    if (magnitude >= 0x477FF000u) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    }
    uint32_t kept;
    uint32_t shift;
    if (magnitude >= 0x38800000u) { /* 2^-14: normal in FP16 */
        kept = magnitude - (112u << 23);
        shift = 13;
    } else {
        uint32_t exponent = magnitude >> 23;
        if (exponent < 102) { /* below 2^-25: rounds to zero */
            return (uint16_t)sign;
        }
        kept = (magnitude & 0x7FFFFFu) | 0x800000u;
        shift = 126 - exponent;
    }
    uint32_t rest = kept & ((1u << shift) - 1);
    uint32_t half_way = 1u << (shift - 1);
    kept >>= shift;
    if (rest > half_way || (rest == half_way && (kept & 1u))) {
        kept++;
    }
    return (uint16_t)(sign | kept);
}

float soti_bfloat_to_float(uint16_t bfloat)
{
    return float_from_bits((uint32_t)bfloat << 16);
}
