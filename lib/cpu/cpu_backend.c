/* The CPU as a backend: the table, and the device and weights objects, which hold next to nothing
 * because weights are used where they lie. Contexts are in cpu_context.c, the stages of a forward
 * pass in cpu_stages.c and cpu_attention.c, the inner loops in cpu_kernels_*.c. */
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "cpu/cpu_context.h"

static sot_status device_open(uint32_t i_device, const soti_host *host, soti_device **out)
{
    *out = NULL;
    if (i_device != 0) {
        return soti_fail(SOT_ERR_DEVICE, "there is no CPU device %u, only 0", i_device);
    }
    soti_device *device = soti_alloc(1, sizeof *device);
    if (device == NULL) {
        return SOT_ERR_MEMORY;
    }
    if (host != NULL) {
        device->log = host->log;
    }
    *out = device;
    return SOT_OK;
}

static void device_close(soti_device *device)
{
    soti_free(device);
}

static sot_status weights_create(soti_device *device, const soti_shape *shape,
                                 const soti_weights *weights, sot_progress_fn progress, void *user,
                                 soti_device_weights **out)
{
    (void)device;
    (void)progress; /* nothing is moved, so there is no progress to report */
    (void)user;
    *out = NULL;
    RETURN_IF_ERROR(soti_shape_check_usable(shape));
    soti_device_weights *created = soti_alloc(1, sizeof *created);
    if (created == NULL) {
        return SOT_ERR_MEMORY;
    }
    created->shape = *shape;
    created->view = *weights;
    *out = created;
    return SOT_OK;
}

static void weights_free(soti_device_weights *weights)
{
    soti_free(weights);
}

static uint64_t context_bytes(const soti_context *context)
{
    return context->bytes;
}

static void context_info(const soti_context *context, soti_context_info *out)
{
    *out = (soti_context_info){.n_threads = soti_pool_size(context->pool),
                               .isa = context->kernels->isa};
}

static sot_status read_logits(soti_context *context, uint32_t i_logit, float *out)
{
    if (i_logit >= context->rows.n_logits) {
        return soti_fail(SOT_ERR_DEVICE, "row %u of %u rows of logits was asked for", i_logit,
                         context->rows.n_logits);
    }
    memcpy(out, context->logits + i_logit * context->vocab_stride,
           context->shape.n_vocab * sizeof *out);
    return SOT_OK;
}

static const soti_backend cpu_backend = {
    .version = SOTI_BACKEND_VERSION,
    .table_size = sizeof(soti_backend),
    .name = "cpu",
    .step_rows = 128,
    .rows_alike = 1, /* one kernel a product, whatever a row is of */
    .device_open = device_open,
    .device_close = device_close,
    .weights_create = weights_create,
    .weights_free = weights_free,
    .context_create = soti_cpu_context_create,
    .context_free = soti_cpu_context_free,
    .context_bytes = context_bytes,
    .context_info = context_info,
    .batch_begin = soti_cpu_batch_begin,
    .embed = soti_cpu_embed,
    .qkv = soti_cpu_qkv,
    .attention = soti_cpu_attention,
    .attention_output = soti_cpu_attention_output,
    .gate_up = soti_cpu_gate_up,
    .down = soti_cpu_down,
    .logits = soti_cpu_logits,
    .pick = soti_cpu_pick,
    .read_logits = read_logits,
    .page_copy = soti_cpu_page_copy,
};

const soti_backend *soti_cpu_backend(void)
{
    return &cpu_backend;
}
