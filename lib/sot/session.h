/* A session: an engine, the template beginnings whose pages are kept between calls, and the cancel
 * flag. The public sot_session is this. */
#ifndef SOTI_SOT_SESSION_H
#define SOTI_SOT_SESSION_H

#include <stdatomic.h>

#include "io/tokenizer.h"
#include "model/engine.h"
#include "sot/sot.h"

/* A read-only sequence whose tokens may begin a later prompt. */
typedef struct soti_beginning {
    soti_tokens tokens;
    soti_sequence *sequence; /* NULL: slot unused */
    uint64_t last_use;
} soti_beginning;

enum { SOTI_BEGINNINGS_MAX = 4 };

struct sot_session {
    sot_model *model; /* retained */
    soti_engine *engine;
    atomic_int cancel; /* 1: stop; set from anywhere */
    atomic_flag busy;  /* two calls at once are an error, not a race */
    soti_beginning beginnings[SOTI_BEGINNINGS_MAX];
    uint64_t n_uses;
    soti_tokens logits_tokens; /* what logits_sequence holds */
    soti_sequence *logits_sequence;
};

sot_status soti_session_open(sot_model *model, const sot_session_params *params,
                             sot_session **out);
void soti_session_close(sot_session *session);

/* The kept beginning that shares most tokens with prompt: *n_shared of them, fewer than n_prompt.
 * Returns NULL and 0 where none shares any. */
const soti_sequence *soti_session_find_beginning(sot_session *session, const int32_t *prompt,
                                                 uint32_t n_prompt, uint32_t *n_shared);

/* Keeps the first n tokens of sequence for later calls; evicts the least recently used. A full pool
 * is no failure: nothing is kept then. */
void soti_session_keep_beginning(sot_session *session, const soti_sequence *sequence,
                                 const int32_t *tokens, uint32_t n);

#endif
