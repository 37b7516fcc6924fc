/* See tensor_list.h. */
#include "io/tensor_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "io/path_name.h"
#include "io/tensor_names.h"

enum { NAME_BYTES_MAX = 255, DIMS_TEXT_BYTES = 96 };

size_t soti_type_bytes(uint32_t type)
{
    return type == SOTI_TYPE_F32 ? 4 : 2;
}

sot_status soti_tensor_name_check(const char *file, size_t i_tensor, const char *name, size_t size)
{
    if (size == 0 || size > NAME_BYTES_MAX) {
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %zu has a name of %zu bytes, expected 1 to %d",
                         file, i_tensor, size, NAME_BYTES_MAX);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F) {
            return soti_fail(SOT_ERR_FORMAT, "%s: the name of tensor %zu has a control character",
                             file, i_tensor);
        }
    }
    if (soti_utf8_find_invalid(name, size) != size) {
        return soti_fail(SOT_ERR_FORMAT, "%s: the name of tensor %zu is not UTF-8", file, i_tensor);
    }
    return SOT_OK;
}

sot_status soti_tensor_list_add(soti_tensor_list *list, const soti_tensor_entry *entry,
                                const char *name, size_t name_size)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        soti_tensor_entry *grown = soti_realloc(list->entries, capacity, sizeof *grown);
        if (grown == NULL) {
            return SOT_ERR_MEMORY;
        }
        list->entries = grown;
        list->capacity = capacity;
    }
    char *copy = soti_copy_text(name, name_size);
    if (copy == NULL) {
        return SOT_ERR_MEMORY;
    }
    list->entries[list->count] = *entry;
    list->entries[list->count].name = copy;
    list->count++;
    return SOT_OK;
}

void soti_tensor_list_free(soti_tensor_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        soti_free(list->entries[i].name);
    }
    soti_free(list->entries);
    *list = (soti_tensor_list){0};
}

const soti_tensor_entry *soti_tensor_list_find(const soti_tensor_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].name, name) == 0) {
            return &list->entries[i];
        }
    }
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const soti_tensor_entry *)a)->name, ((const soti_tensor_entry *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const soti_tensor_entry *left = a;
    const soti_tensor_entry *right = b;
    if (left->i_map != right->i_map) {
        return left->i_map < right->i_map ? -1 : 1;
    }
    if (left->begin != right->begin) {
        return left->begin < right->begin ? -1 : 1;
    }
    return left->end < right->end ? -1 : left->end > right->end;
}

static const char *file_of(const soti_checkpoint *checkpoint, const soti_tensor_entry *entry)
{
    return soti_path_base(checkpoint->maps[entry->i_map].path);
}

static sot_status check_overlaps(soti_tensor_list *list, const soti_checkpoint *checkpoint)
{
    qsort(list->entries, list->count, sizeof *list->entries, compare_places);
    const soti_tensor_entry *last = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const soti_tensor_entry *entry = &list->entries[i];
        if (entry->begin == entry->end) {
            continue;
        }
        if (last != NULL && last->i_map == entry->i_map && entry->begin < last->end) {
            return soti_fail(SOT_ERR_FORMAT,
                             "%s: tensor %s: bytes %llu to %llu overlap those of tensor %s, %llu "
                             "to %llu",
                             file_of(checkpoint, entry), entry->name,
                             (unsigned long long)entry->begin, (unsigned long long)entry->end,
                             last->name, (unsigned long long)last->begin,
                             (unsigned long long)last->end);
        }
        last = entry;
    }
    return SOT_OK;
}

static sot_status check_names(soti_tensor_list *list, const soti_checkpoint *checkpoint)
{
    qsort(list->entries, list->count, sizeof *list->entries, compare_names);
    for (size_t i = 1; i < list->count; i++) {
        const soti_tensor_entry *first = &list->entries[i - 1];
        const soti_tensor_entry *second = &list->entries[i];
        if (strcmp(first->name, second->name) != 0) {
            continue;
        }
        if (first->i_map == second->i_map) {
            return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s is there twice",
                             file_of(checkpoint, first), first->name);
        }
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s is in %s, too", file_of(checkpoint, first),
                         first->name, file_of(checkpoint, second));
    }
    return SOT_OK;
}

static const char *print_dims(const uint64_t *dims, uint32_t n_dims, char text[DIMS_TEXT_BYTES])
{
    size_t used = 0;
    text[used++] = '[';
    for (uint32_t i = 0; i < n_dims && i < SOTI_TENSOR_DIMS_MAX; i++) {
        used += (size_t)snprintf(text + used, DIMS_TEXT_BYTES - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)dims[i]);
    }
    snprintf(text + used, DIMS_TEXT_BYTES - used, "%s]",
             n_dims > SOTI_TENSOR_DIMS_MAX ? ", ..." : "");
    return text;
}

