/* From two verdicts to one result, and from results to a rate with its interval: see win_rate.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/text.h"
#include "win_rate.h"

int verdict_parse(const char *text, int *score, const char **why_not)
{
    static const struct {
        const char *mark;
        int score;
    } marks[] = {{"[[A]]", 1}, {"[[B]]", -1}, {"[[C]]", 0}};
    int n_found = 0;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (!strstr(text, marks[i].mark))
            continue;
        n_found++;
        *score = marks[i].score;
    }
    *why_not = n_found == 0   ? "none of [[A]], [[B]] and [[C]] is in the text"
               : n_found == 1 ? NULL
                              : "more than one of [[A]], [[B]] and [[C]] is in the text";
    return n_found == 1;
}

int rule_apply(int rule, int first, int second)
{
    if (rule == RULE_AGREE)
        return first == second ? first : 0;
    int sum = first + second;
    return (sum > 0) - (sum < 0);
}

/* The chances of each sum of n draws from {-1, 0, 1}: (2n + 1) values, that of s at n + s. */
static double *sum_chances(size_t n, double lose, double tie, double win)
{
    double *chances = grow(NULL, (2 * n + 1) * sizeof *chances);
    double *next = grow(NULL, (2 * n + 1) * sizeof *next);
    for (size_t i = 0; i <= 2 * n; i++)
        chances[i] = 0;
    chances[n] = 1;
    for (size_t i_draw = 1; i_draw <= n; i_draw++) {
        for (size_t i = n - i_draw; i <= n + i_draw; i++) {
            double chance = chances[i] * tie;
            if (i > 0)
                chance += chances[i - 1] * win;
            if (i < 2 * n)
                chance += chances[i + 1] * lose;
            next[i] = chance;
        }
        memcpy(chances + n - i_draw, next + n - i_draw, (2 * i_draw + 1) * sizeof *chances);
    }
    free(next);
    return chances;
}

/* The least sum whose chance, with those of all below it, is at least share. The tolerance is for
 * sums of chances that are equal to it but for rounding. */
static double quantile(const double *chances, size_t n, double share)
{
    double below = 0;
    size_t i = 0;
    for (; i < 2 * n; i++) {
        below += chances[i];
        if (below >= share - 1e-12)
            break;
    }
    return ((double)i - (double)n) / (double)n;
}

void tally_complete(struct tally *tally)
{
    size_t n = tally->n_win + tally->n_tie + tally->n_lose;
    double all = (double)n;
    tally->net = ((double)tally->n_win - (double)tally->n_lose) / all;
    double *chances = sum_chances(n, (double)tally->n_lose / all, (double)tally->n_tie / all,
                                  (double)tally->n_win / all);
    tally->low = quantile(chances, n, 0.025);
    tally->high = quantile(chances, n, 0.975);
    free(chances);
}
