/* Reading answers: see judge_answers.h. */
#include "judge_answers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../shared/text.h"
#include "json_lines.h"
#include "records.h"

/* The mode behind the last colon, which is cut off; NULL where there is none. */
static const char *split_mode(struct text *path)
{
    static const char *const modes[] = {"normal", "sot", "routed"};
    char *colon = strrchr(path->bytes, ':');
    for (size_t i = 0; colon && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(colon + 1, modes[i]) == 0) {
            *colon = '\0';
            path->size = strlen(path->bytes);
            return modes[i];
        }
    return NULL;
}

static int is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Returns 0 after having said what is wrong. */
static int read_records(struct answers *answers, const char *path, const char *mode)
{
    struct record_list list = {0};
    int is_good = records_read(path, 0, &list);
    for (size_t i = 0; is_good && i < list.n; i++) {
        const struct record *record = &list.records[i];
        if (strcmp(record->mode, mode) != 0)
            continue;
        char *key = json_key(json_object_get(record->json, "question_id"));
        json_object_set(answers->by_question, key, json_object_get(record->json, "answer"));
        free(key);
    }
    records_free(&list);
    return is_good;
}

/* A line in FastChat's format: the first turn of the first choice. */
static int add_fastchat(struct answers *answers, const struct json_lines *lines, size_t i)
{
    const json_t *object = lines->lines[i].object;
    const json_t *choice = json_array_get(json_object_get(object, "choices"), 0);
    json_t *answer = json_array_get(json_object_get(choice, "turns"), 0);
    char *key = json_key(json_object_get(object, "question_id"));
    int is_good = 0;
    if (json_object_get(object, "mode"))
        json_line_complain(lines, i, "this is a record of a run: say which mode, as in '%s:sot'",
                           answers->label);
    else if (!key)
        json_line_complain(lines, i, "no number or text under the key \"question_id\"");
    else if (!json_is_string(answer))
        json_line_complain(lines, i, "no text at \"choices\"[0].\"turns\"[0]");
    else if (json_object_get(answers->by_question, key))
        json_line_complain(lines, i, "a second answer to question %s", key);
    else
        is_good = json_object_set(answers->by_question, key, answer) == 0;
    free(key);
    return is_good;
}

static int read_fastchat(struct answers *answers, const char *path)
{
    struct json_lines lines;
    int is_good = json_lines_read(&lines, path);
    for (size_t i = 0; is_good && i < lines.n; i++)
        is_good = add_fastchat(answers, &lines, i);
    json_lines_free(&lines);
    return is_good;
}

int answers_read(struct answers *answers, const char *argument)
{
    struct text path = {0};
    struct text label = {0};
    int is_good = 0;
    text_valid(&label, argument, strlen(argument));
    text_string(&path, argument);
    *answers = (struct answers){label.bytes, json_object()};
    const char *mode = split_mode(&path);
    if (!mode && is_folder(path.bytes)) {
        complain("%s: this is a run: say which mode, as in '%s:sot'", argument, argument);
    } else {
        if (mode && is_folder(path.bytes))
            text_string(&path, "/records.jsonl");
        is_good =
            mode ? read_records(answers, path.bytes, mode) : read_fastchat(answers, path.bytes);
    }
    if (is_good && json_object_size(answers->by_question) == 0) {
        complain("%s: no answers%s%s", path.bytes, mode ? " of mode " : "", mode ? mode : "");
        is_good = 0;
    }
    text_free(&path);
    if (!is_good)
        answers_free(answers);
    return is_good;
}

void answers_free(struct answers *answers)
{
    json_decref(answers->by_question);
    free(answers->label);
    *answers = (struct answers){0};
}
