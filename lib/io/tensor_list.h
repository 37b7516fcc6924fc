/* Tensors as the files list them, before anything is known to be right. The readers fill the list;
 * finishing it compares it with what a LLaMA of the checkpoint's shape needs. */
#ifndef SOTI_IO_TENSOR_LIST_H
#define SOTI_IO_TENSOR_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "io/checkpoint.h"
#include "sot/status.h"

enum { SOTI_TENSOR_DIMS_MAX = 4, SOTI_NAMES_GGUF = 1, SOTI_NAMES_HUGGINGFACE = 2 };

typedef struct soti_tensor_entry {
    char *name;     /* as in the file; set by soti_tensor_list_add */
    size_t i_map;   /* index into the checkpoint's maps */
    uint64_t begin; /* [begin, end): bytes of that file, checked to lie inside it */
    uint64_t end;
    uint32_t type;                       /* SOTI_TYPE_*, 0: another one */
    char type_name[12];                  /* for messages */
    uint32_t n_dims;                     /* those beyond SOTI_TENSOR_DIMS_MAX are not kept */
    uint64_t dims[SOTI_TENSOR_DIMS_MAX]; /* row-major */
} soti_tensor_entry;

typedef struct soti_tensor_list {
    soti_tensor_entry *entries;
    size_t count;
    size_t capacity;
} soti_tensor_list;

/* Bytes of one element of a SOTI_TYPE_*. */
size_t soti_type_bytes(uint32_t type);

/* Checks a tensor's name: 1 to 255 bytes of UTF-8 without control characters, so that it can be
 * put into a sentence. Returns FORMAT. */
sot_status soti_tensor_name_check(const char *file, size_t i_tensor, const char *name, size_t size);

/* Appends a copy of *entry with a copy of the name. Returns MEMORY. */
sot_status soti_tensor_list_add(soti_tensor_list *list, const soti_tensor_entry *entry,
                                const char *name, size_t name_size);
void soti_tensor_list_free(soti_tensor_list *list);

/* The entry of that name, or NULL. Any order of entries. */
const soti_tensor_entry *soti_tensor_list_find(const soti_tensor_list *list, const char *name);

/* Makes checkpoint->tensors from the list. checkpoint->shape has been checked. No two tensors of
 * the list may have one name or share bytes, needed or not; every tensor needed must be there with
 * its exact dimensions and a type we read. Others get a log line, biases are refused. The entries
 * are reordered. Returns FORMAT, UNSUPPORTED, MEMORY. */
sot_status soti_tensor_list_finish(soti_tensor_list *list, uint32_t names, const soti_log *log,
                                   soti_checkpoint *checkpoint);

/* Every number in its range, heads divisible. The sentence has no file in front: the caller adds
 * it. Returns FORMAT, UNSUPPORTED. */
sot_status soti_shape_check(const soti_shape *shape);

#endif
