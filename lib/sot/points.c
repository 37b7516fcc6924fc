/* The skeleton parser: finds the points of a response and keeps the first of each index. The exact
 * meaning is that of Python's re.findall on str, with the pattern of App. B.1; how it is said in
 * PCRE2, and why that takes linear time, is written at the pattern. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "points.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fail.h"
#include "base/utf8.h"

/* The paper's pattern is
 *
 *     (\d+)\.\s?([\s\S]+?)(?=\n|\n*$)
 *
 * and the one below finds the same matches and groups:
 *
 *   PT-1  \d is Unicode category Nd in both (UCP). Digits that only the newer of PCRE2's and
 *         Python's Unicode versions has are the one difference that can remain.
 *   PT-2  \s is spelled out: Python takes U+001C to U+001F for white space and PCRE2 does not;
 *         PCRE2 versions disagree about U+180E, which Python does not take.
 *   PT-3  (?<!\d) drops no match. Were there one that starts at p behind a digit, p - 1 would begin
 *         a match as well, one digit longer, and leftmost search would have found that, unless
 *         p - 1 belongs to the match before. But a match ends in front of a newline or at the end,
 *         never in front of the digit at p. Without it, n digits without a dot cost n * n / 2.
 *   PT-4  \d++ gives nothing back: what it could give back is a digit, and a dot comes next.
 *   PT-5  The look-ahead holds exactly in front of a newline and at the end: where no newline
 *         stands, \n* is empty, and $ without MULTILINE then means the end. So the second group is
 *         one character, whatever it is, and everything up to the next newline.
 *
 * An attempt looks at each character a fixed number of times, and attempts that fail look at one
 * run of digits each, no two at the same: the time is linear. */
#define SPACE                                                                                      \
    "[\\t-\\r\\x1C-\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}"                                    \
    "\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}]"
static const char pattern[] = "(?<!\\d)(\\d++)\\." SPACE "?((?s:.)[^\\n]*+)";

/* One attempt needs fewer than ten: whoever comes near this is at fault, not the text. */
enum { MATCH_LIMIT = 1000, HEAP_LIMIT_KIB = 1024 };

typedef struct matcher {
    pcre2_general_context *memory;
    pcre2_compile_context *compile;
    pcre2_match_context *limits;
    pcre2_code *code;
    pcre2_match_data *data;
} matcher;

typedef struct found_point {
    const char *index; /* into the source */
    size_t index_size;
    const char *text;
    size_t text_size;
    bool repeated; /* an earlier one has the same index */
} found_point;

typedef struct found_points {
    found_point *items;
    size_t count;
    size_t capacity;
} found_points;

static void *allocate(PCRE2_SIZE size, void *context)
{
    (void)context;
    return soti_alloc(1, size);
}

static void release(void *block, void *context)
{
    (void)context;
    soti_free(block);
}

static void matcher_close(matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_code_free(m->code);
    pcre2_match_context_free(m->limits);
    pcre2_compile_context_free(m->compile);
    pcre2_general_context_free(m->memory);
}

/* Compiled anew for every skeleton: it takes microseconds and leaves no global state behind. */
static sot_status matcher_open(matcher *m)
{
    *m = (matcher){.memory = pcre2_general_context_create(allocate, release, NULL)};
    if (m->memory == NULL) {
        return SOT_ERR_MEMORY;
    }
    m->compile = pcre2_compile_context_create(m->memory);
    m->limits = pcre2_match_context_create(m->memory);
    if (m->compile == NULL || m->limits == NULL) {
        return SOT_ERR_MEMORY;
    }
    pcre2_set_newline(m->compile, PCRE2_NEWLINE_LF);
    pcre2_set_match_limit(m->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(m->limits, HEAP_LIMIT_KIB);
    int error;
    PCRE2_SIZE at;
    m->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                            &error, &at, m->compile);
    if (m->code == NULL) {
        if (error == PCRE2_ERROR_HEAP_FAILED) {
            return SOT_ERR_MEMORY;
        }
        return soti_fail(SOT_ERR_INTERNAL, "PCRE2 refuses the pattern of points: error %d at %zu",
                         error, at);
    }
    /* A build without JIT, or a system that forbids it, interprets the same pattern. */
    (void)pcre2_jit_compile(m->code, PCRE2_JIT_COMPLETE);
    m->data = pcre2_match_data_create_from_pattern(m->code, m->memory);
    return m->data == NULL ? SOT_ERR_MEMORY : SOT_OK;
}

