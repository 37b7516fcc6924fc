/* JSON files by way of jansson: parsing with one sentence for every failure, and typed members. */
#ifndef SOTI_IO_JSON_FILE_H
#define SOTI_IO_JSON_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

/* Parses one JSON object, refusing duplicate keys. file is for messages. The caller owns *out
 * (json_decref). Returns FORMAT, MEMORY. */
sot_status soti_json_parse(const char *file, const void *data, size_t size, json_t **out);

/* The same for line number i_line (from 1) of a file that has an object on each. */
sot_status soti_json_parse_line(const char *file, size_t i_line, const void *data, size_t size,
                                json_t **out);

/* Reads the file folder/name the same way. Returns IO as well. */
sot_status soti_json_read(const char *folder, const char *name, json_t **out);

/* Each leaves *out alone where the member is missing or null and required is false. Another type,
 * or a number that *out cannot hold, is FORMAT; so is a missing one that is required. */
sot_status soti_json_get_u32(const char *file, const json_t *object, const char *key, bool required,
                             uint32_t *out);
sot_status soti_json_get_float(const char *file, const json_t *object, const char *key,
                               bool required, float *out);
sot_status soti_json_get_bool(const char *file, const json_t *object, const char *key, bool *out);
/* Borrowed from object. */
sot_status soti_json_get_text(const char *file, const json_t *object, const char *key,
                              bool required, const char **out);

#endif
