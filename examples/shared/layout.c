/* Breaking text into lines: see layout.h. Words wait in layout->word with the spaces before them,
 * and go to this line or to the next one when they end. */
#include "layout.h"

#include <stdlib.h>
#include <wchar.h>

enum { TAB_COLUMNS = 8, LEAST_WIDTH = 8 };

unsigned code_width(uint32_t code)
{
    int width = wcwidth((wchar_t)code);
    return width < 0 ? 1 : (unsigned)width;
}

static struct layout_line *last_line(const struct layout *layout)
{
    return &layout->lines[layout->n_lines - 1];
}

static void open_line(struct layout *layout, unsigned indent)
{
    if (layout->n_lines == layout->capacity) {
        layout->capacity = layout->capacity * 2 + 16;
        layout->lines = grow(layout->lines, layout->capacity * sizeof *layout->lines);
    }
    layout->lines[layout->n_lines++] = (struct layout_line){layout->bytes.size, indent};
    for (unsigned i = 0; i < indent; i++)
        text_append(&layout->bytes, " ", 1);
    text_string(&layout->bytes, layout->style);
}

static void close_style(struct layout *layout)
{
    if (layout->style[0])
        text_string(&layout->bytes, "\033[0m");
}

static void next_line(struct layout *layout, unsigned indent)
{
    close_style(layout);
    open_line(layout, indent);
}

/* Puts a word that is wider than a line, character by character. */
static void put_long_word(struct layout *layout)
{
    size_t used;
    for (size_t i = 0; i < layout->word.size; i += used) {
        const char *at = layout->word.bytes + i;
        unsigned width = code_width(utf8_next(at, layout->word.size - i, &used));
        if (last_line(layout)->width + width > layout->width)
            next_line(layout, layout->indent);
        text_append(&layout->bytes, at, used);
        last_line(layout)->width += width;
    }
}

static void put_word(struct layout *layout)
{
    if (layout->word.size == 0)
        return;
    struct layout_line *line = last_line(layout);
    unsigned room = layout->width - line->width;
    if (layout->n_spaces + layout->word_width > room && line->width > layout->indent) {
        next_line(layout, layout->indent);
        layout->n_spaces = 0;
    }
    line = last_line(layout);
    for (; layout->n_spaces && line->width < layout->width; layout->n_spaces--) {
        text_append(&layout->bytes, " ", 1);
        line->width++;
    }
    if (layout->word_width > layout->width - line->width) {
        put_long_word(layout);
    } else {
        text_append(&layout->bytes, layout->word.bytes, layout->word.size);
        line->width += layout->word_width;
    }
    layout->n_spaces = 0;
    layout->word_width = 0;
    text_clear(&layout->word);
}

void layout_start(struct layout *layout, unsigned width)
{
    layout->width = width < LEAST_WIDTH ? LEAST_WIDTH : width;
    layout->indent = 0;
    layout->style = "";
    layout->n_lines = 0;
    layout->n_spaces = 0;
    layout->word_width = 0;
    text_clear(&layout->bytes);
    text_clear(&layout->word);
    open_line(layout, 0);
}

void layout_indent(struct layout *layout, unsigned indent)
{
    layout->indent = indent < layout->width / 2 ? indent : 0;
}

void layout_style(struct layout *layout, const char *style)
{
    put_word(layout);
    close_style(layout);
    layout->style = style;
    text_string(&layout->bytes, style);
}

void layout_text(struct layout *layout, const char *bytes, size_t size)
{
    size_t used;
    for (size_t i = 0; i < size; i += used) {
        uint32_t code = utf8_next(bytes + i, size - i, &used);
        unsigned width = code_width(code);
        if (code == '\n' || code == ' ' || code == '\t') {
            put_word(layout);
            if (code == '\n')
                next_line(layout, layout->indent);
            unsigned column = last_line(layout)->width + layout->n_spaces;
            layout->n_spaces = code == '\n'   ? 0
                               : code == '\t' ? layout->n_spaces + TAB_COLUMNS -
                                                    (column - layout->indent) % TAB_COLUMNS
                                              : layout->n_spaces + 1;
            continue;
        }
        /* Between wide characters a line may break anywhere. */
        if (width == 2)
            put_word(layout);
        text_append(&layout->word, bytes + i, used);
        layout->word_width += width;
        if (width == 2)
            put_word(layout);
    }
}

void layout_break(struct layout *layout)
{
    put_word(layout);
    layout->n_spaces = 0;
    next_line(layout, 0);
}

void layout_finish(struct layout *layout)
{
    put_word(layout);
    close_style(layout);
    layout->style = "";
}

const char *layout_line_bytes(const struct layout *layout, size_t i, size_t *size)
{
    size_t end = i + 1 < layout->n_lines ? layout->lines[i + 1].start : layout->bytes.size;
    *size = end - layout->lines[i].start;
    return layout->bytes.bytes + layout->lines[i].start;
}

void layout_free(struct layout *layout)
{
    text_free(&layout->bytes);
    text_free(&layout->word);
    free(layout->lines);
    *layout = (struct layout){0};
}
