/* Products of FP16 weights with up to 16 rows, and what is fused behind them: residual, gate and
 * up, logits. q, k, v are in test_gemm_rows_qkv.c. */
#include "gemm_case.h"

/* n_out, n_in; tiles are 32 rows, steps 32 columns, a step to each of 8 parts 256 columns. */
typedef struct size {
    uint32_t n_out, n_in;
} size;

static const size sizes[] = {{1, 1},    {31, 31},   {32, 32},   {33, 33},   {96, 63},
                             {64, 64},  {65, 65},   {96, 255},  {96, 256},  {160, 257},
                             {40, 704}, {34, 1000}, {32, 4097}, {64, 11008}};

enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void residual_launch(gemm_case *all, float *x, float *sums, uint32_t first_row,
                            uint32_t n_columns)
{
    all->product.first_row = first_row;
    all->product.n_columns = n_columns;
    case_finish(all, soti_launch_gemm_rows_residual(&all->launch, &all->product, &all->rows,
                                                    all->device_halves, x, sums));
}

/* x of n_space rows; returned, and on the device. */
static float *residual_x(gemm_case *all, float **device)
{
    size_t n = (size_t)all->n_space * all->n_out;
    float *x = case_memory(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = random_float(&all->source);
    }
    *device = case_device(all, x, n * sizeof *x);
    return x;
}

static void residual_check(gemm_case *all, uint32_t first_row, uint32_t n_columns)
{
    float *device_x = NULL;
    float *x = residual_x(all, &device_x);
    uint32_t n_sums = (all->n_out + 31) / 32;
    float *device_sums = case_device(all, NULL, sizeof(float) * all->n_space * n_sums);
    residual_launch(all, device_x, device_sums, first_row, n_columns);
    float *x_after = case_fetch(device_x, sizeof(float) * all->n_space * all->n_out);
    float *sums = case_fetch(device_sums, sizeof(float) * all->n_space * n_sums);
    uint32_t end =
        first_row + 8 * n_columns < all->n_rows ? first_row + 8 * n_columns : all->n_rows;
    for (uint32_t row = 0; row < all->n_space; row++) {
        int is_done = row >= first_row && row < end;
        for (uint32_t i = 0; i < n_sums; i++) {
            double square_sum = 0.0;
            for (uint32_t n = 32 * i; n < 32 * (i + 1) && n < all->n_out; n++) {
                size_t at = (size_t)row * all->n_out + n;
                double slack = 0.0, sum = is_done ? case_product(all, n, row, &slack) : 0.0;
                double expected = (double)x[at] + sum;
                slack += is_done ? ldexp(fabs(expected) + slack, -23) : 0.0;
                assert_near((double)x_after[at], expected, slack, "x", row, n);
                square_sum += (double)x_after[at] * (double)x_after[at];
            }
            float is = sums[(size_t)row * n_sums + i];
            if (is_done) {
                assert_near((double)is, square_sum, ldexp(32.0 * square_sum, -24), "square sum",
                            row, i);
            } else {
                assert_true(isnan(is));
            }
        }
    }
    free(x);
    free(x_after);
    free(sums);
}

static void residual_every_size_and_cut_is_float64s(void **state)
{
    (void)state;
    static const uint32_t n_sm[] = {1, 3, 4, 132};
    for (uint32_t i = 0; i < N_SIZES; i++) {
        for (uint32_t j = 0; j < 4; j++) {
            gemm_case all;
            uint32_t n_rows = (i * 4 + j) % 16 + 1;
            case_make(&all, 100 + i * 4 + j, sizes[i].n_out, sizes[i].n_in, n_rows);
            case_use_halves(&all);
            case_set_cut(&all, 1, n_sm[j], 0);
            set_thread_order(i + j);
            residual_check(&all, 0, n_rows > 8 ? 2 : 1);
            case_free(&all);
        }
    }
}

static void residual_any_number_of_slices_is_float64s(void **state)
{
    (void)state;
    for (uint32_t n_slices = 1; n_slices <= 22; n_slices += n_slices < 5 ? 1 : 4) {
        gemm_case all;
        case_make(&all, 200 + n_slices, 162, 704, 11);
        case_use_halves(&all);
        case_set_cut(&all, 1, 132, n_slices);
        set_thread_order(n_slices);
        residual_check(&all, 0, 2);
        case_free(&all);
    }
}

static void residual_every_number_of_rows_is_float64s(void **state)
{
    (void)state;
    for (uint32_t n_rows = 1; n_rows <= 16; n_rows++) {
        gemm_case all;
        case_make(&all, 300 + n_rows, 70, 200, n_rows);
        case_use_halves(&all);
        case_set_cut(&all, 1, 4, 1 + n_rows % 3);
        set_thread_order(n_rows);
        residual_check(&all, 0, n_rows > 8 ? 2 : 1);
        case_free(&all);
    }
}

