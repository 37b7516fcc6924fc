/* Each stage alone, from an input that the test sets, against double precision: row counts around
 * the tile, weight rows around the unit, heads whose pairs end in the middle of a unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "cpu/cpu_context.h"
#include "cpu/cpu_isa.h"
#include "unit/cpu_model.h"

enum {
    FIRST_POSITION = 3,
    N_ROWS_MAX = SOTI_CPU_TILE_ROWS + 2 * SOTI_CPU_GROUP_ROWS + 1,
    N_TABLE = (FIRST_POSITION + N_ROWS_MAX) / SOTI_PAGE_TOKENS + 1,
    N_LOGITS_MAX = 3,
    LENGTH_MAX = 64
};

static const uint32_t row_counts[] = {1,
                                      3,
                                      SOTI_CPU_GROUP_ROWS - 1,
                                      SOTI_CPU_GROUP_ROWS,
                                      SOTI_CPU_GROUP_ROWS + 1,
                                      SOTI_CPU_TILE_ROWS - 1,
                                      SOTI_CPU_TILE_ROWS,
                                      SOTI_CPU_TILE_ROWS + 1,
                                      N_ROWS_MAX};

static const soti_shape shapes[] = {
    {1, 3, 1, 20, 33, 47, 35, SOTI_ROPE_INTERLEAVED, 10000.0f, 1.0f, 1e-5f},
    {1, 3, 3, 20, 33, 48, 31, SOTI_ROPE_HALF_SPLIT, 10000.0f, 1.0f, 1e-5f},
    {1, 4, 2, 16, 16, 17, 16, SOTI_ROPE_HALF_SPLIT, 500000.0f, 2.0f, 1e-5f},
};

typedef struct bench {
    cpu_model model;
    soti_context *context;
    int32_t tokens[N_ROWS_MAX];
    uint32_t positions[N_ROWS_MAX];
    uint32_t sequences[N_ROWS_MAX];
    uint32_t table[N_TABLE];
    uint32_t logit_rows[N_LOGITS_MAX];
    soti_row_group group;
    soti_rows rows;
} bench;

static void bench_open(bench *all, const soti_shape *shape, uint32_t n_rows)
{
    soti_context_params params = {.n_rows_max = N_ROWS_MAX,
                                  .n_logits_max = N_LOGITS_MAX,
                                  .n_sequences_max = 1,
                                  .n_pages = N_TABLE,
                                  .n_table_max = N_TABLE,
                                  .n_threads = 1 + n_rows % 3};
    memset(all, 0, sizeof *all);
    cpu_model_make(&all->model, shape, 0);
    assert_int_equal(cpu_model_open(&all->model), SOT_OK);
    assert_int_equal(soti_cpu_backend()->context_create(all->model.weights, &params, &all->context),
                     SOT_OK);
    for (uint32_t i = 0; i < n_rows; i++) {
        all->tokens[i] = (int32_t)(i * 7 % shape->n_vocab);
        all->positions[i] = i + FIRST_POSITION;
    }
    for (uint32_t i = 0; i < N_TABLE; i++) {
        all->table[i] = N_TABLE - 1 - i;
    }
    all->group.n_rows = n_rows;
    all->logit_rows[0] = n_rows / 2;
    all->logit_rows[1] = n_rows - 1;
    all->rows = (soti_rows){.n_rows = n_rows,
                            .n_prompt_rows = n_rows,
                            .tokens = all->tokens,
                            .positions = all->positions,
                            .sequences = all->sequences,
                            .n_sequences = 1,
                            .page_tables = all->table,
                            .table_stride = N_TABLE,
                            .n_groups = 1,
                            .groups = &all->group,
                            .n_logits = n_rows > 1 ? 2 : 1,
                            .logit_rows = all->logit_rows};
    assert_int_equal(soti_cpu_backend()->batch_begin(all->context, &all->rows), SOT_OK);
}

static void bench_close(bench *all)
{
    soti_cpu_backend()->context_free(all->context);
    cpu_model_close(&all->model);
    cpu_model_free(&all->model);
}

static void fill(float *values, size_t stride, size_t n_rows, size_t n, uint64_t stream)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t i = 0; i < n; i++) {
            values[r * stride + i] = (float)cpu_noise(stream, r * n + i);
        }
    }
}

static void widened(const float *from, size_t n, double *to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (double)from[i];
    }
}

/* FP32 sums of up to 64 products of numbers around 1: some hundred roundings of 2^-24. AMX's terms
 * are up to 2^-16 + 2^-17 off. */
