/* cpu_kernels_amx.c over emulated tiles (amx_emulated.h): its own source, not what the library was
 * built from, so that its logic is proved on machines without AMX. Needs AVX-512. On a machine with
 * AMX the library's own kernels must give the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/random.h"

#if defined(__x86_64__)

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "amx_matrices.h"
#include "cpu/cpu_isa.h"

static const size_t out_counts[] = {1, 15, 16, 17, 31, 32, 33, 65};
static const size_t in_counts[] = {1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 385, 1031};
static const size_t row_counts[] = {1, 15, 16, 17, 31, 32, 33, 49, 127, 128, 129, 161};

enum {
    N_OUT_COUNTS = sizeof out_counts / sizeof out_counts[0],
    N_IN_COUNTS = sizeof in_counts / sizeof in_counts[0],
    N_ROW_COUNTS = sizeof row_counts / sizeof row_counts[0]
};

/* Every element against double precision, some against themselves alone. */
static void check_shape(size_t n_out, size_t n_in, size_t n_rows)
{
    matrices m = random_matrices(n_out, n_in, n_rows);
    multiply_matrices(&m);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t i = 0; i < n_out; i++) {
            check_element(&m, r, i);
        }
    }
    for (uint64_t n = 0; n < 4; n++) {
        size_t r = n == 0 ? n_rows - 1 : (size_t)((noise(1, n) + 1) / 2 * (double)n_rows);
        size_t i = n == 0 ? n_out - 1 : (size_t)((noise(2, n) + 1) / 2 * (double)n_out);
        float alone = multiply_alone(&m, r, i);
        assert_memory_equal(&alone, &m.out[r * n_out + i], sizeof alone);
    }
    free_matrices(&m);
}

static void product_every_shape_matches_double_precision(void **state)
{
    (void)state;
    need_avx512();
    for (size_t o = 0; o < N_OUT_COUNTS; o++) {
        for (size_t k = 0; k < N_IN_COUNTS; k++) {
            for (size_t r = 0; r < N_ROW_COUNTS; r++) {
                /* Large ones in few combinations: time. */
                if ((in_counts[k] < 300 && row_counts[r] < 50) || (o + k + r) % 5 == 0) {
                    check_shape(out_counts[o], in_counts[k], row_counts[r]);
                }
            }
        }
    }
    check_shape(33, 5504, 33);
}

/* CK-1: all elements of a product in parts, cut anywhere, are those of the whole. */
static void product_in_parts_is_the_same_bit_for_bit(void **state)
{
    (void)state;
    need_avx512();
    static const size_t cuts[][2] = {{1, 1}, {5, 3}, {16, 16}, {17, 31}, {40, 48}, {32, 150}};
    matrices m = random_matrices(70, 300, 150);
    m.w[13 * m.n_in + 299] = 0x4C00; /* 16: a weight row that takes the other path */
    m.w[69 * m.n_in] = 0xFBFF;
    multiply_matrices(&m);
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        size_t n_out = cuts[c][0];
        size_t n_rows = cuts[c][1];
        size_t step = n_out == 1 ? 29 : n_rows; /* rows one by one: only some */
        for (size_t r = 0; r < m.n_rows; r += step) {
            size_t n_r = m.n_rows - r < n_rows ? m.n_rows - r : n_rows;
            float *packed = pack(m.x + r * m.n_in, m.n_in, n_r, m.n_in);
            for (size_t i = 0; i < m.n_out; i += n_out) {
                size_t n_i = m.n_out - i < n_out ? m.n_out - i : n_out;
                float part[150 * 40];
                multiply_emulated(m.w + i * m.n_in, n_i, m.n_in, packed, n_r, part, n_i);
                for (size_t row = 0; row < n_r; row++) {
                    assert_memory_equal(part + row * n_i, m.out + (r + row) * m.n_out + i,
                                        n_i * sizeof *part);
                }
            }
            free(packed);
        }
    }
    free_matrices(&m);
}

