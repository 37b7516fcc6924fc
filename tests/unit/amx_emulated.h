/* Stands in for lib/cpu/amx_tiles.h, whose guard it takes: the same tile instructions in plain C,
 * as Intel's manual writes them down, and AVX512-FP16's arithmetic by way of FP32. With it
 * cpu_kernels_amx.c runs on any AVX-512 machine. Include both where AVX-512 is enabled. */
#ifndef SOTI_CPU_AMX_TILES_H
#define SOTI_CPU_AMX_TILES_H

#include <immintrin.h>
#include <math.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

/* One thread's tile registers. */
static _Thread_local struct {
    int is_begun;
    unsigned n_begun;  /* times */
    unsigned n_faults; /* instructions that would have raised an exception */
    uint32_t tiles[8][16][16];
} emulated;

static inline void tiles_begin(void)
{
    memset(emulated.tiles, 0, sizeof emulated.tiles);
    emulated.is_begun = 1;
    emulated.n_begun++;
}

static inline void tiles_end(void)
{
    memset(emulated.tiles, 0xFF, sizeof emulated.tiles); /* what a later user must not rely on */
    emulated.is_begun = 0;
}

static inline void tile_zero(int tile)
{
    emulated.n_faults += !emulated.is_begun;
    memset(emulated.tiles[tile], 0, sizeof emulated.tiles[tile]);
}

static inline void tile_load(int tile, const void *from)
{
    emulated.n_faults += !emulated.is_begun;
    memcpy(emulated.tiles[tile], from, sizeof emulated.tiles[tile]);
}

static inline void tile_store(int tile, void *to)
{
    emulated.n_faults += !emulated.is_begun;
    memcpy(to, emulated.tiles[tile], sizeof emulated.tiles[tile]);
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float first_bfloat(uint32_t pair)
{
    return float_of(pair << 16);
}

static inline float second_bfloat(uint32_t pair)
{
    return float_of(pair & 0xFFFF0000u);
}

/* TDPBF16PS, loop by loop as in the manual; runs with MXCSR as the instruction behaves. */
static __attribute__((noinline)) void tile_product_loops(uint32_t sum[16][16], uint32_t a[16][16],
                                                         uint32_t b[16][16])
{
    for (int m = 0; m < 16; m++) {
        float even[16] = {0};
        float odd[16] = {0};
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < 16; n++) {
                even[n] = fmaf(first_bfloat(a[m][k]), first_bfloat(b[k][n]), even[n]);
                odd[n] = fmaf(second_bfloat(a[m][k]), second_bfloat(b[k][n]), odd[n]);
            }
        }
        for (int n = 0; n < 16; n++) {
            float both = even[n] + odd[n];
            float total = float_of(sum[m][n]) + both;
            memcpy(&sum[m][n], &total, sizeof total);
        }
    }
}

/* Denormal operands count as 0, denormal results become 0, rounding is to nearest. */
static inline void tile_product(int sum, int a, int b)
{
    enum { MASKED = 0x1F80, FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };
    emulated.n_faults += !emulated.is_begun || sum == a || sum == b || a == b;
    unsigned host = _mm_getcsr();
    _mm_setcsr(MASKED | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    tile_product_loops(emulated.tiles[sum], emulated.tiles[a], emulated.tiles[b]);
    _mm_setcsr(host);
}

#define TILE_ZERO(tile)         tile_zero(tile)
#define TILE_LOAD(tile, from)   tile_load(tile, from)
#define TILE_STORE(tile, to)    tile_store(tile, to)
#define TILE_PRODUCT(sum, a, b) tile_product(sum, a, b)

/* FP16 operations by way of FP32 are right to the bit: FP32's 24 bits are at least 2 * 11 + 2, with
 * which a second rounding to 11 bits changes nothing (Figueroa 1995), for normal results; a product
 * has 22 bits, so it is rounded once, to a denormal too; a denormal difference is exact, all halves
 * being multiples of 2^-24. Conversions from and to FP16 heed no flush to zero. */
static inline __m256i to_halves(__m512 floats)
{
    return _mm512_maskz_cvtps_ph((__mmask16)0xFFFF, floats,
                                 _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline __m512 low_halves(__m512i halves)
{
    return _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
}

static inline __m512 high_halves(__m512i halves)
{
    return _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
}

static inline __m512i join(__m256i low, __m256i high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline __m512i half_products(__m512i a, __m512i b)
{
    return join(to_halves(_mm512_mul_ps(low_halves(a), low_halves(b))),
                to_halves(_mm512_mul_ps(high_halves(a), high_halves(b))));
}

static inline __m512i half_differences(__m512i a, __m512i b)
{
    return join(to_halves(_mm512_sub_ps(low_halves(a), low_halves(b))),
                to_halves(_mm512_sub_ps(high_halves(a), high_halves(b))));
}

/* VCVTNE2PS2BF16: denormals become 0, NaN stays NaN. */
static inline uint16_t round_to_bfloat(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    if ((bits & 0x7F800000u) == 0) {
        return (uint16_t)(bits >> 16 & 0x8000u);
    }
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

static inline __m512i round_to_bfloats(__m512 first, __m512 second)
{
    float values[32];
    uint16_t bfloats[32];
    _mm512_storeu_ps(values, first);
    _mm512_storeu_ps(values + 16, second);
    for (int i = 0; i < 32; i++) {
        bfloats[i] = round_to_bfloat(values[i]);
    }
    return _mm512_loadu_si512(bfloats);
}

#endif
