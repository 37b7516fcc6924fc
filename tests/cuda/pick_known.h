/* Picks and the tokens that the CPU backend chose for them (soti_cpu_pick_one). Both backends are
 * held to them: tests/unit/test_cpu_pick.c the one, tests/cuda/test_pick.c the other. The logits
 * are exact in FP32 and come from an integer hash. They were printed by a loop over the
 * sizes and settings that the rows show. */
#ifndef SOTI_TEST_PICK_KNOWN_H
#define SOTI_TEST_PICK_KNOWN_H

#include <stdint.h>

enum { PICK_KNOWN_VOCAB_MAX = 32001, PICK_KNOWN_RECENT = 8 };

typedef struct pick_known {
    uint32_t n_vocab;
    float temperature, top_p, repetition_penalty;
    uint32_t top_k;
    uint64_t seed, stream, counter;
    int32_t token;
} pick_known;

/* Steps of 1/64 in -8 .. 8, so that equal logits are common. */
static inline void pick_known_logits(float *logits, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        uint32_t hash = (i + n_vocab) * 2654435761u;
        hash ^= hash >> 15;
        hash *= 2246822519u;
        hash ^= hash >> 13;
        logits[i] = ((float)(hash % 1024) - 512) / 64;
    }
}

/* Ids that the penalty applies to; those outside of the vocabulary are not asked for. */
static inline void pick_known_recent(int32_t *recent, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < PICK_KNOWN_RECENT; i++) {
        recent[i] = (int32_t)(i / 2 * 977 % n_vocab);
    }
}

