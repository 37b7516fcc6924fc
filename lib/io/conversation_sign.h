/* Which conversation template a model wants, guessed from its name when its files do not say. */
#ifndef SOTI_IO_CONVERSATION_SIGN_H
#define SOTI_IO_CONVERSATION_SIGN_H

#include "io/vocabulary.h"

/* One of the table's template names, "none" if there is no sign. path: as given by the caller;
 * name: as the files state it. Static text. */
const char *soti_conversation_detect(const char *path, const char *name,
                                     const soti_vocabulary *vocabulary);

#endif