/* Rows and outputs with strides: what lies between stays. */
static void product_with_strides_leaves_gaps_alone(void **state)
{
    (void)state;
    need_avx512();
    enum { N_OUT = 35, N_IN = 70, N_ROWS = 37, GAP = 3 };
    matrices m = random_matrices(N_OUT, N_IN, N_ROWS);
    multiply_matrices(&m);
    static float x[N_ROWS * (N_IN + GAP)];
    static float out[N_ROWS * (N_OUT + GAP)];
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) {
        out[i] = 77;
    }
    for (size_t r = 0; r < N_ROWS; r++) {
        memcpy(x + r * (N_IN + GAP), m.x + r * N_IN, N_IN * sizeof *x);
        for (size_t i = 0; i < GAP; i++) {
            x[r * (N_IN + GAP) + N_IN + i] = NAN;
        }
    }
    float *packed = pack(x, N_IN + GAP, N_ROWS, N_IN);
    multiply_emulated(m.w, N_OUT, N_IN, packed, N_ROWS, out, N_OUT + GAP);
    for (size_t r = 0; r < N_ROWS; r++) {
        assert_memory_equal(out + r * (N_OUT + GAP), m.out + r * N_OUT, N_OUT * sizeof *out);
        for (size_t i = 0; i < GAP; i++) {
            assert_true(out[r * (N_OUT + GAP) + N_OUT + i] == 77);
        }
    }
    free(packed);
    free_matrices(&m);
}

/* The claim of the file: 4e-6 of the root of the sum of squared terms. */
static void product_error_is_four_millionths(void **state)
{
    (void)state;
    need_avx512();
    matrices m = random_matrices(64, 2048, 32);
    multiply_matrices(&m);
    double sum_squares = 0;
    double largest = 0;
    for (size_t r = 0; r < m.n_rows; r++) {
        for (size_t i = 0; i < m.n_out; i++) {
            double magnitude;
            double squares;
            double sum = exact_sum(&m, r, i, &magnitude, &squares);
            double error = ((double)m.out[r * m.n_out + i] - sum) / sqrt(squares);
            sum_squares += error * error;
            largest = fmax(largest, fabs(error));
        }
    }
    double root = sqrt(sum_squares / (double)(m.n_rows * m.n_out));
    print_message("error relative to the root of summed squares: %.2g, at most %.2g\n", root,
                  largest);
    assert_true(root <= 4e-6);
    assert_true(largest <= 5 * 4e-6);
    free_matrices(&m);
}

static void split_every_small_half_is_exact_and_normal(void **state)
{
    enum { LIMIT = 0x4BFC }; /* 15.96875 */
    (void)state;
    need_avx512();
    for (uint32_t first = 0; first < 65536; first += STEP) {
        uint16_t halves[STEP];
        uint16_t hi[STEP];
        uint16_t lo[STEP];
        for (uint32_t i = 0; i < STEP; i++) {
            halves[i] = (uint16_t)(first + i);
        }
        bool is_large = split_halves(halves, hi, lo);
        assert_int_equal(is_large, (halves[STEP - 1] & 0x7FFF) >= LIMIT);
        for (uint32_t i = 0; i < STEP && (halves[i] & 0x7FFF) < LIMIT; i++) {
            double high = (double)soti_bfloat_to_float(hi[i]);
            double low = (double)soti_bfloat_to_float(lo[i]);
            assert_true((high + low) * 0x1p100 == (double)soti_half_to_float(halves[i]));
            assert_true((hi[i] & 0x7F80) != 0 || (hi[i] & 0x7FFF) == 0);
            assert_true((lo[i] & 0x7F80) != 0 || (lo[i] & 0x7FFF) == 0);
        }
    }
}

/* One column, and another of the same in a longer row: 65,536 weight rows times 1 and times 2^63.
 */
static void product_with_powers_of_two_gives_every_half(void **state)
{
    (void)state;
    need_avx512();
    static uint16_t w[65536];
    static float out[3 * 65536];
    float x[3] = {1, 0x1p63f, -0x1p-60f};
    for (uint32_t i = 0; i < 65536; i++) {
        w[i] = (uint16_t)i;
    }
    float *packed = pack(x, 1, 3, 1);
    multiply_emulated(w, 65536, 1, packed, 3, out, 65536);
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t i = 0; i < 65536; i++) {
            float expected = soti_half_to_float((uint16_t)i) * x[r];
            float found = out[r * 65536 + i];
            assert_true(isnan(expected) ? isnan(found) : found == expected);
        }
    }
    free(packed);
}

