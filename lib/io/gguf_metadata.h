/* The container of a GGUF file: bounded little-endian reading, and the table of its pairs of key
 * and value. What the keys mean is gguf.c's matter. Format: docs/gguf.md of
 * github.com/ggml-org/ggml */
#ifndef SOTI_IO_GGUF_METADATA_H
#define SOTI_IO_GGUF_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

enum {
    SOTI_GGUF_UINT8 = 0,
    SOTI_GGUF_INT8 = 1,
    SOTI_GGUF_UINT16 = 2,
    SOTI_GGUF_INT16 = 3,
    SOTI_GGUF_UINT32 = 4,
    SOTI_GGUF_INT32 = 5,
    SOTI_GGUF_FLOAT32 = 6,
    SOTI_GGUF_BOOL = 7,
    SOTI_GGUF_STRING = 8,
    SOTI_GGUF_ARRAY = 9,
    SOTI_GGUF_UINT64 = 10,
    SOTI_GGUF_INT64 = 11,
    SOTI_GGUF_FLOAT64 = 12
};

/* A place in a file. Reading past the end fails and names the place. */
typedef struct soti_cursor {
    const char *file; /* for messages */
    const uint8_t *data;
    size_t size;
    size_t offset;
} soti_cursor;

/* what: "the version", for the sentence. Return FORMAT. */
sot_status soti_cursor_u32(soti_cursor *cursor, const char *what, uint32_t *out);
sot_status soti_cursor_u64(soti_cursor *cursor, const char *what, uint64_t *out);
sot_status soti_cursor_bytes(soti_cursor *cursor, const char *what, uint64_t n,
                             const uint8_t **out);
/* A length of 64 bits and that many bytes, not NUL-terminated. */
sot_status soti_cursor_string(soti_cursor *cursor, const char *what, const char **text,
                              size_t *size);

typedef struct soti_gguf_value {
    const char *key; /* (key_size) in the file */
    size_t key_size;
    uint32_t type;
    uint32_t item_type;  /* of an array */
    uint64_t n_items;    /* of an array; otherwise 1 */
    const uint8_t *data; /* (data_size) the value, or the array's items */
    size_t data_size;
} soti_gguf_value;

typedef struct soti_gguf_metadata {
    const char *file;        /* for messages */
    soti_gguf_value *values; /* (n_values) sorted by key, keys distinct */
    size_t n_values;
} soti_gguf_metadata;

/* Reads n_values pairs at the cursor. Returns FORMAT, MEMORY; *out is to be freed in any case. */
sot_status soti_gguf_metadata_read(soti_cursor *cursor, uint64_t n_values, soti_gguf_metadata *out);
void soti_gguf_metadata_free(soti_gguf_metadata *metadata);

/* The value of that key, or NULL. */
const soti_gguf_value *soti_gguf_find(const soti_gguf_metadata *metadata, const char *key);

/* Each leaves *out alone where the key is missing and required is false. A value of another type,
 * or that *out cannot hold, is FORMAT; so is a missing one that is required. Whole numbers may have
 * any whole type, real ones either real type. */
sot_status soti_gguf_get_u32(const soti_gguf_metadata *metadata, const char *key, bool required,
                             uint32_t *out);
sot_status soti_gguf_get_float(const soti_gguf_metadata *metadata, const char *key, bool required,
                               float *out);
sot_status soti_gguf_get_bool(const soti_gguf_metadata *metadata, const char *key, bool *out);
/* *text stays NULL where the key is missing. The text is UTF-8 without NUL bytes. */
sot_status soti_gguf_get_text(const soti_gguf_metadata *metadata, const char *key, bool required,
                              const char **text, size_t *size);
/* *out is NULL where the key is missing. */
sot_status soti_gguf_get_array(const soti_gguf_metadata *metadata, const char *key,
                               uint32_t item_type, bool required, const soti_gguf_value **out);

#endif
