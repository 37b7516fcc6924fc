/* How products are cut: what every cut keeps to, and what the cuts of LLaMA's shapes cost beyond
 * their weights, printed. No kernel runs. */
#include "gemm_case.h"

typedef struct product {
    const char *name;
    uint32_t n_out, n_in, n_unit_rows;
    uint32_t row_bytes; /* of one column of a row: FP32 before a norm, else FP16 */
} product;

enum { N_SHAPES = 3, N_PRODUCTS = 5 };

static const uint32_t shapes[N_SHAPES][2] = {{4096, 11008}, {5120, 13824}, {6656, 17920}};

static void make_products(product *to, uint32_t d_model, uint32_t d_ff)
{
    const product products[N_PRODUCTS] = {{"qkv", 3 * d_model, d_model, 128, 4},
                                          {"output", d_model, d_model, 1, 2},
                                          {"gate_up", 2 * d_ff, d_model, 1, 4},
                                          {"down", d_model, d_ff, 1, 2},
                                          {"logits", 32000, d_model, 1, 4}};
    memcpy(to, products, sizeof products);
}

static uint32_t stride_of(uint32_t n_in)
{
    return (n_in + SOTI_CUDA_PAD - 1) / SOTI_CUDA_PAD * SOTI_CUDA_PAD;
}

static void cut_any_shape_and_device_fits(void **state)
{
    (void)state;
    static const uint32_t outs[] = {1, 31, 32, 33, 96, 4096, 32001, 100000};
    static const uint32_t ins[] = {1, 64, 704, 4096, 11008, 17920, 28672};
    static const uint32_t n_sm[] = {1, 3, 4, 108, 132};
    static const size_t shared[] = {CASE_SHARED_H200, CASE_SHARED_A100, 101376, 49152};
    for (size_t i = 0; i < 8 * 7 * 5 * 4; i++) {
        uint32_t n_out = outs[i % 8], stride = stride_of(ins[i / 8 % 7]), sm = n_sm[i / 56 % 5];
        size_t limit = shared[i / 280];
        soti_gemm_cut cut = soti_gemm_rows_cut(n_out, stride, 1, sm, limit);
        uint32_t n_tiles = (n_out + 31) / 32;
        assert_in_range(cut.n_slices, 1, stride / 32);
        assert_int_equal(cut.n_blocks % cut.n_slices, 0);
        assert_in_range(cut.n_blocks / cut.n_slices, 1, n_tiles);
        assert_true(cut.n_blocks <= sm || cut.n_blocks == cut.n_slices);
        assert_in_range(cut.shared_bytes, 1, limit);
        assert_int_equal(cut.n_counters, cut.n_slices > 1 ? n_tiles : 0);
        assert_int_equal(cut.partial_floats, cut.n_slices > 1 ? n_tiles * 512 * cut.n_slices : 0);
    }
}

static void cut_without_shared_memory_is_none(void **state)
{
    (void)state;
    soti_gemm_cut cut = soti_gemm_rows_cut(4096, 4096, 1, 132, 16384);
    assert_int_equal(cut.n_slices, 0);
    assert_int_equal(cut.n_blocks, 0);
}

static void cut_of_heads_has_tiles_within_heads(void **state)
{
    (void)state;
    soti_gemm_cut cut = soti_gemm_rows_cut(30 * 100, 3200, 100, 132, CASE_SHARED_H200);
    assert_true(cut.n_slices > 1);
    assert_int_equal(cut.n_counters, 30 * 4);
}

/* What the design counts on: the busiest multiprocessor has little more weights than its share, and
 * what it reads besides, for 16 rows, is small beside them. */
static void cut_of_llama_shapes_costs_little(void **state)
{
    (void)state;
    print_message("132 multiprocessors, 227 KiB each; in %% of a multiprocessor's share of the "
                  "weights:\n"
                  "%-8s %6s %6s %7s %7s %7s %7s %9s %6s %6s %9s %6s\n",
                  "product", "n_out", "n_in", "slices", "blocks", "rounds", "shared", "share, KB",
                  "idle", "rows", "partials", "1 row");
    for (int i = 0; i < N_SHAPES; i++) {
        product products[N_PRODUCTS];
        make_products(products, shapes[i][0], shapes[i][1]);
        for (int j = 0; j < N_PRODUCTS; j++) {
            const product *of = &products[j];
            soti_gemm_cut cut =
                soti_gemm_rows_cut(of->n_out, of->n_in, of->n_unit_rows, 132, CASE_SHARED_H200);
            uint32_t n_of_slice = cut.n_blocks / cut.n_slices;
            uint32_t n_rounds = (of->n_out / 32 + n_of_slice - 1) / n_of_slice;
            double share = 2.0 * of->n_out * of->n_in / 132;
            double idle = 2.0 * 32 * n_rounds * of->n_in / cut.n_slices / share - 1.0;
            double rows = 16.0 * of->row_bytes * of->n_in / cut.n_slices / share;
            double partials = cut.n_slices > 1 ? n_rounds * 2 * 16 * 32 * 4.0 / share : 0.0;
            print_message("%-8s %6u %6u %7u %7u %7u %7zu %9.0f %6.1f %6.1f %9.1f %6.2f\n", of->name,
                          of->n_out, of->n_in, cut.n_slices, cut.n_blocks, n_rounds,
                          cut.shared_bytes, share / 1e3, 100 * idle, 100 * rows, 100 * partials,
                          100 * (rows + partials) / 16);
            assert_true(idle < 0.06);
            assert_true(rows + partials < 0.20);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_any_shape_and_device_fits),
        cmocka_unit_test(cut_without_shared_memory_is_none),
        cmocka_unit_test(cut_of_heads_has_tiles_within_heads),
        cmocka_unit_test(cut_of_llama_shapes_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
