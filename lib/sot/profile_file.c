/* See profile_file.h. Reading trusts nothing: axes go up and are not too long, tables have the size
 * that their axes say, and what estimating cannot do without is there. */
#include "sot/profile_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "io/file_out.h"
#include "io/filemap.h"
#include "io/json_file.h"
#include "io/path_name.h"

enum { FORMAT_VERSION = 1, MEMBER_BYTES = 64 };

static const char format_name[] = "sot-profile";
/* Every cell of 4096 x 4096 in 21 bytes, the longest, and what else there is. */
static const uint64_t file_most_bytes = UINT64_C(400000000);
static const uint64_t ns_most = UINT64_C(1000000000000000000); /* 30 years; exact as an integer */

/* A number of the profile and what it is called in the file. */
typedef struct number_row {
    const char *object, *key;
    size_t offset; /* in sot_profile_info */
    uint32_t least;
} number_row;

#define AT(member) offsetof(sot_profile_info, member)
static const number_row numbers[] = {
    {"session", "n_threads", AT(n_threads), 0},
    {"session", "n_ctx", AT(n_ctx), 1},
    {"session", "max_batch", AT(max_batch), 1},
    {"session", "chunk_rows", AT(chunk_rows), 1},
    {"model", "n_layer", AT(n_layer), 1},
    {"model", "n_head", AT(n_head), 1},
    {"model", "n_kv", AT(n_kv), 1},
    {"model", "d_head", AT(d_head), 1},
    {"model", "d_model", AT(d_model), 1},
    {"model", "d_ff", AT(d_ff), 1},
    {"model", "n_vocab", AT(n_vocab), 1},
};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers };

/* ---- Writing -----------------------------------------------------------------------------------
 */

/* A model's name may be any bytes; in JSON those that are not UTF-8 are U+FFFD. */
static sot_status make_valid(const char *text, soti_buffer *valid)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size;) {
        uint32_t code;
        bool is_valid;
        char bytes[4];
        i += soti_utf8_decode(text + i, size - i, &code, &is_valid);
        RETURN_IF_ERROR(soti_buffer_append(valid, bytes, soti_utf8_encode(code, bytes)));
    }
    return SOT_OK;
}

/* Not json_dumps: what that returns is freed by the allocator that a host may have given jansson.
 */
static sot_status put_quoted(soti_buffer *buffer, const char *text)
{
    json_t *value = json_string(text);
    bool made =
        value != NULL && json_dump_callback(value, soti_buffer_take, buffer, JSON_ENCODE_ANY) == 0;
    json_decref(value);
    return made ? SOT_OK : soti_fail(SOT_ERR_MEMORY, "out of memory while writing JSON");
}

static sot_status put_text(soti_buffer *buffer, const char *key, const char *text, const char *end)
{
    soti_buffer valid = {0};
    sot_status status = make_valid(text, &valid);
    const char *const parts[] = {"\"", key, "\": "};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == SOT_OK; i++) {
        status = soti_buffer_append_text(buffer, parts[i]);
    }
    if (status == SOT_OK) {
        status = put_quoted(buffer, soti_buffer_text(&valid));
    }
    soti_buffer_free(&valid);
    return status == SOT_OK ? soti_buffer_append_text(buffer, end) : status;
}

static sot_status put_number(soti_buffer *buffer, const char *before, uint64_t number,
                             const char *end)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, number);
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, before));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, digits));
    return soti_buffer_append_text(buffer, end);
}

static sot_status put_numbers_of(soti_buffer *buffer, const sot_profile_info *info,
                                 const char *object)
{
    const char *separator = "";
    for (size_t i = 0; i < N_NUMBERS; i++) {
        if (strcmp(numbers[i].object, object) != 0) {
            continue;
        }
        uint32_t value;
        memcpy(&value, (const char *)info + numbers[i].offset, sizeof value);
        RETURN_IF_ERROR(soti_buffer_append_text(buffer, separator));
        RETURN_IF_ERROR(soti_buffer_append_text(buffer, "\""));
        RETURN_IF_ERROR(soti_buffer_append_text(buffer, numbers[i].key));
        RETURN_IF_ERROR(put_number(buffer, "\": ", value, ""));
        separator = ", ";
    }
    return SOT_OK;
}

static sot_status put_axis(soti_buffer *buffer, const char *key, const uint32_t *values, uint32_t n)
{
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "    \""));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, key));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "\": ["));
    for (uint32_t i = 0; i < n; i++) {
        RETURN_IF_ERROR(put_number(buffer, i > 0 ? ", " : "", values[i], ""));
    }
    return soti_buffer_append_text(buffer, "],\n");
}

