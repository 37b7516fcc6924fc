/* Pieces of the JSON object that findings_json makes, and its replay. */
#ifndef SOT_BENCH_FINDINGS_JSON_H
#define SOT_BENCH_FINDINGS_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "../shared/json_values.h"
#include "lengths.h"

struct findings;

json_t *json_times(const uint64_t *times_ns, size_t n);
/* Adds times_ns, and their median, least and most. n > 0. */
void json_set_spread(json_t *object, const uint64_t *times_ns, size_t n);

/* Its name, and how long each text is. */
json_t *lengths_json(const struct lengths *lengths);
json_t *replay_json(const struct findings *findings);

#endif
