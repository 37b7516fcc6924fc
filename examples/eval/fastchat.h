/* FastChat's answer format, which its llm_judge reads: one line per question. */
#ifndef SOT_EVAL_FASTCHAT_H
#define SOT_EVAL_FASTCHAT_H

#include "records.h"

/* Writes path anew with the answers of one mode, by question_id; the model's id is model and mode.
 * Nothing is written where the mode has no records. Returns 0 after having said what is wrong. */
int fastchat_write(const char *path, const struct record_list *list, const char *mode,
                   const char *model);

#endif