/* A line for each batch; null is a cell that was not measured. */
static sot_status put_table(soti_buffer *buffer, const char *name, const soti_profile_grid *grid)
{
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "  \""));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, name));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "\": {\n"));
    RETURN_IF_ERROR(put_axis(buffer, "batches", grid->batches, grid->n_batches));
    RETURN_IF_ERROR(put_axis(buffer, "lengths", grid->lengths, grid->n_lengths));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "    \"ns\": ["));
    for (uint32_t i = 0; i < grid->n_batches; i++) {
        RETURN_IF_ERROR(soti_buffer_append_text(buffer, i > 0 ? ",\n      [" : "\n      ["));
        for (uint32_t k = 0; k < grid->n_lengths; k++) {
            uint64_t ns = *soti_grid_cell(grid, i, k);
            const char *before = k > 0 ? ", " : "";
            if (ns == 0) {
                RETURN_IF_ERROR(soti_buffer_append_text(buffer, before));
                RETURN_IF_ERROR(soti_buffer_append_text(buffer, "null"));
            } else {
                RETURN_IF_ERROR(put_number(buffer, before, ns, ""));
            }
        }
        RETURN_IF_ERROR(soti_buffer_append_text(buffer, "]"));
    }
    return soti_buffer_append_text(buffer, "]\n  }");
}

static sot_status put_profile(soti_buffer *buffer, const sot_profile *profile)
{
    const sot_profile_info *info = &profile->info;
    const char *grid = (info->flags & SOT_PROFILE_FULL) != 0 ? "full" : "sparse";
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "{\n  "));
    RETURN_IF_ERROR(put_text(buffer, "format", format_name, ",\n  "));
    RETURN_IF_ERROR(put_number(buffer, "\"format_version\": ", FORMAT_VERSION, ",\n  "));
    RETURN_IF_ERROR(put_text(buffer, "libsot", info->libsot, ",\n  "));
    RETURN_IF_ERROR(put_text(buffer, "machine", info->machine, ",\n  "));
    RETURN_IF_ERROR(put_text(buffer, "device", info->device, ",\n  "));
    RETURN_IF_ERROR(put_text(buffer, "isa", info->isa, ",\n  "));
    RETURN_IF_ERROR(put_text(buffer, "grid", grid, ",\n  "));
    RETURN_IF_ERROR(put_number(buffer, "\"n_cells_left_out\": ", info->n_cells_left_out, ",\n  "));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "\"session\": {"));
    RETURN_IF_ERROR(put_numbers_of(buffer, info, "session"));
    RETURN_IF_ERROR(soti_buffer_append_text(buffer, "},\n  \"model\": {"));
    RETURN_IF_ERROR(put_text(buffer, "name", info->model_name, ", "));
    RETURN_IF_ERROR(put_numbers_of(buffer, info, "model"));
    RETURN_IF_ERROR(put_number(buffer, ", \"weight_bytes\": ", info->weight_bytes, "}"));
    for (uint32_t i = 0; i < SOTI_N_TABLES; i++) {
        RETURN_IF_ERROR(soti_buffer_append_text(buffer, ",\n"));
        RETURN_IF_ERROR(put_table(buffer, soti_table_name(i), &profile->tables[i]));
    }
    return soti_buffer_append_text(buffer, "\n}\n");
}

sot_status soti_profile_save(const sot_profile *profile, const char *path)
{
    soti_buffer buffer = {0};
    soti_file_out file = {.descriptor = -1};
    sot_status status = put_profile(&buffer, profile);
    if (status != SOT_OK) {
        soti_fail_in(status, "%s: ", path);
    } else {
        status = soti_file_out_open(path, &file);
    }
    if (status == SOT_OK) {
        status = soti_file_out_put(&file, buffer.data, buffer.size);
    }
    if (status == SOT_OK) {
        status = soti_file_out_commit(&file);
    }
    soti_file_out_close(&file);
    soti_buffer_free(&buffer);
    return status;
}

/* ---- Reading -----------------------------------------------------------------------------------
 */

/* A whole number from least to most; what says where it is. */
static sot_status read_number(const char *file, const char *what, const json_t *value,
                              uint64_t least, uint64_t most, uint64_t *out)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < (json_int_t)least || number > (json_int_t)most) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: %s is %s, expected a whole number from %" PRIu64 " to %" PRIu64, file,
                         what, value == NULL ? "missing" : "something else", least, most);
    }
    *out = (uint64_t)number;
    return SOT_OK;
}

