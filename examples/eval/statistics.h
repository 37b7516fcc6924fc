/* What records come to, per category of questions: what the paper shows in Figs. 2, 7, 11, 12 and
 * 37 to 40. A mode is compared with normal generation on the questions that have both. */
#ifndef SOT_EVAL_STATISTICS_H
#define SOT_EVAL_STATISTICS_H

#include "records.h"

/* Means are over questions; NAN where there is none to take it over. */
struct category_statistics {
    const char *category; /* borrowed from the records; "all" for the last */
    size_t n_questions;   /* with a record in either mode */
    size_t n_compared;    /* that have both, each without a failure */
    size_t n_sot;         /* of the mode's that were answered by Skeleton-of-Thought */
    size_t n_expanded;    /* of these with at least one point */

    double points;          /* per answer by SoT (Fig. 11a) */
    double skeleton_tokens; /* per answer by SoT */
    /* Over n_expanded. */
    double point_tokens;  /* of a point's expansion: mean over the points of all these answers */
    double longest_point; /* tokens (Fig. 11c) */
    double balance;       /* standard deviation of an answer's point tokens, about the answer's own
                             mean, all points counted (Fig. 11e) */

    /* Over n_compared. */
    double normal_tokens, mode_tokens;  /* generated (normal: Fig. 11b) */
    double normal_ns, mode_ns;          /* whole answers */
    double longest_over_normal;         /* longest point ÷ normal tokens, of those with points
                                           (Fig. 11d) */
    double answer_over_normal;          /* tokens of the answers' texts, mode ÷ normal
                                           (Fig. 11f) */
    double speedup;                     /* normal ÷ mode, of the sums of times (Fig. 12) */
    double speedup_mean;                /* mean of each question's own (Fig. 2) */
    double speedup_least, speedup_most; /* of the questions */
    double bound;                       /* what lengths allow: sum of normal tokens ÷ sum of
                                           skeleton tokens and longest points */
    double memory;                      /* peak bytes, mode ÷ normal (largest of each) */
};

/* The router's decisions against what people said of the same questions (paper Tables 3 and 4):
 * positive is "suits SoT". */
struct routing {
    size_t n, n_sot, n_undecided;
    size_t tn, fp, fn, tp; /* of the questions whose file says whether they are suitable */
    double latency_ns;     /* mean; NAN without decisions */
};

struct statistics {
    const char *mode;
    struct routing routing;           /* n is 0 where nothing was routed */
    struct category_statistics *rows; /* (n) categories as they come first, then all */
    size_t n;
};

/* Compares mode ("sot", "routed") with normal generation. */
void statistics_make(struct statistics *statistics, const struct record_list *list,
                     const char *mode);
void statistics_free(struct statistics *statistics);

/* A table for people, to standard output. */
void statistics_print(const struct statistics *statistics);
json_t *statistics_json(const struct statistics *statistics);

#endif
