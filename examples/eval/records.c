/* Reading records: see records.h. Writing them is in records_append.c. */
#include "records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/text.h"

/* One object being read; what is wrong first is kept. */
struct reading {
    const char *what; /* "records.jsonl: line 3" */
    const char *member;
};

static void miss(struct reading *reading, const char *member)
{
    if (!reading->member)
        reading->member = member;
}

static const char *string_of(struct reading *reading, const json_t *object, const char *member)
{
    const char *string = json_string_value(json_object_get(object, member));
    if (!string)
        miss(reading, member);
    return string ? string : "";
}

static uint64_t count_of(struct reading *reading, const json_t *object, const char *member,
                         uint64_t most)
{
    const json_t *value = json_object_get(object, member);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > most) {
        miss(reading, member);
        return 0;
    }
    return (uint64_t)number;
}

static uint32_t small_of(struct reading *reading, const json_t *object, const char *member)
{
    return (uint32_t)count_of(reading, object, member, UINT32_MAX);
}

static uint64_t large_of(struct reading *reading, const json_t *object, const char *member)
{
    return count_of(reading, object, member, INT64_MAX);
}

/* A small number, or -1 for null. */
static int label_of(struct reading *reading, const json_t *object, const char *member)
{
    if (json_is_null(json_object_get(object, member)))
        return -1;
    return (int)count_of(reading, object, member, INT32_MAX);
}

static void read_stages(struct reading *reading, const json_t *stats, struct record *record)
{
    static const char *const names[N_STAGES] = {"normal", "skeleton", "expand", "route"};
    for (unsigned i = 0; i < N_STAGES; i++) {
        const json_t *object = json_object_get(stats, names[i]);
        if (!object && i == STAGE_ROUTE)
            continue;
        if (!json_is_object(object)) {
            miss(reading, names[i]);
            return;
        }
        record->stages[i] =
            (struct record_stage){.prefill_ns = large_of(reading, object, "prefill_ns"),
                                  .decode_ns = large_of(reading, object, "decode_ns"),
                                  .prefill_tokens = small_of(reading, object, "prefill_tokens"),
                                  .reused_tokens = small_of(reading, object, "reused_tokens"),
                                  .decode_tokens = small_of(reading, object, "decode_tokens"),
                                  .decode_steps = small_of(reading, object, "decode_steps"),
                                  .max_rows = small_of(reading, object, "max_rows")};
    }
}

static void read_points(struct reading *reading, const json_t *array, struct record *record)
{
    if (!json_is_array(array)) {
        miss(reading, "points");
        return;
    }
    size_t n = json_array_size(array);
    record->points = grow(NULL, (n + 1) * sizeof *record->points);
    record->n_points = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *object = json_array_get(array, i);
        struct record_point *point = &record->points[i];
        *point = (struct record_point){.index = string_of(reading, object, "index"),
                                       .outline = string_of(reading, object, "outline"),
                                       .text = string_of(reading, object, "text"),
                                       .finish = string_of(reading, object, "finish"),
                                       .tokens = small_of(reading, object, "tokens")};
        if (point->tokens > record->longest_point)
            record->longest_point = point->tokens;
    }
}

