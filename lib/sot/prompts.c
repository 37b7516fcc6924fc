/* The checking and filling of prompt templates. The library's own are in wordings.c; which model
 * sees them in which conversation is conversation.c's matter. */
#include "sot/prompts.h"

#include <stdbool.h>
#include <string.h>

#include "base/fail.h"

static const char role_switch[] = "[ROLESWITCHING ";
static const char role_assistant[] = "[ROLESWITCHING assistant:]";

enum { N_PLACEHOLDERS = 4 };
static const char *const placeholders[N_PLACEHOLDERS] = {"{request}", "{outline}", "{point}",
                                                         "{point_outline}"};

/* What each kind of template must have; it may not have the others. */
static const struct {
    const char *what;
    bool wanted[N_PLACEHOLDERS];
} rules[] = {
    [SOTI_PROMPT_SKELETON] = {"skeleton", {true, false, false, false}},
    [SOTI_PROMPT_POINT] = {"point", {true, true, true, true}},
    [SOTI_PROMPT_CHAINED_POINT] = {"chained point", {false, false, true, true}},
    [SOTI_PROMPT_ROUTER] = {"router", {true, false, false, false}},
};

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
    const char *what = rules[kind].what;
    for (size_t i = 0; i < N_PLACEHOLDERS; i++) {
        bool wanted = rules[kind].wanted[i];
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
