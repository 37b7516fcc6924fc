/* The product with the matrix tiles of AMX-BF16 (Sapphire Rapids and later), which multiply BF16
 * and add in FP32. All other kernels are AVX-512's. Start at soti_cpu_amx_product.
 *
 * Numbers as two BF16 each
 *
 * A weight is split exactly. Times 2^12 in FP16 arithmetic a subnormal becomes normal, so a weight
 * below 16 is 11 bits at one exponent: hi is the nearest number of 8 bits, lo the difference, which
 * 3 bits hold. Both are multiples of 2^-12, so they are 0 or normal in FP16 and, shifted right by
 * three places without the copies of the sign, 0 or normal in BF16 at 2^-112 times their value.
 * Denormals, which a tile product takes for 0, do not come up.
 *
 *   FP16  s eeeee mmmmmmm 000
 *   BF16  s 000 eeeee mmmmmmm            the exponent's bias is 127 instead of 15
 *
 * A row of activations is scaled by a power of two that takes its largest to [2^126, 2^127), and
 * each x rounded twice: hi to nearest, lo what is missing, to nearest. hi + lo is within 2^-17 |x|.
 * Three of the four products are summed; the missing lo * lo is below 2^-16 |w x|. Measured against
 * the root of the sum of squared terms, the error is 4e-6.
 *
 * With weights at 2^-100 (2^12 * 2^-112) sums stay below 2^4 * 2^127 * 2^-100 * n_in = 2^31 * n_in.
 * What a tile product flushes to zero, of operands and sums, is below 2^-126: that is 2^-152 of the
 * row's largest activation in the result, beyond FP32's range if that is 1. The end scales back.
 *
 * What does not fit
 *
 * Weights from 15.96875 on (8 bits of them would round to 16, which overflows), infinity and NaN
 * are seen while they are converted; their row of weights, and only that, is multiplied in FP32
 * (CK-1: this depends on the row of weights alone). A row of activations with infinity or NaN has
 * results that are infinity or NaN, as in FP32, though not always the same of the two.
 *
 * Work
 *
 * Weights pass in blocks of 32 rows, a chunk of 128 columns at a time. While the tiles multiply one
 * chunk, the next is converted into a second buffer and one further on fetched from memory:
 *
 *   k           0          128         256       384
 *   32 rows   | products | converted |         | fetched |
 *
 * One step of a block, 32 columns, is 2 KB of weights: 16 cycles for each of its 6 tile products,
 * or 52 for each of 3 that wait for one another; 160 to convert it; and, at 14 GB/s for a core, 400
 * to read it. These overlap. A chunk serves up to GROUPS * 16 rows of activations; with more than
 * two groups the sums of the others wait in memory, which changes no bit of them. */
#include "cpu/cpu_kernels_amx.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdalign.h>
#include <stdbool.h>

#include "cpu/amx_tiles.h"
#include "cpu/cpu_kernels.h"

enum {
    SIDE = 16,   /* rows of a tile: weight rows, rows of activations */
    STEP = 32,   /* columns k of one tile product */
    CHUNK = 128, /* and of one conversion */
    CHUNK_STEPS = CHUNK / STEP,
    BLOCK = 2 * SIDE,  /* weight rows */
    AHEAD = 2 * CHUNK, /* columns from the one being converted to the one being fetched */
    GROUPS = 8,
    TILE = SIDE * STEP,        /* BF16 of a tile */
    WEIGHT_EXPONENT = 112 - 12 /* what the weights' BF16 lack */
};

_Static_assert((int)SIDE == (int)SOTI_CPU_GROUP_ROWS, "a group of rows is a tile");

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* The tiles: sums of two blocks of 16 weight rows with two groups of activations, and the operands
 * of one step, hi or lo. */
#define SUM_00    0
#define SUM_01    1
#define SUM_10    2
#define SUM_11    3
#define WEIGHTS_0 4
#define WEIGHTS_1 5
#define ROWS_0    6
#define ROWS_1    7

