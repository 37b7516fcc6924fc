/* A conversation (App. B.2): rounds of question and final answer, and how the next one is had. The
 * public sot_chat is this; texts were checked by lib/api/. What of it stays in pages is session.h's
 * matter, the file format conversing_file.c's. */
#ifndef SOTI_SOT_CONVERSING_H
#define SOTI_SOT_CONVERSING_H

#include <stdbool.h>

#include "sot/session.h"
#include "sot/sot.h"

typedef struct soti_round {
    char *question; /* not empty; UTF-8, as answer */
    char *answer;
} soti_round;

struct sot_chat {
    uint64_t id; /* of this chat alone in this process; not 0 */
    uint32_t flags;
    uint32_t reserve_tokens; /* 0: default */
    soti_round *rounds;      /* (n_rounds) */
    size_t n_rounds, capacity;
    size_t n_dropped; /* the oldest, no longer sent */
    bool busy;        /* a round is being generated, from rounds' texts */
};

/* params are complete. Returns MEMORY. */
sot_status soti_chat_create(const sot_chat_params *params, sot_chat **out);
void soti_chat_free(sot_chat *chat); /* NULL: nothing */

/* Copies both; what is not UTF-8 in the answer, and NUL, becomes U+FFFD. Returns MEMORY. */
sot_status soti_chat_append(sot_chat *chat, const char *question, const char *answer,
                            size_t answer_size);
void soti_chat_clear(sot_chat *chat);

/* Returns IO, MEMORY. */
sot_status soti_chat_save(const sot_chat *chat, const char *path);

/* Appends the rounds of a file, or of one in memory; file is for sentences. Returns IO, FORMAT,
 * MEMORY; the rounds in front of what failed are appended then. */
sot_status soti_chat_read(sot_chat *chat, const char *path);
sot_status soti_chat_parse(sot_chat *chat, const char *file, const char *text, size_t size);

/* One round on a session that was entered; params are complete and without history. Statuses and
 * *out as sot_chat_generate. */
sot_status soti_chat_generate(sot_chat *chat, sot_session *session, const char *question,
                              const sot_generate_params *params, sot_answer **out);

#endif
