/* See loaded.h. */
#include "loaded.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

static sot_status choose_backend(const char *device, const soti_backend **out)
{
    if (device == NULL || strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0) {
        *out = soti_cpu_backend();
        return SOT_OK;
    }
    if (strncmp(device, "cuda", 4) == 0) {
        return soti_fail(SOT_ERR_DEVICE,
                         "device \"%s\": CUDA is not part of this build of libsot; \"cpu\" is",
                         device);
    }
    return soti_fail(SOT_ERR_ARGUMENT, "device \"%s\" is unknown; \"auto\" and \"cpu\" are known",
                     device);
}

/* The checkpoint's vocabulary has a piece for each of n_vocab ids, or none at all. */
static sot_status open_tokenizer(sot_model *model)
{
    if (model->checkpoint.vocabulary.n_pieces == 0) {
        return SOT_OK;
    }
    sot_status status = soti_tokenizer_create(&model->checkpoint.vocabulary, &model->tokenizer);
    return status == SOT_OK ? SOT_OK : soti_fail_in(status, "%s: ", model->checkpoint.path);
}

/* A backend's sentence, stored in the copy of lib/base/ that the host reads. */
static void store_sentence(sot_status status, const char *sentence)
{
    soti_fail(status, "%s", sentence);
}

static sot_status open_parts(sot_model *model, const char *path, const sot_model_params *params)
{
    RETURN_IF_ERROR(choose_backend(params->device, &model->backend));
    soti_checkpoint *checkpoint = &model->checkpoint;
    RETURN_IF_ERROR(soti_checkpoint_open(path, &model->log, params->progress, params->progress_user,
                                         checkpoint));
    RETURN_IF_ERROR(open_tokenizer(model));
    /* Where weights were made while opening, progress has run from nothing to all already. */
    sot_progress_fn progress = checkpoint->owned == NULL ? params->progress : NULL;
    RETURN_IF_ERROR(
        soti_weight_set_build(checkpoint, progress, params->progress_user, &model->weights));
    soti_host host = {.fail = store_sentence, .log = model->log};
    RETURN_IF_ERROR(model->backend->device_open(0, &host, &model->device));
    return model->backend->weights_create(model->device, &checkpoint->shape, &model->weights.view,
                                          NULL, NULL, &model->device_weights);
}

sot_status soti_model_open(const char *path, const sot_model_params *params, sot_model **out)
{
    *out = NULL;
    sot_model *model = soti_alloc(1, sizeof *model);
    if (model == NULL) {
        return SOT_ERR_MEMORY;
    }
    atomic_init(&model->n_references, 1);
    model->log = (soti_log){.fn = params->log, .user = params->log_user};
    sot_status status = open_parts(model, path, params);
    if (status != SOT_OK) {
        soti_model_release(model);
        return status;
    }
    *out = model;
    return SOT_OK;
}

void soti_model_retain(sot_model *model)
{
    atomic_fetch_add_explicit(&model->n_references, 1, memory_order_relaxed);
}

void soti_model_release(sot_model *model)
{
    if (model == NULL ||
        atomic_fetch_sub_explicit(&model->n_references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (model->device_weights != NULL) {
        model->backend->weights_free(model->device_weights);
    }
    if (model->device != NULL) {
        model->backend->device_close(model->device);
    }
    soti_weight_set_free(&model->weights);
    soti_tokenizer_free(model->tokenizer);
    soti_checkpoint_close(&model->checkpoint);
    soti_free(model);
}
