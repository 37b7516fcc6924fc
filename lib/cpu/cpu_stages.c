/* The stages of a forward pass but for attention. A stage that multiplies by a matrix cuts the
 * weight rows into units of SOTI_CPU_UNIT_OUT, gives each thread a fixed run of units, and finishes
 * each tile (rows x unit) in place: stored, added, gated, or turned and written to pages.
 *
 * The input is packed first, once for all threads. Weights are read from memory once a unit, and
 * serve all rows out of the cache. */
#include <string.h>

#include "cpu/cpu_context.h"

enum {
    HALF_UNIT = SOTI_CPU_UNIT_OUT / 2 /* pairs of one unit of qkv */
};

/* What the threads of one stage share. */
typedef struct stage {
    soti_context *context;
    const soti_layer_weights *layer;
    uint32_t i_layer;
    uint32_t n_rows;
    const float *x; /* (n_rows, n_in) the product's input */
    size_t x_stride;
    size_t n_in;
    const uint16_t *w; /* (n_out, n_in) where there is one matrix */
    size_t n_out;
    float *out; /* (n_rows, n_out) */
    size_t out_stride;
    const float *gain;      /* of a norm that makes the input of the residual stream; or NULL */
    const uint32_t *source; /* rows of the residual stream to norm; NULL: all */
} stage;

/* Rows first_row .. first_row + n_rows of unit i_unit. */
typedef void (*tile_fn)(const stage *work, uint32_t i_unit, uint32_t first_row, uint32_t n_rows,
                        float *tiles);

static void for_each_tile(const stage *work, size_t n_units, uint32_t i_thread, uint32_t n_threads,
                          tile_fn fn)
{
    float *tiles = work->context->scratch[i_thread].tiles;
    size_t first;
    size_t end;
    soti_pool_share(n_units, 1, i_thread, n_threads, &first, &end);
    for (size_t unit = first; unit < end; unit++) {
        for (uint32_t row = 0; row < work->n_rows; row += SOTI_CPU_TILE_ROWS) {
            uint32_t n = work->n_rows - row;
            fn(work, (uint32_t)unit, row, n < SOTI_CPU_TILE_ROWS ? n : SOTI_CPU_TILE_ROWS, tiles);
        }
    }
}

static size_t unit_count(size_t n_out)
{
    return (n_out + SOTI_CPU_UNIT_OUT - 1) / SOTI_CPU_UNIT_OUT;
}

/* Weight rows of a unit: the last one may be short. */
static size_t unit_size(size_t n_out, uint32_t i_unit)
{
    size_t rest = n_out - (size_t)i_unit * SOTI_CPU_UNIT_OUT;
    return rest < SOTI_CPU_UNIT_OUT ? rest : SOTI_CPU_UNIT_OUT;
}

static void multiply(const stage *work, const uint16_t *w, size_t n_out, uint32_t first_row,
                     uint32_t n_rows, float *out, size_t out_stride)
{
    const float *packed = work->context->packed + first_row * soti_cpu_packed_stride(work->n_in);
    work->context->kernels->product(w, n_out, work->n_in, packed, n_rows, out, out_stride);
}

static void store_tile(const stage *work, uint32_t i_unit, uint32_t first_row, uint32_t n_rows,
                       float *tiles)
{
    (void)tiles;
    size_t first_out = (size_t)i_unit * SOTI_CPU_UNIT_OUT;
    multiply(work, work->w + first_out * work->n_in, unit_size(work->n_out, i_unit), first_row,
             n_rows, work->out + first_row * work->out_stride + first_out, work->out_stride);
}

static void add_tile(const stage *work, uint32_t i_unit, uint32_t first_row, uint32_t n_rows,
                     float *tiles)
{
    size_t first_out = (size_t)i_unit * SOTI_CPU_UNIT_OUT;
    size_t n = unit_size(work->n_out, i_unit);
    multiply(work, work->w + first_out * work->n_in, n, first_row, n_rows, tiles,
             SOTI_CPU_UNIT_OUT);
    for (uint32_t r = 0; r < n_rows; r++) {
        float *out = work->out + (first_row + r) * work->out_stride + first_out;
        for (size_t i = 0; i < n; i++) {
            out[i] += tiles[r * SOTI_CPU_UNIT_OUT + i];
        }
    }
}

static void gate_up_tile(const stage *work, uint32_t i_unit, uint32_t first_row, uint32_t n_rows,
                         float *tiles)
{
    size_t first_out = (size_t)i_unit * SOTI_CPU_UNIT_OUT;
    size_t n = unit_size(work->n_out, i_unit);
    float *up = tiles + SOTI_CPU_TILE_ROWS * SOTI_CPU_UNIT_OUT;
    multiply(work, work->layer->w_gate + first_out * work->n_in, n, first_row, n_rows, tiles,
             SOTI_CPU_UNIT_OUT);
    multiply(work, work->layer->w_up + first_out * work->n_in, n, first_row, n_rows, up,
             SOTI_CPU_UNIT_OUT);
    for (uint32_t r = 0; r < n_rows; r++) {
        size_t i = (size_t)r * SOTI_CPU_UNIT_OUT;
        work->context->kernels->swiglu(tiles + i, up + i, n,
                                       work->out + (first_row + r) * work->out_stride + first_out);
    }
}

