/* How far a run is: a bar with the time left on a terminal, a plain line every half minute
 * elsewhere; both on standard error. */
#ifndef SOT_EVAL_PROGRESS_H
#define SOT_EVAL_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "run_options.h"

struct eval_progress {
    int is_quiet, is_terminal;
    size_t n_all, n_done; /* answers, of all modes */
    struct {
        const char *mode;
        size_t n_left;
        size_t n_known; /* answers whose time is known, of earlier runs too */
        uint64_t known_ns;
    } modes[N_MODES];
    unsigned n_modes, i_mode;
    uint64_t begun_ns, said_ns;
    uint64_t answer_begun_ns; /* 0: none is being generated */
};

void eval_progress_open(struct eval_progress *progress, int is_quiet);
/* A mode that will run, with how many answers it still has to give of how many, and what answers
 * that are there took. */
void eval_progress_add(struct eval_progress *progress, const char *mode, size_t n_left, size_t n,
                       size_t n_known, uint64_t known_ns);
void eval_progress_begin(struct eval_progress *progress, unsigned i_mode); /* an answer */
void eval_progress_end(struct eval_progress *progress, uint64_t took_ns);
/* Says how far things are, at most every so often. */
void eval_progress_show(struct eval_progress *progress);
/* Removes the bar, so that something else can be said. */
void eval_progress_clear(const struct eval_progress *progress);
/* A sot_progress_fn; user is the struct eval_progress. Non-zero once there was a Ctrl-C. */
int32_t eval_progress_load(uint64_t done_bytes, uint64_t total_bytes, void *user);

/* "1:02:03", "2:03", "0:07". */
enum { DURATION_SIZE = 32 };
void duration_print(char duration[DURATION_SIZE], double seconds);

#endif
