/* How structs and texts cross the border: struct_size in and out, defaults, checks. Everything that
 * lib/sot/ is given went through here. */
#ifndef SOTI_API_API_PARAMS_H
#define SOTI_API_API_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "sot/sot.h"

/* Reads a caller's struct of any version into *out, which is as large as this version's: what the
 * caller's lacks is zero, and what this version does not know must be zero. params NULL: all zero.
 * Returns ARGUMENT (struct_size), UNSUPPORTED (an unknown field is set). what is for the sentence.
 */
sot_status soti_params_read(const char *what, const void *params, size_t size, void *out);

/* Fills the first struct_size bytes of a caller's struct, as far as this version knows them; the
 * rest becomes zero, struct_size stays. Returns ARGUMENT. */
sot_status soti_params_write(const char *what, const void *values, size_t size, void *params);

/* Whether a NUL-terminated text is UTF-8; NULL is. Returns ARGUMENT with the offset. */
sot_status soti_check_text(const char *what, const char *text);

/* Flags that this version defines. Returns UNSUPPORTED for any other. */
sot_status soti_check_flags(const char *what, uint32_t flags, uint32_t defined);

/* Whether the router that params name has what it needs. Returns ARGUMENT. */
sot_status soti_check_router(const sot_generate_params *params);

/* A question: neither NULL nor empty, and UTF-8. */
sot_status soti_check_question(const char *question);

/* A caller's parameters with everything filled in that was left to the default. */
typedef struct soti_complete_params {
    sot_generate_params params;
    sot_conversation conversation; /* params.custom_conversation */
    sot_prompts prompts;           /* params.prompts */
} soti_complete_params;

/* model gives the default conversation. *out points into itself. Returns ARGUMENT, UNSUPPORTED. */
sot_status soti_generate_params_read(const sot_model *model, const sot_generate_params *params,
                                     soti_complete_params *out);

/* What every call that generates needs: checks its arguments and completes params. The session is
 * entered on success. Returns ARGUMENT, UNSUPPORTED, BUSY. */
sot_status soti_open_call(const char *name, sot_session *session, const char *question,
                          const sot_generate_params *params, soti_complete_params *complete);

#endif
