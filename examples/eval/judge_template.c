/* The judge's wording, and filling it: see judge_template.h. */
#include "judge_template.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { QUESTION, ANSWER_A, ANSWER_B, N_PLACEHOLDERS };
static const char *const placeholders[N_PLACEHOLDERS] = {"question", "answer_a", "answer_b"};

static const char own_system[] =
    "You compare two answers to the same question, one by assistant A and one by assistant B, and "
    "you favour neither of them. Judge how well each answer serves the person who asked: whether "
    "what it says is right, whether it stays with the question and covers it, how clear it is and "
    "how much its details help. Which answer is shown first means nothing, and a longer answer is "
    "not better for being longer. Give your reasons in a few sentences, and then, on a line of its "
    "own, exactly one verdict: [[A]] where assistant A answered better, [[B]] where assistant B "
    "did, [[C]] where both are equally good.";
static const char own_prompt[] = "### Question\n{question}\n\n"
                                 "### Assistant A begins\n{answer_a}\n### Assistant A ends\n\n"
                                 "### Assistant B begins\n{answer_b}\n### Assistant B ends\n";

/* Appends the template up to the next placeholder, with each pair of braces as one, and moves *at
 * behind that placeholder. Returns which it is, N_PLACEHOLDERS at the end, or -1 with *at at what
 * is wrong. text may be NULL. */
static int next_placeholder(const char **at, struct text *text)
{
    for (; **at; (*at)++) {
        int is_brace = **at == '{' || **at == '}';
        if (is_brace && (*at)[1] == **at) {
            (*at)++;
        } else if (**at == '}') {
            return -1;
        } else if (is_brace) {
            for (int i = 0; i < N_PLACEHOLDERS; i++) {
                size_t size = strlen(placeholders[i]);
                if (strncmp(*at + 1, placeholders[i], size) == 0 && (*at)[1 + size] == '}') {
                    *at += size + 2;
                    return i;
                }
            }
            return -1;
        }
        if (text)
            text_append(text, *at, 1);
    }
    return N_PLACEHOLDERS;
}

static int check(const char *prompt, const char *path)
{
    int is_there[N_PLACEHOLDERS] = {0};
    const char *at = prompt;
    for (;;) {
        int i = next_placeholder(&at, NULL);
        if (i == N_PLACEHOLDERS)
            break;
        if (i < 0) {
            size_t size = strcspn(at + 1, "{}");
            if (*at == '{' && at[1 + size] == '}')
                complain("%s: the placeholder {%.*s} in \"prompt_template\" is none of {question}, "
                         "{answer_a}, {answer_b}",
                         path, (int)size, at + 1);
            else
                complain("%s: a lone '%c' at byte %td of \"prompt_template\": a brace that is no "
                         "placeholder's is written twice",
                         path, *at, at - prompt);
            return 0;
        }
        is_there[i] = 1;
    }
    for (int i = 0; i < N_PLACEHOLDERS; i++)
        if (!is_there[i]) {
            complain("%s: the placeholder {%s} is missing in \"prompt_template\"", path,
                     placeholders[i]);
            return 0;
        }
    return 1;
}

static json_t *load(const char *path)
{
    json_error_t error;
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        complain("%s: %s", path, strerror(errno));
        return NULL;
    }
    json_t *file = json_loadf(stream, JSON_REJECT_DUPLICATES, &error);
    fclose(stream);
    if (!file)
        complain("%s: line %d: %s", path, error.line, error.text);
    return file;
}

int judge_template_read(struct judge_template *template, const char *path)
{
    *template = (struct judge_template){.system = own_system, .prompt = own_prompt};
    if (!path)
        return 1;
    template->file = load(path);
    if (!template->file)
        return 0;
    const json_t *system = json_object_get(template->file, "system_prompt");
    template->system = system ? json_string_value(system) : "";
    template->prompt = json_string_value(json_object_get(template->file, "prompt_template"));
    int is_good = template->system && template->prompt;
    if (!is_good)
        complain("%s: no text under the key \"%s\"", path,
                 template->prompt ? "system_prompt" : "prompt_template");
    is_good = is_good && check(template->prompt, path);
    if (!is_good)
        judge_template_free(template);
    return is_good;
}

void judge_template_free(struct judge_template *template)
{
    json_decref(template->file);
    template->file = NULL;
}

void judge_template_fill(struct text *prompt, const struct judge_template *template,
                         const struct judge_case *which)
{
    const struct piece *const pieces[N_PLACEHOLDERS] = {&which->question, &which->answer_a,
                                                        &which->answer_b};
    const char *at = template->prompt;
    for (;;) {
        int i = next_placeholder(&at, prompt);
        if (i < 0 || i == N_PLACEHOLDERS)
            return;
        text_append(prompt, pieces[i]->bytes, pieces[i]->size);
    }
}
