/* See answer.h. Aggregation only; generating is pipeline.c's. */
#include "sot/answer.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"

/* The characters for which Python's str.isspace() holds. */
static bool is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

const char *soti_answer_trim(const char *text, size_t *size)
{
    size_t first = *size; /* of the first character that is no space */
    size_t end = 0;       /* behind the last one */
    for (size_t i = 0; i < *size;) {
        uint32_t code;
        bool valid;
        size_t n = soti_utf8_decode(text + i, *size - i, &code, &valid);
        if (!is_space(code)) {
            first = first < i ? first : i;
            end = i + n;
        }
        i += n;
    }
    *size = end > first ? end - first : 0;
    return text + first;
}

/* Takes "{index}. {point}" away where an expansion begins with it. */
static const char *skip_point(const soti_point *point, const char *text, size_t *size)
{
    size_t outline_size = point->text_size;
    const char *outline = soti_answer_trim(point->text, &outline_size);
    const struct {
        const char *text;
        size_t size;
    } parts[] = {{point->index, strlen(point->index)}, {". ", 2}, {outline, outline_size}};
    const char *at = text;
    size_t left = *size;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (left < parts[i].size || memcmp(at, parts[i].text, parts[i].size) != 0) {
            return text;
        }
        at += parts[i].size;
        left -= parts[i].size;
    }
    *size = left;
    return soti_answer_trim(at, size);
}

sot_status soti_answer_aggregate(sot_answer *answer)
{
    const sot_points *points = answer->points;
    soti_buffer *text = &answer->text;
    soti_buffer_truncate(text, 0);
    if (answer->n_expansions == 0) {
        return soti_buffer_append(text, points->source, points->source_size);
    }
    for (size_t i = 0; i < answer->n_expansions; i++) {
        const soti_point *point = &points->points[i];
        const soti_buffer *expansion = &answer->expansions[i].text;
        size_t size = expansion->size;
        const char *trimmed = soti_answer_trim(soti_buffer_text(expansion), &size);
        if (answer->repeats_points) {
            trimmed = skip_point(point, trimmed, &size);
        }
        RETURN_IF_ERROR(soti_buffer_append_text(text, i > 0 ? "\n" : ""));
        RETURN_IF_ERROR(soti_buffer_append_text(text, point->index));
        RETURN_IF_ERROR(soti_buffer_append_text(text, ". "));
        RETURN_IF_ERROR(soti_buffer_append(text, point->text, point->text_size));
        RETURN_IF_ERROR(soti_buffer_append_text(text, " "));
        RETURN_IF_ERROR(soti_buffer_append(text, trimmed, size));
    }
    return SOT_OK;
}

uint32_t soti_answer_worse_finish(uint32_t a, uint32_t b)
{
    static const uint32_t order[] = {SOT_FINISH_CANCELLED, SOT_FINISH_CONTEXT, SOT_FINISH_LENGTH,
                                     SOT_FINISH_STOP};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (a == order[i] || b == order[i]) {
            return order[i];
        }
    }
    return SOT_FINISH_NONE;
}

void soti_answer_free(sot_answer *answer)
{
    if (answer == NULL) {
        return;
    }
    for (size_t i = 0; i < answer->n_expansions; i++) {
        soti_buffer_free(&answer->expansions[i].text);
    }
    soti_free(answer->expansions);
    soti_points_free(answer->points);
    soti_buffer_free(&answer->text);
    soti_free(answer);
}
