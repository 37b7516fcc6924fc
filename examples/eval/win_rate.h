/* Win, tie and lose of one way of answering against another, from a judge's verdicts in both
 * orders. The paper's rule (section 3.2 of arXiv 2307.15337): each verdict is 1, 0 or -1 for the
 * candidate; where the sum of the two is positive the question is won, zero a tie, negative lost;
 * the net win rate is (won - lost) / questions. */
#ifndef SOT_EVAL_WIN_RATE_H
#define SOT_EVAL_WIN_RATE_H

#include <jansson.h>
#include <stddef.h>

enum { ORDER_AB, ORDER_BA, N_ORDERS }; /* the candidate's answer is shown first, or second */
enum verdict_state { VERDICT_MISSING, VERDICT_UNREADABLE, VERDICT_GIVEN };
enum { RULE_SUM, RULE_AGREE };

struct verdict {
    enum verdict_state state;
    int score;       /* 1: the candidate is better, 0: neither, -1: the baseline is */
    char *why_not;   /* of one that is unreadable */
    size_t i_prompt; /* of the pairs, from 1; 0: it was not asked for */
};

struct judged_question {
    char *key; /* json_key of its number or name */
    const char *category;
    struct verdict verdicts[N_ORDERS];
};

struct comparison_of_two {
    char *candidate, *baseline;
    struct judged_question *questions; /* (n) */
    size_t n;
    json_t *by_question; /* key -> place in questions */
};

struct verdicts {
    struct comparison_of_two *comparisons; /* (n) */
    size_t n;
    json_t *owned; /* what the strings of categories belong to */
};

struct verdict_files {
    const char *verdicts;
    const char *pairs;     /* NULL: none; needed for verdicts by id */
    const char *questions; /* NULL: none; for categories */
    const char *candidate; /* NULL: model_1 of the first record in FastChat's format */
};

/* Returns 0 after having said what is wrong. */
int verdicts_read(struct verdicts *verdicts, const struct verdict_files *files);
void verdicts_free(struct verdicts *verdicts);

/* The one verdict that a judge's text holds, [[A]], [[B]] or [[C]], as the score of answer A.
 * Returns 0, with a sentence in *why_not, where there is none or more than one. */
int verdict_parse(const char *text, int *score, const char **why_not);

struct tally {
    size_t n_win, n_tie, n_lose;
    double net;       /* (won - lost) / questions */
    double low, high; /* of its 95% interval */
};

/* 1, 0 or -1 of two scores. */
int rule_apply(int rule, int first, int second);

/* Adds net and interval to the counts, of which not all may be 0. The interval is the percentile
 * bootstrap's: from 2.5% to 97.5% of the net win rates of as many questions drawn with replacement,
 * whose distribution is calculated, not sampled. */
void tally_complete(struct tally *tally);

#endif
