/* The matrix instructions against products in double precision, with fragments laid out by the
 * formulas of the PTX ISA (8.x, "Matrix Fragments for mma.m16n8k16 with floating point type" and
 * "ldmatrix"), which are written out here once more. */
#include "kernel_test.h"

#include <cmath>
#include <random>

using namespace soti;

namespace
{

/* row and column of a lane's i-th element; groupID = lane >> 2, threadID_in_group = lane % 4 */
struct position {
    unsigned row, column;
};

position place_of_a(unsigned lane, unsigned i)
{
    unsigned group = lane >> 2;
    unsigned thread = lane % 4;
    return {i < 2 || (i >= 4 && i < 6) ? group : group + 8,
            i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8};
}

position place_of_b(unsigned lane, unsigned i)
{
    unsigned group = lane >> 2;
    unsigned thread = lane % 4;
    return {i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, group};
}

position place_of_d(unsigned lane, unsigned i)
{
    unsigned group = lane >> 2;
    unsigned thread = lane % 4;
    return {i < 2 ? group : group + 8, thread * 2 + (i & 1)};
}

struct matrices {
    half a[16][16];
    half b[16][8];
    float d[16][8];
};

struct fragments {
    half a[32][8];
    half b[32][4];
    float d[32][4];
};

__global__ void k_multiply(fragments *f)
{
    unsigned lane = lane_id();
    uint32_t a[4];
    uint32_t b[2];
    memcpy(a, f->a[lane], sizeof a);
    memcpy(b, f->b[lane], sizeof b);
    mma_m16n8k16(f->d[lane], a, b);
}

void fill(matrices &m, std::mt19937 &random, float scale)
{
    std::normal_distribution<float> normal;
    for (auto &row : m.a) {
        for (half &x : row) {
            x = __float2half_rn(normal(random) * scale);
        }
    }
    for (auto &row : m.b) {
        for (half &x : row) {
            x = __float2half_rn(normal(random));
        }
    }
    for (auto &row : m.d) {
        for (float &x : row) {
            x = normal(random) * scale;
        }
    }
}

fragments spread(const matrices &m)
{
    fragments f;
    for (unsigned lane = 0; lane < 32; lane++) {
        for (unsigned i = 0; i < 8; i++) {
            position at = place_of_a(lane, i);
            f.a[lane][i] = m.a[at.row][at.column];
        }
        for (unsigned i = 0; i < 4; i++) {
            position at = place_of_b(lane, i);
            f.b[lane][i] = m.b[at.row][at.column];
            at = place_of_d(lane, i);
            f.d[lane][i] = m.d[at.row][at.column];
        }
    }
    return f;
}

void matrix_product_is_that_of_its_matrices(void **)
{
    std::mt19937 random(1);
    for (unsigned i = 0; i < 60; i++) {
        matrices m;
        fill(m, random, i % 3 == 2 ? 1e-6f : 1.0f); /* subnormal halves, too */
        fragments f = spread(m);
        on_host_set_seed(i % 4);
        expect_clean(run_kernel(k_multiply, dim3(1), dim3(32), 0, &f));
        for (unsigned lane = 0; lane < 32; lane++) {
            for (unsigned j = 0; j < 4; j++) {
                position at = place_of_d(lane, j);
                double sum = static_cast<double>(m.d[at.row][at.column]);
                double size = std::fabs(sum);
                for (unsigned k = 0; k < 16; k++) {
                    double a = static_cast<double>(__half2float(m.a[at.row][k]));
                    double b = static_cast<double>(__half2float(m.b[k][at.column]));
                    sum += a * b;
                    size += std::fabs(a * b);
                }
                /* 16 additions in FP32, each off by 2^-24 of what was added up at most. */
                assert_true(std::fabs(static_cast<double>(f.d[lane][j]) - sum) <=
                            16 * size * 0x1p-24);
            }
        }
    }
    on_host_set_seed(0);
}

/* A 1 at one place of a and of b gives a 1 at one place of d, at all places in turn. */
void each_place_of_the_matrices_is_distinct(void **)
{
    for (unsigned row = 0; row < 16; row++) {
        for (unsigned k = 0; k < 16; k++) {
            matrices m = {};
            m.a[row][k] = __float2half_rn(1);
            for (unsigned column = 0; column < 8; column++) {
                m.b[k][column] = __float2half_rn(static_cast<float>(1 + column));
            }
            fragments f = spread(m);
            expect_clean(run_kernel(k_multiply, dim3(1), dim3(32), 0, &f));
            for (unsigned lane = 0; lane < 32; lane++) {
                for (unsigned i = 0; i < 4; i++) {
                    position at = place_of_d(lane, i);
                    float expected = at.row == row ? static_cast<float>(1 + at.column) : 0.0f;
                    assert_true(f.d[lane][i] == expected);
                }
            }
        }
    }
}

__global__ void k_load(bool transposed, unsigned stride, uint32_t *out)
{
    shared<half> rows = shared_memory<half>(0);
    unsigned lane = lane_id();
    for (unsigned i = 0; i < 8; i++) {
        rows[lane * stride + i] = __ushort_as_half(static_cast<unsigned short>(lane * 8 + i));
    }
    __syncwarp();
    uint32_t r[4];
    if (transposed) {
        ldmatrix_x4_trans(r, rows + lane * stride);
    } else {
        ldmatrix_x4(r, rows + lane * stride);
    }
    memcpy(out + lane * 4, r, sizeof r);
}

/* Row r of matrix m, column c holds 64 m + 8 r + c. A lane's pair is at row lane / 4, columns
 * lane % 4 * 2 and on; transposed: at column lane / 4, rows lane % 4 * 2 and on. */
void matrix_load_gives_each_lane_its_pairs(void **)
{
    for (unsigned stride : {8u, 24u}) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            uint32_t out[128];
            on_host_set_seed(seed);
            expect_clean(run_kernel(k_load, dim3(1), dim3(32), 2048, false, stride, out));
            for (unsigned lane = 0; lane < 32; lane++) {
                for (unsigned m = 0; m < 4; m++) {
                    uint32_t first = 64 * m + lane / 4 * 8 + lane % 4 * 2;
                    assert_int_equal(out[lane * 4 + m], first | (first + 1) << 16);
                }
            }
            expect_clean(run_kernel(k_load, dim3(1), dim3(32), 2048, true, stride, out));
            for (unsigned lane = 0; lane < 32; lane++) {
                for (unsigned m = 0; m < 4; m++) {
                    uint32_t first = 64 * m + lane % 4 * 2 * 8 + lane / 4;
                    assert_int_equal(out[lane * 4 + m], first | (first + 8) << 16);
                }
            }
        }
    }
    on_host_set_seed(0);
    uint32_t out[128];
    expect_words(run_kernel(k_load, dim3(1), dim3(32), 2048, false, 12u, out), "no multiple of 16");
}

__global__ void k_load_unsynchronised(uint32_t *out)
{
    shared<half> rows = shared_memory<half>(0);
    unsigned lane = lane_id();
    for (unsigned i = 0; i < 8; i++) {
        rows[(lane ^ 1) * 8 + i] = __ushort_as_half(0);
    }
    uint32_t r[4];
    ldmatrix_x4(r, rows + lane * 8);
    memcpy(out + lane * 4, r, sizeof r);
}

void matrix_load_needs_a_barrier_behind_writes(void **)
{
    uint32_t out[128];
    expect_words(run_kernel(k_load_unsynchronised, dim3(1), dim3(32), 2048, out),
                 "shared memory at byte");
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(matrix_product_is_that_of_its_matrices),
        cmocka_unit_test(each_place_of_the_matrices_is_distinct),
        cmocka_unit_test(matrix_load_gives_each_lane_its_pairs),
        cmocka_unit_test(matrix_load_needs_a_barrier_behind_writes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
