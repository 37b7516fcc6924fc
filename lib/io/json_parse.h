/* Parsing one JSON text with jansson so that a shortage of memory is never taken for something
 * else. What is to be in the text, and sentences, are json_file.c's. */
#ifndef SOTI_IO_JSON_PARSE_H
#define SOTI_IO_JSON_PARSE_H

#include <jansson.h>
#include <stddef.h>

/* Duplicate keys are refused, and texts whose values would need more than 1 GiB. NULL: *error says
 * what is wrong and where; no text in it means that there was not enough memory. The caller owns
 * the value. */
json_t *soti_json_load(const char *text, size_t size, json_error_t *error);

#endif
