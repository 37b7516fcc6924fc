/* The product behind attention: q, k and v of up to 16 rows, rotary in both layouts, and where in
 * the pages k and v go. */
#include "gemm_case.h"

enum { PAGE = SOTI_CUDA_PAGE_TOKENS, N_POSITIONS = 100, UNTOUCHED = 0x5A };

typedef struct qkv_case {
    gemm_case gemm;
    soti_cuda_shape shape;
    uint32_t n_pages, table_stride;
    uint32_t *positions, *sequences, *tables;
    float *rope; /* (N_POSITIONS, d_head / 2, 2) */
    float *device_rope;
    size_t q_halves, page_halves; /* in all */
} qkv_case;

/* Each row its own sequence, whose positions lie in pages of random numbers. */
static void qkv_make(qkv_case *all, uint64_t seed, uint32_t n_head, uint32_t n_kv, uint32_t d_head,
                     uint32_t is_split, uint32_t n_in, uint32_t n_rows)
{
    memset(all, 0, sizeof *all);
    gemm_case *gemm = &all->gemm;
    case_make(gemm, seed, (n_head + 2 * n_kv) * d_head, n_in, n_rows);
    all->shape.n_head = n_head;
    all->shape.n_kv = n_kv;
    all->shape.d_head = d_head;
    all->shape.d_model = n_in;
    all->shape.half_split_rope = is_split;
    all->shape.d_page = (d_head + 63) / 64 * 64;
    all->shape.n_qkv = gemm->n_out;
    all->shape.x_stride = gemm->stride;
    all->table_stride = (N_POSITIONS + PAGE - 1) / PAGE;
    all->n_pages = n_rows * all->table_stride;
    all->positions = case_memory(sizeof(uint32_t) * n_rows);
    all->sequences = case_memory(sizeof(uint32_t) * n_rows);
    all->tables = case_memory(sizeof(uint32_t) * all->n_pages);
    for (uint32_t i = 0; i < all->n_pages; i++) {
        uint32_t j = random_between(&gemm->source, 0, i);
        all->tables[i] = all->tables[j];
        all->tables[j] = i;
    }
    for (uint32_t row = 0; row < n_rows; row++) {
        all->positions[row] = random_between(&gemm->source, 0, N_POSITIONS - 1);
        all->sequences[row] = n_rows - 1 - row;
    }
    size_t n_turns = (size_t)N_POSITIONS * d_head / 2;
    all->rope = case_memory(2 * n_turns * sizeof(float));
    for (size_t i = 0; i < n_turns; i++) {
        double angle = (double)random_between(&gemm->source, 0, 1000000) * 1e-5;
        all->rope[2 * i] = (float)cos(angle);
        all->rope[2 * i + 1] = (float)sin(angle);
    }
    all->device_rope = case_device(gemm, all->rope, 2 * n_turns * sizeof(float));
    gemm->rows.positions = case_device(gemm, all->positions, sizeof(uint32_t) * n_rows);
    gemm->rows.sequences = case_device(gemm, all->sequences, sizeof(uint32_t) * n_rows);
    gemm->rows.page_tables = case_device(gemm, all->tables, sizeof(uint32_t) * all->n_pages);
    gemm->rows.table_stride = all->table_stride;
    all->q_halves = (size_t)gemm->n_space * n_head * all->shape.d_page;
    all->page_halves = (size_t)all->n_pages * n_kv * PAGE * all->shape.d_page;
}

static void qkv_free(qkv_case *all)
{
    case_free(&all->gemm);
    free(all->positions);
    free(all->sequences);
    free(all->tables);
    free(all->rope);
}

/* What a launch left: q, keys, values. */
typedef struct qkv_result {
    uint16_t *q, *keys, *values;
} qkv_result;

static uint16_t *untouched(gemm_case *gemm, size_t n_halves)
{
    uint16_t *memory = case_device(gemm, NULL, 2 * n_halves);
    check_cuda(cudaMemset(memory, UNTOUCHED, 2 * n_halves));
    return memory;
}

