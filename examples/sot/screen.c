/* Drawing rows in place: see screen.h. The cursor rests behind the last row; a frame goes up from
 * there, rewrites the rows that differ and clears what is left over, in a single write. */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void screen_measure(struct screen *screen)
{
    struct winsize size;
    int known = ioctl(screen->fd, TIOCGWINSZ, &size) == 0;
    screen->columns = known && size.ws_col ? size.ws_col : 80;
    screen->lines = known && size.ws_row ? size.ws_row : 24;
}

void screen_frame_clear(struct screen_frame *frame)
{
    text_clear(&frame->bytes);
    frame->n_rows = 0;
}

void screen_frame_row(struct screen_frame *frame, const char *bytes, size_t size, unsigned width)
{
    if (frame->n_rows == frame->capacity) {
        frame->capacity = frame->capacity * 2 + 16;
        frame->rows = grow(frame->rows, frame->capacity * sizeof *frame->rows);
    }
    frame->rows[frame->n_rows++] = (struct screen_row){frame->bytes.size, size, width};
    text_append(&frame->bytes, bytes, size);
}

void screen_frame_free(struct screen_frame *frame)
{
    text_free(&frame->bytes);
    free(frame->rows);
    *frame = (struct screen_frame){0};
}

static void flush(struct screen *screen)
{
    const char *at = screen->out.bytes;
    size_t left = screen->out.size;
    while (left && !screen->failed) {
        ssize_t written = write(screen->fd, at, left);
        if (written >= 0) {
            at += written;
            left -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {screen->fd, POLLOUT, 0};
            poll(&writable, 1, 100);
        } else if (errno != EINTR) {
            screen->failed = 1;
        }
    }
    text_clear(&screen->out);
}

/* Moves to the first row drawn. A terminal that became narrower has broken the rows that no longer
 * fit, so they are counted anew with the width of now. */
static void go_to_top(struct screen *screen)
{
    size_t up = 0;
    for (size_t i = 0; i < screen->drawn.n_rows; i++) {
        unsigned width = screen->drawn.rows[i].width;
        up += width > screen->columns ? (width + screen->columns - 1) / screen->columns : 1;
    }
    text_append(&screen->out, "\r", 1);
    if (up > 1)
        text_format(&screen->out, "\033[%zuA", up - 1);
}

static int same_row(const struct screen_frame *a, const struct screen_frame *b, size_t i)
{
    if (i >= a->n_rows || i >= b->n_rows || a->rows[i].size != b->rows[i].size)
        return 0;
    return a->rows[i].size == 0 || memcmp(a->bytes.bytes + a->rows[i].start,
                                          b->bytes.bytes + b->rows[i].start, a->rows[i].size) == 0;
}

void screen_draw(struct screen *screen, struct screen_frame *frame)
{
    go_to_top(screen);
    if (screen->drawn_columns != screen->columns || screen->drawn_lines != screen->lines) {
        text_string(&screen->out, "\033[J");
        screen_frame_clear(&screen->drawn);
        screen->drawn_columns = screen->columns;
        screen->drawn_lines = screen->lines;
    }
    for (size_t i = 0; i < frame->n_rows; i++) {
        if (i > 0)
            text_string(&screen->out, "\r\n");
        if (same_row(frame, &screen->drawn, i))
            continue;
        if (frame->rows[i].size)
            text_append(&screen->out, frame->bytes.bytes + frame->rows[i].start,
                        frame->rows[i].size);
        text_string(&screen->out, "\033[K");
    }
    /* The last row may have been left at its first column. */
    if (frame->n_rows && frame->rows[frame->n_rows - 1].width)
        text_format(&screen->out, "\r\033[%uC", frame->rows[frame->n_rows - 1].width);
    if (screen->drawn.n_rows > frame->n_rows)
        text_string(&screen->out, "\033[J");
    flush(screen);
    struct screen_frame old = screen->drawn;
    screen->drawn = *frame;
    *frame = old;
}

void screen_wipe(struct screen *screen)
{
    if (screen->drawn.n_rows == 0)
        return;
    screen_measure(screen);
    go_to_top(screen);
    text_string(&screen->out, "\033[J");
    flush(screen);
    screen_frame_clear(&screen->drawn);
}

void screen_forget(struct screen *screen)
{
    screen_frame_clear(&screen->drawn);
}

void screen_free(struct screen *screen)
{
    screen_frame_free(&screen->drawn);
    text_free(&screen->out);
}
