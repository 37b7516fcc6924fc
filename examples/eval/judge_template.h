/* What a judge is asked: a system message and a prompt with placeholders, the program's own wording
 * or the user's. */
#ifndef SOT_EVAL_JUDGE_TEMPLATE_H
#define SOT_EVAL_JUDGE_TEMPLATE_H

#include <jansson.h>

#include "../shared/text.h"

struct judge_template {
    const char *system; /* may be "" */
    const char *prompt;
    json_t *file; /* that owns both; NULL: they are the program's own */
};

/* A piece of text that may hold any byte. */
struct piece {
    const char *bytes;
    size_t size;
};

/* What the placeholders {question}, {answer_a} and {answer_b} stand for. */
struct judge_case {
    struct piece question, answer_a, answer_b;
};

/* path NULL: the program's own. A file is a JSON object with "prompt_template" and, where there is
 * one, "system_prompt", as FastChat names them. Returns 0 after having said what is wrong: each
 * placeholder must be there, no other may be, and a brace is written twice. */
int judge_template_read(struct judge_template *template, const char *path);
void judge_template_free(struct judge_template *template);

/* Appends the prompt. What is filled in is not searched for placeholders. */
void judge_template_fill(struct text *prompt, const struct judge_template *template,
                         const struct judge_case *which);

#endif
