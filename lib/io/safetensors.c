/* See safetensors.h. Layout: header length (8 bytes, little-endian), header (JSON), data. Offsets
 * in the header count from the start of the data. Format: github.com/huggingface/safetensors */
#include "io/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "io/json_file.h"
#include "io/path_name.h"

enum { LENGTH_BYTES = 8, HEADER_BYTES_MAX = 100000000 }; /* the reference reader's own limit */

typedef struct tensor_type {
    const char *name;
    uint32_t type;
    uint32_t bytes;
} tensor_type;

static const tensor_type tensor_types[] = {
    {"F16", SOTI_TYPE_F16, 2},
    {"BF16", SOTI_TYPE_BF16, 2},
    {"F32", SOTI_TYPE_F32, 4},
    {"F64", 0, 8},
    {"I64", 0, 8},
    {"U64", 0, 8},
    {"I32", 0, 4},
    {"U32", 0, 4},
    {"I16", 0, 2},
    {"U16", 0, 2},
    {"I8", 0, 1},
    {"U8", 0, 1},
    {"BOOL", 0, 1},
    {"F8_E4M3", 0, 1},
    {"F8_E5M2", 0, 1},
};

/* A type that we do not know has 0 bytes: its tensors' sizes cannot be checked. */
static uint32_t read_type(const char *name, soti_tensor_entry *entry)
{
    snprintf(entry->type_name, sizeof entry->type_name, "%s", name);
    for (size_t i = 0; i < sizeof tensor_types / sizeof tensor_types[0]; i++) {
        if (strcmp(tensor_types[i].name, name) == 0) {
            entry->type = tensor_types[i].type;
            return tensor_types[i].bytes;
        }
    }
    return 0;
}

static sot_status read_dims(const char *file, const char *name, const json_t *shape,
                            soti_tensor_entry *entry, uint64_t *n)
{
    if (!json_is_array(shape)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s: shape is not a list", file, name);
    }
    size_t n_dims = json_array_size(shape);
    *n = 1;
    for (size_t i = 0; i < n_dims; i++) {
        const json_t *item = json_array_get(shape, i);
        json_int_t dim = json_integer_value(item);
        if (!json_is_integer(item) || dim < 0 || __builtin_mul_overflow(*n, (uint64_t)dim, n) ||
            *n > INT64_MAX / 8) {
            return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s: dimension %zu is %lld", file, name, i,
                             (long long)dim);
        }
        if (i < SOTI_TENSOR_DIMS_MAX) {
            entry->dims[i] = (uint64_t)dim;
        }
    }
    entry->n_dims = (uint32_t)n_dims;
    return SOT_OK;
}

static sot_status read_offsets(const char *file, const char *name, const json_t *offsets,
                               uint64_t start, uint64_t data_bytes, soti_tensor_entry *entry)
{
    const json_t *first = json_array_get(offsets, 0);
    const json_t *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s: data_offsets are not two integers", file,
                         name);
    }
    json_int_t begin = json_integer_value(first);
    json_int_t end = json_integer_value(second);
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes) {
        return soti_fail(
            SOT_ERR_FORMAT,
            "%s: tensor %s: data_offsets are [%lld, %lld], but the file has %llu bytes "
            "of data",
            file, name, (long long)begin, (long long)end, (unsigned long long)data_bytes);
    }
    entry->begin = start + (uint64_t)begin;
    entry->end = start + (uint64_t)end;
    return SOT_OK;
}

static sot_status read_tensor(const char *file, const char *name, const json_t *member,
                              uint64_t start, uint64_t data_bytes, soti_tensor_entry *entry)
{
    const char *type_name = "";
    uint64_t n = 0;
    if (!json_is_object(member)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %s: expected an object", file, name);
    }
    sot_status status = soti_json_get_text(file, member, "dtype", true, &type_name);
    if (status != SOT_OK) {
        return soti_fail(status, "%s: tensor %s: dtype is not a string", file, name);
    }
    uint32_t type_bytes = read_type(type_name, entry);
    RETURN_IF_ERROR(read_dims(file, name, json_object_get(member, "shape"), entry, &n));
    RETURN_IF_ERROR(read_offsets(file, name, json_object_get(member, "data_offsets"), start,
                                 data_bytes, entry));
    uint64_t bytes = entry->end - entry->begin;
    uint64_t bytes_needed = n * type_bytes;
    if (type_bytes != 0 && bytes != bytes_needed) {
        return soti_fail(
            SOT_ERR_FORMAT,
            "%s: tensor %s: data_offsets span %llu bytes, but type and shape need %llu", file, name,
            (unsigned long long)bytes, (unsigned long long)bytes_needed);
    }
    return SOT_OK;
}

static sot_status read_header(const char *file, json_t *header, uint64_t start, uint64_t data_bytes,
                              size_t i_map, soti_tensor_list *list)
{
    const char *name;
    json_t *member;
    size_t i_tensor = 0;
    json_object_foreach(header, name, member)
    {
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        soti_tensor_entry entry = {.i_map = i_map};
        size_t size = strlen(name);
        RETURN_IF_ERROR(soti_tensor_name_check(file, i_tensor++, name, size));
        RETURN_IF_ERROR(read_tensor(file, name, member, start, data_bytes, &entry));
        RETURN_IF_ERROR(soti_tensor_list_add(list, &entry, name, size));
    }
    return SOT_OK;
}

sot_status soti_safetensors_read(const soti_filemap *map, size_t i_map, soti_tensor_list *list)
{
    const char *file = soti_path_base(map->path);
    uint64_t length = 0;
    if (map->size < LENGTH_BYTES) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %zu bytes are too few for a safetensors file", file,
                         map->size);
    }
    for (int i = 0; i < LENGTH_BYTES; i++) {
        length |= (uint64_t)map->data[i] << (8 * i);
    }
    if (length > HEADER_BYTES_MAX || length > map->size - LENGTH_BYTES) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: a header of %llu bytes, but the file has %zu and the limit is %d",
                         file, (unsigned long long)length, map->size, HEADER_BYTES_MAX);
    }
    json_t *header;
    RETURN_IF_ERROR(soti_json_parse(file, map->data + LENGTH_BYTES, (size_t)length, &header));
    uint64_t start = LENGTH_BYTES + length;
    sot_status status = read_header(file, header, start, map->size - start, i_map, list);
    json_decref(header);
    return status;
}
