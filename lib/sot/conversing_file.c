/* Conversations as JSON lines, a round each: see conversing.h. Anything may stand in a file that is
 * read. */
#include "sot/conversing.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/fail.h"
#include "io/file_out.h"
#include "io/filemap.h"
#include "io/json_file.h"

static sot_status put_round(soti_file_out *file, const soti_round *round, soti_buffer *line)
{
    json_t *object = json_object();
    soti_buffer_truncate(line, 0);
    bool made = json_object_set_new(object, "question", json_string(round->question)) == 0 &&
                json_object_set_new(object, "answer", json_string(round->answer)) == 0 &&
                json_dump_callback(object, soti_buffer_take, line, 0) == 0;
    json_decref(object);
    if (!made) {
        return soti_fail(SOT_ERR_MEMORY, "%s: out of memory while writing JSON", file->path);
    }
    RETURN_IF_ERROR(soti_buffer_append(line, "\n", 1));
    return soti_file_out_put(file, line->data, line->size);
}

sot_status soti_chat_save(const sot_chat *chat, const char *path)
{
    soti_file_out file;
    soti_buffer line = {0};
    RETURN_IF_ERROR(soti_buffer_reserve(&line, 256));
    sot_status status = soti_file_out_open(path, &file);
    for (size_t i = 0; status == SOT_OK && i < chat->n_rounds; i++) {
        status = put_round(&file, &chat->rounds[i], &line);
    }
    if (status == SOT_OK) {
        status = soti_file_out_commit(&file);
    }
    soti_file_out_close(&file);
    soti_buffer_free(&line);
    return status;
}

static sot_status append_object(sot_chat *chat, const char *file, const json_t *object)
{
    const char *question = NULL;
    const char *answer = NULL;
    RETURN_IF_ERROR(soti_json_get_text(file, object, "question", true, &question));
    RETURN_IF_ERROR(soti_json_get_text(file, object, "answer", true, &answer));
    if (question[0] == '\0') {
        return soti_fail(SOT_ERR_FORMAT, "%s: question is empty", file);
    }
    return soti_chat_append(chat, question, answer, strlen(answer));
}

static sot_status append_line(sot_chat *chat, const char *file, size_t i_line, const char *line,
                              size_t size)
{
    json_t *object;
    RETURN_IF_ERROR(soti_json_parse_line(file, i_line, line, size, &object));
    char name[32];
    snprintf(name, sizeof name, "line %zu", i_line);
    sot_status status = append_object(chat, name, object);
    json_decref(object);
    return status == SOT_ERR_FORMAT ? soti_fail_in(status, "%s: ", file) : status;
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (strchr(" \t\r", line[i]) == NULL || line[i] == '\0') {
            return false;
        }
    }
    return true;
}

sot_status soti_chat_parse(sot_chat *chat, const char *file, const char *text, size_t size)
{
    size_t i_line = 1;
    for (size_t at = 0; at < size; i_line++) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', size - at);
        size_t line_size = end != NULL ? (size_t)(end - line) : size - at;
        if (!is_blank(line, line_size)) {
            RETURN_IF_ERROR(append_line(chat, file, i_line, line, line_size));
        }
        at += line_size + 1;
    }
    return SOT_OK;
}

sot_status soti_chat_read(sot_chat *chat, const char *path)
{
    soti_filemap map;
    RETURN_IF_ERROR(soti_filemap_read_any(path, &map)); /* answers may have any length */
    /* An empty file is a conversation that has not begun. */
    sot_status status = soti_chat_parse(chat, path, (const char *)map.data, map.size);
    soti_filemap_close(&map);
    return status;
}
