/* The paper's Fig. 11 (Ning et al., arXiv 2307.15337): how long texts are, averages over the
 * questions of Vicuna-80 per model and category. */
#ifndef SOT_SHARED_FIG11_H
#define SOT_SHARED_FIG11_H

#include <stddef.h>

/* Averages over the questions of a category. */
struct fig11_row {
    const char *model, *category;
    double points;         /* of a skeleton */
    double normal;         /* tokens of the normal answer */
    double longest;        /* tokens of the longest expansion */
    double deviation;      /* standard deviation of the expansions' tokens */
    double sot_normal;     /* tokens of the SoT answer / tokens of the normal one */
    double longest_normal; /* tokens of the longest expansion / tokens of the normal answer */
};
extern const struct fig11_row fig11_rows[];
extern const size_t fig11_count;

/* NULL where there is none. The model "all models" is the mean over them, the category "average"
 * the mean over the categories. */
const struct fig11_row *fig11_find(const char *model, const char *category);

#endif
