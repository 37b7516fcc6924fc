/* Numbers, names and texts as JSON. */
#ifndef SOT_SHARED_JSON_VALUES_H
#define SOT_SHARED_JSON_VALUES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

json_t *json_number(uint64_t value);
/* U+FFFD for every byte that is not UTF-8. */
json_t *json_text(const char *bytes, size_t size);
json_t *json_name(const char *string);

/* Of the machine: the processor, the system, CPUs, memory. */
json_t *machine_json(void);

#endif