static void read_record(struct reading *reading, const json_t *object, struct record *record)
{
    const json_t *id = json_object_get(object, "question_id");
    const json_t *skeleton = json_object_get(object, "skeleton");
    const json_t *decision = json_object_get(object, "decision");
    const json_t *stats = json_object_get(object, "stats");
    if (!json_is_integer(id))
        miss(reading, "question_id");
    if (!json_is_string(skeleton) && !json_is_null(skeleton))
        miss(reading, "skeleton");
    record->question_id = json_integer_value(id);
    record->category = string_of(reading, object, "category");
    record->difficulty = label_of(reading, object, "difficulty");
    record->suitable = label_of(reading, object, "suitable");
    record->mode = string_of(reading, object, "mode");
    record->ran = string_of(reading, object, "ran");
    record->finish = string_of(reading, object, "finish");
    record->status = string_of(reading, object, "status");
    record->question = string_of(reading, object, "question");
    record->answer = string_of(reading, object, "answer");
    record->skeleton = json_string_value(skeleton);
    record->n_tokens = small_of(reading, object, "n_tokens");
    record->answer_tokens = small_of(reading, object, "answer_tokens");
    record->n_points_dropped = small_of(reading, object, "points_dropped");
    record->peak_bytes = large_of(reading, object, "peak_bytes");
    record->started = string_of(reading, object, "started");
    record->decision = json_is_object(decision) ? decision : NULL;
    record->total_ns = large_of(reading, stats, "total_ns");
    read_stages(reading, stats, record);
    read_points(reading, json_object_get(object, "points"), record);
}

int records_add(struct record_list *list, json_t *object, const char *what)
{
    struct record record = {.json = object};
    struct reading reading = {.what = what};
    read_record(&reading, object, &record);
    if (reading.member) {
        complain("%s: \"%s\" is missing or not what a record has there", what, reading.member);
        free(record.points);
        json_decref(object);
        return 0;
    }
    /* The capacity is the power of two from 16 on that holds n. */
    if (list->n == 0 || (list->n >= 16 && (list->n & (list->n - 1)) == 0))
        list->records = grow(list->records, (list->n ? 2 * list->n : 16) * sizeof *list->records);
    list->records[list->n++] = record;
    return 1;
}

const struct record *records_find(const struct record_list *list, int64_t question_id,
                                  const char *mode)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->records[i].question_id == question_id && strcmp(list->records[i].mode, mode) == 0)
            return &list->records[i];
    return NULL;
}

void records_free(struct record_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->records[i].points);
        json_decref(list->records[i].json);
    }
    free(list->records);
    *list = (struct record_list){0};
}

/* A line without its newline. is_last: nothing but this line is behind it. */
static int read_line(const char *path, size_t i_line, const char *line, size_t size, int is_last,
                     struct record_list *list)
{
    json_error_t error;
    struct text what = {0};
    json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    /* A machine that loses power can leave a whole line of anything. */
    if (!object && is_last) {
        list->n_torn += size + 1;
        return 1;
    }
    text_format(&what, "%s: line %zu", path, i_line);
    int good = object != NULL;
    if (good)
        good = records_add(list, object, what.bytes);
    else
        complain("%s: %s", what.bytes, error.text);
    if (good) {
        const struct record *record = &list->records[list->n - 1];
        if (records_find(list, record->question_id, record->mode) != record) {
            complain("%s: question %lld has a record in mode %s already", what.bytes,
                     (long long)record->question_id, record->mode);
            good = 0;
        }
    }
    if (good)
        list->n_bytes += size + 1;
    text_free(&what);
    return good;
}

static int read_stream(const char *path, FILE *stream, struct record_list *list)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    int good = 1;
    errno = 0;
    for (size_t i_line = 1; good && (size = getline(&line, &capacity, stream)) > 0; i_line++) {
        if (line[size - 1] != '\n') {
            list->n_torn = (uint64_t)size;
            break;
        }
        int next = fgetc(stream);
        int is_last = next == EOF;
        if (!is_last)
            ungetc(next, stream);
        good = read_line(path, i_line, line, (size_t)size - 1, is_last, list);
        errno = 0;
    }
    if (good && ferror(stream)) {
        complain("%s: %s", path, strerror(errno));
        good = 0;
    }
    free(line);
    return good;
}

int records_read(const char *path, int may_be_absent, struct record_list *list)
{
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        if (may_be_absent && errno == ENOENT)
            return 1;
        complain("%s: %s", path, strerror(errno));
        return 0;
    }
    int good = read_stream(path, stream, list);
    fclose(stream);
    return good;
}