static void residual_rows_beyond_the_first_group_are_float64s(void **state)
{
    (void)state;
    gemm_case all;
    case_make(&all, 400, 70, 200, 37);
    case_use_halves(&all);
    case_set_cut(&all, 1, 4, 0);
    static const uint32_t starts[][2] = {{0, 2},  {0, 1},  {16, 2}, {24, 1},
                                         {32, 2}, {36, 1}, {5, 2}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        residual_check(&all, starts[i][0], starts[i][1]);
    }
    case_free(&all);
}

static void residual_first_row_behind_the_batch_does_nothing(void **state)
{
    (void)state;
    gemm_case all;
    case_make(&all, 500, 70, 200, 16);
    case_use_halves(&all);
    case_set_cut(&all, 1, 132, 2);
    residual_check(&all, 16, 2);
    case_free(&all);
}

/* CU-1: alone in the first column tile, or with 15 others in any place. */
static void residual_row_has_the_same_bits_in_any_company(void **state)
{
    (void)state;
    for (uint32_t n_slices = 1; n_slices <= 4; n_slices += 3) {
        gemm_case all;
        case_make(&all, 600 + n_slices, 100, 700, 16);
        case_set_cut(&all, 1, 132, n_slices);
        float *device_x[2];
        free(residual_x(&all, &device_x[0]));
        size_t x_bytes = sizeof(float) * all.n_space * all.n_out;
        size_t sum_bytes = sizeof(float) * all.n_space * 4;
        device_x[1] = case_device(&all, NULL, x_bytes);
        float *sums[2] = {case_device(&all, NULL, sum_bytes), case_device(&all, NULL, sum_bytes)};
        check_cuda(cudaMemcpy(device_x[1], device_x[0], x_bytes, cudaMemcpyDeviceToDevice));
        residual_launch(&all, device_x[0], sums[0], 0, 2);
        for (uint32_t row = 0; row < 16; row++) {
            case_set_counts(&all, row + 1, 0);
            set_thread_order(row);
            residual_launch(&all, device_x[1], sums[1], row, 1 + row % 2);
            check_cuda(cudaFree(all.device[--all.n_device]));
        }
        for (int i = 0; i < 2; i++) {
            const void *pair[2] = {i == 0 ? device_x[0] : sums[0], i == 0 ? device_x[1] : sums[1]};
            size_t n_bytes = i == 0 ? x_bytes : sum_bytes;
            void *one = case_fetch(pair[0], n_bytes), *other = case_fetch(pair[1], n_bytes);
            assert_memory_equal(one, other, n_bytes);
            free(one);
            free(other);
        }
        case_free(&all);
    }
}

static double silu(double value)
{
    return value / (1.0 + exp(-value));
}

static void gate_up_check(gemm_case *all, uint32_t first_row, uint32_t n_columns)
{
    uint32_t d_ff = all->n_out / 2, h_stride = (d_ff + 63) / 64 * 64;
    size_t n_bytes = sizeof(uint16_t) * all->n_space * h_stride;
    uint16_t *device_h = case_device(all, NULL, n_bytes);
    all->product.first_row = first_row;
    all->product.n_columns = n_columns;
    case_finish(all, soti_launch_gemm_rows_gate_up(&all->launch, &all->product, &all->rows,
                                                   &all->norm, device_h, h_stride));
    uint16_t *h = case_fetch(device_h, n_bytes);
    uint32_t end =
        first_row + 8 * n_columns < all->n_rows ? first_row + 8 * n_columns : all->n_rows;
    for (uint32_t row = 0; row < all->n_space; row++) {
        for (uint32_t n = 0; n < h_stride; n++) {
            uint16_t is = h[(size_t)row * h_stride + n];
            if (row < first_row || row >= end || n >= d_ff) {
                assert_int_equal(is, 0xFFFF);
                continue;
            }
            double gate_slack = 0.0, up_slack = 0.0;
            double gate = case_product(all, n, row, &gate_slack);
            double up = case_product(all, d_ff + n, row, &up_slack);
            double expected = silu(gate) * up;
            /* silu's slope stays below 1.1; expf, the division and the product: 8 ulp; FP16. */
            double slack = 1.1 * gate_slack * (fabs(up) + up_slack) + fabs(silu(gate)) * up_slack;
            slack += fabs(expected) * (ldexp(1.0, -20) + ldexp(1.0, -11)) + ldexp(1.0, -25);
            assert_near(half_value(is), expected, slack, "h", row, n);
        }
    }
    free(h);
}

static void gate_up_every_size_is_float64s(void **state)
{
    (void)state;
    static const uint32_t n_sm[] = {1, 3, 4, 132};
    for (uint32_t i = 0; i < N_SIZES; i++) {
        gemm_case all;
        uint32_t n_rows = (5 * i + 3) % 16 + 1;
        case_make(&all, 700 + i, 2 * sizes[i].n_out, sizes[i].n_in, n_rows);
        case_set_cut(&all, 1, n_sm[i % 4], i % 3);
        if (all.product.cut.n_slices > all.stride / 32) {
            case_set_cut(&all, 1, n_sm[i % 4], 1);
        }
        set_thread_order(i);
        gate_up_check(&all, 0, n_rows > 8 ? 2 : 1);
        case_free(&all);
    }
}