/* One call's arguments. */
typedef struct product_call {
    const uint16_t *w;
    size_t n_out;
    size_t n_in;
    size_t n_steps; /* of n_in */
    size_t n_chunks;
    const uint16_t *packed; /* groups: (steps, hi and lo, TILE), then (SIDE) exponents */
    size_t group_size;      /* of packed, in BF16 */
    size_t n_rows;
    float *out;
    size_t out_stride;
} product_call;

/* A chunk of a block, and which of the two buffers it is converted into. */
typedef struct place {
    size_t i_block;
    size_t i_chunk;
    size_t i_buffer;
} place;

/* Converted weights of two chunks, one at work, one being filled. Rows behind the last weight row
 * hold anything: they only enter sums that nobody reads. */
typedef struct workbench {
    alignas(
        64) uint16_t weights[2][CHUNK_STEPS][2][2][TILE]; /* step, half of the block, hi and lo */
    float sums[GROUPS][2][SIDE * SIDE];                   /* half of the block: (weights, rows) */
    uint32_t large[2]; /* by i_block % 2: bit i: row i of the block has a weight too large */
} workbench;

INLINE void transpose(__m512i rows[SIDE])
{
    __m512i parts[SIDE];
    UNROLL
    for (int i = 0; i < SIDE; i += 2) {
        parts[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        parts[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    UNROLL
    for (int i = 0; i < SIDE; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(parts[i], parts[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(parts[i], parts[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(parts[i + 1], parts[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(parts[i + 1], parts[i + 3]);
    }
    /* Lane l of rows[4 * i + j] is now column 4 * l + j of rows 4 * i .. 4 * i + 3. */
    UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i even0 = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0x88);
        __m512i even1 = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0x88);
        __m512i odd0 = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0xDD);
        __m512i odd1 = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0xDD);
        parts[j] = _mm512_shuffle_i32x4(even0, even1, 0x88);
        parts[4 + j] = _mm512_shuffle_i32x4(odd0, odd1, 0x88);
        parts[8 + j] = _mm512_shuffle_i32x4(even0, even1, 0xDD);
        parts[12 + j] = _mm512_shuffle_i32x4(odd0, odd1, 0xDD);
    }
    UNROLL
    for (int i = 0; i < SIDE; i++) {
        rows[i] = parts[i];
    }
}

/* The first n of 32 halves, of 16 floats. */
INLINE __mmask32 first_halves(size_t n)
{
    return n < STEP ? ((__mmask32)1 << n) - 1 : ~(__mmask32)0;
}

INLINE __mmask16 first_floats(size_t n)
{
    return (__mmask16)(n < SIDE ? (1u << n) - 1 : 0xFFFFu);
}

/* The first or second of two BF16 in each lane. */
INLINE __m512 even_bfloats(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

INLINE __m512 odd_bfloats(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000)));
}

/* What value lacks to its BF16; nothing where that is infinity or NaN. */
INLINE __m512 missing(__m512 value, __m512 bfloat)
{
    enum { NAN_OR_INFINITY = 0x99 };
    return _mm512_maskz_sub_ps(_knot_mask16(_mm512_fpclass_ps_mask(bfloat, NAN_OR_INFINITY)), value,
                               bfloat);
}

/* The k of 2^k that takes the largest of a row to [2^126, 2^127). */
static float row_exponent(const float *x, size_t n_in)
{
    const __m512i magnitude_bits = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i largest = _mm512_setzero_si512();
    for (size_t k = 0; k < n_in; k += SIDE) {
        __m512 values = _mm512_maskz_loadu_ps(first_floats(n_in - k), x + k);
        __m512i magnitudes = _mm512_and_si512(_mm512_castps_si512(values), magnitude_bits);
        largest = _mm512_max_epu32(largest, magnitudes);
    }
    int bits = (int)_mm512_reduce_max_epu32(largest);
    return (float)(126 - ((bits >> 23) - 127));
}

/* n <= STEP columns of n_rows <= SIDE rows become a tile of hi and a tile of lo, in pairs. */
static void pack_step(const float *x, size_t x_stride, size_t n_rows, size_t n,
                      const float exponents[SIDE], uint16_t *packed)
{
    __mmask16 mask0 = first_floats(n);
    __mmask16 mask1 = first_floats(n > SIDE ? n - SIDE : 0);
    __m512i hi[SIDE];
    __m512i lo[SIDE];
    for (size_t r = 0; r < SIDE; r++) {
        hi[r] = _mm512_setzero_si512();
        lo[r] = _mm512_setzero_si512();
        if (r < n_rows) {
            const float *row = x + r * x_stride;
            __m512 exponent = _mm512_set1_ps(exponents[r]);
            __m512 first = _mm512_scalef_ps(_mm512_maskz_loadu_ps(mask0, row), exponent);
            __m512 second = _mm512_scalef_ps(_mm512_maskz_loadu_ps(mask1, row + SIDE), exponent);
            hi[r] = round_to_bfloats(first, second);
            __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(hi[r]));
            __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(hi[r], 1));
            first = missing(first, even_bfloats(low));
            second = missing(second, even_bfloats(high));
            lo[r] = round_to_bfloats(first, second);
        }
    }
    transpose(hi);
    transpose(lo);
    for (size_t p = 0; p < SIDE; p++) {
        _mm512_store_si512(packed + p * STEP, hi[p]);
        _mm512_store_si512(packed + TILE + p * STEP, lo[p]);
    }
}

