/* The exported sot_model functions: arguments are checked here, model/loaded.c does the work. */
#include "sot/sot.h"

#include "api/api_params.h"
#include "base/fail.h"
#include "model/loaded.h"
#include "model/save.h"

sot_status sot_model_load(const char *path, const sot_model_params *params, sot_model **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_model_load: out is NULL");
    }
    *out = NULL;
    if (path == NULL || path[0] == '\0') {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_model_load: path is %s", path ? "empty" : "NULL");
    }
    sot_model_params full;
    RETURN_IF_ERROR(soti_params_read("model parameters", params, sizeof full, &full));
    RETURN_IF_ERROR(
        soti_check_flags("model parameters", full.flags, SOT_MODEL_COPY | SOT_MODEL_LOCK));
    return soti_model_open(path, &full, out);
}

void sot_model_free(sot_model *model)
{
    soti_model_release(model);
}

sot_status sot_model_get_info(const sot_model *model, sot_model_info *info)
{
    if (model == NULL || info == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_model_get_info: %s is NULL",
                         model == NULL ? "model" : "info");
    }
    const soti_checkpoint *checkpoint = &model->checkpoint;
    const soti_shape *shape = &checkpoint->shape;
    const sot_model_info full = {
        .n_layer = shape->n_layer,
        .n_head = shape->n_head,
        .n_kv = shape->n_kv,
        .d_head = shape->d_head,
        .d_model = shape->d_model,
        .d_ff = shape->d_ff,
        .n_vocab = shape->n_vocab,
        .n_ctx_train = checkpoint->n_ctx_train,
        .bos_id = checkpoint->bos_id,
        .eos_id = checkpoint->eos_id,
        .n_parameters = model->weights.n_parameters,
        .weight_bytes = model->weights.weight_bytes,
        .converted_bytes = model->weights.converted_bytes,
        .rope_theta = shape->rope_theta,
        .rope_scale = shape->rope_scale,
        .norm_eps = shape->norm_eps,
        .has_tokenizer = model->tokenizer != NULL,
        .name = checkpoint->name != NULL ? checkpoint->name : "",
        .device = model->placement.name,
        .conversation = checkpoint->conversation != NULL ? checkpoint->conversation : "none",
    };
    return soti_params_write("model info", &full, sizeof full, info);
}

sot_status sot_model_save(const sot_model *model, const char *path, sot_progress_fn progress,
                          void *user)
{
    if (model == NULL || path == NULL || path[0] == '\0') {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_model_save: %s",
                         model == NULL  ? "model is NULL"
                         : path == NULL ? "path is NULL"
                                        : "path is empty");
    }
    return soti_model_save(model, path, progress, user);
}