static void gate_up_rows_beyond_the_first_group_are_float64s(void **state)
{
    (void)state;
    gemm_case all;
    case_make(&all, 800, 2 * 50, 130, 23);
    case_set_cut(&all, 1, 4, 3);
    gate_up_check(&all, 0, 1);
    gate_up_check(&all, 8, 2);
    gate_up_check(&all, 16, 2);
    case_free(&all);
}

/* Every second row is wanted, from the last one down to tell places from rows. */
static void logits_check(gemm_case *all, uint32_t first_logit, uint32_t n_columns)
{
    uint32_t n_logits = (all->n_rows + 1) / 2;
    uint32_t *logit_rows = case_memory(sizeof *logit_rows * n_logits);
    for (uint32_t i = 0; i < n_logits; i++) {
        logit_rows[i] = all->n_rows - 1 - 2 * i;
    }
    all->rows.logit_rows = case_device(all, logit_rows, sizeof *logit_rows * n_logits);
    case_set_counts(all, all->n_rows, n_logits);
    size_t n_bytes = sizeof(float) * (n_logits + 1) * all->n_out;
    float *device_logits = case_device(all, NULL, n_bytes);
    all->product.first_row = first_logit;
    all->product.n_columns = n_columns;
    case_finish(all, soti_launch_gemm_rows_logits(&all->launch, &all->product, &all->rows,
                                                  &all->norm, device_logits));
    float *logits = case_fetch(device_logits, n_bytes);
    uint32_t end = first_logit + 8 * n_columns < n_logits ? first_logit + 8 * n_columns : n_logits;
    for (uint32_t i = 0; i <= n_logits; i++) {
        for (uint32_t n = 0; n < all->n_out; n++) {
            double is = (double)logits[(size_t)i * all->n_out + n];
            if (i < first_logit || i >= end) {
                assert_true(isnan(is));
                continue;
            }
            double slack = 0.0, expected = case_product(all, n, logit_rows[i], &slack);
            assert_near(is, expected, slack, "logit", i, n);
        }
    }
    free(logits);
    free(logit_rows);
}

static void logits_every_size_is_float64s(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_SIZES; i++) {
        gemm_case all;
        uint32_t n_rows = (11 * i + 3) % 32 + 1;
        case_make(&all, 900 + i, sizes[i].n_out, sizes[i].n_in, n_rows);
        case_set_cut(&all, 1, 132, 0);
        set_thread_order(i);
        logits_check(&all, 0, n_rows > 16 ? 2 : 1);
        case_free(&all);
    }
}

static void logits_odd_vocabulary_is_float64s(void **state)
{
    (void)state;
    gemm_case all;
    case_make(&all, 1000, 32001, 48, 20);
    case_set_cut(&all, 1, 132, 0);
    logits_check(&all, 0, 2);
    case_free(&all);
}

static void logits_beyond_the_first_group_are_float64s(void **state)
{
    (void)state;
    gemm_case all;
    case_make(&all, 1100, 97, 160, 43);
    case_set_cut(&all, 1, 132, 2);
    logits_check(&all, 16, 1);
    logits_check(&all, 8, 2);
    case_free(&all);
}

static void product_that_no_kernel_takes_is_refused(void **state)
{
    (void)state;
    gemm_case all;
    case_make(&all, 1200, 64, 64, 1);
    case_set_cut(&all, 1, 132, 1);
    float *x = NULL;
    free(residual_x(&all, &x));
    all.product.n_columns = 1;
    const soti_gemm_rows good = all.product;
    soti_gemm_rows bad[6];
    for (int i = 0; i < 6; i++) {
        bad[i] = good;
    }
    bad[0].n_columns = 3;
    bad[1].stride = 72;
    bad[2].n_in = 65;
    bad[3].cut.n_slices = 2; /* without a workspace */
    bad[4].cut.n_blocks = 0;
    bad[5].n_out = 0;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(soti_launch_gemm_rows_residual(&all.launch, &bad[i], &all.rows,
                                                        all.device_halves, x, x),
                         cudaErrorInvalidValue);
    }
    case_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residual_every_size_and_cut_is_float64s),
        cmocka_unit_test(residual_any_number_of_slices_is_float64s),
        cmocka_unit_test(residual_every_number_of_rows_is_float64s),
        cmocka_unit_test(residual_rows_beyond_the_first_group_are_float64s),
        cmocka_unit_test(residual_first_row_behind_the_batch_does_nothing),
        cmocka_unit_test(residual_row_has_the_same_bits_in_any_company),
        cmocka_unit_test(gate_up_every_size_is_float64s),
        cmocka_unit_test(gate_up_rows_beyond_the_first_group_are_float64s),
        cmocka_unit_test(logits_every_size_is_float64s),
        cmocka_unit_test(logits_odd_vocabulary_is_float64s),
        cmocka_unit_test(logits_beyond_the_first_group_are_float64s),
        cmocka_unit_test(product_that_no_kernel_takes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
