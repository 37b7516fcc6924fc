/* 16-bit floating point in software: the portable path, and the meaning that every faster path must
 * agree with. FP16 is IEEE binary16; BF16 is the upper half of binary32. */
#ifndef SOTI_BASE_HALF_H
#define SOTI_BASE_HALF_H

#include <stdint.h>

/* Exact. */
float soti_half_to_float(uint16_t half);

/* Rounds to nearest, ties to even; too large becomes infinity, NaN stays NaN. */
uint16_t soti_half_from_float(float value);

/* Exact. */
float soti_bfloat_to_float(uint16_t bfloat);

#endif
