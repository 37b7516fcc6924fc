/* A run as the report shows it: its records, question by question, and what they come to beyond
 * statistics.h: means over categories as the paper takes them, where the time went, what the router
 * decided. */
#ifndef SOT_EVAL_REPORT_RUN_H
#define SOT_EVAL_REPORT_RUN_H

#include <jansson.h>

#include "../shared/answer_options.h"
#include "statistics.h"

extern const char *const mode_titles[N_MODES]; /* for people */

struct report_question {
    const struct record *records[N_MODES]; /* NULL: not recorded */
    const struct record *any;              /* the first of them */
};

/* Mean times over the questions that were answered in normal mode and in this one, seconds; NAN:
 * there is none. */
struct report_time {
    double prefill[N_STAGES], decode[N_STAGES];
    double rest; /* of the whole, in neither: tokenizing, parsing, routing */
};

struct report_row {
    const char *name;
    struct category_statistics sot, routed; /* against normal generation */
    struct report_time times[N_MODES];      /* normal: on the questions that have an SoT answer */
    size_t n_labelled, n_suitable;          /* questions with a human label; labelled fit for SoT */
    size_t n_routed, n_chosen;              /* the router was asked; it chose SoT */
};

/* Questions whose skeleton had so many points. */
struct points_group {
    uint32_t n_points;
    size_t n;
    double speedup; /* mean of each question's own */
};

struct report_run {
    const char *path;
    json_t *facts; /* run.json */
    struct record_list records;
    struct report_question *questions; /* (n_questions) as they come first in the records */
    size_t n_questions;
    size_t n_of_mode[N_MODES];
    /* (n_categories + 2) the categories; the mean over them, as the paper's averages are taken; and
     * all questions. */
    struct report_row *rows;
    size_t n_categories;
    struct routing routing;      /* of SoT-R */
    struct points_group *groups; /* (n_groups) by number of points */
    size_t n_groups;
    const char *data; /* "vicuna80", "wizardlm", or NULL: by its categories neither */
};

/* Reads the folder path. Returns 0 after having said what is wrong. */
int report_run_read(struct report_run *run, const char *path);
void report_run_free(struct report_run *run);

const struct report_row *report_average(const struct report_run *run);
const struct report_row *report_all(const struct report_run *run);

/* Whether a question has what a comparison needs: an answer without a failure in both modes. */
int report_compares(const struct report_question *question, unsigned mode);
/* What the lengths of a question's texts allow, and what was reached; NAN where they do not say. */
double report_bound(const struct report_question *question, unsigned mode);
double report_speedup(const struct report_question *question, unsigned mode);

/* What a reader should know about a record, as a sentence; 0: nothing. */
int report_remark(const struct record *record, char *remark, size_t capacity);

#endif
