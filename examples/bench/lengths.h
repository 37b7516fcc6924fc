/* How long the texts of one question are: what the replay forces on the pipeline. */
#ifndef SOT_BENCH_LENGTHS_H
#define SOT_BENCH_LENGTHS_H

#include <stdint.h>

enum { POINTS_MOST = 64, LENGTH_MOST = 100000 };

struct lengths {
    char name[96];
    uint32_t n_normal;            /* tokens of the normal answer */
    uint32_t n_skeleton;          /* tokens of the skeleton */
    uint32_t n_points;            /* expansions */
    uint32_t points[POINTS_MOST]; /* (n_points) tokens of each */
    /* Prompts: of the normal answer; of the skeleton; what the points' requests have in common; the
     * rest of each. */
    uint32_t n_question, n_stage1, n_common, n_tail;
};

uint32_t lengths_longest(const struct lengths *lengths);
/* What they allow at most: normal tokens / (skeleton tokens + longest expansion). */
double lengths_bound(const struct lengths *lengths);

/* Each of these returns 0 after having said what is wrong. */
int lengths_from_paper(struct lengths *lengths, const char *model, const char *category);
int lengths_from_list(struct lengths *lengths, const char *list); /* "N:S:L1,L2,..." */
int lengths_from_file(struct lengths *lengths, const char *path);

/* Prints every row with what is made of it, separated by tabs. */
void lengths_print_all(void);

#endif
