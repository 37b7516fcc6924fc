/* See json_parse.h. Two things are known before jansson (2.14 and before) reads a text: that its
 * values will not take too much memory (measure), and that the buffer which it collects tokens in
 * has room for the longest (feed). malloc's errno says what jansson does not, so a host that gives
 * jansson an allocator (json_set_alloc_funcs) gives it one that sets ENOMEM where it fails, as
 * malloc does: of any other, a shortage may go unseen. */
#include "io/json_parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { SLACK = 16 }; /* quotes, and the byte that jansson reads behind a token */

/* What jansson allocates, by malloc's own count (glibc, 64 bits), and how much of it a text may
 * need: the largest profile that can be saved, 4096 x 4096 numbers, loads. */
enum { OBJECT_BYTES = 224, ARRAY_BYTES = 128, STRING_BYTES = 96, ITEM_BYTES = 48 };
static const uint64_t memory_most = UINT64_C(1) << 30;
static const char too_much[] = "the values need more than 1 GiB of memory";

static const char opening[] = "[\"";
static const char closing[] = "\",";

typedef struct source {
    const char *text;
    size_t size;
    size_t n_filler;
    uint32_t i_part;
    size_t n_done; /* of that part */
} source;

typedef struct extent {
    size_t longest; /* stretch between two quotes: no token is longer */
    uint64_t memory_bytes;
} extent;

static extent measure(const char *text, size_t size)
{
    extent found = {.memory_bytes = ITEM_BYTES};
    size_t begin = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            found.longest = i - begin > found.longest ? i - begin : found.longest;
            begin = i + 1;
            is_quoted = !is_quoted;
            found.memory_bytes += is_quoted ? STRING_BYTES : 0;
        } else if (!is_quoted) {
            found.memory_bytes += text[i] == '{'   ? OBJECT_BYTES
                                  : text[i] == '[' ? ARRAY_BYTES
                                  : text[i] == ',' ? ITEM_BYTES
                                                   : 0;
        }
    }
    if (size > begin && size - begin > found.longest) {
        found.longest = size - begin;
    }
    return found;
}

/* Of a string that makes the buffer grow before the text comes: longer than any token of the text,
 * and its quotes find room without growing, which happens at powers of two. */
static size_t filler_size(size_t longest)
{
    size_t n = longest + SLACK;
    size_t n_quoted = n + 2;
    return (n_quoted & (n_quoted - 1)) == 0 ? n + 1 : n;
}

/* jansson's buffer doubles, and where that fails jansson drops the byte and goes on: letters and
 * digits are missing then, and without its closing quote a string is read beyond its end. So
 *
 *     ["   xxx…x   ",   text   ]
 *
 * is what it reads, at most one of these parts at a time, and the text comes only if the filler is
 * in the buffer. */
static size_t feed(void *buffer, size_t room, void *user)
{
    source *from = user;
    const struct {
        const char *bytes;
        size_t n;
    } parts[] = {{opening, sizeof opening - 1},
                 {NULL, from->n_filler},
                 {closing, sizeof closing - 1},
                 {from->text, from->size},
                 {"]", 1}};
    enum { N_PARTS = sizeof parts / sizeof *parts };
    while (from->i_part < N_PARTS && from->n_done == parts[from->i_part].n) {
        from->i_part++;
        from->n_done = 0;
    }
    if (from->i_part == N_PARTS || (from->i_part == 2 && errno == ENOMEM)) {
        return 0;
    }
    size_t rest = parts[from->i_part].n - from->n_done;
    size_t n = rest < room ? rest : room;
    if (parts[from->i_part].bytes != NULL) {
        memcpy(buffer, parts[from->i_part].bytes + from->n_done, n);
    } else {
        memset(buffer, 'x', n);
    }
    from->n_done += n;
    return n;
}

/* How many brackets are open where size bytes of the text are read; negative: closed too often. */
static long depth_behind(const char *text, size_t size)
{
    long depth = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted) {
            depth += text[i] == '{' || text[i] == '[';
            depth -= text[i] == '}' || text[i] == ']';
        }
    }
    return depth;
}

static void set_text(json_error_t *error, const char *before, const char *after)
{
    char words[JSON_ERROR_TEXT_LENGTH - 1]; /* the last byte is the code */
    snprintf(words, sizeof words, "%s%s", before, after);
    memcpy(error->text, words, sizeof words);
}

/* Places and words of what is around the text become those of the text alone. */
static void translate(json_error_t *error, const source *from)
{
    static const char unclosed[] = "']' expected";
    static const char at_bracket[] = "near ']'";
    size_t n_before = sizeof opening - 1 + from->n_filler + sizeof closing - 1;
    size_t position = error->position > 0 ? (size_t)error->position : 0;
    bool is_behind = position > n_before + from->size; /* the last bracket */
    position = position > n_before ? position - n_before : 0;
    error->position = (int)position - is_behind;
    error->column -= is_behind;
    if (error->line <= 1) {
        error->column = error->column > (int)n_before ? error->column - (int)n_before : 0;
    }
    size_t n = strlen(error->text);
    if (json_error_code(error) == json_error_premature_end_of_input && n > 2) {
        if (strcmp(error->text + n - 2, "]'") == 0) { /* inside a string */
            memcpy(error->text + n - 2, "'", 2);
        }
    } else if (is_behind && n > sizeof at_bracket &&
               json_error_code(error) != json_error_end_of_input_expected) {
        char *end = error->text + n - (sizeof at_bracket - 1);
        if (strcmp(end, at_bracket) == 0) {
            *end = '\0';
            set_text(error, error->text, "near end of file");
        }
    } else if (strncmp(error->text, unclosed, sizeof unclosed - 1) == 0 &&
               depth_behind(from->text, position < from->size ? position : from->size) <= 0) {
        set_text(error, "end of file expected", error->text + sizeof unclosed - 1);
    }
}

/* The array of filler and text. NULL: *is_short says whether memory may have been. */
static json_t *load_array(source from, json_error_t *error, bool *is_short)
{
    *error = (json_error_t){.line = -1}; /* jansson sets the code only where it fails */
    errno = 0;
    json_t *root = json_load_callback(feed, &from, JSON_REJECT_DUPLICATES, error);
    *is_short =
        root == NULL && (errno == ENOMEM || json_error_code(error) == json_error_out_of_memory);
    return root;
}

static void set_error(json_error_t *error, const char *before, const char *after)
{
    error->line = error->column = 1;
    error->position = 0;
    set_text(error, before, after);
}

json_t *soti_json_load(const char *text, size_t size, json_error_t *error)
{
    extent needed = measure(text, size);
    if (needed.memory_bytes > memory_most) {
        *error = (json_error_t){0};
        set_error(error, too_much, "");
        return NULL;
    }
    const source from = {.text = text, .size = size, .n_filler = filler_size(needed.longest)};
    bool is_short = false;
    json_t *root = load_array(from, error, &is_short);
    if (is_short) { /* malloc leaves ENOMEM behind where it fails in one way and works in another */
        root = load_array(from, error, &is_short);
    }
    if (is_short) {
        error->text[0] = '\0';
    } else if (root == NULL && error->text[0] != '\0') {
        translate(error, &from);
    }
    if (root == NULL) {
        return NULL;
    }
    json_t *value = json_incref(json_array_get(root, 1));
    if (json_array_size(root) != 2) { /* no text or several, with commas between */
        json_decref(value);
        value = NULL;
        set_error(error, "expected one value, found ", json_array_size(root) < 2 ? "none" : "more");
    }
    json_decref(root);
    return value;
}
