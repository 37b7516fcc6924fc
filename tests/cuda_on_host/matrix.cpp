/* mma.m16n8k16 and ldmatrix as the PTX ISA lays their fragments out over the lanes. Products are
 * exact in FP32 and added one by one in the order of k, which a tensor core does not promise:
 * kernels are compared within tolerances. */
#include "block.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace on_host
{

namespace
{

/* Row-major halves of A (16, 16), of B transposed (8, 16), and D (16, 8). */
struct operands {
    uint32_t a[16][8];
    uint32_t b[8][8];
    float d[16][8];
};

half half_of(const uint32_t *row, unsigned i)
{
    return {static_cast<uint16_t>(row[i / 2] >> (i % 2 * 16))};
}

void multiply_plain(operands &m)
{
    float a[16][16];
    float b[16][8];
    for (unsigned k = 0; k < 16; k++) {
        for (unsigned i = 0; i < 16; i++) {
            a[i][k] = __half2float(half_of(m.a[i], k));
        }
        for (unsigned j = 0; j < 8; j++) {
            b[k][j] = __half2float(half_of(m.b[j], k));
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 16; k++) {
            for (unsigned j = 0; j < 8; j++) {
                m.d[i][j] += a[i][k] * b[k][j];
            }
        }
    }
}

#if defined(__x86_64__)
/* The same sums in the same order: a product of halves is exact, so it may be fused. */
__attribute__((target("avx2,fma,f16c"))) void multiply_avx2(operands &m)
{
    float a[16][16];
    float b[8][16];
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 16; k += 8) {
            const __m128i *halves = reinterpret_cast<const __m128i *>(&m.a[i][k / 2]);
            _mm256_storeu_ps(&a[i][k], _mm256_cvtph_ps(_mm_loadu_si128(halves)));
        }
    }
    for (unsigned j = 0; j < 8; j++) {
        for (unsigned k = 0; k < 16; k += 8) {
            const __m128i *halves = reinterpret_cast<const __m128i *>(&m.b[j][k / 2]);
            _mm256_storeu_ps(&b[j][k], _mm256_cvtph_ps(_mm_loadu_si128(halves)));
        }
    }
    float columns[16][8];
    for (unsigned j = 0; j < 8; j++) {
        for (unsigned k = 0; k < 16; k++) {
            columns[k][j] = b[j][k];
        }
    }
    for (unsigned i = 0; i < 16; i += 8) {
        __m256 sums[8];
        for (unsigned n = 0; n < 8; n++) {
            sums[n] = _mm256_loadu_ps(m.d[i + n]);
        }
        for (unsigned k = 0; k < 16; k++) {
            __m256 column = _mm256_loadu_ps(columns[k]);
            for (unsigned n = 0; n < 8; n++) {
                sums[n] = _mm256_fmadd_ps(_mm256_set1_ps(a[i + n][k]), column, sums[n]);
            }
        }
        for (unsigned n = 0; n < 8; n++) {
            _mm256_storeu_ps(m.d[i + n], sums[n]);
        }
    }
}

bool has_avx2()
{
    static const bool has =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* all have f16c too */
    return has;
}
#endif

} // namespace

/* PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": with g = lane / 4 and
 * q = lane % 4, a pair of neighbours in k at 2 q,
 *   a[0] row g, a[1] row g + 8, a[2], a[3] the same rows at k + 8;
 *   b[0] column g, b[1] the same column at k + 8;
 *   d[0], d[1] row g, columns 2 q and 2 q + 1, d[2], d[3] row g + 8. */
void complete_mma(fiber *lanes)
{
    operands m;
    for (unsigned lane = 0; lane < 32; lane++) {
        const operation &part = *lanes[lane].waiting;
        unsigned g = lane / 4;
        unsigned q = lane % 4;
        m.a[g][q] = part.a[0];
        m.a[g + 8][q] = part.a[1];
        m.a[g][q + 4] = part.a[2];
        m.a[g + 8][q + 4] = part.a[3];
        m.b[g][q] = part.b[0];
        m.b[g][q + 4] = part.b[1];
        memcpy(&m.d[g][2 * q], part.d, 8);
        memcpy(&m.d[g + 8][2 * q], part.d + 2, 8);
    }
#if defined(__x86_64__)
    if (has_avx2()) {
        multiply_avx2(m);
    } else {
        multiply_plain(m);
    }
#else
    multiply_plain(m);
#endif
    for (unsigned lane = 0; lane < 32; lane++) {
        float *d = lanes[lane].waiting->d;
        memcpy(d, &m.d[lane / 4][lane % 4 * 2], 8);
        memcpy(d + 2, &m.d[lane / 4 + 8][lane % 4 * 2], 8);
    }
}

/* PTX ISA, ldmatrix: lanes 8 i .. 8 i + 7 name the rows of matrix i, 8 halves each; r[i] of lane l
 * is row l / 4, elements 2 (l % 4) and the next; transposed, column l / 4 and rows likewise. */
void complete_ldmatrix(fiber *lanes)
{
    for (unsigned lane = 0; lane < 32; lane++) {
        const operation &part = *lanes[lane].waiting;
        unsigned line = lane / 4;
        unsigned pair = lane % 4;
        for (unsigned i = 0; i < 4; i++) {
            const fiber *rows = &lanes[8 * i];
            if (!part.transposed) {
                part.r[i] = rows[line].waiting->row[pair];
                continue;
            }
            uint32_t low = half_of(rows[2 * pair].waiting->row, line).bits;
            uint32_t high = half_of(rows[2 * pair + 1].waiting->row, line).bits;
            part.r[i] = low | high << 16;
        }
    }
}

} // namespace on_host