/* A weight row with a large weight is right, and no other row changes by a bit. */
static void product_large_weights_keep_to_their_row(void **state)
{
    (void)state;
    need_avx512();
    static const struct {
        size_t i_row, i_column;
        uint16_t half;
    } large[] = {{0, 0, 0x4C00}, /* 16 */
                 {15, 129, 0xCC00},
                 {16, 299, 0x7BFF}, /* 65504 */
                 {33, 5, 0x4BFC}};
    matrices m = random_matrices(40, 300, 33);
    multiply_matrices(&m);
    float *before = m.out;
    m.out = malloc(m.n_rows * m.n_out * sizeof *m.out);
    for (size_t l = 0; l < 4; l++) {
        m.w[large[l].i_row * m.n_in + large[l].i_column] = large[l].half;
    }
    m.w[20 * m.n_in + 7] = 0x4BFB; /* the last that is not large */
    multiply_matrices(&m);
    for (size_t r = 0; r < m.n_rows; r++) {
        for (size_t i = 0; i < m.n_out; i++) {
            check_element(&m, r, i);
            if (i != 0 && i != 15 && i != 16 && i != 33 && i != 20) {
                assert_memory_equal(&before[r * m.n_out + i], &m.out[r * m.n_out + i],
                                    sizeof *m.out);
            }
        }
    }
    free(before);
    free_matrices(&m);
}

/* As in FP32: infinity times what is not 0 is infinity, NaN is NaN. */
static void product_weights_not_finite_give_what_fp32_gives(void **state)
{
    (void)state;
    need_avx512();
    matrices m = random_matrices(5, 40, 18);
    m.w[1 * m.n_in + 3] = 0x7C00;
    m.w[2 * m.n_in + 39] = 0xFC00;
    m.w[3 * m.n_in + 32] = 0x7E01;
    m.w[4 * m.n_in + 0] = 0x7C00;
    m.w[4 * m.n_in + 1] = 0xFC00;
    for (size_t r = 0; r < m.n_rows; r++) {
        for (size_t k = 0; k < m.n_in; k++) {
            m.x[r * m.n_in + k] = fabsf(m.x[r * m.n_in + k]) + 0.5f;
        }
    }
    multiply_matrices(&m);
    for (size_t r = 0; r < m.n_rows; r++) {
        const float *out = m.out + r * m.n_out;
        check_element(&m, r, 0);
        assert_true(isinf(out[1]) && out[1] > 0);
        assert_true(isinf(out[2]) && out[2] < 0);
        assert_true(isnan(out[3]));
        assert_true(isnan(out[4]));
    }
    free_matrices(&m);
}

/* The rest of the row, 2^64 and more below, counts as little as in FP32; other rows do not notice.
 */
static void product_huge_activations_keep_to_their_row(void **state)
{
    (void)state;
    need_avx512();
    static const float values[] = {0x1p31f,      -0x1.fefffep63f, 0x1.ffp63f, -0x1p64f, 0x1p100f,
                                   FLT_MAX / 16, INFINITY,        -INFINITY,  NAN};
    enum { N_FINITE = 6, N = sizeof values / sizeof values[0], I_ROW = 17 };
    matrices m = random_matrices(33, 140, 20);
    multiply_matrices(&m);
    float *before = m.out;
    m.out = malloc(m.n_rows * m.n_out * sizeof *m.out);
    for (size_t v = 0; v < N; v++) {
        m.x[I_ROW * m.n_in + 139] = values[v];
        multiply_matrices(&m);
        for (size_t r = 0; r < m.n_rows; r++) {
            for (size_t i = 0; i < m.n_out; i++) {
                size_t i_out = r * m.n_out + i;
                if (r != I_ROW) {
                    assert_memory_equal(&before[i_out], &m.out[i_out], sizeof *m.out);
                } else if (v < N_FINITE) {
                    check_element(&m, r, i);
                } else {
                    assert_true(isnan(m.out[i_out]) || isinf(m.out[i_out]));
                }
            }
        }
    }
    free(before);
    free_matrices(&m);
}

