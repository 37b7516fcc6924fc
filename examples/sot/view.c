/* The state of the live view and its frames: see view.h. Events change the state; a frame is made
 * from the whole state at most every FRAME_NS, so that drawing costs the same at any speed. */
#include "view.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAME_NS     (40 * 1000000ull)  /* 25 frames a second */
#define LOAD_SHOW_NS (400 * 1000000ull) /* loading shorter than this is not worth a bar */

enum { LEAST_COLUMNS = 20, LEAST_LINES = 4, BAR_COLUMNS = 24 };

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void view_open(struct view *view, int on, int color)
{
    *view = (struct view){.on = on, .color = color, .screen = {.fd = STDOUT_FILENO}};
    setlocale(LC_CTYPE, "");
    view->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    /* Answers are UTF-8 all the same, and their widths are needed. */
    if (!view->unicode)
        setlocale(LC_CTYPE, "C.UTF-8");
    view->begin_ns = now_ns();
}

static const char *bold(const struct view *view)
{
    return view->color ? "\033[1m" : "";
}

static const char *dim(const struct view *view)
{
    return view->color ? "\033[2m" : "";
}

/* Appends "[#####-----]" filled by done of total. */
static void append_bar(const struct view *view, struct text *out, uint64_t done, uint64_t total)
{
    double share = total ? (double)done / (double)total : 0;
    int filled = (int)(share * BAR_COLUMNS);
    text_string(out, view->unicode ? "" : "[");
    for (int i = 0; i < BAR_COLUMNS; i++)
        text_string(out, i < filled ? (view->unicode ? "\u2501" : "#")
                                    : (view->unicode ? "\u2500" : "-"));
    text_string(out, view->unicode ? "" : "]");
}

