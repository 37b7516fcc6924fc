/* See hf_index.h. */
#include "io/hf_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/json_file.h"
#include "io/path_name.h"

static const char index_file[] = "model.safetensors.index.json";
static const char single_file[] = "model.safetensors";

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static sot_status read_weight_map(json_t *weight_map, soti_hf_index *out)
{
    const char *name;
    json_t *member;
    size_t count = 0;
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: weight_map is missing or empty", index_file);
    }
    out->files = soti_alloc(json_object_size(weight_map), sizeof *out->files);
    if (out->files == NULL) {
        return SOT_ERR_MEMORY;
    }
    json_object_foreach(weight_map, name, member)
    {
        const char *file = json_string_value(member);
        RETURN_IF_ERROR(soti_tensor_name_check(index_file, count, name, strlen(name)));
        if (file == NULL) {
            return soti_fail(SOT_ERR_FORMAT, "%s: the file of tensor %s is not a string",
                             index_file, name);
        }
        if (!soti_path_is_plain(file)) {
            return soti_fail(SOT_ERR_FORMAT,
                             "%s: tensor %s: file \"%s\" is no plain name within the directory",
                             index_file, name, file);
        }
        out->files[count++] = file;
    }
    qsort(out->files, count, sizeof *out->files, compare_texts);
    for (size_t i = 0; i < count; i++) {
        if (out->n_files == 0 || strcmp(out->files[out->n_files - 1], out->files[i]) != 0) {
            out->files[out->n_files++] = out->files[i];
        }
    }
    return SOT_OK;
}

sot_status soti_hf_index_read(const char *folder, soti_hf_index *out)
{
    bool has_single;
    bool has_index;
    *out = (soti_hf_index){0};
    RETURN_IF_ERROR(soti_path_exists(folder, single_file, &has_single));
    RETURN_IF_ERROR(soti_path_exists(folder, index_file, &has_index));
    if (!has_single && has_index) {
        RETURN_IF_ERROR(soti_json_read(folder, index_file, &out->root));
        return read_weight_map(json_object_get(out->root, "weight_map"), out);
    }
    if (!has_single) {
        return soti_fail(SOT_ERR_IO, "%s: holds neither %s nor %s", folder, single_file,
                         index_file);
    }
    out->files = soti_alloc(1, sizeof *out->files);
    if (out->files == NULL) {
        return SOT_ERR_MEMORY;
    }
    out->files[out->n_files++] = single_file;
    return SOT_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const soti_tensor_entry *left = a;
    const soti_tensor_entry *right = b;
    if (left->i_map != right->i_map) {
        return left->i_map < right->i_map ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

sot_status soti_hf_index_check(const soti_hf_index *index, soti_tensor_list *list)
{
    const char *name;
    json_t *member;
    if (index->root == NULL || list->count == 0) { /* no tensors at all: soti_tensor_list_finish */
        return SOT_OK;
    }
    qsort(list->entries, list->count, sizeof *list->entries, compare_entries);
    json_object_foreach(json_object_get(index->root, "weight_map"), name, member)
    {
        const char *file = json_string_value(member);
        const char **found =
            bsearch(&file, index->files, index->n_files, sizeof file, compare_texts);
        soti_tensor_entry key = {.name = (char *)(uintptr_t)name,
                                 .i_map = (size_t)(found - index->files)};
        if (bsearch(&key, list->entries, list->count, sizeof key, compare_entries) == NULL) {
            return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s should be in %s, which has none",
                             index_file, name, file);
        }
    }
    return SOT_OK;
}

void soti_hf_index_free(soti_hf_index *index)
{
    soti_free(index->files);
    json_decref(index->root);
    *index = (soti_hf_index){0};
}