static sot_status append_found(found_points *found, const found_point *point)
{
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? found->capacity * 2 : 16;
        found_point *items = soti_realloc(found->items, capacity, sizeof *items);
        if (items == NULL) {
            return SOT_ERR_MEMORY;
        }
        found->items = items;
        found->capacity = capacity;
    }
    found->items[found->count++] = *point;
    return SOT_OK;
}

/* All matches in source, which is well-formed UTF-8. */
static sot_status find_all(const matcher *m, const soti_buffer *source, found_points *found)
{
    const char *text = soti_buffer_text(source);
    const PCRE2_SIZE *match = pcre2_get_ovector_pointer(m->data);
    size_t from = 0;
    for (;;) {
        int rc = pcre2_match(m->code, (PCRE2_SPTR)text, source->size, from, PCRE2_NO_UTF_CHECK,
                             m->data, m->limits);
        if (rc == PCRE2_ERROR_NOMATCH) {
            return SOT_OK;
        }
        if (rc == PCRE2_ERROR_NOMEMORY) {
            return soti_fail(SOT_ERR_MEMORY, "out of memory while parsing a skeleton of %zu bytes",
                             source->size);
        }
        if (rc != 3) {
            return soti_fail(SOT_ERR_INTERNAL,
                             "PCRE2 returned %d behind byte %zu of a skeleton of %zu bytes", rc,
                             from, source->size);
        }
        found_point point = {.index = text + match[2],
                             .index_size = match[3] - match[2],
                             .text = text + match[4],
                             .text_size = match[5] - match[4]};
        RETURN_IF_ERROR(append_found(found, &point));
        from = match[1];
    }
}

/* By index text, equal ones in order of appearance (which is their order in memory). */
static int compare_found(const void *left, const void *right)
{
    const found_point *a = *(found_point *const *)left;
    const found_point *b = *(found_point *const *)right;
    if (a->index_size != b->index_size) {
        return a->index_size < b->index_size ? -1 : 1;
    }
    int order = memcmp(a->index, b->index, a->index_size);
    return order ? order : (a > b) - (a < b);
}

/* Sorting rather than hashing: no text, however made, takes more than n log n. */
static sot_status mark_repeated(const found_points *found)
{
    found_point **sorted = soti_alloc(found->count, sizeof(found_point *));
    if (sorted == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < found->count; i++) {
        sorted[i] = &found->items[i];
    }
    qsort(sorted, found->count, sizeof *sorted, compare_found);
    for (size_t i = 1; i < found->count; i++) {
        const found_point *last = sorted[i - 1];
        sorted[i]->repeated = sorted[i]->index_size == last->index_size &&
                              memcmp(sorted[i]->index, last->index, last->index_size) == 0;
    }
    soti_free(sorted);
    return SOT_OK;
}

static sot_status copy_point(sot_points *points, const char *index, size_t index_size,
                             const char *text, size_t text_size)
{
    soti_point *point = &points->points[points->n_points++];
    point->index = soti_copy_text(index, index_size);
    point->text = soti_copy_text(text, text_size);
    point->text_size = text_size;
    return point->index == NULL || point->text == NULL ? SOT_ERR_MEMORY : SOT_OK;
}

