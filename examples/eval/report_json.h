/* Everything a report shows as numbers, as one JSON object. */
#ifndef SOT_EVAL_REPORT_JSON_H
#define SOT_EVAL_REPORT_JSON_H

#include <jansson.h>

#include "report_run.h"

json_t *report_json(const struct report_run *runs, size_t n_runs);

#endif
