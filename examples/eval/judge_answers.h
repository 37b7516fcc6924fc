/* Answers that are to be compared, by question: of one mode of a run, or of a file in FastChat's
 * answer format. */
#ifndef SOT_EVAL_JUDGE_ANSWERS_H
#define SOT_EVAL_JUDGE_ANSWERS_H

#include <jansson.h>

struct answers {
    char *label;         /* the argument, with U+FFFD for what is not UTF-8 */
    json_t *by_question; /* json_key of the question's id -> the answer, a string */
};

/* argument is DIR:MODE, RECORDS:MODE or FILE. Returns 0 after having said what is wrong. */
int answers_read(struct answers *answers, const char *argument);
void answers_free(struct answers *answers);

#endif
