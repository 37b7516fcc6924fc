/* x from the embedding, and square sums. */
#include "gemm_case.h"

enum { N_VOCAB = 37, N_ROWS = 9, N_SPACE = 12 };

static const uint32_t d_models[] = {1,  2,  7,   8,   31,  32,  33,  63,  64,
                                    65, 96, 250, 256, 257, 511, 512, 2080};

enum { N_MODELS = sizeof d_models / sizeof *d_models };

/* An FP32 sum of 32 squares: 2^-24 for each product and each of up to 31 additions. */
static void check_sums(const float *x, const float *sums, uint32_t d_model, uint32_t row)
{
    uint32_t n_sums = (d_model + 31) / 32;
    for (uint32_t i = 0; i < n_sums; i++) {
        double expected = 0.0;
        for (uint32_t k = 32 * i; k < 32 * (i + 1) && k < d_model; k++) {
            expected += (double)x[k] * (double)x[k];
        }
        assert_near((double)sums[i], expected, ldexp(32.0 * expected, -24), "square sum", row, i);
    }
}

static void embed_every_width_is_exact(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_MODELS; i++) {
        gemm_case all;
        uint32_t d = d_models[i], n_sums = (d + 31) / 32;
        case_make(&all, 10 + i, N_VOCAB, d, 1);
        int32_t tokens[N_ROWS];
        for (int row = 0; row < N_ROWS; row++) {
            tokens[row] = (int32_t)random_between(&all.source, 0, N_VOCAB - 1);
        }
        all.rows.tokens = case_device(&all, tokens, sizeof tokens);
        case_set_counts(&all, N_ROWS, 0);
        float *device_x = case_device(&all, NULL, sizeof(float) * N_SPACE * d);
        float *device_sums = case_device(&all, NULL, sizeof(float) * N_SPACE * n_sums);
        set_thread_order(i);
        case_finish(&all, soti_launch_embed(&all.launch, &all.rows, N_SPACE, all.product.weights,
                                            all.stride, d, device_x, device_sums));
        float *x = case_fetch(device_x, sizeof(float) * N_SPACE * d);
        float *sums = case_fetch(device_sums, sizeof(float) * N_SPACE * n_sums);
        for (uint32_t row = 0; row < N_SPACE; row++) {
            for (uint32_t k = 0; k < d; k++) {
                double is = (double)x[(size_t)row * d + k];
                if (row >= N_ROWS) {
                    assert_true(isnan(is));
                } else {
                    size_t at = (size_t)tokens[row] * all.stride + k;
                    assert_true(is == half_value(all.weights[at]));
                }
            }
            if (row < N_ROWS) {
                check_sums(x + (size_t)row * d, sums + (size_t)row * n_sums, d, row);
            }
        }
        free(x);
        free(sums);
        case_free(&all);
    }
}

static void logit_sums_every_width_is_float64s(void **state)
{
    (void)state;
    static const uint32_t wanted[] = {1, 4, 8};
    for (uint32_t i = 0; i < N_MODELS; i++) {
        gemm_case all;
        uint32_t d = d_models[i], n_sums = (d + 31) / 32;
        case_make(&all, 50 + i, 1, d, N_ROWS);
        all.rows.logit_rows = case_device(&all, wanted, sizeof wanted);
        case_set_counts(&all, N_ROWS, 3);
        float *device_sums = case_device(&all, NULL, sizeof(float) * N_ROWS * n_sums);
        set_thread_order(i);
        case_finish(&all, soti_launch_logit_sums(&all.launch, &all.rows, N_ROWS, all.norm.x, d,
                                                 device_sums));
        float *sums = case_fetch(device_sums, sizeof(float) * N_ROWS * n_sums);
        for (uint32_t row = 0, i_wanted = 0; row < N_ROWS; row++) {
            if (i_wanted < 3 && wanted[i_wanted] == row) {
                check_sums(all.x + (size_t)row * d, sums + (size_t)row * n_sums, d, row);
                i_wanted++;
            } else {
                assert_true(isnan(sums[(size_t)row * n_sums]));
            }
        }
        free(sums);
        case_free(&all);
    }
}

/* What makes a generated row's logits the same whether its sums come from the last layer's residual
 * or from soti_launch_logit_sums. */
static void logit_sums_of_a_residual_are_its_own(void **state)
{
    (void)state;
    gemm_case all;
    uint32_t n_out = 150, n_sums = 5;
    case_make(&all, 90, n_out, 96, 3);
    case_set_cut(&all, 1, 132, 2);
    all.product.n_columns = 1;
    size_t sum_bytes = sizeof(float) * 3 * n_sums;
    float *zeros = case_memory(sizeof(float) * 3 * n_out);
    float *x = case_device(&all, zeros, sizeof(float) * 3 * n_out);
    float *by_residual = case_device(&all, NULL, sum_bytes);
    float *by_logit_sums = case_device(&all, NULL, sum_bytes);
    static const uint32_t wanted[] = {0, 1, 2};
    all.rows.logit_rows = case_device(&all, wanted, sizeof wanted);
    case_set_counts(&all, 3, 3);
    case_finish(&all, soti_launch_gemm_rows_residual(&all.launch, &all.product, &all.rows,
                                                     all.device_halves, x, by_residual));
    case_finish(&all, soti_launch_logit_sums(&all.launch, &all.rows, 3, x, n_out, by_logit_sums));
    void *one = case_fetch(by_residual, sum_bytes), *other = case_fetch(by_logit_sums, sum_bytes);
    assert_memory_equal(one, other, sum_bytes);
    free(one);
    free(other);
    free(zeros);
    case_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_every_width_is_exact),
        cmocka_unit_test(logit_sums_every_width_is_float64s),
        cmocka_unit_test(logit_sums_of_a_residual_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
