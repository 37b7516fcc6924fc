/* What the command prints for people: answers, statistics, the comparison of both modes. */
#ifndef SOT_SHARED_REPORT_H
#define SOT_SHARED_REPORT_H

#include <sot/sot.h>

/* How standard output is to be written. */
struct report_style {
    unsigned columns; /* of the terminal; 0: lines are not broken */
    int color;
};

void print_heading(const struct report_style *style, const char *heading);
void print_answer(const struct report_style *style, const sot_answer *answer);
/* Statistics, to standard error. */
void print_stats(const sot_answer *answer);
/* What the user should know about the answer, to standard error. */
void print_warnings(const sot_answer *answer);

/* Both modes on one question. Ratios are 0 where they are not defined. */
struct comparison {
    sot_stats normal, sot;
    uint32_t normal_tokens, sot_tokens; /* decoded */
    double speedup;                     /* normal latency / SoT latency */
    /* What the lengths allow: normal tokens / (skeleton tokens + longest expansion). */
    double bound;
    double share; /* speedup / bound */
};

struct comparison comparison_make(const sot_answer *normal, const sot_answer *sot);
void print_comparison(const struct report_style *style, const struct comparison *comparison);

void print_model(const sot_model_info *info);

/* A decision in a few words, cut at size bytes. */
enum { DECISION_TEXT_MAX = 64 };
void describe_decision(const sot_decision *decision, char *text, size_t size);

/* "stop", "length", …: SOT_FINISH_* in a word. */
const char *finish_name(uint32_t finish);

#endif
