/* The instructions of AMX and AVX512-FP16 that cpu_kernels_amx.c is made of. A test of that file on
 * a machine that has neither puts its own model of them in this header's place.
 *
 * Tiles are named by number, 0 to 7, and all have 16 rows of 64 bytes, one behind the other in
 * memory. The compiler knows nothing of tile registers: whoever writes these keeps count. Every one
 * of them is a barrier to the compiler, whose own intrinsics let a store pass a later tile load. */
#ifndef SOTI_CPU_AMX_TILES_H
#define SOTI_CPU_AMX_TILES_H

#include <immintrin.h>
#include <stdalign.h>
#include <stdint.h>

/* What LDTILECFG reads: palette 1, the only one. */
typedef struct tile_shapes {
    alignas(64) uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* Before any other tile instruction of a thread; all tiles are 0 then. */
static inline void tiles_begin(void)
{
    static const tile_shapes shapes = {.palette = 1,
                                       .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                       .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    __asm__ volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
}

/* Back to the state without tiles, in which a switch of threads saves none. */
static inline void tiles_end(void)
{
    __asm__ volatile("tilerelease" ::: "memory");
}

/* clang-format off */
#define TILE_TEXT(tile) "%%tmm" #tile
#define TILE_NAME(tile) TILE_TEXT(tile)
#define TILE_STEP       ((long)64)

#define TILE_ZERO(tile)                                                                            \
    __asm__ volatile("tilezero " TILE_NAME(tile) ::: "memory")
#define TILE_LOAD(tile, from)                                                                      \
    __asm__ volatile("tileloadd (%0,%1,1), " TILE_NAME(tile)                                       \
                     ::"r"((const void *)(from)), "r"(TILE_STEP) : "memory")
#define TILE_STORE(tile, to)                                                                       \
    __asm__ volatile("tilestored " TILE_NAME(tile) ", (%0,%1,1)"                                   \
                     ::"r"((void *)(to)), "r"(TILE_STEP) : "memory")

/* sum[m][n] += over k of a[m][k] * b[k][n]: sum FP32 (16, 16), a BF16 (16, 32), b BF16 in pairs,
 * (16, 16, 2): element (p, n, j) is b[2 * p + j][n] */
#define TILE_PRODUCT(sum, a, b)                                                                    \
    __asm__ volatile("tdpbf16ps " TILE_NAME(b) ", " TILE_NAME(a) ", " TILE_NAME(sum) ::: "memory")
/* clang-format on */

/* 32 FP16 products; differences. FP16 arithmetic knows no flush to zero; rounding is to nearest and
 * no exception is raised, whatever the host has put into MXCSR. */
static inline __m512i half_products(__m512i a, __m512i b)
{
    return _mm512_castph_si512(_mm512_mul_round_ph(_mm512_castsi512_ph(a), _mm512_castsi512_ph(b),
                                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

static inline __m512i half_differences(__m512i a, __m512i b)
{
    return _mm512_castph_si512(_mm512_sub_round_ph(_mm512_castsi512_ph(a), _mm512_castsi512_ph(b),
                                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* 32 BF16, to nearest, ties to even: those of first, then those of second. */
static inline __m512i round_to_bfloats(__m512 first, __m512 second)
{
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

#endif
