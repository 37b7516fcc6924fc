/* The exported sot_chat functions: arguments are checked here, sot/conversing.c does the work. */
#include "sot/sot.h"

#include <string.h>

#include "api/api_params.h"
#include "base/fail.h"
#include "sot/conversing.h"

_Static_assert(sizeof(sot_chat_params) % sizeof(uint64_t) == 0, "fields are added in pairs");

static sot_status create(const sot_chat_params *params, sot_chat **out)
{
    sot_chat_params full;
    RETURN_IF_ERROR(soti_params_read("chat parameters", params, sizeof full, &full));
    RETURN_IF_ERROR(soti_check_flags("chat parameters", full.flags, SOT_CHAT_KEEP_ALL));
    if (full.reserved != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "chat parameters: reserved is %u, 0 is expected",
                         full.reserved);
    }
    return soti_chat_create(&full, out);
}

sot_status sot_chat_create(const sot_chat_params *params, sot_chat **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_chat_create: out is NULL");
    }
    *out = NULL;
    return create(params, out);
}

void sot_chat_free(sot_chat *chat)
{
    soti_chat_free(chat);
}

/* What every call that changes a chat asks of it. */
static sot_status check_idle(const char *name, const sot_chat *chat)
{
    if (chat == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: chat is NULL", name);
    }
    if (chat->busy) {
        return soti_fail(SOT_ERR_BUSY, "%s: a round of this chat is being generated", name);
    }
    return SOT_OK;
}

sot_status sot_chat_append(sot_chat *chat, const char *question, const char *answer)
{
    RETURN_IF_ERROR(check_idle("sot_chat_append", chat));
    RETURN_IF_ERROR(soti_check_question(question));
    if (answer == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "answer: is NULL");
    }
    RETURN_IF_ERROR(soti_check_text("answer", answer));
    return soti_chat_append(chat, question, answer, strlen(answer));
}

sot_status sot_chat_clear(sot_chat *chat)
{
    RETURN_IF_ERROR(check_idle("sot_chat_clear", chat));
    soti_chat_clear(chat);
    return SOT_OK;
}

size_t sot_chat_count(const sot_chat *chat)
{
    return chat != NULL ? chat->n_rounds : 0;
}

size_t sot_chat_dropped(const sot_chat *chat)
{
    return chat != NULL ? chat->n_dropped : 0;
}

const char *sot_chat_question(const sot_chat *chat, size_t i)
{
    return i < sot_chat_count(chat) ? chat->rounds[i].question : NULL;
}

const char *sot_chat_answer(const sot_chat *chat, size_t i)
{
    return i < sot_chat_count(chat) ? chat->rounds[i].answer : NULL;
}

sot_status sot_chat_save(const sot_chat *chat, const char *path)
{
    if (chat == NULL || path == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_chat_save: %s is NULL",
                         chat == NULL ? "chat" : "path");
    }
    return soti_chat_save(chat, path);
}

sot_status sot_chat_load(const char *path, const sot_chat_params *params, sot_chat **out)
{
    if (path == NULL || out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_chat_load: %s is NULL",
                         path == NULL ? "path" : "out");
    }
    *out = NULL;
    sot_chat *chat;
    RETURN_IF_ERROR(create(params, &chat));
    sot_status status = soti_chat_read(chat, path);
    if (status != SOT_OK) {
        soti_chat_free(chat);
        return status;
    }
    *out = chat;
    return SOT_OK;
}

sot_status sot_chat_generate(sot_chat *chat, sot_session *session, const char *question,
                             const sot_generate_params *params, sot_answer **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_chat_generate: out is NULL");
    }
    *out = NULL;
    RETURN_IF_ERROR(check_idle("sot_chat_generate", chat));
    soti_complete_params complete;
    RETURN_IF_ERROR(soti_open_call("sot_chat_generate", session, question, params, &complete));
    sot_status status = SOT_OK;
    if (complete.params.n_history > 0) {
        status = soti_fail(SOT_ERR_ARGUMENT,
                           "n_history: is %zu; the rounds of a chat are the history, append to it",
                           complete.params.n_history);
    } else if (complete.params.mode == SOT_MODE_ROUTED) {
        status = soti_check_router(&complete.params);
    }
    if (status == SOT_OK) {
        status = soti_chat_generate(chat, session, question, &complete.params, out);
    }
    soti_session_leave(session);
    return status;
}
