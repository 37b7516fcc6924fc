/* See gguf_metadata.h. Nothing here trusts a number from the file: every length is compared with
 * what is left of it, and arrays of fixed-size items are skipped by one checked product. */
#include "io/gguf_metadata.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"

enum {
    KEY_BYTES_MAX = 65535,
    TEXT_BYTES_MAX = 1 << 20, /* of what goes into names and sentences; an int holds it */
    PAIR_BYTES_MIN = 8 + 4 + 1
};

static const char *const type_names[] = {
    "uint8", "int8",   "uint16", "int16",  "uint32", "int32",   "float32",
    "bool",  "string", "array",  "uint64", "int64",  "float64",
};
enum { N_TYPES = sizeof type_names / sizeof type_names[0] };

/* Bytes of one item; 0 for strings, arrays and unknown types. */
static size_t size_of_type(uint32_t type)
{
    static const uint8_t sizes[N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < N_TYPES ? sizes[type] : 0;
}

static uint64_t load_bits(const uint8_t *data, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits |= (uint64_t)data[i] << (8 * i);
    }
    return bits;
}

sot_status soti_cursor_bytes(soti_cursor *cursor, const char *what, uint64_t n, const uint8_t **out)
{
    size_t left = cursor->size - cursor->offset;
    if (n > left) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: the file ends within %s: %llu bytes at offset %zu, %zu are left",
                         cursor->file, what, (unsigned long long)n, cursor->offset, left);
    }
    *out = cursor->data + cursor->offset;
    cursor->offset += (size_t)n;
    return SOT_OK;
}

sot_status soti_cursor_u32(soti_cursor *cursor, const char *what, uint32_t *out)
{
    const uint8_t *data = NULL;
    RETURN_IF_ERROR(soti_cursor_bytes(cursor, what, 4, &data));
    *out = (uint32_t)load_bits(data, 4);
    return SOT_OK;
}

sot_status soti_cursor_u64(soti_cursor *cursor, const char *what, uint64_t *out)
{
    const uint8_t *data = NULL;
    RETURN_IF_ERROR(soti_cursor_bytes(cursor, what, 8, &data));
    *out = load_bits(data, 8);
    return SOT_OK;
}

sot_status soti_cursor_string(soti_cursor *cursor, const char *what, const char **text,
                              size_t *size)
{
    uint64_t n = 0;
    const uint8_t *data = NULL;
    RETURN_IF_ERROR(soti_cursor_u64(cursor, what, &n));
    RETURN_IF_ERROR(soti_cursor_bytes(cursor, what, n, &data));
    *text = (const char *)data;
    *size = (size_t)n;
    return SOT_OK;
}

static sot_status skip_strings(soti_cursor *cursor, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) { /* ends with the file: each takes 8 bytes or more */
        const char *text;
        size_t size;
        RETURN_IF_ERROR(soti_cursor_string(cursor, "a string of an array", &text, &size));
    }
    return SOT_OK;
}

static sot_status read_items(soti_cursor *cursor, uint32_t type, uint64_t n, soti_gguf_value *out)
{
    const uint8_t *start = cursor->data + cursor->offset;
    size_t item_bytes = size_of_type(type);
    if (type == SOTI_GGUF_STRING) {
        RETURN_IF_ERROR(skip_strings(cursor, n));
    } else if (item_bytes == 0) {
        return soti_fail(
            SOT_ERR_FORMAT, "%s: key %.*s: %s %u", cursor->file, (int)out->key_size, out->key,
            type == SOTI_GGUF_ARRAY ? "an array within an array, type" : "unknown type", type);
    } else {
        uint64_t bytes;
        if (__builtin_mul_overflow(n, (uint64_t)item_bytes, &bytes)) {
            return soti_fail(SOT_ERR_FORMAT, "%s: key %.*s: an array of %llu items", cursor->file,
                             (int)out->key_size, out->key, (unsigned long long)n);
        }
        RETURN_IF_ERROR(soti_cursor_bytes(cursor, "a value", bytes, &start));
    }
    out->n_items = n;
    out->data = start;
    out->data_size = (size_t)(cursor->data + cursor->offset - start);
    return SOT_OK;
}