void soti_cpu_amx_pack(const float *x, size_t x_stride, size_t n_rows, size_t n_in, float *packed)
{
    for (size_t r = 0; r < n_rows; r += SIDE) {
        float exponents[SIDE] = {0};
        size_t n = n_rows - r < SIDE ? n_rows - r : SIDE;
        uint16_t *to = (uint16_t *)(void *)(packed + r * soti_cpu_packed_stride(n_in));
        for (size_t i = 0; i < n; i++) {
            exponents[i] = row_exponent(x + (r + i) * x_stride, n_in);
        }
        for (size_t k = 0; k < n_in; k += STEP) {
            pack_step(x + r * x_stride + k, x_stride, n, n_in - k < STEP ? n_in - k : STEP,
                      exponents, to);
            to += 2 * TILE;
        }
        _mm512_store_ps(to, _mm512_loadu_ps(exponents));
    }
}

/* Halves with three zeros at their end as the BF16 that are 2^-112 times them. */
INLINE __m512i bfloat_bits(__m512i halves)
{
    return _mm512_and_si512(_mm512_srai_epi16(halves, 3), _mm512_set1_epi16((short)0x8FFF));
}

/* One weight row's part of a chunk into the tiles of its half of the block, whose first step's row
 * is at to. ahead: what to fetch into L2 meanwhile. True: a weight is too large. */
INLINE bool convert_row(const uint16_t *w, const uint16_t *ahead, uint16_t *to,
                        const size_t n_steps, __mmask32 last)
{
    const __m512i scale = _mm512_set1_epi16(0x6C00);              /* 2^12 */
    const __m512i half_unit = _mm512_set1_epi16(4);               /* of hi, in places of FP16 */
    const __m512i top_bits = _mm512_set1_epi16((short)0xFFF8);    /* of FP16, those of hi */
    const __m512i limit = _mm512_set1_epi16((short)(2 * 0x4BFC)); /* 15.96875, without its sign */
    __m512i largest = _mm512_setzero_si512();
    __asm__("" : "+r"(ahead)); /* one pointer, not an offset from w for every step */
    for (size_t t = 0; t < n_steps; t++) {
        __mmask32 mask = t + 1 < n_steps ? ~(__mmask32)0 : last;
        __m512i halves = _mm512_maskz_loadu_epi16(mask, w + t * STEP);
        _mm_prefetch((const char *)(ahead + t * STEP), _MM_HINT_T1);
        largest = _mm512_max_epu16(largest, _mm512_add_epi16(halves, halves));
        __m512i scaled = half_products(halves, scale);
        __m512i top = _mm512_and_si512(_mm512_add_epi16(scaled, half_unit), top_bits);
        __m512i rest = half_differences(scaled, top);
        _mm512_store_si512(to + t * 4 * TILE, bfloat_bits(top));
        _mm512_store_si512(to + t * 4 * TILE + TILE, bfloat_bits(rest));
    }
    return _mm512_cmpge_epu16_mask(largest, limit) != 0;
}

