/* One record from one answer. */
#ifndef SOT_EVAL_RUN_RECORD_H
#define SOT_EVAL_RUN_RECORD_H

#include <jansson.h>
#include <sot/sot.h>

#include "../shared/question_list.h"
#include "../shared/text.h"

/* What memory in use is made of: all that is reserved, without pages that nothing uses. */
struct memory_use {
    uint64_t fixed_bytes; /* weights as FP16, and the session but for its pages */
    uint64_t token_bytes; /* of a token's keys and values in all layers */
};
struct memory_use memory_use_make(const sot_model_info *model, const sot_session_info *session);

/* The line of records.jsonl; answer may be NULL where status says why. The sentence about a failure
 * must still be the library's last one. */
json_t *record_make(const sot_model *model, const struct memory_use *memory,
                    const struct question *question, const char *mode, const char *moment,
                    sot_status status, const sot_answer *answer);

/* A model's name as an id: as its file states it, else the last part of its path; "-" is what is
 * no letter, digit, or one of "._+-". */
void model_name(struct text *name, const sot_model_info *model, const char *path);

#endif