static sot_status read_key(soti_cursor *cursor, soti_gguf_value *out)
{
    size_t offset = cursor->offset;
    RETURN_IF_ERROR(soti_cursor_string(cursor, "a key", &out->key, &out->key_size));
    bool printable = out->key_size > 0 && out->key_size <= KEY_BYTES_MAX;
    for (size_t i = 0; printable && i < out->key_size; i++) {
        printable = out->key[i] > 0x20 && out->key[i] < 0x7F;
    }
    if (!printable) {
        return soti_fail(SOT_ERR_FORMAT, "%s: the key of %zu bytes at offset %zu is no name",
                         cursor->file, out->key_size, offset);
    }
    return SOT_OK;
}

static sot_status read_pair(soti_cursor *cursor, soti_gguf_value *out)
{
    RETURN_IF_ERROR(read_key(cursor, out));
    RETURN_IF_ERROR(soti_cursor_u32(cursor, "the type of a value", &out->type));
    if (out->type != SOTI_GGUF_ARRAY) {
        return read_items(cursor, out->type, 1, out);
    }
    uint64_t n = 0;
    RETURN_IF_ERROR(soti_cursor_u32(cursor, "the type of an array's items", &out->item_type));
    RETURN_IF_ERROR(soti_cursor_u64(cursor, "the length of an array", &n));
    return read_items(cursor, out->item_type, n, out);
}

static int compare_key(const char *key, size_t size, const soti_gguf_value *value)
{
    size_t common = size < value->key_size ? size : value->key_size;
    int order = memcmp(key, value->key, common);
    return order != 0 ? order : (size > value->key_size) - (size < value->key_size);
}

static int compare_values(const void *a, const void *b)
{
    const soti_gguf_value *left = a;
    return compare_key(left->key, left->key_size, b);
}

sot_status soti_gguf_metadata_read(soti_cursor *cursor, uint64_t n_values, soti_gguf_metadata *out)
{
    size_t left = cursor->size - cursor->offset;
    *out = (soti_gguf_metadata){.file = cursor->file};
    if (n_values > left / PAIR_BYTES_MIN) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %llu metadata pairs do not fit the %zu bytes left",
                         cursor->file, (unsigned long long)n_values, left);
    }
    size_t capacity = 0;
    for (uint64_t i = 0; i < n_values; i++) {
        if (out->n_values == capacity) { /* grown, so that a lie about the count costs little */
            capacity = capacity ? capacity * 2 : 64;
            soti_gguf_value *grown = soti_realloc(out->values, capacity, sizeof *grown);
            if (grown == NULL) {
                return SOT_ERR_MEMORY;
            }
            out->values = grown;
        }
        soti_gguf_value *value = &out->values[out->n_values];
        *value = (soti_gguf_value){0};
        RETURN_IF_ERROR(read_pair(cursor, value));
        out->n_values++;
    }
    if (out->n_values > 1) {
        qsort(out->values, out->n_values, sizeof *out->values, compare_values);
    }
    for (size_t i = 1; i < out->n_values; i++) {
        const soti_gguf_value *value = &out->values[i];
        if (compare_values(value - 1, value) == 0) {
            return soti_fail(SOT_ERR_FORMAT, "%s: key %.*s is there twice", cursor->file,
                             (int)value->key_size, value->key);
        }
    }
    return SOT_OK;
}

void soti_gguf_metadata_free(soti_gguf_metadata *metadata)
{
    soti_free(metadata->values);
    *metadata = (soti_gguf_metadata){0};
}

const soti_gguf_value *soti_gguf_find(const soti_gguf_metadata *metadata, const char *key)
{
    size_t first = 0;
    size_t end = metadata->n_values;
    size_t size = strlen(key);
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = compare_key(key, size, &metadata->values[middle]);
        if (order == 0) {
            return &metadata->values[middle];
        }
        if (order < 0) {
            end = middle;
        } else {
            first = middle + 1;
        }
    }
    return NULL;
}

static sot_status find_value(const soti_gguf_metadata *metadata, const char *key, bool required,
                             const soti_gguf_value **out)
{
    *out = soti_gguf_find(metadata, key);
    if (*out == NULL && required) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s is missing", metadata->file, key);
    }
    return SOT_OK;
}

