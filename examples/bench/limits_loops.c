/* The loops behind limits.h. Each instruction set's functions carry it as an attribute and are
 * entered after a run-time check only, so the program runs on every machine of its architecture.
 * Reading: several streams a thread keep more pages open than one; which count is best differs from
 * machine to machine, so there are some to choose from. Multiplying: enough independent sums in
 * registers to hide the latency of an addition. */
#include "limits.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* Sums that are no single variables stay in registers only where every loop over them is unrolled,
 * which compilers do not do on their own below -O3. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* ---- Portable C --------------------------------------------------------------------------------
 */

static uint64_t read_portable(const uint8_t *data, size_t bytes)
{
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < bytes; i += sizeof sums) {
        uint64_t words[8];
        memcpy(words, data + i, sizeof words);
        for (int j = 0; j < 8; j++)
            sums[j] += words[j];
    }
    uint64_t sum = 0;
    for (int j = 0; j < 8; j++)
        sum += sums[j];
    return sum;
}

enum { PORTABLE_SUMS = 32, PORTABLE_STEPS = 8 };

static double rate_portable(uint64_t n)
{
    float sums[PORTABLE_SUMS];
    for (int j = 0; j < PORTABLE_SUMS; j++)
        sums[j] = (float)j;
    for (uint64_t i = 0; i < n; i++)
        for (int step = 0; step < PORTABLE_STEPS; step++)
            for (int j = 0; j < PORTABLE_SUMS; j++)
                sums[j] = sums[j] * 0.5f + 1.0f;
    double sum = 0;
    for (int j = 0; j < PORTABLE_SUMS; j++)
        sum += (double)sums[j];
    return sum;
}

static const struct rate_loop portable_loop = {"portable", 2 * PORTABLE_SUMS *PORTABLE_STEPS,
                                               rate_portable};

/* ---- x86 ---------------------------------------------------------------------------------------
 */

#if defined(__x86_64__)

/* Defines read_ISA_STREAMS: that many streams side by side, each prefetched AHEAD bytes in front.
 */
#define DEFINE_READ(name, isa, vector, zero, load, add, n_streams, ahead)                          \
    __attribute__((target(isa))) static uint64_t name(const uint8_t *data, size_t bytes)           \
    {                                                                                              \
        vector sums[4] = {zero(), zero(), zero(), zero()};                                         \
        size_t part = bytes / (n_streams);                                                         \
        for (size_t i = 0; i < part; i += 256)                                                     \
            for (size_t s = 0; s < (n_streams); s++) {                                             \
                const uint8_t *at = data + s * part + i;                                           \
                for (size_t line = 0; (ahead) > 0 && line < 256; line += 64)                       \
                    _mm_prefetch((const char *)at + (ahead) + line, _MM_HINT_T0);                  \
                for (size_t j = 0; j < 256; j += 4 * sizeof(vector))                               \
                    for (size_t k = 0; k < 4; k++)                                                 \
                        sums[k] = add(sums[k], load((const vector *)(const void *)(at + j) + k));  \
            }                                                                                      \
        uint64_t words[4 * sizeof(vector) / 8], sum = 0;                                           \
        memcpy(words, sums, sizeof words);                                                         \
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)                                  \
            sum += words[i];                                                                       \
        return sum;                                                                                \
    }

#define READ_AVX2(name, n_streams, ahead)                                                          \
    DEFINE_READ(name, "avx2", __m256i, _mm256_setzero_si256, _mm256_load_si256, _mm256_add_epi64,  \
                n_streams, ahead)
#define READ_AVX512(name, n_streams, ahead)                                                        \
    DEFINE_READ(name, "avx512f", __m512i, _mm512_setzero_si512, _mm512_load_si512,                 \
                _mm512_add_epi64, n_streams, ahead)