static sot_status keep_points(const found_points *found, size_t max_points, sot_points *points)
{
    size_t n_distinct = 0;
    for (size_t i = 0; i < found->count; i++) {
        n_distinct += !found->items[i].repeated;
    }
    size_t n_kept = n_distinct < max_points ? n_distinct : max_points;
    points->n_dropped = n_distinct - n_kept;
    points->points = soti_alloc(n_kept, sizeof(soti_point));
    if (points->points == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; points->n_points < n_kept; i++) {
        const found_point *point = &found->items[i];
        if (!point->repeated) {
            RETURN_IF_ERROR(
                copy_point(points, point->index, point->index_size, point->text, point->text_size));
        }
    }
    return SOT_OK;
}

/* Appends text, each maximal ill-formed subpart as U+FFFD. */
static sot_status append_well_formed(soti_buffer *source, const char *text, size_t size)
{
    RETURN_IF_ERROR(soti_buffer_reserve(source, size));
    for (size_t i = 0; i < size;) {
        size_t n_valid = soti_utf8_find_invalid(text + i, size - i);
        RETURN_IF_ERROR(soti_buffer_append(source, text + i, n_valid));
        i += n_valid;
        if (i < size) {
            uint32_t code;
            bool valid;
            i += soti_utf8_decode(text + i, size - i, &code, &valid);
            char bytes[4];
            RETURN_IF_ERROR(soti_buffer_append(source, bytes, soti_utf8_encode(code, bytes)));
        }
    }
    return SOT_OK;
}

static sot_status parse(const char *text, size_t text_size, size_t max_points, sot_points *points)
{
    soti_buffer source = {0};
    found_points found = {0};
    matcher m = {0};
    sot_status status = append_well_formed(&source, text, text_size);
    if (status == SOT_OK) {
        status = matcher_open(&m);
    }
    if (status == SOT_OK) {
        status = find_all(&m, &source, &found);
    }
    if (status == SOT_OK) {
        status = mark_repeated(&found);
    }
    if (status == SOT_OK) {
        status = keep_points(&found, max_points, points);
    }
    matcher_close(&m);
    soti_free(found.items);
    points->source = source.data; /* the buffer's memory moves into the result */
    points->source_size = source.size;
    return status;
}

sot_status soti_points_parse(const char *text, size_t text_size, uint32_t max_points,
                             sot_points **out)
{
    *out = NULL;
    sot_points *points = soti_alloc(1, sizeof *points);
    if (points == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status =
        parse(text, text_size, max_points ? max_points : SOTI_POINTS_DEFAULT_MAX, points);
    if (status != SOT_OK) {
        soti_points_free(points);
        return status;
    }
    *out = points;
    return SOT_OK;
}

static sot_status copy_into(const sot_points *points, sot_points *copy)
{
    copy->n_dropped = points->n_dropped;
    copy->source_size = points->source_size;
    copy->n_prompt = points->n_prompt;
    copy->n_said = points->n_said;
    RETURN_IF_ERROR(soti_tokens_append(&copy->conversation, points->conversation.ids,
                                       points->conversation.count));
    copy->source = soti_copy_text(points->source, points->source_size);
    copy->points = soti_alloc(points->n_points, sizeof(soti_point));
    if (copy->source == NULL || copy->points == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < points->n_points; i++) {
        const soti_point *point = &points->points[i];
        RETURN_IF_ERROR(
            copy_point(copy, point->index, strlen(point->index), point->text, point->text_size));
    }
    return SOT_OK;
}

sot_status soti_points_copy(const sot_points *points, sot_points **out)
{
    *out = NULL;
    sot_points *copy = soti_alloc(1, sizeof *copy);
    if (copy == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status = copy_into(points, copy);
    if (status != SOT_OK) {
        soti_points_free(copy);
        return status;
    }
    *out = copy;
    return SOT_OK;
}

void soti_points_free(sot_points *points)
{
    if (points == NULL) {
        return;
    }
    for (size_t i = 0; i < points->n_points; i++) {
        soti_free(points->points[i].index);
        soti_free(points->points[i].text);
    }
    soti_free(points->points);
    soti_free(points->source);
    soti_tokens_free(&points->conversation);
    soti_free(points);
}