static qkv_result qkv_run(qkv_case *all, uint32_t first_row, uint32_t n_columns)
{
    gemm_case *gemm = &all->gemm;
    size_t n_before = gemm->n_device;
    uint16_t *q = untouched(gemm, all->q_halves);
    soti_cuda_pages pages = {untouched(gemm, all->page_halves), untouched(gemm, all->page_halves)};
    gemm->product.first_row = first_row;
    gemm->product.n_columns = n_columns;
    case_finish(gemm,
                soti_launch_gemm_rows_qkv(&gemm->launch, &gemm->product, &all->shape, &gemm->rows,
                                          &gemm->norm, all->device_rope, q, pages));
    qkv_result result = {case_fetch(q, 2 * all->q_halves),
                         case_fetch(pages.keys, 2 * all->page_halves),
                         case_fetch(pages.values, 2 * all->page_halves)};
    while (gemm->n_device > n_before) {
        check_cuda(cudaFree(gemm->device[--gemm->n_device]));
    }
    return result;
}

static void result_free(qkv_result *result)
{
    free(result->q);
    free(result->keys);
    free(result->values);
}

/* Column of a head after rotary, in float64. */
static double turned(const qkv_case *all, uint32_t head, uint32_t row, uint32_t column,
                     double *slack)
{
    uint32_t d = all->shape.d_head, half = d / 2;
    double value = case_product(&all->gemm, head * d + column, row, slack);
    if (head >= all->shape.n_head + all->shape.n_kv) {
        return value;
    }
    int is_split = all->shape.half_split_rope != 0;
    uint32_t pair = is_split ? column % half : column / 2;
    int is_second = is_split ? column >= half : column % 2 != 0;
    uint32_t other = is_split ? (column + half) % d : column ^ 1;
    double other_slack = 0.0;
    double partner = case_product(&all->gemm, head * d + other, row, &other_slack);
    const float *turn = all->rope + 2 * ((size_t)all->positions[row] * half + pair);
    *slack += other_slack + ldexp(fabs(value) + fabs(partner), -22);
    return value * (double)turn[0] + (is_second ? partner : -partner) * (double)turn[1];
}

/* Takes what must be there out of the result, so that the rest can be seen to be untouched. */
static void take_head(const qkv_case *all, uint16_t *at, uint32_t head, uint32_t row)
{
    for (uint32_t column = 0; column < all->shape.d_head; column++) {
        double slack = 0.0, expected = turned(all, head, row, column, &slack);
        slack += ldexp(fabs(expected) + slack, -11) + ldexp(1.0, -25);
        assert_near(half_value(at[column]), expected, slack, "head", row,
                    head * all->shape.d_head + column);
        memset(&at[column], UNTOUCHED, 2);
    }
}

static void assert_untouched(const uint16_t *at, size_t n_halves)
{
    for (size_t i = 0; i < n_halves; i++) {
        assert_int_equal(at[i], UNTOUCHED << 8 | UNTOUCHED);
    }
}

static void qkv_check(qkv_case *all, uint32_t first_row, uint32_t n_columns)
{
    const soti_cuda_shape *shape = &all->shape;
    qkv_result result = qkv_run(all, first_row, n_columns);
    for (uint32_t row = first_row; row < all->gemm.n_rows && row < first_row + 8 * n_columns;
         row++) {
        uint32_t position = all->positions[row];
        uint32_t page = all->tables[all->sequences[row] * all->table_stride + position / PAGE];
        for (uint32_t head = 0; head < shape->n_head; head++) {
            uint16_t *q = result.q + ((size_t)row * shape->n_head + head) * shape->d_page;
            take_head(all, q, head, row);
        }
        for (uint32_t head = 0; head < shape->n_kv; head++) {
            size_t slot = ((size_t)page * shape->n_kv + head) * PAGE + position % PAGE;
            take_head(all, result.keys + slot * shape->d_page, shape->n_head + head, row);
            take_head(all, result.values + slot * shape->d_page, shape->n_head + shape->n_kv + head,
                      row);
        }
    }
    assert_untouched(result.q, all->q_halves);
    assert_untouched(result.keys, all->page_halves);
    assert_untouched(result.values, all->page_halves);
    result_free(&result);
}