static size_t rows_of_block(const product_call *call, size_t i_block)
{
    size_t n = call->n_out - i_block * BLOCK;
    return n < BLOCK ? n : BLOCK;
}

/* Rows first .. first + n of the block, as far as there are. */
static void convert_rows(const product_call *call, place at, size_t first, size_t n,
                         workbench *bench)
{
    uint16_t *tiles = bench->weights[at.i_buffer][0][0][0];
    size_t k = at.i_chunk * CHUNK;
    size_t n_k = call->n_in - k < CHUNK ? call->n_in - k : CHUNK;
    size_t n_here = rows_of_block(call, at.i_block);
    size_t end = first + n < n_here ? first + n : n_here;
    /* Behind the end of a row of weights the next block's is fetched. An address behind the matrix
     * does no harm. */
    size_t width = call->n_chunks * CHUNK;
    size_t ahead = k + AHEAD < width ? AHEAD : n_here * call->n_in + AHEAD - width;
    uint32_t large = 0;
    for (size_t i = first; i < end; i++) {
        const uint16_t *w = call->w + (at.i_block * BLOCK + i) * call->n_in + k;
        uint16_t *to = tiles + i / SIDE * 2 * TILE + i % SIDE * STEP;
        bool is_large;
        if (n_k == CHUNK) {
            is_large = convert_row(w, w + ahead, to, CHUNK_STEPS, ~(__mmask32)0);
        } else {
            size_t n_steps = (n_k + STEP - 1) / STEP;
            is_large =
                convert_row(w, w + ahead, to, n_steps, first_halves(n_k - (n_steps - 1) * STEP));
        }
        large |= (uint32_t)is_large << i;
    }
    bench->large[at.i_block % 2] |= large;
}

INLINE void zero_sums(void)
{
    TILE_ZERO(SUM_00);
    TILE_ZERO(SUM_01);
    TILE_ZERO(SUM_10);
    TILE_ZERO(SUM_11);
}

/* sums: of the first of n_groups groups. */
INLINE void load_sums(float (*sums)[2][SIDE * SIDE], const int n_halves, const int n_groups)
{
    TILE_LOAD(SUM_00, sums[0][0]);
    if (n_halves == 2) {
        TILE_LOAD(SUM_10, sums[0][1]);
    }
    if (n_groups == 2) {
        TILE_LOAD(SUM_01, sums[1][0]);
        if (n_halves == 2) {
            TILE_LOAD(SUM_11, sums[1][1]);
        }
    }
}

INLINE void store_sums(float (*sums)[2][SIDE * SIDE], const int n_halves, const int n_groups)
{
    TILE_STORE(SUM_00, sums[0][0]);
    if (n_halves == 2) {
        TILE_STORE(SUM_10, sums[0][1]);
    }
    if (n_groups == 2) {
        TILE_STORE(SUM_01, sums[1][0]);
        if (n_halves == 2) {
            TILE_STORE(SUM_11, sums[1][1]);
        }
    }
}

INLINE void load_weights(const uint16_t *weights, const int n_halves)
{
    TILE_LOAD(WEIGHTS_0, weights);
    if (n_halves == 2) {
        TILE_LOAD(WEIGHTS_1, weights + 2 * TILE);
    }
}

INLINE void load_rows(const uint16_t *rows, size_t group_size, const int n_groups)
{
    TILE_LOAD(ROWS_0, rows);
    if (n_groups == 2) {
        TILE_LOAD(ROWS_1, rows + group_size);
    }
}

/* The same sum comes up again as late as possible: a product takes 16 cycles, its result 52. */
INLINE void add_products(const int n_halves, const int n_groups)
{
    TILE_PRODUCT(SUM_00, WEIGHTS_0, ROWS_0);
    if (n_halves == 2) {
        TILE_PRODUCT(SUM_10, WEIGHTS_1, ROWS_0);
    }
    if (n_groups == 2) {
        TILE_PRODUCT(SUM_01, WEIGHTS_0, ROWS_1);
        if (n_halves == 2) {
            TILE_PRODUCT(SUM_11, WEIGHTS_1, ROWS_1);
        }
    }
}

