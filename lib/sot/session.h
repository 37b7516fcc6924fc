/* A session: an engine, the beginnings of prompts whose pages are kept between calls, and the
 * cancel flag. The public sot_session is this.
 *
 *   KEPT-1  template beginnings, conversations and the chain take each other's slots never
 *   KEPT-2  a conversation has one slot, whose pages grow with it
 *   KEPT-3  every page kept can be had back: make_room gives up what was used longest ago */
#ifndef SOTI_SOT_SESSION_H
#define SOTI_SOT_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "io/tokenizer.h"
#include "model/engine.h"
#include "sot/sot.h"

/* A read-only sequence whose tokens may begin a later prompt. */
typedef struct soti_beginning {
    soti_tokens tokens;      /* as many as sequence has positions */
    soti_sequence *sequence; /* NULL: slot unused */
    uint64_t last_use;
    uint64_t chat_id; /* of a conversation; 0: one that the caller keeps */
} soti_beginning;

enum {
    SOTI_BEGINNINGS_MAX = 4,    /* of templates */
    SOTI_CONVERSATIONS_MAX = 4, /* whose pages are kept */
    SOTI_CHAIN = SOTI_BEGINNINGS_MAX + SOTI_CONVERSATIONS_MAX,
    SOTI_KEPT_MAX
};

struct sot_session {
    sot_model *model; /* retained */
    pid_t process;    /* that made it, and has its threads */
    soti_engine *engine;
    atomic_int cancel;                  /* 1: stop; set from anywhere */
    atomic_flag busy;                   /* two calls at once are an error, not a race */
    soti_beginning kept[SOTI_KEPT_MAX]; /* templates, conversations, chain */
    uint64_t n_uses;
    uint64_t chat_id;          /* of the sot_chat whose round is under way; 0: of none */
    soti_tokens logits_tokens; /* what logits_sequence holds; capacity n_ctx */
    soti_sequence *logits_sequence;
};

/* params are the public ones, zero meaning default. Statuses as sot_session_create. */
sot_status soti_session_open(sot_model *model, const sot_session_params *params, sot_session **out);
void soti_session_close(sot_session *session);

uint64_t soti_session_bytes(const sot_session *session); /* reserved */

/* Around every call that computes. Returns BUSY, ARGUMENT (in a child of fork, which has none of
 * its threads). Leaving uses a cancel request up. */
sot_status soti_session_enter(sot_session *session);
void soti_session_leave(sot_session *session);

/* A sequence forked from the kept one that shares most tokens with prompt: *n_shared of them,
 * fewer than n_prompt. NULL and 0 where none shares any, or no page is left for the fork. The
 * caller owns the sequence. */
soti_sequence *soti_session_fork_beginning(sot_session *session, const int32_t *prompt,
                                           uint32_t n_prompt, uint32_t *n_shared);

/* Keeps the first n tokens of sequence, a template's, for later calls in place of what they begin
 * with, of an unused slot, or of the least recently used one. Takes sequence (it may be NULL) and
 * tokens, which is zeroed, over in any case, and cannot fail. */
void soti_session_keep_beginning(sot_session *session, soti_sequence *sequence, soti_tokens *tokens,
                                 uint32_t n);

/* The same for a conversation's: in place of what is kept of the one under way (session->chat_id),
 * of an unused slot, or of the least recently used conversation. */
void soti_session_keep_conversation(sot_session *session, soti_sequence *sequence,
                                    soti_tokens *tokens, uint32_t n);

/* The same for all that sequence has of tokens, the prompt of a skeleton and what was generated
 * behind it, for a stage 2 that goes on from there: in place of the last skeleton's. */
void soti_session_keep_chain(sot_session *session, soti_sequence *sequence, soti_tokens *tokens);

/* Pages that would be free if all were given up that is kept. user: the session. */
uint32_t soti_session_room(void *user);

/* Gives up the kept pages that are cheapest to lose; false when there are none. user: the session.
 */
bool soti_session_make_room(void *user);

#endif
