/* The prompt templates that the library brings along, by name: the paper's two wordings (Prompts 1
 * to 3, App. B.1) byte for byte, and two of its own that leave less to be prefilled. How templates
 * are checked and filled is prompts.h. */
#ifndef SOTI_SOT_WORDINGS_H
#define SOTI_SOT_WORDINGS_H

#include <stdint.h>

#include "sot/sot.h"

typedef struct soti_wording {
    const char *name;
    uint32_t flags; /* SOT_PROMPTS_* */
    const char *skeleton;
    const char *point;
} soti_wording;

/* NULL: the default, "two-shot". Returns NULL where there is none of that name. */
const soti_wording *soti_wording_find(const char *name);

extern const char soti_wording_names[]; /* all of them, separated by ", " */

#endif
