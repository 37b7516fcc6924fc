/* The parts of the report's page. Each appends HTML; together they are one file that loads nothing
 * from anywhere. */
#ifndef SOT_EVAL_REPORT_PAGE_H
#define SOT_EVAL_REPORT_PAGE_H

#include "../shared/text.h"
#include "report_run.h"

struct report_look {
    const char *paper_model; /* whose rows of Fig. 11 stand beside the run's */
    int with_questions;      /* the answers themselves are on the page */
};

/* The whole page. */
void report_page(struct text *out, const struct report_run *runs, size_t n_runs,
                 const struct report_look *look);

/* <style>…</style> */
void report_style(struct text *out);

void report_speed(struct text *out, const struct report_run *run);
void report_models(struct text *out, const struct report_run *run);
void report_latency(struct text *out, const struct report_run *run);
void report_lengths(struct text *out, const struct report_run *run, const struct report_look *look);
void report_router(struct text *out, const struct report_run *run);
void report_memory(struct text *out, const struct report_run *run);
void report_remarks(struct text *out, const struct report_run *run);
void report_questions(struct text *out, const struct report_run *run);

/* <h3> with an anchor of the run's own, and a paragraph, which is HTML. */
void report_heading(struct text *out, const char *title, const char *paragraph);
/* <figure> around what is appended until report_figure_end, whose caption is HTML. */
void report_figure_begin(struct text *out);
void report_figure_end(struct text *out, const char *caption);
/* A colour of the legend. */
void report_key(struct text *out, const char *css, const char *name);

/* Names of the rows for a plot: the categories, then, unless there is only one, "average". Returns
 * how many; names has room for n_categories + 1. */
size_t report_row_names(const struct report_run *run, const char **names);

#endif
