/* Prompt templates from a JSON file, in the format in which the paper's authors publish theirs. */
#ifndef SOTI_SOT_PROMPTS_LOAD_H
#define SOTI_SOT_PROMPTS_LOAD_H

#include "sot/sot.h"

/* As sot_prompts_load. What comes is one block of memory, freed by soti_free. */
sot_status soti_prompts_load(const char *path, sot_prompts **out);

#endif
