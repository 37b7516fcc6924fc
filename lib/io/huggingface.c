/* A Hugging Face model directory as a checkpoint: config.json, one or several .safetensors files,
 * tokenizer.model and added_tokens.json. Each file's reader is a file of its own; this one joins
 * them. */
#include "io/checkpoint.h"

#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/hf_config.h"
#include "io/hf_index.h"
#include "io/hf_vocabulary.h"
#include "io/path_name.h"
#include "io/safetensors.h"

/* A file that is missing adds nothing here; opening it will say so. */
static sot_status add_up_files(const char *folder, const soti_hf_index *index,
                               uint64_t *total_bytes)
{
    for (size_t i = 0; i < index->n_files; i++) {
        struct stat status;
        char *path = soti_path_join(folder, index->files[i]);
        if (path == NULL) {
            return SOT_ERR_MEMORY;
        }
        if (stat(path, &status) == 0 && status.st_size > 0) {
            *total_bytes += (uint64_t)status.st_size;
        }
        soti_free(path);
    }
    return SOT_OK;
}

static sot_status open_files(const char *folder, const soti_hf_index *index,
                             const soti_intake *intake, soti_tensor_list *list,
                             soti_checkpoint *out)
{
    if (intake->copies) {
        RETURN_IF_ERROR(add_up_files(folder, index, &intake->progress->total_bytes));
    }
    out->maps = soti_alloc(index->n_files, sizeof *out->maps);
    if (out->maps == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < index->n_files; i++) {
        char *path = soti_path_join(folder, index->files[i]);
        if (path == NULL) {
            return SOT_ERR_MEMORY;
        }
        sot_status status = soti_checkpoint_take_file(path, intake, out);
        soti_free(path);
        RETURN_IF_ERROR(status);
        RETURN_IF_ERROR(soti_safetensors_read(&out->maps[i], i, list));
    }
    return SOT_OK;
}

static sot_status read_tensors(const char *folder, const soti_intake *intake, soti_checkpoint *out)
{
    soti_hf_index index;
    soti_tensor_list list = {0};
    sot_status status = soti_hf_index_read(folder, &index);
    if (status == SOT_OK) {
        status = open_files(folder, &index, intake, &list, out);
    }
    if (status == SOT_OK) {
        status = soti_hf_index_check(&index, &list);
    }
    if (status == SOT_OK) {
        status = soti_tensor_list_finish(&list, SOTI_NAMES_HUGGINGFACE, intake->log, out);
    }
    soti_tensor_list_free(&list);
    soti_hf_index_free(&index);
    return status;
}

sot_status soti_huggingface_read(const char *path, const soti_intake *intake, soti_checkpoint *out)
{
    RETURN_IF_ERROR(soti_hf_config_read(path, out));
    RETURN_IF_ERROR(read_tensors(path, intake, out));
    return soti_hf_vocabulary_read(path, intake->log, out);
}