static double tolerance(void)
{
    const soti_cpu_kernels *kernels;
    bool is_amx = soti_cpu_isa_select(NULL, &kernels) == SOT_OK && strcmp(kernels->isa, "amx") == 0;
    return is_amx ? 1e-4 : 2e-5;
}

static void check_row(const float *found, const double *expected, size_t n)
{
    double most = tolerance();
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)found[i] - expected[i]) <= most * (1 + fabs(expected[i])))) {
            fail_msg("element %zu is %g, expected %g", i, (double)found[i], expected[i]);
        }
    }
}

static void check_embed(bench *all)
{
    size_t d = all->model.shape.d_model;
    assert_int_equal(soti_cpu_backend()->embed(all->context), SOT_OK);
    for (uint32_t r = 0; r < all->rows.n_rows; r++) {
        for (size_t i = 0; i < d; i++) {
            const uint16_t *row = all->model.view.embedding + (size_t)all->tokens[r] * d;
            assert_true(all->context->x[r * all->context->model_stride + i] ==
                        soti_half_to_float(row[i]));
        }
    }
}

/* A key or value from where the drawing in cpu_context.h says it is. */
static double paged(const bench *all, uint32_t i_value, size_t i_kv, uint32_t position, size_t i)
{
    const soti_shape *shape = &all->model.shape;
    size_t page = all->table[position / SOTI_PAGE_TOKENS];
    size_t place = cpu_page_place(shape, N_TABLE, 0, page, i_value, i_kv, position) + i;
    return (double)soti_half_to_float(all->context->pages[place]);
}

/* Heads of one row: turned, and for keys and values (i_value 0, 1) looked up in pages. FP16 rounds
 * by 2^-11 relative. */
static void check_heads(bench *all, uint32_t i_row, const uint16_t *w, uint32_t n_heads,
                        int is_page, uint32_t i_value, const double *normed)
{
    const soti_shape *shape = &all->model.shape;
    size_t d = shape->d_head;
    double head[LENGTH_MAX];
    for (uint32_t h = 0; h < n_heads; h++) {
        cpu_reference_product(w + h * d * shape->d_model, d, shape->d_model, normed, head);
        if (!(is_page && i_value == 1)) {
            cpu_reference_rope(shape, all->positions[i_row], head);
        }
        if (!is_page) {
            check_row(all->context->q + i_row * all->context->head_stride + h * d, head, d);
            continue;
        }
        for (size_t i = 0; i < d; i++) {
            double found = paged(all, i_value, h, all->positions[i_row], i);
            assert_true(fabs(found - head[i]) <= 0x1p-11 * fabs(head[i]) + tolerance());
        }
    }
}

static void check_qkv(bench *all)
{
    const soti_shape *shape = &all->model.shape;
    const soti_layer_weights *layer = all->model.layers;
    soti_context *context = all->context;
    double x[LENGTH_MAX];
    double normed[LENGTH_MAX];
    fill(context->x, context->model_stride, all->rows.n_rows, shape->d_model, 70);
    assert_int_equal(soti_cpu_backend()->qkv(context, 0), SOT_OK);
    for (uint32_t r = 0; r < all->rows.n_rows; r++) {
        widened(context->x + r * context->model_stride, shape->d_model, x);
        cpu_reference_norm(x, layer->attention_norm, shape->d_model, shape->norm_eps, normed);
        check_heads(all, r, layer->wq, shape->n_head, 0, 0, normed);
        check_heads(all, r, layer->wk, shape->n_kv, 1, 0, normed);
        check_heads(all, r, layer->wv, shape->n_kv, 1, 1, normed);
    }
}

/* x += in W' for the stage that does it. */
static void check_added(bench *all, sot_status (*run)(soti_context *, uint32_t), const uint16_t *w,
                        float *in, size_t stride, size_t n_in)
{
    soti_context *context = all->context;
    size_t d = all->model.shape.d_model;
    double from[LENGTH_MAX];
    double expected[LENGTH_MAX];
    fill(context->x, context->model_stride, all->rows.n_rows, d, 71);
    fill(in, stride, all->rows.n_rows, n_in, 72);
    assert_int_equal(run(context, 0), SOT_OK);
    for (uint32_t r = 0; r < all->rows.n_rows; r++) {
        widened(in + r * stride, n_in, from);
        cpu_reference_product(w, d, n_in, from, expected);
        for (size_t i = 0; i < d; i++) {
            expected[i] += (double)(float)cpu_noise(71, r * d + i);
        }
        check_row(context->x + r * context->model_stride, expected, d);
    }
}