static const pick_known pick_known_cases[] = {
    {1, 0.00f, 1.00f, 1.00f, 0, 0x9e3779b97f4a7c15u, 0x0u, 0, 0},
    {1, 0.00f, 1.00f, 1.30f, 0, 0x3c6ef372fe94f82au, 0x100000000u, 17, 0},
    {1, 1.00f, 1.00f, 1.00f, 0, 0xdaa66d2c7ddf743fu, 0x200000000u, 34, 0},
    {1, 0.700f, 1.00f, 1.20f, 0, 0x78dde6e5fd29f054u, 0x300000000u, 51, 0},
    {1, 1.00f, 0.900f, 1.00f, 0, 0x1715609f7c746c69u, 0x400000000u, 68, 0},
    {1, 0.700f, 0.950f, 1.10f, 0, 0xb54cda58fbbee87eu, 0x500000000u, 85, 0},
    {1, 1.00f, 1.00f, 1.00f, 40, 0x538454127b096493u, 0x600000000u, 102, 0},
    {1, 0.800f, 0.900f, 1.30f, 40, 0xf1bbcdcbfa53e0a8u, 0x700000000u, 119, 0},
    {1, 1.50f, 0.100f, 1.00f, 0, 0x8ff34785799e5cbdu, 0x800000000u, 136, 0},
    {1, 3.00f, 0.990f, 1.00f, 1000, 0x2e2ac13ef8e8d8d2u, 0x900000000u, 153, 0},
    {1, 0.200f, 0.500f, 1.05f, 1, 0xcc623af8783354e7u, 0xa00000000u, 170, 0},
    {31, 0.00f, 1.00f, 1.00f, 0, 0x9e3779b97f4a7c15u, 0x1u, 1, 24},
    {31, 0.00f, 1.00f, 1.30f, 0, 0x3c6ef372fe94f82au, 0x100000001u, 18, 24},
    {31, 1.00f, 1.00f, 1.00f, 0, 0xdaa66d2c7ddf743fu, 0x200000001u, 35, 11},
    {31, 0.700f, 1.00f, 1.20f, 0, 0x78dde6e5fd29f054u, 0x300000001u, 52, 28},
    {31, 1.00f, 0.900f, 1.00f, 0, 0x1715609f7c746c69u, 0x400000001u, 69, 24},
    {31, 0.700f, 0.950f, 1.10f, 0, 0xb54cda58fbbee87eu, 0x500000001u, 86, 24},
    {31, 1.00f, 1.00f, 1.00f, 40, 0x538454127b096493u, 0x600000001u, 103, 4},
    {31, 0.800f, 0.900f, 1.30f, 40, 0xf1bbcdcbfa53e0a8u, 0x700000001u, 120, 10},
    {31, 1.50f, 0.100f, 1.00f, 0, 0x8ff34785799e5cbdu, 0x800000001u, 137, 24},
    {31, 3.00f, 0.990f, 1.00f, 1000, 0x2e2ac13ef8e8d8d2u, 0x900000001u, 154, 12},
    {31, 0.200f, 0.500f, 1.05f, 1, 0xcc623af8783354e7u, 0xa00000001u, 171, 24},
    {33, 0.00f, 1.00f, 1.00f, 0, 0x9e3779b97f4a7c15u, 0x2u, 2, 22},
    {33, 0.00f, 1.00f, 1.30f, 0, 0x3c6ef372fe94f82au, 0x100000002u, 19, 22},
    {33, 1.00f, 1.00f, 1.00f, 0, 0xdaa66d2c7ddf743fu, 0x200000002u, 36, 22},
    {33, 0.700f, 1.00f, 1.20f, 0, 0x78dde6e5fd29f054u, 0x300000002u, 53, 9},
    {33, 1.00f, 0.900f, 1.00f, 0, 0x1715609f7c746c69u, 0x400000002u, 70, 22},
    {33, 0.700f, 0.950f, 1.10f, 0, 0xb54cda58fbbee87eu, 0x500000002u, 87, 22},
    {33, 1.00f, 1.00f, 1.00f, 40, 0x538454127b096493u, 0x600000002u, 104, 22},
    {33, 0.800f, 0.900f, 1.30f, 40, 0xf1bbcdcbfa53e0a8u, 0x700000002u, 121, 9},
    {33, 1.50f, 0.100f, 1.00f, 0, 0x8ff34785799e5cbdu, 0x800000002u, 138, 22},
    {33, 3.00f, 0.990f, 1.00f, 1000, 0x2e2ac13ef8e8d8d2u, 0x900000002u, 155, 14},
    {33, 0.200f, 0.500f, 1.05f, 1, 0xcc623af8783354e7u, 0xa00000002u, 172, 22},
    {1000, 0.00f, 1.00f, 1.00f, 0, 0x9e3779b97f4a7c15u, 0x3u, 3, 668},
    {1000, 0.00f, 1.00f, 1.30f, 0, 0x3c6ef372fe94f82au, 0x100000003u, 20, 668},
    {1000, 1.00f, 1.00f, 1.00f, 0, 0xdaa66d2c7ddf743fu, 0x200000003u, 37, 573},
    {1000, 0.700f, 1.00f, 1.20f, 0, 0x78dde6e5fd29f054u, 0x300000003u, 54, 632},
    {1000, 1.00f, 0.900f, 1.00f, 0, 0x1715609f7c746c69u, 0x400000003u, 71, 834},
    {1000, 0.700f, 0.950f, 1.10f, 0, 0xb54cda58fbbee87eu, 0x500000003u, 88, 528},
    {1000, 1.00f, 1.00f, 1.00f, 40, 0x538454127b096493u, 0x600000003u, 105, 21},
    {1000, 0.800f, 0.900f, 1.30f, 40, 0xf1bbcdcbfa53e0a8u, 0x700000003u, 122, 678},
    {1000, 1.50f, 0.100f, 1.00f, 0, 0x8ff34785799e5cbdu, 0x800000003u, 139, 369},
    {1000, 3.00f, 0.990f, 1.00f, 1000, 0x2e2ac13ef8e8d8d2u, 0x900000003u, 156, 201},
    {1000, 0.200f, 0.500f, 1.05f, 1, 0xcc623af8783354e7u, 0xa00000003u, 173, 668},
    {32000, 0.00f, 1.00f, 1.00f, 0, 0x9e3779b97f4a7c15u, 0x4u, 4, 1081},
    {32000, 0.00f, 1.00f, 1.30f, 0, 0x3c6ef372fe94f82au, 0x100000004u, 21, 1081},
    {32000, 1.00f, 1.00f, 1.00f, 0, 0xdaa66d2c7ddf743fu, 0x200000004u, 38, 20559},
    {32000, 0.700f, 1.00f, 1.20f, 0, 0x78dde6e5fd29f054u, 0x300000004u, 55, 9582},
    {32000, 1.00f, 0.900f, 1.00f, 0, 0x1715609f7c746c69u, 0x400000004u, 72, 8479},
    {32000, 0.700f, 0.950f, 1.10f, 0, 0xb54cda58fbbee87eu, 0x500000004u, 89, 11708},
    {32000, 1.00f, 1.00f, 1.00f, 40, 0x538454127b096493u, 0x600000004u, 106, 31890},
    {32000, 0.800f, 0.900f, 1.30f, 40, 0xf1bbcdcbfa53e0a8u, 0x700000004u, 123, 1228},
    {32000, 1.50f, 0.100f, 1.00f, 0, 0x8ff34785799e5cbdu, 0x800000004u, 140, 18154},
    {32000, 3.00f, 0.990f, 1.00f, 1000, 0x2e2ac13ef8e8d8d2u, 0x900000004u, 157, 24173},
    {32000, 0.200f, 0.500f, 1.05f, 1, 0xcc623af8783354e7u, 0xa00000004u, 174, 1081},
    {32001, 0.00f, 1.00f, 1.00f, 0, 0x9e3779b97f4a7c15u, 0x5u, 5, 1080},
    {32001, 0.00f, 1.00f, 1.30f, 0, 0x3c6ef372fe94f82au, 0x100000005u, 22, 1080},
    {32001, 1.00f, 1.00f, 1.00f, 0, 0xdaa66d2c7ddf743fu, 0x200000005u, 39, 14466},
    {32001, 0.700f, 1.00f, 1.20f, 0, 0x78dde6e5fd29f054u, 0x300000005u, 56, 31307},
    {32001, 1.00f, 0.900f, 1.00f, 0, 0x1715609f7c746c69u, 0x400000005u, 73, 4725},
    {32001, 0.700f, 0.950f, 1.10f, 0, 0xb54cda58fbbee87eu, 0x500000005u, 90, 15015},
    {32001, 1.00f, 1.00f, 1.00f, 40, 0x538454127b096493u, 0x600000005u, 107, 1227},
    {32001, 0.800f, 0.900f, 1.30f, 40, 0xf1bbcdcbfa53e0a8u, 0x700000005u, 124, 18587},
    {32001, 1.50f, 0.100f, 1.00f, 0, 0x8ff34785799e5cbdu, 0x800000005u, 141, 11374},
    {32001, 3.00f, 0.990f, 1.00f, 1000, 0x2e2ac13ef8e8d8d2u, 0x900000005u, 158, 28632},
    {32001, 0.200f, 0.500f, 1.05f, 1, 0xcc623af8783354e7u, 0xa00000005u, 175, 1080},
};

#endif
