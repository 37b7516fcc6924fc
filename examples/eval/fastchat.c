/* FastChat's answer files: see fastchat.h. */
#include "fastchat.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shared/question_list.h"
#include "../shared/text.h"
#include "run_facts.h"

static int by_id(const void *a, const void *b)
{
    const struct record *const *left = a;
    const struct record *const *right = b;
    return ((*left)->question_id > (*right)->question_id) -
           ((*left)->question_id < (*right)->question_id);
}

static double seconds_of(const char *moment)
{
    struct tm utc = {0};
    return strptime(moment, "%Y-%m-%dT%H:%M:%SZ", &utc) ? (double)timegm(&utc) : 0;
}

/* The same answer has the same id whenever the file is written. */
static json_t *answer_id(const struct record *record, const char *model)
{
    uint64_t digest = fnv_add(FNV_BEGIN, model, strlen(model) + 1);
    digest = fnv_add(digest, record->mode, strlen(record->mode) + 1);
    digest = fnv_add(digest, &record->question_id, sizeof record->question_id);
    digest = fnv_add(digest, record->answer, strlen(record->answer));
    return json_sprintf("%016" PRIx64, digest);
}

static void append_answer(struct text *text, const struct record *record, const char *model)
{
    json_t *answer = json_incref(json_object_get(record->json, "answer"));
    json_t *object =
        json_pack("{s:I, s:o, s:o, s:[{s:i, s:[o]}], s:f}", "question_id",
                  (json_int_t)record->question_id, "answer_id", answer_id(record, model),
                  "model_id", json_sprintf("%s-%s", model, record->mode), "choices", "index", 0,
                  "turns", answer, "tstamp", seconds_of(record->started));
    char *dumped = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (dumped) {
        text_string(text, dumped);
        text_string(text, "\n");
    }
    free(dumped);
    json_decref(object);
}

int fastchat_write(const char *path, const struct record_list *list, const char *mode,
                   const char *model)
{
    struct text text = {0};
    const struct record **sorted = grow(NULL, (list->n + 1) * sizeof(*sorted));
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->records[i].mode, mode) == 0)
            sorted[n++] = &list->records[i];
    qsort(sorted, n, sizeof *sorted, by_id);
    for (size_t i = 0; i < n; i++)
        append_answer(&text, sorted[i], model);
    int written = n == 0 || file_replace(path, text.bytes, text.size);
    free(sorted);
    text_free(&text);
    return written;
}
