/* CUDA as a backend: the table, and the plugin's one exported function. Every call of the table
 * runs with its device as the thread's current one, puts the host's back, and hands the sentence of
 * a failure to the host, whose copy of base/fail.h is another than this library's. */
#include "base/fail.h"
#include "cuda/cuda_context.h"

static sot_status told(const soti_host *host, sot_status status)
{
    if (status != SOT_OK) {
        (void)cudaGetLastError(); /* what was ours is not to meet the host */
        if (host != NULL && host->fail != NULL) {
            host->fail(status, soti_fail_message());
        }
    }
    return status;
}

/* Between these two a call does its work, if enter returns OK. */
static sot_status enter(soti_context *context, int *previous)
{
    *previous = -1;
    RETURN_IF_ERROR(soti_cuda_check_health(&context->health));
    return soti_cuda_enter(context->device, &context->health, previous);
}

static sot_status leave(const soti_context *context, int previous, sot_status status)
{
    soti_cuda_leave(previous);
    return told(&context->device->host, status);
}

static sot_status device_open(uint32_t i_device, const soti_host *host, soti_device **out)
{
    return told(host, soti_cuda_device_open(i_device, host, out));
}

static sot_status weights_create(soti_device *device, const soti_shape *shape,
                                 const soti_weights *weights, sot_progress_fn progress, void *user,
                                 soti_device_weights **out)
{
    int previous;
    *out = NULL;
    sot_status status = soti_cuda_enter(device, NULL, &previous);
    if (status == SOT_OK) {
        status = soti_cuda_weights_create(device, shape, weights, progress, user, out);
    }
    soti_cuda_leave(previous);
    return told(&device->host, status);
}

static void weights_free(soti_device_weights *weights)
{
    int previous;
    if (weights != NULL) {
        (void)soti_cuda_enter(weights->device, NULL, &previous);
        soti_cuda_weights_free(weights);
        soti_cuda_leave(previous);
        (void)cudaGetLastError();
    }
}

static sot_status context_create(soti_device_weights *weights, const soti_context_params *params,
                                 soti_context **out)
{
    int previous;
    *out = NULL;
    sot_status status = soti_cuda_enter(weights->device, NULL, &previous);
    if (status == SOT_OK) {
        status = soti_cuda_context_create(weights, params, out);
    }
    soti_cuda_leave(previous);
    return told(&weights->device->host, status);
}

static void context_free(soti_context *context)
{
    int previous;
    if (context != NULL) {
        (void)soti_cuda_enter(context->device, NULL, &previous);
        soti_cuda_context_free(context);
        soti_cuda_leave(previous);
        (void)cudaGetLastError();
    }
}

static void context_info(const soti_context *context, soti_context_info *out)
{
    (void)context;
    *out = (soti_context_info){.n_threads = 0, .isa = ""};
}

static sot_status batch_begin(soti_context *context, const soti_rows *rows)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous,
                 status == SOT_OK ? soti_cuda_batch_begin(context, rows) : status);
}

static sot_status embed(soti_context *context)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous, status == SOT_OK ? soti_cuda_embed(context) : status);
}

typedef sot_status (*layer_fn)(soti_context *context, uint32_t i_layer);

static sot_status run_layer(soti_context *context, uint32_t i_layer, layer_fn fn)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous, status == SOT_OK ? fn(context, i_layer) : status);
}

static sot_status qkv(soti_context *context, uint32_t i_layer)
{
    return run_layer(context, i_layer, soti_cuda_qkv);
}

static sot_status attention(soti_context *context, uint32_t i_layer)
{
    return run_layer(context, i_layer, soti_cuda_attention);
}

static sot_status attention_output(soti_context *context, uint32_t i_layer)
{
    return run_layer(context, i_layer, soti_cuda_attention_output);
}

static sot_status gate_up(soti_context *context, uint32_t i_layer)
{
    return run_layer(context, i_layer, soti_cuda_gate_up);
}

static sot_status down(soti_context *context, uint32_t i_layer)
{
    return run_layer(context, i_layer, soti_cuda_down);
}

static sot_status logits(soti_context *context)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous, status == SOT_OK ? soti_cuda_logits(context) : status);
}

static sot_status pick(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                       int32_t *tokens)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous,
                 status == SOT_OK ? soti_cuda_pick_tokens(context, picks, n_picks, tokens)
                                  : status);
}

static sot_status read_logits(soti_context *context, uint32_t i_logit, float *out)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous,
                 status == SOT_OK ? soti_cuda_read_logits(context, i_logit, out) : status);
}

static sot_status page_copy(soti_context *context, uint32_t to_page, uint32_t from_page,
                            uint32_t n_tokens)
{
    int previous;
    sot_status status = enter(context, &previous);
    return leave(context, previous,
                 status == SOT_OK ? soti_cuda_page_copy(context, to_page, from_page, n_tokens)
                                  : status);
}

static const soti_backend cuda_backend = {
    .version = SOTI_BACKEND_VERSION,
    .table_size = sizeof(soti_backend),
    .name = "cuda",
    .step_rows = 2 * SOTI_CUDA_CHUNK_ROWS, /* whole chunks */
    .device_open = device_open,
    .device_close = soti_cuda_device_close,
    .weights_create = weights_create,
    .weights_free = weights_free,
    .context_create = context_create,
    .context_free = context_free,
    .context_bytes = soti_cuda_context_bytes,
    .context_info = context_info,
    .batch_begin = batch_begin,
    .embed = embed,
    .qkv = qkv,
    .attention = attention,
    .attention_output = attention_output,
    .gate_up = gate_up,
    .down = down,
    .logits = logits,
    .pick = pick,
    .read_logits = read_logits,
    .page_copy = page_copy,
};

__attribute__((visibility("default"))) const soti_backend *soti_cuda_plugin(uint32_t version)
{
    return version == SOTI_BACKEND_VERSION ? &cuda_backend : NULL;
}