/* A unit of qkv is up to HALF_UNIT rotary pairs of one head, so that a thread has both halves of
 * each pair. Heads in order: queries, keys, values. */
typedef struct pair_unit {
    uint32_t i_head; /* among those of its matrix */
    uint32_t i_pair;
    uint32_t n_pairs;
    const uint16_t *w;
    enum { QUERY, KEY, VALUE } kind;
} pair_unit;

static uint32_t units_per_head(const soti_shape *shape)
{
    return (shape->d_head / 2 + HALF_UNIT - 1) / HALF_UNIT;
}

static pair_unit find_pair_unit(const stage *work, uint32_t i_unit)
{
    const soti_shape *shape = &work->context->shape;
    uint32_t n_per_head = units_per_head(shape);
    pair_unit unit = {.i_head = i_unit / n_per_head, .kind = QUERY, .w = work->layer->wq};
    unit.i_pair = i_unit % n_per_head * HALF_UNIT;
    unit.n_pairs = shape->d_head / 2 - unit.i_pair;
    unit.n_pairs = unit.n_pairs < HALF_UNIT ? unit.n_pairs : HALF_UNIT;
    if (unit.i_head >= shape->n_head + shape->n_kv) {
        unit.kind = VALUE;
        unit.w = work->layer->wv;
        unit.i_head -= shape->n_head + shape->n_kv;
    } else if (unit.i_head >= shape->n_head) {
        unit.kind = KEY;
        unit.w = work->layer->wk;
        unit.i_head -= shape->n_head;
    }
    unit.w += (size_t)unit.i_head * shape->d_head * work->n_in;
    return unit;
}

/* n elements, from i_element on, of a head of one row to where they belong. */
static void deliver(const stage *work, const pair_unit *unit, uint32_t i_row, const float *from,
                    uint32_t i_element, uint32_t n)
{
    soti_context *context = work->context;
    uint32_t d_head = context->shape.d_head;
    if (unit->kind == QUERY) {
        memcpy(context->q + i_row * context->head_stride + (size_t)unit->i_head * d_head +
                   i_element,
               from, n * sizeof *from);
        return;
    }
    uint32_t position = context->rows.positions[i_row];
    uint32_t page = soti_cpu_table(context, i_row)[position / SOTI_PAGE_TOKENS];
    uint16_t *to = soti_cpu_page(context, work->i_layer, page, unit->kind == VALUE, unit->i_head);
    context->kernels->narrow(from, n,
                             to + (position % SOTI_PAGE_TOKENS) * (size_t)d_head + i_element);
}

static void qkv_tile(const stage *work, uint32_t i_unit, uint32_t first_row, uint32_t n_rows,
                     float *tiles)
{
    const soti_context *context = work->context;
    pair_unit unit = find_pair_unit(work, i_unit);
    uint32_t half = context->shape.d_head / 2;
    uint32_t n = unit.n_pairs;
    int is_split = context->shape.rope_layout == SOTI_ROPE_HALF_SPLIT;
    if (is_split) {
        multiply(work, unit.w + unit.i_pair * work->n_in, n, first_row, n_rows, tiles,
                 SOTI_CPU_UNIT_OUT);
        multiply(work, unit.w + (half + unit.i_pair) * work->n_in, n, first_row, n_rows,
                 tiles + HALF_UNIT, SOTI_CPU_UNIT_OUT);
    } else {
        multiply(work, unit.w + (size_t)2 * unit.i_pair * work->n_in, (size_t)2 * n, first_row,
                 n_rows, tiles, SOTI_CPU_UNIT_OUT);
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        float *first = tiles + (size_t)r * SOTI_CPU_UNIT_OUT;
        float *second = first + (is_split ? HALF_UNIT : 1);
        if (unit.kind != VALUE) {
            soti_cpu_rope_turn(context, context->rows.positions[first_row + r], unit.i_pair, n,
                               first, second, is_split ? 1 : 2);
        }
        if (is_split) {
            deliver(work, &unit, first_row + r, first, unit.i_pair, n);
            deliver(work, &unit, first_row + r, second, half + unit.i_pair, n);
        } else {
            deliver(work, &unit, first_row + r, first, 2 * unit.i_pair, 2 * n);
        }
    }
}

/* Norms, where there is a gain, and packs the input, by groups of rows. */
static void run_pack(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const stage *work = argument;
    soti_context *context = work->context;
    size_t stride = soti_cpu_packed_stride(work->n_in);
    size_t first;
    size_t end;
    soti_pool_share(work->n_rows, SOTI_CPU_GROUP_ROWS, i_thread, n_threads, &first, &end);
    for (size_t r = first; work->gain != NULL && r < end; r++) {
        size_t row = work->source != NULL ? work->source[r] : r;
        context->kernels->norm(context->x + row * context->model_stride, work->gain, work->n_in,
                               context->shape.norm_eps, context->normed + r * work->x_stride);
    }
    for (size_t r = first; r < end; r += SOTI_CPU_GROUP_ROWS) {
        size_t n = end - r < SOTI_CPU_GROUP_ROWS ? end - r : SOTI_CPU_GROUP_ROWS;
        context->kernels->pack(work->x + r * work->x_stride, work->x_stride, n, work->n_in,
                               context->packed + r * stride);
    }
}

