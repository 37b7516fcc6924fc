/* The prompt templates T_s and T_pe (Prompts 1-3) and their filling. Placeholders are replaced in
 * one pass: what a question contains is never read as a placeholder. */
#ifndef SOTI_SOT_PROMPTS_H
#define SOTI_SOT_PROMPTS_H

#include <stddef.h>

#include "base/buffer.h"
#include "sot/sot.h"

extern const char soti_prompt_skeleton[]; /* the paper's two-shot wording, byte for byte */
extern const char soti_prompt_point[];

/* One filled request. */
typedef struct soti_request {
    soti_buffer user;    /* the user's turn */
    soti_buffer partial; /* the beginning of the assistant's answer */
    size_t constant;     /* bytes of user before the first thing filled in */
} soti_request;

typedef struct soti_prompt_values { /* NULL where the template has no such placeholder */
    const char *request;
    const char *outline;
    const char *point;
    const char *point_outline;
} soti_prompt_values;

/* Checks that a template has its placeholders and at most one role switch, to "assistant".
 * what: "skeleton" or "point". Returns ARGUMENT, naming template and placeholder. */
sot_status soti_prompt_check(const char *what, const char *text);

/* Returns MEMORY. *out was zeroed by the caller, who frees it. */
sot_status soti_prompt_fill(const char *text, const soti_prompt_values *values, soti_request *out);
void soti_request_free(soti_request *request);

#endif
