/* A block of rows at the bottom of a terminal's text that is drawn again and again in place.
 * Nothing of the terminal's modes is changed, so there is nothing to restore, however the program
 * ends. */
#ifndef SOT_COMMAND_SCREEN_H
#define SOT_COMMAND_SCREEN_H

#include "../shared/text.h"

struct screen_row {
    size_t start, size; /* in a frame's bytes */
    unsigned width;
};

/* What is to be seen: rows of at most columns - 1 characters, without line ends. */
struct screen_frame {
    struct text bytes;
    struct screen_row *rows;
    size_t n_rows, capacity;
};

struct screen {
    int fd;
    unsigned columns, lines; /* as screen_measure last found them */
    struct screen_frame drawn;
    unsigned drawn_columns, drawn_lines; /* the terminal's size then */
    struct text out;
    int failed; /* the terminal is gone: nothing more is written */
};

/* Asks the terminal for its size; 80 x 24 where it does not know. Before each frame. */
void screen_measure(struct screen *screen);

void screen_frame_clear(struct screen_frame *frame);
void screen_frame_row(struct screen_frame *frame, const char *bytes, size_t size, unsigned width);
void screen_frame_free(struct screen_frame *frame);

/* Replaces what was drawn by *frame; the two change places. At most lines rows. */
void screen_draw(struct screen *screen, struct screen_frame *frame);

/* Wipes what was drawn; the cursor is where the first row began. */
void screen_wipe(struct screen *screen);

/* Leaves what was drawn to others who have written below it: the next frame starts at the cursor.
 */
void screen_forget(struct screen *screen);

void screen_free(struct screen *screen);

#endif