/* Appends a part of the status line, if it still fits. */
static void append_part(const struct view *view, struct text *out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append_part(const struct view *view, struct text *out, const char *format, ...)
{
    char part[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    if (out->size + strlen(part) + 3 >= view->screen.columns)
        return;
    text_string(out, view->unicode ? " \u00b7 " : ", ");
    text_string(out, part);
}

static void append_status(const struct view *view, struct text *out)
{
    static const char *const names[] = {"loading the model", "answering", "writing the skeleton",
                                        "expanding", "asking the router"};
    text_string(out, names[view->stage]);
    if (view->stage == 0) {
        text_string(out, "  ");
        append_bar(view, out, view->n_done, view->n_total);
        text_format(out, "  %.0f %% of %.1f GB",
                    view->n_total ? 100 * (double)view->n_done / (double)view->n_total : 0,
                    (double)view->n_total / 1e9);
        return;
    }
    if (view->n_pieces == 0 && view->n_total) {
        text_string(out, "  ");
        append_bar(view, out, view->n_done, view->n_total);
        text_format(out, "  %llu of %llu prompt tokens", (unsigned long long)view->n_done,
                    (unsigned long long)view->n_total);
        return;
    }
    uint64_t now = now_ns();
    if (view->stage == SOT_STAGE_ROUTE)
        return;
    if (view->n_points)
        append_part(view, out, "%zu of %zu points done", view->n_points_done, view->n_points);
    append_part(view, out, "%.1f s", (double)(now - view->begin_ns) / 1e9);
    if (view->stage_ns && now > view->stage_ns)
        append_part(view, out, "%.1f tokens/s",
                    (double)view->n_pieces * 1e9 / (double)(now - view->stage_ns));
    append_part(view, out, "%u tokens", view->n_pieces);
}

static void add_rows(struct view *view, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        size_t size;
        const char *bytes = layout_line_bytes(&view->layout, i, &size);
        screen_frame_row(&view->frame, bytes, size, view->layout.lines[i].width);
    }
}

static void lay_out_clean(struct view *view, const char *bytes, size_t size)
{
    text_clear(&view->scratch);
    text_clean(&view->scratch, bytes, size);
    layout_text(&view->layout, view->scratch.bytes ? view->scratch.bytes : "", view->scratch.size);
}

static void lay_out_cursor(struct view *view)
{
    layout_style(&view->layout, dim(view));
    layout_text(&view->layout, view->unicode ? "\u2026" : "_", view->unicode ? 3 : 1);
    layout_style(&view->layout, "");
}

static void lay_out_text(struct view *view)
{
    size_t size;
    const char *bytes = trimmed(view->text.bytes ? view->text.bytes : "", view->text.size, &size);
    layout_start(&view->layout, view->screen.columns - 1);
    if (view->stage == SOT_STAGE_SKELETON)
        layout_style(&view->layout, dim(view));
    lay_out_clean(view, bytes, size);
    lay_out_cursor(view);
    layout_finish(&view->layout);
}

static void lay_out_point(struct view *view, const struct view_point *point)
{
    size_t size;
    const char *bytes = trimmed(point->outline.bytes, point->outline.size, &size);
    layout_style(&view->layout, bold(view));
    lay_out_clean(view, point->index, strlen(point->index));
    layout_text(&view->layout, ". ", 2);
    layout_indent(&view->layout, (unsigned)strlen(point->index) + 2);
    lay_out_clean(view, bytes, size);
    layout_style(&view->layout, "");
    bytes =
        trimmed(point->expansion.bytes ? point->expansion.bytes : "", point->expansion.size, &size);
    if (size)
        layout_text(&view->layout, " ", 1);
    lay_out_clean(view, bytes, size);
    if (point->finish == SOT_FINISH_NONE)
        lay_out_cursor(view);
}

/* The most rows that each of the points may have so that all fit into room. */
static size_t rows_for_each(const size_t *n_rows, size_t n_points, size_t room)
{
    size_t each = 0;
    for (;;) {
        size_t sum = 0;
        size_t longest = 0;
        for (size_t i = 0; i < n_points; i++) {
            sum += n_rows[i] < each + 1 ? n_rows[i] : each + 1;
            longest = n_rows[i] > longest ? n_rows[i] : longest;
        }
        if (sum > room || each >= longest)
            return each;
        each++;
    }
}

/* Adds the points to the frame. Points that do not fit keep their first row and show the end of the
 * rest; where there are more points than rows, the last ones are shown. */
static void add_points(struct view *view, size_t room)
{
    size_t *first = grow(NULL, (view->n_points + 1) * 2 * sizeof *first);
    size_t *n_rows = first + view->n_points + 1;
    layout_start(&view->layout, view->screen.columns - 1);
    for (size_t i = 0; i < view->n_points; i++) {
        if (i > 0)
            layout_break(&view->layout);
        first[i] = view->layout.n_lines - 1;
        lay_out_point(view, &view->points[i]);
    }
    layout_finish(&view->layout);
    first[view->n_points] = view->layout.n_lines;
    for (size_t i = 0; i < view->n_points; i++)
        n_rows[i] = first[i + 1] - first[i];
    size_t each = rows_for_each(n_rows, view->n_points, room);
    if (each == 0) {
        add_rows(view, view->layout.n_lines - room, room);
    } else {
        for (size_t i = 0; i < view->n_points; i++) {
            if (n_rows[i] <= each) {
                add_rows(view, first[i], n_rows[i]);
            } else {
                add_rows(view, first[i], 1);
                add_rows(view, first[i + 1] - (each - 1), each - 1);
            }
        }
    }
    free(first);
}

/* Adds the first row of a text, dim. */
static void add_dim_row(struct view *view, const char *bytes, size_t size)
{
    layout_start(&view->layout, view->screen.columns - 1);
    layout_style(&view->layout, dim(view));
    layout_text(&view->layout, bytes, size);
    layout_finish(&view->layout);
    add_rows(view, 0, 1);
}

static void draw(struct view *view, int force)
{
    uint64_t now = now_ns();
    if (!force && now - view->drawn_ns < FRAME_NS)
        return;
    view->drawn_ns = now;
    screen_measure(&view->screen);
    if (view->screen.columns < LEAST_COLUMNS || view->screen.lines < LEAST_LINES) {
        screen_wipe(&view->screen);
        return;
    }
    screen_frame_clear(&view->frame);
    int shows_decision = view->decision[0] && view->screen.lines > LEAST_LINES;
    size_t room = view->screen.lines - (shows_decision ? 3 : 2);
    if (view->n_points) {
        add_points(view, room);
    } else if (view->text.size) {
        lay_out_text(view);
        size_t count = view->layout.n_lines < room ? view->layout.n_lines : room;
        add_rows(view, view->layout.n_lines - count, count);
    }
    if (view->frame.n_rows)
        screen_frame_row(&view->frame, "", 0, 0);
    if (shows_decision)
        add_dim_row(view, view->decision, strlen(view->decision));
    struct text status = {0};
    append_status(view, &status);
    add_dim_row(view, status.bytes, status.size);
    text_free(&status);
    screen_draw(&view->screen, &view->frame);
}

void view_load(struct view *view, uint64_t done_bytes, uint64_t total_bytes)
{
    if (!view->on)
        return;
    view->n_done = done_bytes;
    view->n_total = total_bytes;
    if (now_ns() - view->begin_ns >= LOAD_SHOW_NS)
        draw(view, 0);
}

static void forget_answer(struct view *view)
{
    for (size_t i = 0; i < view->n_points; i++) {
        text_free(&view->points[i].outline);
        text_free(&view->points[i].expansion);
    }
    free(view->points);
    view->points = NULL;
    view->n_points = view->n_points_done = 0;
    text_clear(&view->text);
    view->stage = 0;
    view->decision[0] = '\0';
    view->n_done = view->n_total = 0;
}

static void add_point(struct view *view, const sot_event *event)
{
    if (event->i_point != view->n_points)
        return;
    view->points = grow(view->points, (view->n_points + 1) * sizeof *view->points);
    struct view_point *point = &view->points[view->n_points++];
    *point = (struct view_point){.finish = SOT_FINISH_NONE};
    snprintf(point->index, sizeof point->index, "%s", event->index ? event->index : "");
    text_append(&point->outline, event->text, event->text_size);
}

void view_event(struct view *view, const sot_event *event)
{
    if (!view->on)
        return;
    int is_piece = event->type == SOT_EVENT_TEXT || event->type == SOT_EVENT_EXPANSION;
    if (is_piece) {
        view->n_pieces++;
        if (!view->stage_ns)
            view->stage_ns = now_ns();
    }
    switch (event->type) {
    case SOT_EVENT_STAGE:
        if (view->stage == 0 ||
            (event->stage != SOT_STAGE_EXPAND && view->stage != SOT_STAGE_ROUTE))
            view->begin_ns = now_ns();
        view->stage = event->stage <= SOT_STAGE_ROUTE ? event->stage : SOT_STAGE_NORMAL;
        view->n_pieces = 0;
        view->stage_ns = 0;
        view->n_done = view->n_total = 0;
        break;
    case SOT_EVENT_TEXT:
        text_append(&view->text, event->text, event->text_size);
        break;
    case SOT_EVENT_POINT:
        add_point(view, event);
        return; /* they come one by one; drawn once all are there */
    case SOT_EVENT_EXPANSION:
        if (event->i_point < view->n_points)
            text_append(&view->points[event->i_point].expansion, event->text, event->text_size);
        break;
    case SOT_EVENT_POINT_END:
        if (event->i_point < view->n_points) {
            view->points[event->i_point].finish = event->finish;
            view->n_points_done++;
        }
        break;
    case SOT_EVENT_DECISION:
        describe_decision(event->decision, view->decision, sizeof view->decision);
        break;
    case SOT_EVENT_PREFILL:
        view->n_done = event->n_done;
        view->n_total = event->n_total;
        break;
    default:
        break;
    }
    draw(view, event->type == SOT_EVENT_STAGE);
}

void view_wipe(struct view *view)
{
    if (!view->on)
        return;
    screen_wipe(&view->screen);
    forget_answer(view);
}

void view_resume(struct view *view)
{
    screen_forget(&view->screen);
}

void view_free(struct view *view)
{
    forget_answer(view);
    text_free(&view->text);
    text_free(&view->scratch);
    layout_free(&view->layout);
    screen_frame_free(&view->frame);
    screen_free(&view->screen);
}
