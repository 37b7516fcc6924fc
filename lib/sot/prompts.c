/* The paper's two-shot prompts (Prompts 1 and 2) and the filling of prompt templates. Which model
 * sees them in which conversation is conversation.c's matter. */
#include "prompts.h"

#include <stdbool.h>
#include <string.h>

#include "base/fail.h"

const char soti_prompt_skeleton[] =
    "You're an organizer responsible for only giving the skeleton (not the full content) for "
    "answering the question. Provide the skeleton in a list of points (numbered 1., 2., 3., "
    "etc.) to answer the question. Instead of writing a full sentence, each skeleton point "
    "should be very short with only 3~5 words. Generally, the skeleton should have 3~10 "
    "points.\n"
    "\n"
    "Question:\n"
    "What are the typical types of Chinese dishes?\n"
    "Skeleton:\n"
    "1. Dumplings. \n"
    "2. Noodles. \n"
    "3. Dim Sum. \n"
    "4. Hot Pot. \n"
    "5. Wonton. \n"
    "6. Ma Po Tofu. \n"
    "7. Char Siu. \n"
    "8. Fried Rice. \n"
    "\n"
    "Question:\n"
    "What are some practical tips for individuals to reduce their carbon emissions?\n"
    "Skeleton:\n"
    "1. Energy conservation. \n"
    "2. Efficient transportation. \n"
    "3. Home energy efficiency. \n"
    "4. Reduce water consumption. \n"
    "5. Sustainable diet. \n"
    "6. Sustainable travel. \n"
    "\n"
    "Now, please provide the skeleton for the following question.\n"
    "{request}\n"
    "Skeleton:\n"
    " [ROLESWITCHING assistant:] 1.";

const char soti_prompt_point[] =
    "You're responsible for continuing the writing of one and only one point in the overall "
    "answer to the following question.\n"
    "\n"
    "{request}\n"
    "\n"
    "The skeleton of the answer is\n"
    "\n"
    "{outline}\n"
    "\n"
    "Continue and only continue the writing of point {point}. Write it **very shortly** in "
    "1~2 sentence and do not continue with other points! [ROLESWITCHING assistant:]{point}. "
    "{point_outline}";

static const char role_switch[] = "[ROLESWITCHING ";
static const char role_assistant[] = "[ROLESWITCHING assistant:]";

enum { N_PLACEHOLDERS = 4 };
static const char *const placeholders[N_PLACEHOLDERS] = {"{request}", "{outline}", "{point}",
                                                         "{point_outline}"};

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* Which placeholder text begins with; N_PLACEHOLDERS if none. */
static size_t find_placeholder(const char *text)
{
    size_t i = 0;
    while (i < N_PLACEHOLDERS && !begins_with(text, placeholders[i])) {
        i++;
    }
    return i;
}

static sot_status check_role_switches(const char *what, const char *text)
{
    size_t n_switches = 0;
    for (const char *at = text; (at = strstr(at, role_switch)) != NULL; at += strlen(role_switch)) {
        if (!begins_with(at, role_assistant)) {
            return soti_fail(SOT_ERR_ARGUMENT,
                             "%s template, byte %zu: the role can be switched to the assistant "
                             "only, by \"%s\"",
                             what, (size_t)(at - text), role_assistant);
        }
        if (n_switches++ > 0) {
            return soti_fail(SOT_ERR_ARGUMENT, "%s template, byte %zu: a second \"%s\"", what,
                             (size_t)(at - text), role_assistant);
        }
    }
    return SOT_OK;
}

sot_status soti_prompt_check(soti_prompt_kind kind, const char *text)
{
    bool of_point = kind == SOTI_PROMPT_POINT;
    const char *what = of_point ? "point" : "skeleton";
    for (size_t i = 0; i < N_PLACEHOLDERS; i++) {
        bool wanted = i == 0 || of_point;
        bool present = strstr(text, placeholders[i]) != NULL;
        if (present != wanted) {
            return soti_fail(SOT_ERR_ARGUMENT, "%s template: %s %s", what, placeholders[i],
                             wanted ? "is missing" : "has no meaning here");
        }
    }
    return check_role_switches(what, text);
}

sot_status soti_prompt_fill(const char *text, const soti_prompt_values *values, soti_request *out)
{
    const soti_text *filled[N_PLACEHOLDERS] = {&values->request, &values->outline, &values->point,
                                               &values->point_outline};
    soti_buffer *part = &out->user;
    bool is_constant = true;
    while (*text != '\0') {
        size_t n_plain = strcspn(text, "{[");
        RETURN_IF_ERROR(soti_buffer_append(part, text, n_plain));
        text += n_plain;
        size_t i = find_placeholder(text);
        if (i < N_PLACEHOLDERS) {
            if (is_constant) {
                out->constant = out->user.size;
                is_constant = false;
            }
            RETURN_IF_ERROR(soti_buffer_append(part, filled[i]->data, filled[i]->size));
            text += strlen(placeholders[i]);
        } else if (begins_with(text, role_assistant)) {
            part = &out->partial;
            text += strlen(role_assistant);
        } else if (*text != '\0') {
            RETURN_IF_ERROR(soti_buffer_append(part, text, 1));
            text++;
        }
    }
    if (is_constant) {
        out->constant = out->user.size;
    }
    return SOT_OK;
}

void soti_request_free(soti_request *request)
{
    soti_buffer_free(&request->user);
    soti_buffer_free(&request->partial);
    request->constant = 0;
}
