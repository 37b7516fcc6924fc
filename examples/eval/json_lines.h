/* A file of JSON objects, one a line, each with the number of its line, so that whoever finds
 * something wrong in an object can say where it is. */
#ifndef SOT_EVAL_JSON_LINES_H
#define SOT_EVAL_JSON_LINES_H

#include <jansson.h>
#include <stddef.h>

struct json_line {
    json_t *object;
    size_t number; /* from 1 */
};

struct json_lines {
    const char *path;
    struct json_line *lines; /* (n) */
    size_t n;
};

/* Lines of white space are passed over. Returns 0 after having said what is wrong. */
int json_lines_read(struct json_lines *lines, const char *path);
void json_lines_free(struct json_lines *lines);

/* The value as text that tells values apart: "17" for 17 and for "17". NULL if it is neither a
 * string nor a whole number. For the caller to free. */
char *json_key(const json_t *value);

/* Says what is wrong with a line: "path: line 3: …". */
void json_line_complain(const struct json_lines *lines, size_t i, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The string under a key; NULL after having said that there is none. */
const char *json_line_string(const struct json_lines *lines, size_t i, const char *key);

#endif