/* A row times a power of two gives results times it, bit for bit, as far as FP32 goes. */
static void product_of_a_scaled_row_is_the_scaled_product(void **state)
{
    (void)state;
    need_avx512();
    static const int exponents[] = {-100, -60, -20, 20, 60, 115};
    matrices m = random_matrices(33, 140, 20);
    m.w[2 * m.n_in + 7] = 0x4D00; /* a large weight */
    multiply_matrices(&m);
    float *before = m.out;
    m.out = malloc(m.n_rows * m.n_out * sizeof *m.out);
    for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++) {
        matrices scaled = m;
        scaled.x = malloc(m.n_rows * m.n_in * sizeof *m.x);
        for (size_t i = 0; i < m.n_rows * m.n_in; i++) {
            scaled.x[i] = ldexpf(m.x[i], exponents[e]);
        }
        multiply_matrices(&scaled);
        for (size_t i = 0; i < m.n_rows * m.n_out; i++) {
            assert_true(m.out[i] == ldexpf(before[i], exponents[e]));
        }
        free(scaled.x);
    }
    free(before);
    free_matrices(&m);
}

/* Subnormal weights, activations down to FP32's own: at most a unit of FP32's last place is lost.
 */
static void product_tiny_values_are_not_flushed(void **state)
{
    (void)state;
    need_avx512();
    static const double scales[] = {0x1p-20, 0x1p-60, 0x1p-100, 0x1p-126, 0x1p-140};
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
        matrices m = random_matrices(20, 200, 17);
        for (size_t i = 0; i < m.n_out * m.n_in; i++) {
            m.w[i] = (uint16_t)((m.w[i] & 0x8000u) | (m.w[i] & 0x3FFu)); /* subnormal */
        }
        for (size_t i = 0; i < m.n_rows * m.n_in; i++) {
            m.x[i] = (float)((double)m.x[i] * scales[s]);
        }
        multiply_matrices(&m);
        for (size_t r = 0; r < m.n_rows; r++) {
            for (size_t i = 0; i < m.n_out; i++) {
                double magnitude;
                double squares;
                double sum = exact_sum(&m, r, i, &magnitude, &squares);
                double error = fabs((double)m.out[r * m.n_out + i] - sum);
                assert_true(error <= error_bound(m.n_in, magnitude) + 0x1p-149);
            }
        }
        free_matrices(&m);
    }
}

/* A block of n bytes in pages of its own, at their end or their beginning, between two that nobody
 * may read. */
