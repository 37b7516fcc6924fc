/* Prompt templates from a JSON file with the keys outline_prompt and point_prompt, the format in
 * which the paper's authors publish theirs. */
#ifndef SOT_COMMAND_PROMPTS_FILE_H
#define SOT_COMMAND_PROMPTS_FILE_H

#include <jansson.h>
#include <sot/sot.h>

/* Reads path. *prompts borrows from *file, which the caller releases with json_decref. Returns 0,
 * or 1 after having said what is wrong. */
int prompts_file_read(const char *path, sot_prompts *prompts, json_t **file);

#endif