static sot_status fail_type(const soti_gguf_metadata *metadata, const char *key,
                            const soti_gguf_value *value, const char *expected)
{
    if (value->type == SOTI_GGUF_ARRAY) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: type array of %s, expected %s",
                         metadata->file, key, type_names[value->item_type], expected);
    }
    return soti_fail(SOT_ERR_FORMAT, "%s: key %s: type %s, expected %s", metadata->file, key,
                     type_names[value->type], expected);
}

sot_status soti_gguf_get_u32(const soti_gguf_metadata *metadata, const char *key, bool required,
                             uint32_t *out)
{
    const soti_gguf_value *value;
    RETURN_IF_ERROR(find_value(metadata, key, required, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    bool is_signed = value->type == SOTI_GGUF_INT8 || value->type == SOTI_GGUF_INT16 ||
                     value->type == SOTI_GGUF_INT32 || value->type == SOTI_GGUF_INT64;
    bool is_unsigned = value->type == SOTI_GGUF_UINT8 || value->type == SOTI_GGUF_UINT16 ||
                       value->type == SOTI_GGUF_UINT32 || value->type == SOTI_GGUF_UINT64;
    if (!is_signed && !is_unsigned) {
        return fail_type(metadata, key, value, "a whole number");
    }
    uint64_t bits = load_bits(value->data, value->data_size);
    if (is_signed && (bits >> (8 * value->data_size - 1)) != 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: a negative number, expected 0 to 4294967295",
                         metadata->file, key);
    }
    if (bits > UINT32_MAX) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: %llu, expected 0 to 4294967295",
                         metadata->file, key, (unsigned long long)bits);
    }
    *out = (uint32_t)bits;
    return SOT_OK;
}

sot_status soti_gguf_get_float(const soti_gguf_metadata *metadata, const char *key, bool required,
                               float *out)
{
    const soti_gguf_value *value;
    RETURN_IF_ERROR(find_value(metadata, key, required, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    if (value->type == SOTI_GGUF_FLOAT32) {
        uint32_t bits = (uint32_t)load_bits(value->data, 4);
        memcpy(out, &bits, sizeof *out);
    } else if (value->type == SOTI_GGUF_FLOAT64) {
        uint64_t bits = load_bits(value->data, 8);
        double real;
        memcpy(&real, &bits, sizeof real);
        *out = (float)real;
    } else {
        return fail_type(metadata, key, value, "a real number");
    }
    return SOT_OK;
}

sot_status soti_gguf_get_bool(const soti_gguf_metadata *metadata, const char *key, bool *out)
{
    const soti_gguf_value *value = soti_gguf_find(metadata, key);
    if (value == NULL) {
        return SOT_OK;
    }
    if (value->type != SOTI_GGUF_BOOL) {
        return fail_type(metadata, key, value, "bool");
    }
    if (value->data[0] > 1) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: %u, expected 0 or 1", metadata->file, key,
                         value->data[0]);
    }
    *out = value->data[0] == 1;
    return SOT_OK;
}

sot_status soti_gguf_get_text(const soti_gguf_metadata *metadata, const char *key, bool required,
                              const char **text, size_t *size)
{
    const soti_gguf_value *value;
    *text = NULL;
    *size = 0;
    RETURN_IF_ERROR(find_value(metadata, key, required, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    if (value->type != SOTI_GGUF_STRING) {
        return fail_type(metadata, key, value, "string");
    }
    *text = (const char *)value->data + 8; /* behind its length */
    *size = value->data_size - 8;
    if (*size > TEXT_BYTES_MAX) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: a text of %zu bytes, expected at most %d",
                         metadata->file, key, *size, TEXT_BYTES_MAX);
    }
    if (soti_utf8_find_invalid(*text, *size) != *size || memchr(*text, 0, *size) != NULL) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: not UTF-8 text", metadata->file, key);
    }
    return SOT_OK;
}

sot_status soti_gguf_get_array(const soti_gguf_metadata *metadata, const char *key,
                               uint32_t item_type, bool required, const soti_gguf_value **out)
{
    RETURN_IF_ERROR(find_value(metadata, key, required, out));
    if (*out == NULL) {
        return SOT_OK;
    }
    if ((*out)->type != SOTI_GGUF_ARRAY || (*out)->item_type != item_type) {
        char expected[32] = "array of ";
        strncat(expected, type_names[item_type], sizeof expected - strlen(expected) - 1);
        return fail_type(metadata, key, *out, expected);
    }
    return SOT_OK;
}
