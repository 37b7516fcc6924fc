/* Plots as inline SVG. Colours come from the page's style sheet by class, so that they follow the
 * reader's light or dark theme; nothing is told by colour alone. */
#ifndef SOT_EVAL_SVG_H
#define SOT_EVAL_SVG_H

#include <stddef.h>

#include "../shared/text.h"

struct svg_series {
    const char *name;
    const char *css;      /* class: "c0" … */
    const double *values; /* (n_rows) NAN: none */
};

/* Horizontal bars in groups, one group a row, and the paper's value as a diamond on a line that
 * spans the range over its models. */
struct svg_bars {
    const char *label; /* what it shows, for those who do not see it */
    const char *const *rows;
    size_t n_rows, i_strong; /* i_strong: a row in bold; n_rows: none */
    const struct svg_series *series;
    size_t n_series;
    const double *paper, *paper_low, *paper_high; /* (n_rows) or NULL */
    double reference;                             /* a dashed line there; NAN: none */
    int decimals;
    const char *unit; /* behind each number: "×", "" */
    unsigned width;   /* of the view box */
};
void svg_bars(struct text *out, const struct svg_bars *chart);

/* Horizontal bars made of parts, in groups: rows[i] has n_bars bars, the parts of bar j being at
 * values[(i * n_bars + j) * n_parts]. */
struct svg_stacks {
    const char *label;
    const char *const *rows;
    size_t n_rows, n_bars, n_parts;
    const char *const *bars;  /* (n_bars) their names */
    const char *const *parts; /* (n_parts) their names */
    const char *const *css;   /* (n_parts) */
    const double *values;
    const char *unit;
    int decimals;
    unsigned width;
};
void svg_stacks(struct text *out, const struct svg_stacks *chart);

struct svg_line {
    double slope; /* y = slope * x */
    const char *name;
};

struct svg_scatter {
    const char *label, *x_name, *y_name;
    const double *x, *y;      /* (n) */
    const char *const *names; /* (n) of the points, or NULL */
    size_t n;
    const struct svg_line *lines;
    size_t n_lines;
    const double *mean_x, *mean_y; /* (n_means) joined by a line */
    size_t n_means;
    double reference; /* a dashed horizontal line; NAN: none */
};
void svg_scatter(struct text *out, const struct svg_scatter *chart);

/* Ticks from 0 to at least most: their distance. */
double svg_tick(double most, int n_ticks);

#endif
