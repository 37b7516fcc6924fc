/* Counting: see cost.h. Weights, keys and values are FP16. */
#include "cost.h"

enum { HALF_BYTES = 2 };

struct cost_model cost_model_make(const sot_model_info *info)
{
    double d = info->d_model;
    double d_query = (double)info->n_head * info->d_head;
    double d_kv = (double)info->n_kv * info->d_head;
    /* query and output projections, keys and values, the three matrices of the feed-forward part */
    double layer = 2 * d * d_query + 2 * d * d_kv + 3 * d * info->d_ff;
    return (struct cost_model){
        .layer_weights = info->n_layer * layer,
        .output_weights = d * info->n_vocab,
        .row_bytes = HALF_BYTES * d,
        .position_bytes = 2 * HALF_BYTES * d_kv * info->n_layer,
        .position_flops = 4 * d_query * info->n_layer, /* score, and weighted sum of values */
    };
}

static double share_of(double amount, double rate)
{
    return rate > 0 ? amount / rate : 0;
}

void cost_add(struct cost *cost, const struct cost_model *model, const struct pass *pass,
              double bandwidth, double rate)
{
    double weights = model->layer_weights + (pass->n_logits > 0 ? model->output_weights : 0);
    double bytes = HALF_BYTES * weights + pass->n_rows * model->row_bytes +
                   (pass->n_read + pass->n_rows) * model->position_bytes;
    double flops = 2 * pass->n_rows * model->layer_weights +
                   2 * pass->n_logits * model->output_weights +
                   pass->n_attended * model->position_flops;
    double move_s = share_of(bytes, bandwidth);
    double compute_s = share_of(flops, rate);
    cost->bytes += bytes;
    cost->flops += flops;
    cost->floor_s += move_s > compute_s ? move_s : compute_s;
}

struct pass pass_decode(uint32_t n, uint32_t n_past, uint32_t n_shared)
{
    return (struct pass){.n_rows = n,
                         .n_logits = n,
                         .n_read = n_shared + (double)n * (n_past - n_shared),
                         .n_attended = (double)n * (n_past + 1.0)};
}

void cost_add_prompt(struct cost *cost, const struct cost_model *model, uint32_t n, uint32_t n_past,
                     uint32_t n_chunk, int want_logits, double bandwidth, double rate)
{
    for (uint32_t done = 0; done < n;) {
        uint32_t rows = n - done < n_chunk ? n - done : n_chunk;
        double before = (double)n_past + done;
        struct pass pass = {.n_rows = rows,
                            .n_logits = want_logits && done + rows == n ? 1 : 0,
                            .n_read = before,
                            .n_attended = rows * before + rows * (rows + 1.0) / 2};
        cost_add(cost, model, &pass, bandwidth, rate);
        done += rows;
    }
}