READ_AVX2(read_avx2_1, 1, 0)
READ_AVX2(read_avx2_1_ahead, 1, 2048)
READ_AVX2(read_avx2_4, 4, 0)
READ_AVX2(read_avx2_4_ahead, 4, 1024)
READ_AVX512(read_avx512_1, 1, 0)
READ_AVX512(read_avx512_1_ahead, 1, 2048)
READ_AVX512(read_avx512_4, 4, 0)
READ_AVX512(read_avx512_4_ahead, 4, 1024)

/* Enough for two units with a latency of 4, few enough that compilers keep them all in registers.
 */
enum { AVX2_SUMS = 12, AVX512_SUMS = 12 };

__attribute__((target("avx2,fma"))) static double rate_avx2(uint64_t n)
{
    __m256 sums[AVX2_SUMS];
    __m256 half = _mm256_set1_ps(0.5f);
    __m256 one = _mm256_set1_ps(1.0f);
    UNROLL
    for (int j = 0; j < AVX2_SUMS; j++)
        sums[j] = _mm256_set1_ps((float)j);
    for (uint64_t i = 0; i < n; i++)
        UNROLL
    for (int j = 0; j < AVX2_SUMS; j++)
        sums[j] = _mm256_fmadd_ps(sums[j], half, one);
    UNROLL
    for (int j = 1; j < AVX2_SUMS; j++)
        sums[0] = _mm256_add_ps(sums[0], sums[j]);
    return (double)_mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) static double rate_avx512(uint64_t n)
{
    __m512 sums[AVX512_SUMS];
    __m512 half = _mm512_set1_ps(0.5f);
    __m512 one = _mm512_set1_ps(1.0f);
    UNROLL
    for (int j = 0; j < AVX512_SUMS; j++)
        sums[j] = _mm512_set1_ps((float)j);
    for (uint64_t i = 0; i < n; i++)
        UNROLL
    for (int j = 0; j < AVX512_SUMS; j++)
        sums[j] = _mm512_fmadd_ps(sums[j], half, one);
    UNROLL
    for (int j = 1; j < AVX512_SUMS; j++)
        sums[0] = _mm512_add_ps(sums[0], sums[j]);
    return (double)_mm512_cvtss_f32(sums[0]);
}

/* The layout that ldtilecfg reads: palette 1, rows and bytes a row of each of the 8 tiles. */
struct tile_layout {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

__attribute__((target("amx-tile,amx-bf16"))) static double rate_amx(uint64_t n)
{
    struct tile_layout layout = {.palette = 1};
    float sums[16 * 16];
    uint16_t ones[16 * 32];
    for (int i = 0; i < 8; i++) {
        layout.rows[i] = 16;
        layout.row_bytes[i] = 64;
    }
    for (int i = 0; i < 16 * 32; i++)
        ones[i] = 0x3f80; /* 1 in BF16 */
    _tile_loadconfig(&layout);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, ones, 64);
    _tile_loadd(5, ones, 64);
    _tile_loadd(6, ones, 64);
    _tile_loadd(7, ones, 64);
    for (uint64_t i = 0; i < n; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, 64);
    _tile_release();
    return (double)sums[0];
}

static const struct rate_loop avx2_loop = {"avx2", 2 * 8 * AVX2_SUMS, rate_avx2};
static const struct rate_loop avx512_loop = {"avx512", 2 * 16 * AVX512_SUMS, rate_avx512};
/* A tile product is 16 x 16 sums of 32 products. */
static const struct rate_loop amx_loop = {"amx", 4ull * 2 * 16 * 16 * 32, rate_amx};

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static void cpuid(unsigned leaf, unsigned registers[4])
{
    __asm__("cpuid"
            : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3])
            : "a"(leaf), "c"(0));
}

/* The CPU has tiles, the system saves them, and this process may use them: Linux grants that on
 * request, for the whole process. */