static sot_status check_tensor(const soti_tensor_entry *entry, const char *file,
                               const soti_expected_tensor *expected)
{
    bool same = entry->n_dims == expected->n_dims;
    for (uint32_t i = 0; same && i < expected->n_dims; i++) {
        same = entry->dims[i] == expected->dims[i];
    }
    if (!same) {
        char found[DIMS_TEXT_BYTES];
        char wanted[DIMS_TEXT_BYTES];
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s: shape %s, expected %s", file, entry->name,
                         print_dims(entry->dims, entry->n_dims, found),
                         print_dims(expected->dims, expected->n_dims, wanted));
    }
    if (entry->type == 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: tensor %s: type %s, supported are F16, BF16, F32", file, entry->name,
                         entry->type_name);
    }
    uint64_t n = expected->dims[0] * (expected->n_dims == 2 ? expected->dims[1] : 1);
    uint64_t bytes = n * soti_type_bytes(entry->type);
    if (entry->end - entry->begin != bytes) {
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s: %llu bytes, expected %llu", file,
                         entry->name, (unsigned long long)(entry->end - entry->begin),
                         (unsigned long long)bytes);
    }
    return SOT_OK;
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const soti_tensor *)a)->name, ((const soti_tensor *)b)->name);
}

/* A bias that the model was trained with must not be dropped silently; other tensors that we do not
 * know change nothing (rotary_emb.inv_freq of old checkpoints, for one). */
static sot_status check_others(const soti_tensor_list *list, const bool *used, uint32_t names,
                               const soti_log *log, const soti_checkpoint *checkpoint)
{
    for (size_t i = 0; i < list->count; i++) {
        const soti_tensor_entry *entry = &list->entries[i];
        size_t size = strlen(entry->name);
        if (used[i]) {
            continue;
        }
        if (size > 5 && strcmp(entry->name + size - 5, ".bias") == 0) {
            return soti_fail(SOT_ERR_UNSUPPORTED, "%s: tensor %s: biases are not supported",
                             file_of(checkpoint, entry), entry->name);
        }
        bool expected = names == SOTI_NAMES_HUGGINGFACE && checkpoint->tied_output &&
                        strcmp(entry->name, "lm_head.weight") == 0;
        if (!expected) {
            soti_log_line(log, SOT_LOG_INFO, "%s: tensor %s is not used",
                          file_of(checkpoint, entry), entry->name);
        }
    }
    return SOT_OK;
}

static sot_status take_tensors(const soti_tensor_list *list, uint32_t names, bool *used,
                               soti_checkpoint *checkpoint)
{
    size_t count = soti_expected_tensor_count(&checkpoint->shape, checkpoint->tied_output);
    checkpoint->tensors = soti_alloc(count, sizeof *checkpoint->tensors);
    if (checkpoint->tensors == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        soti_expected_tensor expected;
        soti_expected_tensor_get(&checkpoint->shape, i, &expected);
        soti_tensor_entry key = {.name =
                                     names == SOTI_NAMES_GGUF ? expected.gguf_name : expected.name};
        const soti_tensor_entry *entry =
            bsearch(&key, list->entries, list->count, sizeof key, compare_names);
        if (entry == NULL) {
            return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s is missing",
                             soti_path_base(checkpoint->path), key.name);
        }
        RETURN_IF_ERROR(check_tensor(entry, file_of(checkpoint, entry), &expected));
        char *name = soti_copy_text(expected.name, strlen(expected.name));
        if (name == NULL) {
            return SOT_ERR_MEMORY;
        }
        used[entry - list->entries] = true;
        checkpoint->tensors[checkpoint->n_tensors++] = (soti_tensor){
            .name = name,
            .file = file_of(checkpoint, entry),
            .data = checkpoint->maps[entry->i_map].data + entry->begin,
            .bytes = entry->end - entry->begin,
            .type = entry->type,
            .n_dims = expected.n_dims,
            .dims = {expected.dims[0], expected.dims[1]},
        };
    }
    qsort(checkpoint->tensors, count, sizeof *checkpoint->tensors, compare_tensors);
    return SOT_OK;
}

sot_status soti_tensor_list_finish(soti_tensor_list *list, uint32_t names, const soti_log *log,
                                   soti_checkpoint *checkpoint)
{
    if (list->count == 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: holds no tensors", soti_path_base(checkpoint->path));
    }
    RETURN_IF_ERROR(check_names(list, checkpoint));
    bool *used = soti_alloc(list->count, sizeof *used);
    if (used == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status = take_tensors(list, names, used, checkpoint);
    if (status == SOT_OK) {
        status = check_others(list, used, names, log, checkpoint);
    }
    if (status ==
        SOT_OK) { /* last: a wrong shape often overlaps, too, and is the better sentence */
        status = check_overlaps(list, checkpoint);
    }
    soti_free(used);
    return status;
}
