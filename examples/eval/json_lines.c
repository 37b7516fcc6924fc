/* Reading JSON lines: see json_lines.h. */
#include "json_lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/text.h"

static int is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r\n", line[i]) || line[i] == '\0')
            return 0;
    return 1;
}

static int add_line(struct json_lines *lines, const char *line, size_t size, size_t number)
{
    json_error_t error;
    json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json_is_object(object)) {
        complain("%s: line %zu: %s", lines->path, number,
                 object ? "an object is expected" : error.text);
        json_decref(object);
        return 0;
    }
    lines->lines = grow(lines->lines, (lines->n + 1) * sizeof *lines->lines);
    lines->lines[lines->n++] = (struct json_line){object, number};
    return 1;
}

int json_lines_read(struct json_lines *lines, const char *path)
{
    *lines = (struct json_lines){.path = path};
    FILE *file = fopen(path, "rb");
    if (!file) {
        complain("%s: %s", path, strerror(errno));
        return 0;
    }
    char *line = NULL;
    size_t capacity = 0;
    size_t number = 0;
    int is_good = 1;
    ssize_t size;
    while (is_good && (errno = 0, size = getline(&line, &capacity, file)) >= 0) {
        number++;
        if (!is_blank(line, (size_t)size))
            is_good = add_line(lines, line, (size_t)size, number);
    }
    if (is_good && !feof(file)) {
        complain("%s: %s", path, strerror(errno));
        is_good = 0;
    }
    free(line);
    fclose(file);
    if (!is_good)
        json_lines_free(lines);
    return is_good;
}

void json_lines_free(struct json_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        json_decref(lines->lines[i].object);
    free(lines->lines);
    *lines = (struct json_lines){.path = lines->path};
}

char *json_key(const json_t *value)
{
    struct text key = {0};
    if (json_is_integer(value))
        text_format(&key, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value))
        text_append(&key, json_string_value(value), json_string_length(value));
    return key.bytes;
}

void json_line_complain(const struct json_lines *lines, size_t i, const char *format, ...)
{
    struct text sentence = {0};
    va_list arguments;
    va_start(arguments, format);
    text_format_list(&sentence, format, arguments);
    va_end(arguments);
    complain("%s: line %zu: %s", lines->path, lines->lines[i].number, sentence.bytes);
    text_free(&sentence);
}

const char *json_line_string(const struct json_lines *lines, size_t i, const char *key)
{
    const char *string = json_string_value(json_object_get(lines->lines[i].object, key));
    if (!string)
        json_line_complain(lines, i, "no text under the key \"%s\"", key);
    return string;
}
