/* run.json: what a directory of records was made with. A later run in it must agree, so that all of
 * its records can be compared. sot-eval(1) describes the file. */
#ifndef SOT_EVAL_RUN_FACTS_H
#define SOT_EVAL_RUN_FACTS_H

#include <jansson.h>
#include <sot/sot.h>

#include "../shared/question_list.h"
#include "run_options.h"

/* The caller releases what is returned. prompts and router may be NULL. */
json_t *run_facts_make(const struct run_options *options, const sot_model_info *model,
                       const sot_session_info *session, const struct question_list *questions,
                       const sot_prompts *prompts, const json_t *router);

enum { FACTS_ABSENT, FACTS_THERE, FACTS_OUTDATED };

/* Compares facts with what path holds, where it is there. A router comes with the first run that
 * has one: facts then become what path is to hold, and *state is FACTS_OUTDATED. Returns 0 after
 * having said what differs or what is wrong. */
int run_facts_agree(const char *path, json_t *facts, unsigned *state);
/* Returns 0 after having said what is wrong. */
int run_facts_write(const char *path, const json_t *facts);

/* Now, as "2026-01-31T12:00:00Z". */
enum { MOMENT_SIZE = 32 };
void moment_now(char moment[MOMENT_SIZE]);

/* Puts bytes into path, through a file beside it that takes its place when it is on the disk.
 * Returns 0 after having said what is wrong. */
int file_replace(const char *path, const char *bytes, size_t size);

#endif