static int has_amx(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* of arch_prctl, asm/prctl.h */
    unsigned registers[4];
    uint32_t low, high;
    cpuid(0, registers);
    if (registers[0] < 7)
        return 0;
    cpuid(1, registers);
    if (!(registers[2] >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low >> 17 & 3) != 3) /* tile configuration and data are saved */
        return 0;
    cpuid(7, registers);
    if (!(registers[3] >> 22 & 1) || !(registers[3] >> 24 & 1)) /* AMX-BF16, AMX-TILE */
        return 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

#elif defined(__aarch64__)

static uint64_t read_neon(const uint8_t *data, size_t bytes)
{
    uint64x2_t sums[8];
    for (int j = 0; j < 8; j++)
        sums[j] = vdupq_n_u64(0);
    for (size_t i = 0; i < bytes; i += 128)
        for (size_t j = 0; j < 8; j++)
            sums[j] = vaddq_u64(sums[j], vreinterpretq_u64_u8(vld1q_u8(data + i + 16 * j)));
    for (int j = 1; j < 8; j++)
        sums[0] = vaddq_u64(sums[0], sums[j]);
    return vgetq_lane_u64(sums[0], 0) + vgetq_lane_u64(sums[0], 1);
}

enum { NEON_SUMS = 16 };

static double rate_neon(uint64_t n)
{
    float32x4_t sums[NEON_SUMS];
    float32x4_t half = vdupq_n_f32(0.5f);
    float32x4_t one = vdupq_n_f32(1.0f);
    UNROLL
    for (int j = 0; j < NEON_SUMS; j++)
        sums[j] = vdupq_n_f32((float)j);
    for (uint64_t i = 0; i < n; i++)
        UNROLL
    for (int j = 0; j < NEON_SUMS; j++)
        sums[j] = vfmaq_f32(sums[j], half, one);
    UNROLL
    for (int j = 1; j < NEON_SUMS; j++)
        sums[0] = vaddq_f32(sums[0], sums[j]);
    return (double)vaddvq_f32(sums[0]);
}

static const struct rate_loop neon_loop = {"neon", 2 * 4 * NEON_SUMS, rate_neon};

#endif

/* ---- Choosing ----------------------------------------------------------------------------------
 */

size_t limits_read_patterns(struct read_pattern *patterns)
{
    size_t n = 0;
#if defined(__x86_64__)
    if (has_avx512()) {
        patterns[n++] = (struct read_pattern){"AVX-512, 1 stream", read_avx512_1};
        patterns[n++] = (struct read_pattern){"AVX-512, 1 stream, prefetch", read_avx512_1_ahead};
        patterns[n++] = (struct read_pattern){"AVX-512, 4 streams", read_avx512_4};
        patterns[n++] = (struct read_pattern){"AVX-512, 4 streams, prefetch", read_avx512_4_ahead};
    }
    if (has_avx2()) {
        patterns[n++] = (struct read_pattern){"AVX2, 1 stream", read_avx2_1};
        patterns[n++] = (struct read_pattern){"AVX2, 1 stream, prefetch", read_avx2_1_ahead};
        patterns[n++] = (struct read_pattern){"AVX2, 4 streams", read_avx2_4};
        patterns[n++] = (struct read_pattern){"AVX2, 4 streams, prefetch", read_avx2_4_ahead};
    }
#elif defined(__aarch64__)
    patterns[n++] = (struct read_pattern){"NEON", read_neon};
#endif
    patterns[n++] = (struct read_pattern){"plain", read_portable};
    return n;
}

const struct rate_loop *limits_fp32_loop(const char *isa)
{
#if defined(__x86_64__)
    /* AMX multiplies BF16; what FP32 there is beside it is AVX-512. */
    if ((strcmp(isa, "avx512") == 0 || strcmp(isa, "amx") == 0) && has_avx512())
        return &avx512_loop;
    if (strcmp(isa, "avx2") == 0 && has_avx2())
        return &avx2_loop;
#elif defined(__aarch64__)
    if (strcmp(isa, "neon") == 0)
        return &neon_loop;
#endif
    return &portable_loop;
}

const struct rate_loop *limits_amx_loop(void)
{
#if defined(__x86_64__)
    return has_amx() ? &amx_loop : NULL;
#else
    return NULL;
#endif
}