static sot_status get_object(const char *file, const json_t *root, const char *key,
                             const json_t **out)
{
    *out = json_object_get(root, key);
    if (!json_is_object(*out)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is %s, expected an object", file, key,
                         *out == NULL ? "missing" : "something else");
    }
    return SOT_OK;
}

static sot_status get_array(const char *file, const char *what, const json_t *value, size_t n_most,
                            size_t *n)
{
    *n = json_array_size(value);
    if (!json_is_array(value) || *n > n_most) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is %s, expected an array of at most %zu", file,
                         what,
                         value == NULL          ? "missing"
                         : json_is_array(value) ? "too long"
                                                : "something else",
                         n_most);
    }
    return SOT_OK;
}

/* An axis: numbers that go up. values has room for SOTI_GRID_AXIS_MAX. */
static sot_status read_axis(const char *file, const char *table, const char *key,
                            const json_t *object, uint32_t *values, uint32_t *n)
{
    char what[MEMBER_BYTES];
    size_t count;
    const json_t *array = json_object_get(object, key);
    snprintf(what, sizeof what, "%s.%s", table, key);
    RETURN_IF_ERROR(get_array(file, what, array, SOTI_GRID_AXIS_MAX, &count));
    uint64_t least = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 0;
        snprintf(what, sizeof what, "%s.%s[%zu]", table, key, i);
        RETURN_IF_ERROR(
            read_number(file, what, json_array_get(array, i), least, INT32_MAX, &number));
        values[i] = (uint32_t)number;
        least = number + 1;
    }
    *n = (uint32_t)count;
    return SOT_OK;
}

static sot_status read_cells(const char *file, const char *table, const json_t *rows,
                             const soti_profile_grid *grid)
{
    char what[MEMBER_BYTES];
    size_t n;
    snprintf(what, sizeof what, "%s.ns", table);
    RETURN_IF_ERROR(get_array(file, what, rows, grid->n_batches, &n));
    if (n != grid->n_batches) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s has %zu rows, %s.batches has %u", file, what, n,
                         table, grid->n_batches);
    }
    for (uint32_t i = 0; i < grid->n_batches; i++) {
        const json_t *row = json_array_get(rows, i);
        snprintf(what, sizeof what, "%s.ns[%u]", table, i);
        RETURN_IF_ERROR(get_array(file, what, row, grid->n_lengths, &n));
        if (n != grid->n_lengths) {
            return soti_fail(SOT_ERR_FORMAT, "%s: %s has %zu times, %s.lengths has %u", file, what,
                             n, table, grid->n_lengths);
        }
        for (uint32_t k = 0; k < grid->n_lengths; k++) {
            const json_t *value = json_array_get(row, k);
            if (json_is_null(value)) {
                continue;
            }
            snprintf(what, sizeof what, "%s.ns[%u][%u]", table, i, k);
            RETURN_IF_ERROR(read_number(file, what, value, 1, ns_most, soti_grid_cell(grid, i, k)));
        }
    }
    return SOT_OK;
}

static sot_status read_table(const char *file, const json_t *root, const char *table,
                             soti_profile_grid *grid)
{
    const json_t *object;
    RETURN_IF_ERROR(get_object(file, root, table, &object));
    uint32_t *axes = soti_alloc(2 * (size_t)SOTI_GRID_AXIS_MAX, sizeof *axes);
    if (axes == NULL) {
        return SOT_ERR_MEMORY;
    }
    uint32_t *lengths = axes + SOTI_GRID_AXIS_MAX;
    uint32_t n_batches = 0;
    uint32_t n_lengths = 0;
    sot_status status = read_axis(file, table, "batches", object, axes, &n_batches);
    if (status == SOT_OK) {
        status = read_axis(file, table, "lengths", object, lengths, &n_lengths);
    }
    if (status == SOT_OK) {
        status = soti_grid_create(axes, n_batches, lengths, n_lengths, grid);
    }
    if (status == SOT_OK) {
        status = read_cells(file, table, json_object_get(object, "ns"), grid);
    }
    soti_free(axes);
    return status;
}

/* What every estimate begins with. */
static sot_status check_tables(const char *file, const sot_profile *profile)
{
    static const uint32_t needed[] = {SOTI_TABLE_PREFILL, SOTI_TABLE_DECODE, SOTI_TABLE_ROWS};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (soti_grid_count(&profile->tables[needed[i]]) == 0) {
            return soti_fail(SOT_ERR_FORMAT, "%s: %s.ns has no time", file,
                             soti_table_name(needed[i]));
        }
    }
    return SOT_OK;
}

