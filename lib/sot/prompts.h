/* Prompt templates (T_s and T_pe of §2.1) and their filling. Placeholders are replaced in one pass:
 * what a question contains is never read as a placeholder. */
#ifndef SOTI_SOT_PROMPTS_H
#define SOTI_SOT_PROMPTS_H

#include <stddef.h>

#include "base/buffer.h"
#include "sot/sot.h"

/* One filled request. */
typedef struct soti_request {
    soti_buffer user;    /* the user's turn */
    soti_buffer partial; /* the beginning of the assistant's answer */
    size_t constant;     /* bytes of user before the first thing filled in */
} soti_request;

/* Bytes that may hold NUL, as generated text does. */
typedef struct soti_text {
    const char *data; /* may be NULL where size is 0 */
    size_t size;
} soti_text;

typedef struct soti_prompt_values { /* empty where the template has no such placeholder */
    soti_text request;
    soti_text outline;
    soti_text point;
    soti_text point_outline;
} soti_prompt_values;

typedef enum soti_prompt_kind {
    SOTI_PROMPT_SKELETON,
    SOTI_PROMPT_POINT,
    SOTI_PROMPT_CHAINED_POINT, /* SOT_PROMPTS_CHAINED */
    SOTI_PROMPT_ROUTER
} soti_prompt_kind;

/* Checks that a template has the placeholders of its kind ({request}; for a point also {outline},
 * {point}, {point_outline}; for a chained one the last two alone), none that its kind cannot fill,
 * and at most one role switch, to the assistant. Other braces and brackets are plain text: prompts
 * contain code. Returns ARGUMENT, naming template and placeholder. */
sot_status soti_prompt_check(soti_prompt_kind kind, const char *text);

/* Fills a checked template. What stands before "[ROLESWITCHING assistant:]" becomes the user's part
 * and what follows the partial answer, both byte for byte; without it the partial answer is empty.
 * Returns MEMORY. *out was zeroed by the caller, who frees it, also after a failure. */
sot_status soti_prompt_fill(const char *text, const soti_prompt_values *values, soti_request *out);
void soti_request_free(soti_request *request);

#endif
