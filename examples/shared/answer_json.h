/* Answers as JSON objects; sot(1) describes them. Texts are exact, but for ill-formed UTF-8,
 * which is U+FFFD. */
#ifndef SOT_SHARED_ANSWER_JSON_H
#define SOT_SHARED_ANSWER_JSON_H

#include <jansson.h>
#include <sot/sot.h>

#include "report.h"

/* The members of one answer, without the question. */
json_t *answer_json(const sot_answer *answer);
json_t *comparison_json(const struct comparison *comparison);
json_t *model_json(const sot_model_info *info);
/* Prints *object with a newline to standard output and releases it: over many lines, or on one. */
void print_json(json_t *object);
void print_json_line(json_t *object);

#endif