static void run_store(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const stage *work = argument;
    for_each_tile(work, unit_count(work->n_out), i_thread, n_threads, store_tile);
}

static void run_add(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const stage *work = argument;
    for_each_tile(work, unit_count(work->n_out), i_thread, n_threads, add_tile);
}

static void run_gate_up(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const stage *work = argument;
    for_each_tile(work, unit_count(work->n_out), i_thread, n_threads, gate_up_tile);
}

static void run_qkv(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const stage *work = argument;
    const soti_shape *shape = &work->context->shape;
    size_t n_heads = (size_t)shape->n_head + (size_t)2 * shape->n_kv;
    for_each_tile(work, n_heads * units_per_head(shape), i_thread, n_threads, qkv_tile);
}

static void run_embed(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const stage *work = argument;
    soti_context *context = work->context;
    size_t d_model = context->shape.d_model;
    size_t first;
    size_t end;
    soti_pool_share(work->n_rows, 1, i_thread, n_threads, &first, &end);
    for (size_t r = first; r < end; r++) {
        context->kernels->widen(context->view.embedding + (size_t)context->rows.tokens[r] * d_model,
                                d_model, context->x + r * context->model_stride);
    }
}

/* Work so small that it only pays to wake threads for more than one group of rows. */
static void run_by_groups(stage *work, soti_pool_fn fn)
{
    if (work->n_rows <= SOTI_CPU_GROUP_ROWS) {
        soti_pool_run_here(fn, work);
    } else {
        soti_pool_run(work->context->pool, fn, work);
    }
}

static void run_product(stage *work, soti_pool_fn fn)
{
    run_by_groups(work, run_pack);
    soti_pool_run(work->context->pool, fn, work);
}

/* A stage of the current batch whose input is the residual stream, normed by gain. */
static stage normed_stage(soti_context *context, const float *gain, uint32_t n_rows)
{
    return (stage){.context = context,
                   .n_rows = n_rows,
                   .x = context->normed,
                   .x_stride = context->model_stride,
                   .n_in = context->shape.d_model,
                   .gain = gain};
}

sot_status soti_cpu_embed(soti_context *context)
{
    stage work = {.context = context, .n_rows = context->rows.n_rows};
    run_by_groups(&work, run_embed);
    return SOT_OK;
}

sot_status soti_cpu_qkv(soti_context *context, uint32_t i_layer)
{
    const soti_layer_weights *layer = &context->view.layers[i_layer];
    stage work = normed_stage(context, layer->attention_norm, context->rows.n_rows);
    work.layer = layer;
    work.i_layer = i_layer;
    run_product(&work, run_qkv);
    return SOT_OK;
}

sot_status soti_cpu_attention_output(soti_context *context, uint32_t i_layer)
{
    stage work = {.context = context,
                  .n_rows = context->rows.n_rows,
                  .x = context->attended,
                  .x_stride = context->head_stride,
                  .n_in = (size_t)context->shape.n_head * context->shape.d_head,
                  .w = context->view.layers[i_layer].wo,
                  .n_out = context->shape.d_model,
                  .out = context->x,
                  .out_stride = context->model_stride};
    run_product(&work, run_add);
    return SOT_OK;
}

sot_status soti_cpu_gate_up(soti_context *context, uint32_t i_layer)
{
    const soti_layer_weights *layer = &context->view.layers[i_layer];
    stage work = normed_stage(context, layer->ffn_norm, context->rows.n_rows);
    work.layer = layer;
    work.n_out = context->shape.d_ff;
    work.out = context->hidden;
    work.out_stride = context->ff_stride;
    run_product(&work, run_gate_up);
    return SOT_OK;
}

sot_status soti_cpu_down(soti_context *context, uint32_t i_layer)
{
    stage work = {.context = context,
                  .n_rows = context->rows.n_rows,
                  .x = context->hidden,
                  .x_stride = context->ff_stride,
                  .n_in = context->shape.d_ff,
                  .w = context->view.layers[i_layer].w_down,
                  .n_out = context->shape.d_model,
                  .out = context->x,
                  .out_stride = context->model_stride};
    run_product(&work, run_add);
    return SOT_OK;
}

sot_status soti_cpu_logits(soti_context *context)
{
    stage work = normed_stage(context, context->view.output_norm, context->rows.n_logits);
    work.source = context->rows.logit_rows;
    work.w = context->view.output;
    work.n_out = context->shape.n_vocab;
    work.out = context->logits;
    work.out_stride = context->vocab_stride;
    run_product(&work, run_store);
    return SOT_OK;
}
