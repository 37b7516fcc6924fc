/* Conversation templates (App. B.1, Table 1): from rounds to the text that is tokenized. */
#ifndef SOTI_SOT_CONVERSATION_H
#define SOTI_SOT_CONVERSATION_H

#include <stddef.h>

#include "io/tokenizer.h"
#include "sot/sot.h"

/* The built-in template of that name, or NULL. */
const sot_conversation *soti_conversation_find(const char *name);

typedef struct soti_rounds {
    const char *const *history; /* (n_history) question, answer, … */
    size_t n_history;
    const char *system; /* NULL: none */
    const char *user;   /* the last user turn */
    size_t user_size;
    const char *partial; /* beginning of the answer, directly behind the assistant's tag */
    size_t partial_size;
} soti_rounds;

/* Appends the prompt's ids: BOS, then the rounds. Control pieces count in the template's own strings
 * only; neighbouring plain text is encoded as one text. Returns MEMORY, UNSUPPORTED. */
sot_status soti_conversation_encode(const sot_conversation *conversation,
                                    const soti_tokenizer *tokenizer, const soti_rounds *rounds,
                                    soti_tokens *tokens);

#endif
