/* See loaded.h. */
#include "loaded.h"

#include "base/alloc.h"
#include "base/fail.h"

/* The checkpoint's vocabulary has a piece for each of n_vocab ids, or none at all. */
static sot_status open_tokenizer(sot_model *model)
{
    if (model->checkpoint.vocabulary.n_pieces == 0) {
        return SOT_OK;
    }
    sot_status status = soti_tokenizer_create(&model->checkpoint.vocabulary, &model->tokenizer);
    return status == SOT_OK ? SOT_OK : soti_fail_in(status, "%s: ", model->checkpoint.path);
}

/* Weights that opening reads or makes may have to be converted behind it, which whoever listens can
 * cancel: until the last is placed, progress is a byte short of its end. */
static int32_t show_opening(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    bool is_end = done_bytes == total_bytes && done_bytes > 0;
    return soti_placement_progress(is_end ? done_bytes - 1 : done_bytes, total_bytes, user);
}

static int32_t show_placing(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    const soti_placement *placement = user;
    uint64_t end = placement->half_bytes;
    return soti_placement_progress(done_bytes == total_bytes ? end : end - 1, end, user);
}

static sot_status open_parts(sot_model *model, const char *path, const sot_model_params *params)
{
    soti_placement *placement = &model->placement;
    RETURN_IF_ERROR(soti_placement_open(params->device, &model->log, params->progress,
                                        params->progress_user, placement));
    soti_checkpoint *checkpoint = &model->checkpoint;
    RETURN_IF_ERROR(soti_checkpoint_open(path, params->flags, &model->log, show_opening, placement,
                                         checkpoint));
    RETURN_IF_ERROR(open_tokenizer(model));
    sot_progress_fn progress = checkpoint->was_read ? show_placing : soti_placement_progress;
    soti_weight_set *weights = &model->weights;
    RETURN_IF_ERROR(soti_weight_set_build(checkpoint, params->flags, progress, placement, weights));
    if (!weights->is_in_place) {
        soti_checkpoint_close_files(checkpoint);
    }
    return soti_placement_fill(placement, &checkpoint->shape, &model->weights.view);
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
    soti_placement_close(&model->placement);
    soti_weight_set_free(&model->weights);
    soti_tokenizer_free(model->tokenizer);
    soti_checkpoint_close(&model->checkpoint);
    soti_free(model);
}