static void qkv_every_head_size_and_layout_is_float64s(void **state)
{
    (void)state;
    static const uint32_t d_heads[] = {2, 16, 32, 48, 64, 66, 100, 128};
    static const uint32_t n_sm[] = {1, 3, 4, 132};
    for (uint32_t i = 0; i < sizeof d_heads / sizeof *d_heads; i++) {
        for (uint32_t is_split = 0; is_split < 2; is_split++) {
            qkv_case all;
            uint32_t n_rows = (7 * i + 5 * is_split) % 16 + 1;
            qkv_make(&all, 10 * i + is_split, 4, i % 2 + 1, d_heads[i], is_split, 60 + 70 * i,
                     n_rows);
            case_set_cut(&all.gemm, d_heads[i], n_sm[(i + is_split) % 4], 0);
            set_thread_order(i);
            qkv_check(&all, 0, n_rows > 8 ? 2 : 1);
            qkv_free(&all);
        }
    }
}

static void qkv_any_number_of_slices_is_float64s(void **state)
{
    (void)state;
    for (uint32_t n_slices = 1; n_slices <= 6; n_slices++) {
        qkv_case all;
        qkv_make(&all, 100 + n_slices, 3, 3, 48, n_slices % 2, 300, 13);
        case_set_cut(&all.gemm, 48, 132, n_slices);
        set_thread_order(n_slices);
        qkv_check(&all, 0, 2);
        qkv_free(&all);
    }
}

static void qkv_rows_beyond_the_first_group_are_float64s(void **state)
{
    (void)state;
    qkv_case all;
    qkv_make(&all, 200, 2, 1, 64, 1, 96, 27);
    case_set_cut(&all.gemm, 64, 132, 2);
    qkv_check(&all, 0, 1);
    qkv_check(&all, 8, 2);
    qkv_check(&all, 16, 2);
    qkv_free(&all);
}

/* CU-1: each row alone leaves the bits that it leaves among 16. */
static void qkv_row_has_the_same_bits_in_any_company(void **state)
{
    (void)state;
    qkv_case all;
    qkv_make(&all, 300, 2, 2, 64, 0, 500, 16);
    case_set_cut(&all.gemm, 64, 132, 3);
    qkv_result together = qkv_run(&all, 0, 2);
    size_t row_halves = (size_t)all.shape.n_head * all.shape.d_page;
    for (uint32_t row = 0; row < 16; row++) {
        case_set_counts(&all.gemm, row + 1, 0);
        set_thread_order(row);
        qkv_result alone = qkv_run(&all, row, 1 + row % 2);
        assert_memory_equal(alone.q + row * row_halves, together.q + row * row_halves,
                            2 * row_halves);
        for (size_t i = 0; i < all.page_halves; i++) {
            int is_written = alone.keys[i] != (UNTOUCHED << 8 | UNTOUCHED);
            assert_true(!is_written || alone.keys[i] == together.keys[i]);
            is_written = alone.values[i] != (UNTOUCHED << 8 | UNTOUCHED);
            assert_true(!is_written || alone.values[i] == together.values[i]);
        }
        result_free(&alone);
        check_cuda(cudaFree(all.gemm.device[--all.gemm.n_device]));
    }
    result_free(&together);
    qkv_free(&all);
}

static void qkv_shape_that_no_kernel_takes_is_refused(void **state)
{
    (void)state;
    qkv_case all;
    qkv_make(&all, 400, 2, 1, 64, 1, 96, 1);
    case_set_cut(&all.gemm, 64, 132, 1);
    all.gemm.product.n_columns = 1;
    soti_cuda_shape bad[4] = {all.shape, all.shape, all.shape, all.shape};
    bad[0].d_head = 63;
    bad[1].n_kv = 0;
    bad[2].d_page = 32;
    bad[3].n_head = 3;
    for (int i = 0; i < 4; i++) {
        soti_cuda_pages pages = {NULL, NULL};
        assert_int_equal(soti_launch_gemm_rows_qkv(&all.gemm.launch, &all.gemm.product, &bad[i],
                                                   &all.gemm.rows, &all.gemm.norm, all.device_rope,
                                                   NULL, pages),
                         cudaErrorInvalidValue);
    }
    qkv_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qkv_every_head_size_and_layout_is_float64s),
        cmocka_unit_test(qkv_any_number_of_slices_is_float64s),
        cmocka_unit_test(qkv_rows_beyond_the_first_group_are_float64s),
        cmocka_unit_test(qkv_row_has_the_same_bits_in_any_company),
        cmocka_unit_test(qkv_shape_that_no_kernel_takes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
