/* A Hugging Face model directory as a checkpoint: config.json, one or several .safetensors files,
 * tokenizer.model and added_tokens.json. Each file's reader is a file of its own; this one joins
 * them. */
#include "io/checkpoint.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/hf_config.h"
#include "io/hf_index.h"
#include "io/path_name.h"
#include "io/safetensors.h"

static sot_status open_files(const char *folder, const soti_hf_index *index, soti_tensor_list *list,
                             soti_checkpoint *out)
{
    out->maps = soti_alloc(index->n_files, sizeof *out->maps);
    if (out->maps == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < index->n_files; i++) {
        char *path = soti_path_join(folder, index->files[i]);
        if (path == NULL) {
            return SOT_ERR_MEMORY;
        }
        sot_status status = soti_filemap_open(path, &out->maps[i]);
        soti_free(path);
        RETURN_IF_ERROR(status);
        out->n_maps++;
        RETURN_IF_ERROR(soti_safetensors_read(&out->maps[i], i, list));
    }
    return SOT_OK;
}

static sot_status read_tensors(const char *folder, const soti_log *log, soti_checkpoint *out)
{
    soti_hf_index index;
    soti_tensor_list list = {0};
    sot_status status = soti_hf_index_read(folder, &index);
    if (status == SOT_OK) {
        status = open_files(folder, &index, &list, out);
    }
    if (status == SOT_OK) {
        status = soti_hf_index_check(&index, &list);
    }
    if (status == SOT_OK) {
        status = soti_tensor_list_finish(&list, SOTI_NAMES_HUGGINGFACE, log, out);
    }
    soti_tensor_list_free(&list);
    soti_hf_index_free(&index);
    return status;
}

/* tokenizer.model may be missing: the model then has no tokenizer. */
static sot_status read_vocabulary(const char *folder, soti_checkpoint *out)
{
    static const char file[] = "tokenizer.model";
    struct stat info;
    soti_filemap map = {0};
    char *path = soti_path_join(folder, file);
    if (path == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status = SOT_OK;
    if (stat(path, &info) == 0) {
        status = soti_filemap_open(path, &map);
        if (status == SOT_OK) {
            status = soti_vocabulary_read_sentencepiece(file, map.data, map.size, &out->vocabulary);
        }
    }
    soti_filemap_close(&map);
    soti_free(path);
    RETURN_IF_ERROR(status);
    if (out->vocabulary.n_pieces > out->shape.n_vocab) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %u pieces, but config.json says vocab_size is %u",
                         file, out->vocabulary.n_pieces, out->shape.n_vocab);
    }
    return SOT_OK;
}

/* config.json and tokenizer.model may each state BOS and EOS; config.json is what generation
 * follows. */
static void agree_on_ids(soti_checkpoint *out)
{
    soti_vocabulary *vocabulary = &out->vocabulary;
    if (vocabulary->n_pieces == 0) {
        return;
    }
    if (out->bos_id < 0) {
        out->bos_id = vocabulary->bos_id;
    }
    if (out->eos_id < 0) {
        out->eos_id = vocabulary->eos_id;
    }
    vocabulary->bos_id = out->bos_id;
    vocabulary->eos_id = out->eos_id;
}

sot_status soti_huggingface_read(const char *path, const soti_log *log, soti_checkpoint *out)
{
    RETURN_IF_ERROR(soti_hf_config_read(path, out));
    RETURN_IF_ERROR(read_tensors(path, log, out));
    RETURN_IF_ERROR(read_vocabulary(path, out));
    agree_on_ids(out);
    return SOT_OK;
}