static void check_gate_up(bench *all)
{
    const soti_shape *shape = &all->model.shape;
    const soti_layer_weights *layer = all->model.layers;
    soti_context *context = all->context;
    double x[LENGTH_MAX];
    double normed[LENGTH_MAX];
    double gate[LENGTH_MAX];
    double up[LENGTH_MAX];
    fill(context->x, context->model_stride, all->rows.n_rows, shape->d_model, 73);
    assert_int_equal(soti_cpu_backend()->gate_up(context, 0), SOT_OK);
    for (uint32_t r = 0; r < all->rows.n_rows; r++) {
        widened(context->x + r * context->model_stride, shape->d_model, x);
        cpu_reference_norm(x, layer->ffn_norm, shape->d_model, shape->norm_eps, normed);
        cpu_reference_product(layer->w_gate, shape->d_ff, shape->d_model, normed, gate);
        cpu_reference_product(layer->w_up, shape->d_ff, shape->d_model, normed, up);
        for (size_t i = 0; i < shape->d_ff; i++) {
            up[i] *= gate[i] / (1 + exp(-gate[i]));
        }
        check_row(context->hidden + r * context->ff_stride, up, shape->d_ff);
    }
}

static void check_logits(bench *all)
{
    const soti_shape *shape = &all->model.shape;
    soti_context *context = all->context;
    double x[LENGTH_MAX];
    double normed[LENGTH_MAX];
    double expected[LENGTH_MAX];
    float found[LENGTH_MAX];
    fill(context->x, context->model_stride, all->rows.n_rows, shape->d_model, 74);
    assert_int_equal(soti_cpu_backend()->logits(context), SOT_OK);
    for (uint32_t i = 0; i < all->rows.n_logits; i++) {
        widened(context->x + all->logit_rows[i] * context->model_stride, shape->d_model, x);
        cpu_reference_norm(x, all->model.view.output_norm, shape->d_model, shape->norm_eps, normed);
        cpu_reference_product(all->model.view.output, shape->n_vocab, shape->d_model, normed,
                              expected);
        assert_int_equal(soti_cpu_backend()->read_logits(context, i, found), SOT_OK);
        check_row(found, expected, shape->n_vocab);
    }
}

typedef void (*check_fn)(bench *all);

static void on_every_shape(check_fn check)
{
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (size_t r = 0; r < sizeof row_counts / sizeof row_counts[0]; r++) {
            bench all;
            bench_open(&all, &shapes[s], row_counts[r]);
            check(&all);
            bench_close(&all);
        }
    }
}

static void check_attention_output(bench *all)
{
    check_added(all, soti_cpu_backend()->attention_output, all->model.layers->wo,
                all->context->attended, all->context->head_stride,
                (size_t)all->model.shape.n_head * all->model.shape.d_head);
}

static void check_down(bench *all)
{
    check_added(all, soti_cpu_backend()->down, all->model.layers->w_down, all->context->hidden,
                all->context->ff_stride, all->model.shape.d_ff);
}

static void stages_embed_copies_rows_exactly(void **state)
{
    (void)state;
    on_every_shape(check_embed);
}

static void stages_qkv_turns_and_writes_pages(void **state)
{
    (void)state;
    on_every_shape(check_qkv);
}

static void stages_attention_output_adds_to_the_stream(void **state)
{
    (void)state;
    on_every_shape(check_attention_output);
}

static void stages_gate_up_matches(void **state)
{
    (void)state;
    on_every_shape(check_gate_up);
}

static void stages_down_adds_to_the_stream(void **state)
{
    (void)state;
    on_every_shape(check_down);
}

static void stages_logits_are_of_the_rows_asked_for(void **state)
{
    (void)state;
    on_every_shape(check_logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_embed_copies_rows_exactly),
        cmocka_unit_test(stages_qkv_turns_and_writes_pages),
        cmocka_unit_test(stages_attention_output_adds_to_the_stream),
        cmocka_unit_test(stages_gate_up_matches),
        cmocka_unit_test(stages_down_adds_to_the_stream),
        cmocka_unit_test(stages_logits_are_of_the_rows_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