/* One step's three products of each sum, always in this order (CK-1). */
INLINE void multiply_step(const uint16_t *weights, const uint16_t *rows, size_t group_size,
                          const int n_halves, const int n_groups)
{
    load_weights(weights, n_halves);
    load_rows(rows + TILE, group_size, n_groups);
    add_products(n_halves, n_groups);
    load_rows(rows, group_size, n_groups);
    add_products(n_halves, n_groups);
    load_weights(weights + TILE, n_halves);
    add_products(n_halves, n_groups);
}

/* A converted chunk with one or two groups, from i_group on; meanwhile, where next is not NULL, the
 * next chunk is converted. */
INLINE void pass(const product_call *call, place at, const place *next, size_t i_group,
                 workbench *bench, const int n_halves, const int n_groups)
{
    size_t k = at.i_chunk * CHUNK;
    size_t n_k = call->n_in - k < CHUNK ? call->n_in - k : CHUNK;
    size_t n_steps = (n_k + STEP - 1) / STEP;
    const uint16_t *rows = call->packed + i_group * call->group_size + k / STEP * 2 * TILE;
    bool stays = call->n_rows <= 2 * SIDE; /* nobody else needs the tiles */
    bool is_last = at.i_chunk + 1 == call->n_chunks;
    if (at.i_chunk == 0) {
        zero_sums();
    } else if (!stays) {
        load_sums(bench->sums + i_group, n_halves, n_groups);
    }
    size_t n_to_convert = next != NULL ? rows_of_block(call, next->i_block) : 0;
    size_t n_slice = (n_to_convert + CHUNK_STEPS - 1) / CHUNK_STEPS;
    for (size_t t = 0; t < n_steps; t++) {
        multiply_step(bench->weights[at.i_buffer][t][0][0], rows + t * 2 * TILE, call->group_size,
                      n_halves, n_groups);
        if (next != NULL) {
            convert_rows(call, *next, t * n_slice, n_slice, bench);
        }
    }
    if (next != NULL && n_steps < CHUNK_STEPS) {
        convert_rows(call, *next, n_steps * n_slice, BLOCK, bench);
    }
    if (is_last || !stays) {
        store_sums(bench->sums + i_group, n_halves, n_groups);
    }
}

static void pass_of_size(const product_call *call, place at, const place *next, size_t i_group,
                         size_t n_groups, workbench *bench)
{
    bool is_half = rows_of_block(call, at.i_block) <= SIDE;
    if (n_groups > 1) {
        if (is_half) {
            pass(call, at, next, i_group, bench, 1, 2);
        } else {
            pass(call, at, next, i_group, bench, 2, 2);
        }
    } else if (is_half) {
        pass(call, at, next, i_group, bench, 1, 1);
    } else {
        pass(call, at, next, i_group, bench, 2, 1);
    }
}

/* The sums (weights, rows) of one half of a block and one group to their rows of out. exponents:
 * those of the group's rows. */
static void deliver(const float *sums, const float *exponents, size_t n_outs, size_t n_rows,
                    float *out, size_t out_stride)
{
    __m512i columns[SIDE];
    for (size_t i = 0; i < SIDE; i++) {
        columns[i] = _mm512_load_si512(sums + i * SIDE);
    }
    transpose(columns);
    for (size_t r = 0; r < n_rows; r++) {
        __m512 exponent = _mm512_set1_ps(WEIGHT_EXPONENT - exponents[r]);
        _mm512_mask_storeu_ps(out + r * out_stride, first_floats(n_outs),
                              _mm512_scalef_ps(_mm512_castsi512_ps(columns[r]), exponent));
    }
}

