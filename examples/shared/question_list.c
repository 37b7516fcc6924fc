/* Reading and selecting questions: see question_list.h. */
#include "question_list.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

uint64_t fnv_add(uint64_t digest, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return digest;
}

static char *copy_of(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(grow(NULL, size), string, size);
}

/* A label from 0 on; -1 where the member is absent or null. Returns 0 if it is something else. */
static int read_label(const json_t *object, const char *member, int *label)
{
    const json_t *value = json_object_get(object, member);
    json_int_t number = json_integer_value(value);
    *label = -1;
    if (!value || json_is_null(value))
        return 1;
    if (!json_is_integer(value) || number < 0 || number > 1000)
        return 0;
    *label = (int)number;
    return 1;
}

/* Fills *question from object. Returns what is wrong, or NULL. */
static const char *read_question(struct question_list *list, const json_t *object,
                                 struct question *question)
{
    const json_t *turns = json_object_get(object, "turns");
    const json_t *id = json_object_get(object, turns ? "question_id" : "id");
    const json_t *category = json_object_get(object, "category");
    const char *text =
        json_string_value(turns ? json_array_get(turns, 0) : json_object_get(object, "question"));
    if (!json_is_object(object))
        return "an object is expected";
    if (!json_is_integer(id))
        return turns ? "\"question_id\" must be a whole number" : "\"id\" must be a whole number";
    if (!text || !text[0])
        return turns ? "\"turns\" must begin with a text" : "\"question\" must be a text";
    if (category && !json_is_string(category) && !json_is_null(category))
        return "\"category\" must be a text";
    if (!read_label(object, "difficulty", &question->difficulty))
        return "\"difficulty\" must be a whole number or null";
    if (!read_label(object, "suitable", &question->suitable) || question->suitable > 1)
        return "\"suitable\" must be 0, 1 or null";
    question->id = json_integer_value(id);
    for (size_t i = 0; i < list->n; i++)
        if (list->questions[i].id == question->id)
            return turns ? "its \"question_id\" was there before" : "its \"id\" was there before";
    question->text = copy_of(text);
    question->category = copy_of(json_is_string(category) ? json_string_value(category) : "");
    list->n_turns_left_out += turns ? json_array_size(turns) - 1 : 0;
    return NULL;
}

static int read_line(const char *path, size_t i_line, const char *line, size_t size,
                     struct question_list *list)
{
    json_error_t error;
    struct question question = {0};
    size_t used;
    trimmed(line, size, &used);
    if (used == 0)
        return 1;
    json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    const char *wrong = object ? read_question(list, object, &question) : error.text;
    json_decref(object);
    if (wrong) {
        complain("%s: line %zu: %s", path, i_line, wrong);
        return 0;
    }
    if (list->n % 64 == 0)
        list->questions = grow(list->questions, (list->n + 64) * sizeof *list->questions);
    list->questions[list->n++] = question;
    return 1;
}

int questions_read(const char *path, struct question_list *list)
{
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        complain("%s: %s", path, strerror(errno));
        return 0;
    }
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    int good = 1;
    list->digest = FNV_BEGIN;
    errno = 0;
    for (size_t i_line = 1; good && (size = getline(&line, &capacity, stream)) > 0; i_line++) {
        list->digest = fnv_add(list->digest, line, (size_t)size);
        good = read_line(path, i_line, line, (size_t)size, list);
        errno = 0;
    }
    if (good && ferror(stream)) {
        complain("%s: %s", path, strerror(errno));
        good = 0;
    } else if (good && list->n == 0) {
        complain("%s: there is no question in it", path);
        good = 0;
    }
    free(line);
    fclose(stream);
    return good;
}

static void drop(struct question *question)
{
    free(question->category);
    free(question->text);
}

/* Keeps those whose flag is set. */
static void keep(struct question_list *list, const char *is_kept)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (is_kept[i])
            list->questions[n++] = list->questions[i];
        else
            drop(&list->questions[i]);
    }
    list->n = n;
}

/* Reads "4" or "4-9" at *at and moves behind it. */
static int read_range(const char **at, int64_t *first, int64_t *last)
{
    char *end;
    errno = 0;
    *first = *last = strtoll(*at, &end, 10);
    if (end == *at || errno)
        return 0;
    if (*end == '-') {
        *at = end + 1;
        *last = strtoll(*at, &end, 10);
        if (end == *at || errno || *last < *first)
            return 0;
    }
    *at = end;
    return *end == '\0' || *end == ',';
}

static int select_ids(struct question_list *list, const char *path, const char *ids, char *is_kept)
{
    for (const char *at = ids;; at++) {
        int64_t first, last;
        const char *range = at;
        if (!read_range(&at, &first, &last)) {
            complain("--ids '%s': a list such as 1,4-9 is expected", ids);
            return 0;
        }
        size_t n_found = 0;
        for (size_t i = 0; i < list->n; i++) {
            int is_in = list->questions[i].id >= first && list->questions[i].id <= last;
            n_found += (size_t)is_in;
            is_kept[i] |= (char)is_in;
        }
        if (n_found == 0) {
            complain("--ids: %s has no question %.*s", path, (int)(at - range), range);
            return 0;
        }
        if (*at == '\0')
            return 1;
    }
}

static int select_category(struct question_list *list, const char *path, const char *category)
{
    size_t n_kept = 0;
    char *is_kept = grow(NULL, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        is_kept[i] = strcmp(list->questions[i].category, category) == 0;
        n_kept += (size_t)is_kept[i];
    }
    if (n_kept == 0) {
        struct text known = {0};
        for (size_t i = 0; i < list->n; i++) {
            size_t j = 0;
            while (strcmp(list->questions[j].category, list->questions[i].category) != 0)
                j++;
            if (j == i)
                text_format(&known, "%s%s", known.size ? ", " : "", list->questions[i].category);
        }
        complain("--category '%s': %s has no such question; it has %s", category, path,
                 known.bytes ? known.bytes : "none");
        text_free(&known);
    } else {
        keep(list, is_kept);
    }
    free(is_kept);
    return n_kept > 0;
}

int questions_select(struct question_list *list, const char *path, const char *ids,
                     const char *category, size_t limit)
{
    int good = 1;
    if (ids) {
        char *is_kept = grow(NULL, list->n + 1);
        memset(is_kept, 0, list->n + 1);
        good = select_ids(list, path, ids, is_kept);
        if (good)
            keep(list, is_kept);
        free(is_kept);
    }
    if (good && category)
        good = select_category(list, path, category);
    if (good && limit)
        while (list->n > limit)
            drop(&list->questions[--list->n]);
    return good;
}

void questions_free(struct question_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        drop(&list->questions[i]);
    free(list->questions);
    *list = (struct question_list){0};
}