static sot_status read_info(const char *file, const json_t *root, sot_profile_info *info)
{
    const json_t *model;
    const json_t *session;
    const char *grid = "";
    char what[MEMBER_BYTES];
    RETURN_IF_ERROR(get_object(file, root, "model", &model));
    RETURN_IF_ERROR(get_object(file, root, "session", &session));
    RETURN_IF_ERROR(soti_json_get_text(file, root, "libsot", true, &info->libsot));
    RETURN_IF_ERROR(soti_json_get_text(file, root, "machine", false, &info->machine));
    RETURN_IF_ERROR(soti_json_get_text(file, root, "device", true, &info->device));
    RETURN_IF_ERROR(soti_json_get_text(file, root, "isa", false, &info->isa));
    RETURN_IF_ERROR(soti_json_get_text(file, root, "grid", true, &grid));
    RETURN_IF_ERROR(
        soti_json_get_u32(file, root, "n_cells_left_out", false, &info->n_cells_left_out));
    if (strcmp(grid, "full") != 0 && strcmp(grid, "sparse") != 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: grid is neither \"full\" nor \"sparse\"", file);
    }
    info->flags = strcmp(grid, "full") == 0 ? SOT_PROFILE_FULL : 0;
    RETURN_IF_ERROR(soti_json_get_text(file, model, "name", false, &info->model_name));
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const number_row *row = &numbers[i];
        const json_t *object = strcmp(row->object, "model") == 0 ? model : session;
        uint64_t number = 0;
        snprintf(what, sizeof what, "%s.%s", row->object, row->key);
        RETURN_IF_ERROR(read_number(file, what, json_object_get(object, row->key), row->least,
                                    INT32_MAX, &number));
        uint32_t value = (uint32_t)number;
        memcpy((char *)info + row->offset, &value, sizeof value);
    }
    /* No session has such; a pass is estimated to have a row for each sequence. */
    if (info->max_batch > info->chunk_rows) {
        return soti_fail(SOT_ERR_FORMAT, "%s: session.max_batch is %u, more than chunk_rows, %u",
                         file, info->max_batch, info->chunk_rows);
    }
    return read_number(file, "model.weight_bytes", json_object_get(model, "weight_bytes"), 1,
                       INT64_MAX, &info->weight_bytes);
}

static sot_status check_format(const char *file, const json_t *root)
{
    const char *format = "";
    uint32_t version = 0;
    RETURN_IF_ERROR(soti_json_get_text(file, root, "format", true, &format));
    if (strcmp(format, format_name) != 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: format is not \"%s\"", file, format_name);
    }
    RETURN_IF_ERROR(soti_json_get_u32(file, root, "format_version", true, &version));
    if (version != FORMAT_VERSION) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: format_version is %u, this library reads %d",
                         file, version, FORMAT_VERSION);
    }
    return SOT_OK;
}

static sot_status read_profile(const char *file, const json_t *root, sot_profile **out)
{
    sot_profile_info info = {.struct_size = sizeof info};
    RETURN_IF_ERROR(check_format(file, root));
    RETURN_IF_ERROR(read_info(file, root, &info));
    RETURN_IF_ERROR(soti_profile_create(&info, out));
    for (uint32_t i = 0; i < SOTI_N_TABLES; i++) {
        RETURN_IF_ERROR(read_table(file, root, soti_table_name(i), &(*out)->tables[i]));
    }
    RETURN_IF_ERROR(check_tables(file, *out));
    soti_profile_complete(*out);
    return SOT_OK;
}

sot_status soti_profile_parse(const char *file, const void *data, size_t size, sot_profile **out)
{
    json_t *root;
    *out = NULL;
    RETURN_IF_ERROR(soti_json_parse(file, data, size, &root));
    sot_status status = read_profile(file, root, out);
    if (status != SOT_OK) {
        soti_profile_free(*out);
        *out = NULL;
    }
    json_decref(root);
    return status;
}

sot_status soti_profile_load(const char *path, sot_profile **out)
{
    soti_filemap map;
    *out = NULL;
    RETURN_IF_ERROR(soti_filemap_read(path, file_most_bytes, NULL, &map));
    sot_status status = soti_profile_parse(soti_path_base(path), map.data, map.size, out);
    soti_filemap_close(&map);
    return status;
}
