/* See checkpoint.h. Chooses the reader and fills in what every format leaves open. */
#include "io/checkpoint.h"

#include <stdbool.h>
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

sot_status soti_checkpoint_take_file(const char *path, const soti_intake *intake,
                                     soti_checkpoint *checkpoint)
{
    soti_filemap *map = &checkpoint->maps[checkpoint->n_maps];
    RETURN_IF_ERROR(intake->copies ? soti_filemap_read(path, 0, intake->progress, map)
                                   : soti_filemap_open(path, map));
    checkpoint->n_maps++;
    return SOT_OK;
}

static sot_status read_path(const char *path, const soti_intake *intake, soti_checkpoint *out)
{
    struct stat status;
    if (strncmp(path, "random:", 7) == 0) {
        out->was_read = true;
        return soti_random_model_read(path, intake->progress->fn, intake->progress->user, out);
    }
    out->was_read = intake->copies;
    bool is_there = stat(path, &status) == 0;
    if (is_there && S_ISDIR(status.st_mode)) {
        return soti_huggingface_read(path, intake, out);
    }
    if (ends_with(path, ".safetensors")) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: the weights alone are no model: name the directory that holds them "
                         "and config.json",
                         path);
    }
    intake->progress->total_bytes = is_there ? (uint64_t)status.st_size : 0;
    return soti_gguf_read(path, intake, out);
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

sot_status soti_checkpoint_open(const char *path, uint32_t flags, const soti_log *log,
                                sot_progress_fn progress, void *user, soti_checkpoint *out)
{
    soti_file_progress files = {.fn = progress, .user = user};
    soti_intake intake = {.copies = (flags & SOT_MODEL_COPY) != 0, .log = log, .progress = &files};
    *out = (soti_checkpoint){.bos_id = -1, .eos_id = -1};
    sot_status status = copy_path(path, &out->path);
    if (status == SOT_OK) {
        status = read_path(out->path, &intake, out);
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

void soti_checkpoint_close_files(soti_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        soti_free(checkpoint->tensors[i].name);
    }
    soti_free(checkpoint->tensors);
    checkpoint->tensors = NULL;
    checkpoint->n_tensors = 0;
    for (size_t i = 0; i < checkpoint->n_maps; i++) {
        soti_filemap_close(&checkpoint->maps[i]);
    }
    soti_free(checkpoint->maps);
    checkpoint->maps = NULL;
    checkpoint->n_maps = 0;
}

void soti_checkpoint_close(soti_checkpoint *checkpoint)
{
    soti_checkpoint_close_files(checkpoint);
    soti_map_free(checkpoint->owned, checkpoint->owned_bytes);
    soti_vocabulary_free(&checkpoint->vocabulary);
    soti_free(checkpoint->conversation);
    soti_free(checkpoint->name);
    soti_free(checkpoint->path);
    *checkpoint = (soti_checkpoint){0};
}