static void *guarded(size_t n, bool is_at_end, size_t alignment, char **map, size_t *map_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (n + page - 1) / page * page;
    *map_bytes = inner + 2 * page;
    *map = mmap(NULL, *map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(*map, MAP_FAILED);
    assert_int_equal(mprotect(*map + page, inner, PROT_READ | PROT_WRITE), 0);
    return *map + page + (is_at_end ? (inner - n) / alignment * alignment : 0);
}

static void product_reads_nothing_outside_its_arrays(void **state)
{
    (void)state;
    need_avx512();
    static const size_t shapes[][3] = {{1, 1, 1},     {33, 31, 17}, {16, 32, 16},
                                       {65, 257, 33}, {3, 130, 5},  {32, 128, 129}};
    for (size_t s = 0; s < 2 * sizeof shapes / sizeof shapes[0]; s++) {
        const size_t *shape = shapes[s / 2];
        bool is_at_end = s % 2;
        matrices m = random_matrices(shape[0], shape[1], shape[2]);
        size_t w_bytes = m.n_out * m.n_in * sizeof *m.w;
        size_t x_bytes = m.n_rows * m.n_in * sizeof *m.x;
        size_t out_bytes = m.n_rows * m.n_out * sizeof *m.out;
        char *maps[4];
        size_t bytes[4];
        uint16_t *w = guarded(w_bytes, is_at_end, 2, &maps[0], &bytes[0]);
        float *x = guarded(x_bytes, is_at_end, 4, &maps[1], &bytes[1]);
        float *packed = guarded(packed_bytes(m.n_rows, m.n_in), is_at_end, 64, &maps[2], &bytes[2]);
        float *out = guarded(out_bytes, is_at_end, 4, &maps[3], &bytes[3]);
        memcpy(w, m.w, w_bytes);
        memcpy(x, m.x, x_bytes);
        emulated_pack(x, m.n_in, m.n_rows, m.n_in, packed);
        multiply_emulated(w, m.n_out, m.n_in, packed, m.n_rows, out, m.n_out);
        multiply_matrices(&m);
        assert_memory_equal(out, m.out, out_bytes);
        for (size_t i = 0; i < 4; i++) {
            munmap(maps[i], bytes[i]);
        }
        free_matrices(&m);
    }
}

/* A host may round upwards or flush denormals: the tiles' path does not look. */
static void product_does_not_depend_on_the_hosts_mxcsr(void **state)
{
    (void)state;
    need_avx512();
    matrices m = random_matrices(20, 200, 17);
    multiply_matrices(&m);
    float *before = m.out;
    m.out = malloc(m.n_rows * m.n_out * sizeof *m.out);
    unsigned host = _mm_getcsr();
    _mm_setcsr(host | 0x8040 | _MM_ROUND_UP);
    multiply_matrices(&m);
    _mm_setcsr(host);
    assert_memory_equal(before, m.out, m.n_rows * m.n_out * sizeof *m.out);
    free(before);
    free_matrices(&m);
}

/* Real tiles, where there are any, and emulated ones: the same bits, whatever the operands. */
static void product_by_the_machine_is_the_emulated_one(void **state)
{
    (void)state;
    const soti_cpu_kernels *kernels;
    if (soti_cpu_isa_select("amx", &kernels) != SOT_OK) {
        print_message("skipped: %s\n", soti_fail_message());
        skip();
    }
    static const size_t shapes[][3] = {{1, 1, 1},     {16, 32, 16},  {33, 300, 17},
                                       {70, 129, 40}, {32, 640, 33}, {20, 260, 150}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        matrices m = random_matrices(shapes[s][0], shapes[s][1], shapes[s][2]);
        m.w[m.n_in / 2] = 0x0001;                              /* subnormal */
        m.w[(m.n_out - 1) * m.n_in] = s % 2 ? 0x5000 : 0x3C00; /* large or not */
        m.x[(m.n_rows - 1) * m.n_in] = s == 4 ? INFINITY : 0x1p-130f;
        multiply_matrices(&m);
        float *packed = aligned_alloc(64, packed_bytes(m.n_rows, m.n_in));
        float *expected = pack(m.x, m.n_in, m.n_rows, m.n_in);
        memset(packed, 0xFF, packed_bytes(m.n_rows, m.n_in));
        kernels->pack(m.x, m.n_in, m.n_rows, m.n_in, packed);
        assert_memory_equal(packed, expected, packed_bytes(m.n_rows, m.n_in));
        float *out = malloc(m.n_rows * m.n_out * sizeof *out);
        kernels->product(m.w, m.n_out, m.n_in, packed, m.n_rows, out, m.n_out);
        for (size_t i = 0; i < m.n_rows * m.n_out; i++) {
            if (isnan(m.out[i]) ? !isnan(out[i]) : memcmp(&m.out[i], &out[i], sizeof *out) != 0) {
                fail_msg("%zu outputs of %zu, %zu rows: result %zu is %a, emulated %a", m.n_out,
                         m.n_in, m.n_rows, i, (double)out[i], (double)m.out[i]);
            }
        }
        free(packed);
        free(expected);
        free(out);
        free_matrices(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_every_small_half_is_exact_and_normal),
        cmocka_unit_test(product_every_shape_matches_double_precision),
        cmocka_unit_test(product_in_parts_is_the_same_bit_for_bit),
        cmocka_unit_test(product_with_strides_leaves_gaps_alone),
        cmocka_unit_test(product_error_is_four_millionths),
        cmocka_unit_test(product_with_powers_of_two_gives_every_half),
        cmocka_unit_test(product_large_weights_keep_to_their_row),
        cmocka_unit_test(product_weights_not_finite_give_what_fp32_gives),
        cmocka_unit_test(product_huge_activations_keep_to_their_row),
        cmocka_unit_test(product_of_a_scaled_row_is_the_scaled_product),
        cmocka_unit_test(product_tiny_values_are_not_flushed),
        cmocka_unit_test(product_reads_nothing_outside_its_arrays),
        cmocka_unit_test(product_does_not_depend_on_the_hosts_mxcsr),
        cmocka_unit_test(product_by_the_machine_is_the_emulated_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("skipped: AMX is x86-64's\n");
    return 0;
}

#endif
