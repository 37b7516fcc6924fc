/* Conversations: rounds of question and answer that go in front of the next question (paper
 * App. B.2). sot.h includes this file; its rules hold here, too. */
#ifndef SOT_CHAT_H
#define SOT_CHAT_H

#include "sot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rounds of a question and its final, aggregated answer; prompts of SoT are never among them. A
 * chat belongs to one thread at a time and to no session: each round may be generated on another
 * session or another model. */
typedef struct sot_chat sot_chat;

/* Flags of sot_chat_params. */
enum { SOT_CHAT_KEEP_ALL = 1 }; /* a full context is an error; no round is ever left out */

/* How a chat treats a context that is too small for it. Since 0.1. */
typedef struct sot_chat_params {
    uint32_t struct_size;
    uint32_t flags;          /* SOT_CHAT_* */
    uint32_t reserve_tokens; /* kept free behind the longest prompt that is known when a round
                                begins, for what will be written; default: a quarter of n_ctx or
                                kv_tokens of the session, whichever is less */
    uint32_t reserved;       /* 0 */
} sot_chat_params;
#define SOT_CHAT_PARAMS_INIT SOT_STRUCT_INIT(sot_chat_params)

/* Creates a chat without rounds. Returns ARGUMENT, MEMORY, UNSUPPORTED. The caller owns *out.
 * Since 0.1. */
SOT_API sot_status sot_chat_create(const sot_chat_params *params, sot_chat **out);

/* Frees a chat that no call is using. NULL: nothing. Since 0.1. */
SOT_API void sot_chat_free(sot_chat *chat);

/* Appends copies of a question, which is not empty, and an answer, which may be.
 * Returns ARGUMENT, MEMORY, BUSY (from an event callback of this chat's round). Since 0.1. */
SOT_API sot_status sot_chat_append(sot_chat *chat, const char *question, const char *answer);

/* Forgets all rounds. Returns ARGUMENT, BUSY. Since 0.1. */
SOT_API sot_status sot_chat_clear(sot_chat *chat);

/* Number of rounds, and how many of them, the oldest, are no longer sent because a context was
 * full; they stay in the chat and are saved with it. Since 0.1. */
SOT_API size_t sot_chat_count(const sot_chat *chat);
SOT_API size_t sot_chat_dropped(const sot_chat *chat);

/* Round i, borrowed until the chat is changed; NULL when i is out of range. Since 0.1. */
SOT_API const char *sot_chat_question(const sot_chat *chat, size_t i);
SOT_API const char *sot_chat_answer(const sot_chat *chat, size_t i);

/* Writes all rounds as JSON lines, {"question": "...", "answer": "..."} each. The file is written
 * beside path and takes its place when complete. Returns ARGUMENT, MEMORY, IO. Since 0.1. */
SOT_API sot_status sot_chat_save(const sot_chat *chat, const char *path);

/* Creates a chat with the rounds of a file that sot_chat_save wrote: all of them will be sent,
 * while they fit. Empty lines and members of other names are passed over. Returns ARGUMENT, MEMORY,
 * UNSUPPORTED, IO, FORMAT (the sentence names file and line). The caller owns *out. Since 0.1. */
SOT_API sot_status sot_chat_load(const char *path, const sot_chat_params *params, sot_chat **out);

/* Answers a question as sot_generate does, in any mode, behind the chat's rounds; params must have
 * no history. When it returns OK, question and answer are the chat's last round (bytes of the
 * answer that are not UTF-8, and NULs, are U+FFFD there). A partial answer is no round; the caller
 * may append it.
 * The session keeps what it computed of the conversation in pages, so that a round computes only
 * what is new: of SoT, question and answer of the round before, once for both stages, and the
 * templates; of a normal answer, not even that answer (on a CUDA device: that answer). A session
 * keeps this of four chats, those used last, while there are pages.
 * Where rounds, question and reserve_tokens do not fit the context, the oldest whole rounds are no
 * longer sent from now on: so many that the rest takes at most half of the room there is for
 * rounds. SOT_EVENT_DROPPED, before all other events, says how many of how many. With
 * SOT_CHAT_KEEP_ALL that is CONTEXT_FULL, without an answer, and nothing changes.
 * Returns as sot_generate, ARGUMENT also where reserve_tokens leaves nothing of the session's n_ctx
 * or kv_tokens, and BUSY from an event callback of this chat's round; *out is NULL where MEMORY was
 * short for appending, too. Since 0.1. */
SOT_API sot_status sot_chat_generate(sot_chat *chat, sot_session *session, const char *question,
                                     const sot_generate_params *params, sot_answer **out);

#ifdef __cplusplus
}
#endif

#endif
