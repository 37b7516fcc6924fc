/* See checkpoint.h. Chooses the reader and fills in what every format leaves open. */
#include "io/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/conversation_sign.h"
#include "io/path_name.h"

static sot_status copy_path(const char *path, char **out)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    if (size == 0) {
        return soti_fail(SOT_ERR_IO, "the model's path is empty");
    }
    *out = soti_copy_text(path, size);
    return *out != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text);
    size_t end_size = strlen(end);
    return text_size >= end_size && strcmp(text + text_size - end_size, end) == 0;
}

static sot_status read_path(const char *path, const soti_log *log, sot_progress_fn progress,
                            void *user, soti_checkpoint *out)
{
    struct stat status;
    if (strncmp(path, "random:", 7) == 0) {
        return soti_random_model_read(path, progress, user, out);
    }
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return soti_huggingface_read(path, log, out);
    }
    if (ends_with(path, ".safetensors")) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: the weights alone are no model: name the directory that holds them "
                         "and config.json",
                         path);
    }
    return soti_gguf_read(path, log, out);
}

sot_status soti_checkpoint_pad_vocabulary(soti_checkpoint *checkpoint, uint32_t n_pieces)
{
    soti_vocabulary *vocabulary = &checkpoint->vocabulary;
    while (vocabulary->n_pieces < n_pieces) {
        char text[32];
        int size = snprintf(text, sizeof text, "<no piece %u>", vocabulary->n_pieces);
        RETURN_IF_ERROR(
            soti_vocabulary_append(vocabulary, text, (size_t)size, 0.0f, SOTI_PIECE_CONTROL));
    }
    return SOT_OK;
}

static sot_status complete(soti_checkpoint *checkpoint)
{
    if (checkpoint->vocabulary.n_pieces > 0) {
        RETURN_IF_ERROR(soti_checkpoint_pad_vocabulary(checkpoint, checkpoint->shape.n_vocab));
    }
    if (checkpoint->name == NULL) {
        checkpoint->name = soti_copy_text("", 0);
    }
    if (checkpoint->name != NULL && checkpoint->conversation == NULL) {
        const char *conversation =
            soti_conversation_detect(checkpoint->path, checkpoint->name, &checkpoint->vocabulary);
        checkpoint->conversation = soti_copy_text(conversation, strlen(conversation));
    }
    return checkpoint->conversation != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

sot_status soti_checkpoint_open(const char *path, const soti_log *log, sot_progress_fn progress,
                                void *user, soti_checkpoint *out)
{
    *out = (soti_checkpoint){.bos_id = -1, .eos_id = -1};
    sot_status status = copy_path(path, &out->path);
    if (status == SOT_OK) {
        status = read_path(out->path, log, progress, user, out);
    }
    if (status == SOT_OK) {
        status = complete(out);
    }
    if (status != SOT_OK) {
        soti_checkpoint_close(out);
    }
    return status;
}

static int compare_name(const void *key, const void *tensor)
{
    return strcmp(key, ((const soti_tensor *)tensor)->name);
}

const soti_tensor *soti_checkpoint_find(const soti_checkpoint *checkpoint, const char *name)
{
    if (checkpoint->n_tensors == 0) {
        return NULL;
    }
    return bsearch(name, checkpoint->tensors, checkpoint->n_tensors, sizeof *checkpoint->tensors,
                   compare_name);
}

void soti_checkpoint_close(soti_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        soti_free(checkpoint->tensors[i].name);
    }
    soti_free(checkpoint->tensors);
    for (size_t i = 0; i < checkpoint->n_maps; i++) {
        soti_filemap_close(&checkpoint->maps[i]);
    }
    soti_free(checkpoint->maps);
    soti_map_free(checkpoint->owned, checkpoint->owned_bytes);
    soti_vocabulary_free(&checkpoint->vocabulary);
    soti_free(checkpoint->conversation);
    soti_free(checkpoint->name);
    soti_free(checkpoint->path);
    *checkpoint = (soti_checkpoint){0};
}
