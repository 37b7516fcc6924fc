/* The live view of an answer that is being made: all points grow at once, each in its place, above
 * a status line. It is fed with the library's progress and events and wiped before the answer is
 * printed. Where the view is off, every function does nothing. */
#ifndef SOT_COMMAND_VIEW_H
#define SOT_COMMAND_VIEW_H

#include <sot/sot.h>

#include "../shared/layout.h"
#include "../shared/report.h"
#include "screen.h"

struct view_point {
    char index[24];
    struct text outline, expansion;
    uint32_t finish;
};

struct view {
    int on;
    int color;   /* bold and dim may be used */
    int unicode; /* the locale's encoding is UTF-8 */
    struct screen screen;
    struct screen_frame frame;
    struct layout layout;
    struct text scratch;

    uint64_t begin_ns; /* of the loading or the answer */
    uint64_t drawn_ns;

    uint32_t stage;                   /* SOT_STAGE_*, 0 while loading */
    char decision[DECISION_TEXT_MAX]; /* of the router, "" before it and without one */
    uint64_t stage_ns;                /* when the stage's first text came, 0 before */
    uint64_t n_done, n_total;         /* bytes loaded, or prompt tokens computed */
    uint32_t n_pieces;                /* of text in this stage: very nearly the tokens */
    struct text text;                 /* normal answer or skeleton */
    struct view_point *points;
    size_t n_points, n_points_done;
};

/* on: standard output is a terminal that can place text, and the user wants to watch. */
void view_open(struct view *view, int on, int color);
void view_load(struct view *view, uint64_t done_bytes, uint64_t total_bytes);
void view_event(struct view *view, const sot_event *event);
/* Wipes the view from the terminal and forgets the answer. */
void view_wipe(struct view *view);
/* To be called when the program goes on after having been stopped: others wrote to the terminal. */
void view_resume(struct view *view);
void view_free(struct view *view);

/* ns of the steady clock. */
uint64_t now_ns(void);

#endif