/* One weight row that tiles cannot hold, with one group in FP32. */
static void multiply_plainly(const uint16_t *w, size_t n_in, const uint16_t *packed,
                             const float *exponents, size_t n_rows, float *out, size_t out_stride)
{
    __m512 exponent = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_load_ps(exponents));
    __m512 sums = _mm512_setzero_ps();
    for (size_t k = 0; k < n_in; k += 2) {
        const uint16_t *pairs = packed + k / STEP * 2 * TILE + k % STEP / 2 * STEP;
        __m512i hi = _mm512_load_si512(pairs);
        __m512i lo = _mm512_load_si512(pairs + TILE);
        __m512 x = _mm512_add_ps(even_bfloats(hi), even_bfloats(lo));
        x = _mm512_scalef_ps(x, exponent);
        sums = _mm512_fmadd_ps(_mm512_set1_ps(_cvtsh_ss(w[k])), x, sums);
        if (k + 1 < n_in) {
            x = _mm512_add_ps(odd_bfloats(hi), odd_bfloats(lo));
            x = _mm512_scalef_ps(x, exponent);
            sums = _mm512_fmadd_ps(_mm512_set1_ps(_cvtsh_ss(w[k + 1])), x, sums);
        }
    }
    float values[SIDE];
    _mm512_storeu_ps(values, sums);
    for (size_t r = 0; r < n_rows; r++) {
        out[r * out_stride] = values[r];
    }
}

/* A block's results, all chunks being summed. */
static void finish_block(const product_call *call, size_t i_block, workbench *bench)
{
    size_t first_out = i_block * BLOCK;
    size_t n_outs = rows_of_block(call, i_block);
    uint32_t large = bench->large[i_block % 2];
    bench->large[i_block % 2] = 0;
    for (size_t r = 0; r < call->n_rows; r += SIDE) {
        size_t n_rows = call->n_rows - r < SIDE ? call->n_rows - r : SIDE;
        float *out = call->out + r * call->out_stride + first_out;
        const float *sums = bench->sums[r / SIDE][0];
        const uint16_t *packed = call->packed + r / SIDE * call->group_size;
        const float *exponents = (const float *)(const void *)(packed + call->n_steps * 2 * TILE);
        deliver(sums, exponents, n_outs, n_rows, out, call->out_stride);
        if (n_outs > SIDE) {
            deliver(sums + SIDE * SIDE, exponents, n_outs - SIDE, n_rows, out + SIDE,
                    call->out_stride);
        }
        for (size_t i = 0; i < BLOCK && large >> i != 0; i++) {
            if (large >> i & 1) {
                multiply_plainly(call->w + (first_out + i) * call->n_in, call->n_in, packed,
                                 exponents, n_rows, out + i, call->out_stride);
            }
        }
    }
}

/* All weights with at most GROUPS groups. */
static void multiply(const product_call *call, workbench *bench)
{
    size_t n_blocks = (call->n_out + BLOCK - 1) / BLOCK;
    size_t n_groups = (call->n_rows + SIDE - 1) / SIDE;
    place at = {0, 0, 0};
    bench->large[0] = 0;
    bench->large[1] = 0;
    convert_rows(call, at, 0, BLOCK, bench);
    while (at.i_block < n_blocks) {
        place next = {at.i_block, at.i_chunk + 1, 1 - at.i_buffer};
        if (next.i_chunk == call->n_chunks) {
            next.i_block++;
            next.i_chunk = 0;
        }
        const place *to_convert = next.i_block < n_blocks ? &next : NULL;
        for (size_t g = 0; g < n_groups; g += 2) {
            pass_of_size(call, at, to_convert, g, n_groups - g, bench);
            to_convert = NULL;
        }
        if (next.i_chunk == 0) {
            finish_block(call, at.i_block, bench);
        }
        at = next;
    }
}

void soti_cpu_amx_product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                          size_t n_rows, float *out, size_t out_stride)
{
    workbench bench;
    tiles_begin();
    for (size_t r = 0; r < n_rows; r += GROUPS * SIDE) {
        product_call call = {.w = w,
                             .n_out = n_out,
                             .n_in = n_in,
                             .n_steps = (n_in + STEP - 1) / STEP,
                             .n_chunks = (n_in + CHUNK - 1) / CHUNK,
                             .group_size = 2 * SIDE * soti_cpu_packed_stride(n_in),
                             .n_rows = n_rows - r < GROUPS * SIDE ? n_rows - r : GROUPS * SIDE,
                             .out = out + r * out_stride,
                             .out_stride = out_stride};
        call.packed = (const uint16_t *)(const void *)packed + r / SIDE * call.group_size;
        multiply(&call, &bench);
    }
    tiles_end();
}

#endif
