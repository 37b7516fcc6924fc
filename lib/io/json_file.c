/* See json_file.h. */
#include "io/json_file.h"

#include "base/alloc.h"
#include "base/fail.h"
#include "io/filemap.h"
#include "io/json_parse.h"
#include "io/path_name.h"

/* jansson stops behind the second of two equal keys, but does not say which key it is. */
static sot_status fail_duplicate(const char *file, size_t i_line, const char *text,
                                 const json_error_t *error)
{
    int end = error->position;
    while (end > 0 && text[end - 1] != '"') {
        end--;
    }
    int begin = end > 0 ? end - 1 : 0; /* the closing quote */
    while (begin > 0 && text[begin - 1] != '"') {
        begin--;
    }
    return soti_fail(SOT_ERR_FORMAT, "%s: line %zu, column %d: \"%.*s\" is there twice", file,
                     i_line, error->column, end > 0 ? end - 1 - begin : 0, text + begin);
}

/* i_first: the number of text's first line. */
static sot_status parse(const char *file, size_t i_first, const void *data, size_t size,
                        json_t **out)
{
    json_error_t error;
    *out = soti_json_load(data, size, &error);
    if (*out != NULL) {
        return SOT_OK;
    }
    size_t i_line = i_first + (error.line > 0 ? (size_t)error.line - 1 : 0);
    if (error.text[0] == '\0') {
        return soti_fail(SOT_ERR_MEMORY, "%s: out of memory while reading JSON", file);
    }
    if (json_error_code(&error) == json_error_duplicate_key) {
        return fail_duplicate(file, i_line, data, &error);
    }
    return soti_fail(SOT_ERR_FORMAT, "%s: line %zu, column %d: %s", file, i_line, error.column,
                     error.text);
}

/* Gives up what is no object. */
static bool keep_object(json_t **root)
{
    if (json_is_object(*root)) {
        return true;
    }
    json_decref(*root);
    *root = NULL;
    return false;
}

sot_status soti_json_parse(const char *file, const void *data, size_t size, json_t **out)
{
    RETURN_IF_ERROR(parse(file, 1, data, size, out));
    return keep_object(out) ? SOT_OK
                            : soti_fail(SOT_ERR_FORMAT, "%s: expected a JSON object", file);
}

sot_status soti_json_parse_line(const char *file, size_t i_line, const void *data, size_t size,
                                json_t **out)
{
    RETURN_IF_ERROR(parse(file, i_line, data, size, out));
    return keep_object(out)
               ? SOT_OK
               : soti_fail(SOT_ERR_FORMAT, "%s: line %zu: expected a JSON object", file, i_line);
}

sot_status soti_json_read(const char *folder, const char *name, json_t **out)
{
    soti_filemap map;
    *out = NULL;
    char *path = soti_path_join(folder, name);
    if (path == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status = soti_filemap_read(path, SOTI_SMALL_FILE_MAX, NULL, &map);
    if (status == SOT_OK) {
        status = soti_json_parse(name, map.data, map.size, out);
        soti_filemap_close(&map);
    }
    soti_free(path);
    return status;
}

/* *out is NULL for a member that is missing or null. */
static sot_status find_member(const char *file, const json_t *object, const char *key,
                              bool required, const json_t **out)
{
    *out = json_object_get(object, key);
    if (json_is_null(*out)) {
        *out = NULL;
    }
    if (*out == NULL && required) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is missing", file, key);
    }
    return SOT_OK;
}

static sot_status fail_type(const char *file, const char *key, const json_t *value,
                            const char *expected)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",     [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return soti_fail(SOT_ERR_FORMAT, "%s: %s is %s, expected %s", file, key,
                     names[json_typeof(value)], expected);
}

sot_status soti_json_get_u32(const char *file, const json_t *object, const char *key, bool required,
                             uint32_t *out)
{
    const json_t *value;
    RETURN_IF_ERROR(find_member(file, object, key, required, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    if (!json_is_integer(value)) {
        return fail_type(file, key, value, "an integer");
    }
    json_int_t number = json_integer_value(value);
    if (number < 0 || number > (json_int_t)UINT32_MAX) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is %lld, expected 0 to 4294967295", file, key,
                         (long long)number);
    }
    *out = (uint32_t)number;
    return SOT_OK;
}

sot_status soti_json_get_float(const char *file, const json_t *object, const char *key,
                               bool required, float *out)
{
    const json_t *value;
    RETURN_IF_ERROR(find_member(file, object, key, required, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    if (!json_is_number(value)) {
        return fail_type(file, key, value, "a number");
    }
    *out = (float)json_number_value(value);
    return SOT_OK;
}

sot_status soti_json_get_bool(const char *file, const json_t *object, const char *key, bool *out)
{
    const json_t *value;
    RETURN_IF_ERROR(find_member(file, object, key, false, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    if (!json_is_boolean(value)) {
        return fail_type(file, key, value, "true or false");
    }
    *out = json_is_true(value);
    return SOT_OK;
}

sot_status soti_json_get_text(const char *file, const json_t *object, const char *key,
                              bool required, const char **out)
{
    const json_t *value;
    RETURN_IF_ERROR(find_member(file, object, key, required, &value));
    if (value == NULL) {
        return SOT_OK;
    }
    if (!json_is_string(value)) {
        return fail_type(file, key, value, "a string");
    }
    *out = json_string_value(value);
    return SOT_OK;
}
