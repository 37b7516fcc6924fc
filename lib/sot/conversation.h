/* Conversation templates (App. B.1, Table 1): from rounds to the ids of a prompt. */
#ifndef SOTI_SOT_CONVERSATION_H
#define SOTI_SOT_CONVERSATION_H

#include <stddef.h>

#include "io/tokenizer.h"
#include "sot/sot.h"

/* The built-in template of that name, or NULL. */
const sot_conversation *soti_conversation_find(const char *name);

typedef struct soti_rounds {
    const char *const *history; /* (n_history) question, answer, … */
    size_t n_history;           /* even */
    const char *system;         /* NULL: none */
    const char *user;           /* the last user turn */
    size_t user_size;
    const char *partial; /* beginning of the answer, directly behind the assistant's tag */
    size_t partial_size;
} soti_rounds;

/* Appends the prompt's ids: BOS (unless the template itself begins with it), then the rounds.
 * Control pieces count in the template's own strings only. Everything between two of them is
 * encoded as one text, whoever wrote its parts: "USER: hi ASSISTANT: 1." gives SentencePiece's ids
 * of that whole text. Returns MEMORY, UNSUPPORTED (no tokenizer: NULL). */
sot_status soti_conversation_encode(const sot_conversation *conversation,
                                    const soti_tokenizer *tokenizer, const soti_rounds *rounds,
                                    soti_tokens *tokens);

/* Appends the ids of the next round to a conversation whose ids end within the assistant's answer:
 * what they lack of it (rest), the end of that turn, then rounds' user turn and partial answer; its
 * history and system message are not looked at. Everything up to the first control piece is encoded
 * as it continues what is there. Returns as soti_conversation_encode. */
sot_status soti_conversation_continue(const sot_conversation *conversation,
                                      const soti_tokenizer *tokenizer, const char *rest,
                                      size_t rest_size, const soti_rounds *rounds,
                                      soti_tokens *tokens);

/* What besides EOS ends the assistant's turn: the id of a control piece, or else a stop string. */
typedef struct soti_stop {
    int32_t id;       /* -1: none */
    const char *text; /* borrowed from the conversation; NULL: none */
} soti_stop;

/* A stop that is no piece of this tokenizer is a string: OpenChat's <|end_of_turn|> under a plain
 * LLaMA vocabulary. */
soti_stop soti_conversation_stop(const sot_conversation *conversation,
                                 const soti_tokenizer *tokenizer);

#endif
