/* The progress of a run: see eval_progress.h. */
#include "eval_progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"

enum { BAR_CELLS = 24 };
#define TERMINAL_PAUSE_NS UINT64_C(200000000)
#define PLAIN_PAUSE_NS    UINT64_C(30000000000)

void duration_print(char duration[DURATION_SIZE], double seconds)
{
    unsigned long all = seconds > 0 ? (unsigned long)lround(fmin(seconds, 3.6e8)) : 0;
    if (all >= 3600)
        snprintf(duration, DURATION_SIZE, "%lu:%02lu:%02lu", all / 3600, all / 60 % 60, all % 60);
    else
        snprintf(duration, DURATION_SIZE, "%lu:%02lu", all / 60, all % 60);
}

void eval_progress_open(struct eval_progress *progress, int is_quiet)
{
    const char *terminal = getenv("TERM");
    *progress = (struct eval_progress){.is_quiet = is_quiet};
    progress->is_terminal =
        isatty(STDERR_FILENO) && terminal && terminal[0] && strcmp(terminal, "dumb") != 0;
    progress->begun_ns = progress->said_ns = time_ns();
}

void eval_progress_add(struct eval_progress *progress, const char *mode, size_t n_left, size_t n,
                       size_t n_known, uint64_t known_ns)
{
    unsigned i = progress->n_modes++;
    progress->modes[i].mode = mode;
    progress->modes[i].n_left = n_left;
    progress->modes[i].n_known = n_known;
    progress->modes[i].known_ns = known_ns;
    progress->n_all += n;
    progress->n_done += n - n_left;
}

/* Seconds; negative while no answer is there to go by. A mode without answers is taken for like the
 * others. */
static double time_left(const struct eval_progress *progress)
{
    double known_s = 0;
    size_t n_known = 0;
    double left_s = 0;
    for (unsigned i = 0; i < progress->n_modes; i++) {
        known_s += (double)progress->modes[i].known_ns / 1e9;
        n_known += progress->modes[i].n_known;
    }
    if (n_known == 0)
        return -1;
    for (unsigned i = 0; i < progress->n_modes; i++) {
        double mean_s = progress->modes[i].n_known ? (double)progress->modes[i].known_ns / 1e9 /
                                                         (double)progress->modes[i].n_known
                                                   : known_s / (double)n_known;
        left_s += mean_s * (double)progress->modes[i].n_left;
    }
    if (progress->answer_begun_ns)
        left_s -= (double)(time_ns() - progress->answer_begun_ns) / 1e9;
    return fmax(left_s, 0);
}

/* In the place of what is in the terminal's line; what does not fit into it would stay for ever. */
static void show_in_place(const char *line)
{
    struct winsize size = {0};
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    fprintf(stderr, "\r\033[K%.*s", columns - 1, line);
    fflush(stderr);
}

static void show_bar(const struct eval_progress *progress)
{
    char line[160];
    char bar[BAR_CELLS + 1];
    char left[DURATION_SIZE] = "?";
    size_t n_cells = progress->n_all ? BAR_CELLS * progress->n_done / progress->n_all : 0;
    memset(bar, '-', BAR_CELLS);
    memset(bar, '#', n_cells);
    bar[BAR_CELLS] = '\0';
    double left_s = time_left(progress);
    if (left_s >= 0)
        duration_print(left, left_s);
    snprintf(line, sizeof line, "[%s] %zu of %zu, %s, %s left", bar, progress->n_done,
             progress->n_all, progress->modes[progress->i_mode].mode, left);
    show_in_place(line);
}

static void show_line(const struct eval_progress *progress)
{
    char left[DURATION_SIZE] = "an unknown time";
    double left_s = time_left(progress);
    if (left_s >= 0)
        duration_print(left, left_s);
    fprintf(stderr, "sot-eval: %zu of %zu answers, mode %s, %s left\n", progress->n_done,
            progress->n_all, progress->modes[progress->i_mode].mode, left);
}

void eval_progress_show(struct eval_progress *progress)
{
    uint64_t now = time_ns();
    uint64_t pause = progress->is_terminal ? TERMINAL_PAUSE_NS : PLAIN_PAUSE_NS;
    if (progress->is_quiet || now - progress->said_ns < pause)
        return;
    progress->said_ns = now;
    if (progress->is_terminal)
        show_bar(progress);
    else
        show_line(progress);
}

void eval_progress_begin(struct eval_progress *progress, unsigned i_mode)
{
    progress->i_mode = i_mode;
    progress->answer_begun_ns = time_ns();
    eval_progress_show(progress);
}

void eval_progress_end(struct eval_progress *progress, uint64_t took_ns)
{
    unsigned i = progress->i_mode;
    progress->answer_begun_ns = 0;
    progress->modes[i].n_left--;
    progress->modes[i].n_known++;
    progress->modes[i].known_ns += took_ns;
    progress->n_done++;
    eval_progress_show(progress);
}

void eval_progress_clear(const struct eval_progress *progress)
{
    if (progress->is_terminal && !progress->is_quiet) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}

int32_t eval_progress_load(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    struct eval_progress *progress = user;
    uint64_t now = time_ns();
    if (progress->is_terminal && !progress->is_quiet &&
        now - progress->said_ns >= TERMINAL_PAUSE_NS) {
        progress->said_ns = now;
        char line[80];
        snprintf(line, sizeof line, "loading: %.1f of %.1f GB", (double)done_bytes / 1e9,
                 (double)total_bytes / 1e9);
        show_in_place(line);
    }
    return interrupt_seen();
}
