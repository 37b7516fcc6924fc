/* What of the prompts of a question has to be computed, by ways of sharing and by wordings: counted
 * by the library's own statistics while its pipeline answers every question, with skeletons that
 * are given. */
#ifndef SOT_BENCH_OVERHEAD_H
#define SOT_BENCH_OVERHEAD_H

#include <stddef.h>
#include <stdint.h>

#include <sot/sot.h>

#include "../shared/question_list.h"

/* Ways of sharing; from ROW_TWO_SHOT on the library's, by wording. */
enum {
    ROW_NAIVE,    /* two-shot, every request from its first token on */
    ROW_PAPER,    /* two-shot, the points' common beginning once, nothing kept between stages */
    ROW_TWO_SHOT, /* libsot's default */
    ROW_ZERO_SHOT,
    ROW_COMPACT,
    ROW_CHAINED,
    N_ROWS
};

/* Tokens of prompts, of all questions together. */
struct overhead_row {
    uint64_t stage1, stage2;             /* later questions of a session */
    uint64_t first_stage1, first_stage2; /* the first question of a session */
};

struct overhead {
    uint32_t n_questions;
    uint64_t n_points, n_skeleton_tokens;
    uint64_t normal; /* prompts of normal answers */
    struct overhead_row rows[N_ROWS];
    uint64_t n_compared; /* expansions that were the same however they were computed */
};

struct overhead_setting {
    sot_model *model;
    sot_session_params session;
    const char *conversation;  /* template's name */
    const char *lengths_model; /* of Fig. 11 */
    uint32_t n_point_tokens;   /* tokens of each expansion */
};

/* What a row is called, and its wording. */
const char *overhead_row_name(unsigned row);
const char *overhead_row_wording(unsigned row);

/* Returns -1, or an exit code after having said what is wrong; so it is where an expansion depends
 * on what was found in pages. */
int overhead_measure(struct overhead *overhead, const struct overhead_setting *setting,
                     const struct question_list *questions);

/* One row of the paper's Table 7: tokens a question. */
struct table7_row {
    const char *model;
    double normal, stage1, stage2;
};
const struct table7_row *table7_find(const char *model); /* NULL: it is not there */

#endif
