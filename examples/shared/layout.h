/* Text broken into lines of a terminal: by words, with an indent for the lines that follow, aware
 * of wide characters, with a style (an escape sequence) that is closed and opened again at each
 * break, so that any line can be drawn alone. Input must have gone through text_clean. */
#ifndef SOT_SHARED_LAYOUT_H
#define SOT_SHARED_LAYOUT_H

#include "text.h"

struct layout_line {
    size_t start; /* in bytes; the line ends where the next one starts */
    unsigned width;
};

struct layout {
    struct text bytes;
    struct layout_line *lines;
    size_t n_lines, capacity;
    unsigned width;    /* columns of a line, at least 8 */
    unsigned indent;   /* columns in front of each line but the first */
    const char *style; /* what is open now; "" for none */
    /* The last word is held back until its width is known. */
    struct text word;
    unsigned word_width, n_spaces;
};

/* Forgets what was laid out and opens the first line. */
void layout_start(struct layout *layout, unsigned width);
void layout_indent(struct layout *layout, unsigned indent);
void layout_style(struct layout *layout, const char *style);
void layout_text(struct layout *layout, const char *bytes, size_t size);
/* Ends the line and opens the next one, without indent. */
void layout_break(struct layout *layout);
/* Settles the last word. Before it the lines are not complete. */
void layout_finish(struct layout *layout);
const char *layout_line_bytes(const struct layout *layout, size_t i, size_t *size);
void layout_free(struct layout *layout);

/* Columns that a code point takes: 0, 1 or 2. */
unsigned code_width(uint32_t code);

#endif
