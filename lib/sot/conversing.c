/* See conversing.h. The rounds, which of them still fit a context, and generating the next one. */
#include "sot/conversing.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "sot/answer.h"
#include "sot/asking.h"
#include "sot/pipeline.h"
#include "sot/routing.h"

enum {
    FIRST_ROUNDS = 8,
    RESERVE_SHARE = 4, /* of the context, kept free where nothing is said */
    DROPPED_SHARE = 2  /* of the room for rounds, which what is left behind dropping may take */
};

sot_status soti_chat_create(const sot_chat_params *params, sot_chat **out)
{
    static _Atomic uint64_t n_created;
    *out = NULL;
    sot_chat *chat = soti_alloc(1, sizeof *chat);
    if (chat == NULL) {
        return SOT_ERR_MEMORY;
    }
    chat->id = atomic_fetch_add(&n_created, 1) + 1;
    chat->flags = params->flags;
    chat->reserve_tokens = params->reserve_tokens;
    *out = chat;
    return SOT_OK;
}

void soti_chat_clear(sot_chat *chat)
{
    for (size_t i = 0; i < chat->n_rounds; i++) {
        soti_free(chat->rounds[i].question);
        soti_free(chat->rounds[i].answer);
    }
    chat->n_rounds = chat->n_dropped = 0;
}

void soti_chat_free(sot_chat *chat)
{
    if (chat == NULL) {
        return;
    }
    soti_chat_clear(chat);
    soti_free(chat->rounds);
    soti_free(chat);
}

/* A text's copy that may go into a prompt and into JSON. */
static char *copy_valid(const char *text, size_t size)
{
    soti_buffer copy = {0};
    sot_status status = soti_buffer_reserve(&copy, size);
    for (size_t i = 0; status == SOT_OK && i < size;) {
        uint32_t code;
        bool valid;
        char bytes[4];
        i += soti_utf8_decode(text + i, size - i, &code, &valid);
        size_t n = soti_utf8_encode(code != 0 ? code : 0xFFFD, bytes);
        status = soti_buffer_append(&copy, bytes, n);
    }
    if (status == SOT_OK) {
        status = soti_buffer_append(&copy, "", 0);
    }
    if (status != SOT_OK) {
        soti_buffer_free(&copy);
    }
    return copy.data;
}

static sot_status reserve_round(sot_chat *chat)
{
    if (chat->n_rounds < chat->capacity) {
        return SOT_OK;
    }
    size_t capacity = chat->capacity != 0 ? 2 * chat->capacity : FIRST_ROUNDS;
    soti_round *rounds = soti_realloc(chat->rounds, capacity, sizeof *rounds);
    if (rounds == NULL) {
        return SOT_ERR_MEMORY;
    }
    chat->rounds = rounds;
    chat->capacity = capacity;
    return SOT_OK;
}

sot_status soti_chat_append(sot_chat *chat, const char *question, const char *answer,
                            size_t answer_size)
{
    RETURN_IF_ERROR(reserve_round(chat));
    soti_round round = {.question = soti_copy_text(question, strlen(question)),
                        .answer = copy_valid(answer, answer_size)};
    if (round.question == NULL || round.answer == NULL) {
        soti_free(round.question);
        soti_free(round.answer);
        return SOT_ERR_MEMORY;
    }
    chat->rounds[chat->n_rounds++] = round;
    return SOT_OK;
}

/* A round that is about to begin. */
typedef struct soti_next_round {
    sot_chat *chat;
    const char **history; /* (2 * n_rounds) all rounds */
    sot_generate_params params;
    soti_asking *asking; /* of params */
    soti_request requests[3];
    size_t n_requests; /* whose prompts are known before anything is written */
} soti_next_round;

static void send_from(soti_next_round *next, size_t i_round)
{
    next->params.history = next->history + 2 * i_round;
    next->params.n_history = 2 * (next->chat->n_rounds - i_round);
}

static sot_status make_requests(soti_next_round *next, const char *question)
{
    const soti_prompt_values values = {.request = {question, strlen(question)}};
    const sot_prompts *prompts = next->params.prompts;
    if (next->params.mode == SOT_MODE_NORMAL) {
        next->n_requests = 1;
        return soti_buffer_append_text(&next->requests[0].user, question);
    }
    RETURN_IF_ERROR(soti_prompt_fill(prompts->skeleton, &values, &next->requests[0]));
    /* A chained point comes behind the skeleton's request, any other in its place. */
    next->n_requests = (prompts->flags & SOT_PROMPTS_CHAINED) != 0 ? 1 : 2;
    soti_request *point = &next->requests[next->n_requests - 1];
    RETURN_IF_ERROR(soti_prompt_fill(prompts->point, &values, point));
    if (next->params.mode != SOT_MODE_ROUTED ||
        soti_routing_router(&next->params) != SOT_ROUTER_PROMPTING) {
        return SOT_OK;
    }
    return soti_prompt_fill(prompts->router, &values, &next->requests[next->n_requests++]);
}

/* Tokens of the longest prompt when rounds are sent from i_round on. */
static sot_status count_prompt(soti_next_round *next, size_t i_round, size_t *n_tokens)
{
    *n_tokens = 0;
    send_from(next, i_round);
    for (size_t i = 0; i < next->n_requests; i++) {
        soti_tokens tokens = {0};
        sot_status status = soti_asking_encode(next->asking, &next->requests[i], &tokens);
        *n_tokens = tokens.count > *n_tokens ? tokens.count : *n_tokens;
        soti_tokens_free(&tokens);
        RETURN_IF_ERROR(status);
    }
    return SOT_OK;
}

/* The first round to send so that what is sent takes at most n_most tokens beyond n_question, which
 * the prompt has without rounds. */
static sot_status find_first(soti_next_round *next, size_t n_question, size_t n_most, size_t *i_out)
{
    size_t i_low = next->chat->n_dropped + 1;
    size_t i_high = next->chat->n_rounds; /* no round fits in any case */
    while (i_low < i_high) {
        size_t i_middle = i_low + (i_high - i_low) / 2;
        size_t n_tokens;
        RETURN_IF_ERROR(count_prompt(next, i_middle, &n_tokens));
        if (n_tokens <= n_question + n_most) {
            i_high = i_middle;
        } else {
            i_low = i_middle + 1;
        }
    }
    *i_out = i_high;
    return SOT_OK;
}

static void tell_dropped(soti_next_round *next)
{
    soti_run_emit(&next->asking->run, &(sot_event){.type = SOT_EVENT_DROPPED,
                                                   .n_done = (uint32_t)next->chat->n_dropped,
                                                   .n_total = (uint32_t)next->chat->n_rounds});
}

/* Tokens that a prompt and what is generated behind it can have together. */
static size_t room_of(const sot_session *session)
{
    size_t n_ctx = soti_engine_context_size(session->engine);
    size_t n_pool = (size_t)soti_kv_page_count(soti_engine_kv(session->engine)) * SOTI_PAGE_TOKENS;
    return n_ctx < n_pool ? n_ctx : n_pool;
}

/* Drops rounds where they do not fit. */
static sot_status fit_rounds(soti_next_round *next)
{
    sot_chat *chat = next->chat;
    size_t n_room = room_of(next->asking->session);
    size_t n_reserve = chat->reserve_tokens != 0 ? chat->reserve_tokens : n_room / RESERVE_SHARE;
    size_t n_tokens;
    size_t n_question;
    RETURN_IF_ERROR(count_prompt(next, chat->n_dropped, &n_tokens));
    if (n_tokens + n_reserve <= n_room) {
        return SOT_OK;
    }
    if ((chat->flags & SOT_CHAT_KEEP_ALL) != 0) {
        return soti_fail(SOT_ERR_CONTEXT_FULL,
                         "%zu rounds and the question make a prompt of %zu tokens; with %zu kept "
                         "free for the answer that is more than the context of %zu",
                         chat->n_rounds, n_tokens, n_reserve, n_room);
    }
    RETURN_IF_ERROR(count_prompt(next, chat->n_rounds, &n_question));
    size_t n_taken = n_question + n_reserve;
    size_t n_most = n_taken < n_room ? (n_room - n_taken) / DROPPED_SHARE : 0;
    RETURN_IF_ERROR(find_first(next, n_question, n_most, &chat->n_dropped));
    tell_dropped(next);
    return SOT_OK;
}

/* Chooses the rounds to send. *stopped: the callback wants to hear no more. */
static sot_status choose_rounds(soti_next_round *next, sot_session *session, const char *question,
                                bool *stopped)
{
    soti_asking asking;
    /* cppcheck-suppress autoVariables ; nobody reads it after this has returned */
    next->asking = &asking;
    sot_status status = soti_asking_begin(&asking, session, question, &next->params);
    if (status == SOT_OK && next->chat->n_rounds > next->chat->n_dropped) {
        status = make_requests(next, question);
        if (status == SOT_OK) {
            status = fit_rounds(next);
        }
    }
    *stopped = asking.run.stopped;
    send_from(next, next->chat->n_dropped);
    for (size_t i = 0; i < sizeof next->requests / sizeof *next->requests; i++) {
        soti_request_free(&next->requests[i]);
    }
    soti_asking_end(&asking);
    return status;
}

static sot_status generate(soti_next_round *next, sot_session *session, const char *question,
                           sot_answer **out)
{
    bool stopped;
    RETURN_IF_ERROR(choose_rounds(next, session, question, &stopped));
    if (stopped) {
        next->params.on_event = NULL;
        atomic_store(&session->cancel, 1);
    }
    session->chat_id = next->chat->id;
    sot_status status = soti_pipeline_generate(session, question, &next->params, out);
    session->chat_id = 0;
    if (status != SOT_OK) {
        return status;
    }
    status =
        soti_chat_append(next->chat, question, soti_buffer_text(&(*out)->text), (*out)->text.size);
    if (status != SOT_OK) {
        soti_answer_free(*out);
        *out = NULL;
    }
    return status;
}

sot_status soti_chat_generate(sot_chat *chat, sot_session *session, const char *question,
                              const sot_generate_params *params, sot_answer **out)
{
    *out = NULL;
    if (chat->reserve_tokens >= room_of(session)) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "reserve_tokens: is %u, which leaves nothing of the context of %zu for a "
                         "prompt",
                         chat->reserve_tokens, room_of(session));
    }
    soti_next_round next = {.chat = chat, .params = *params};
    next.history = soti_alloc(chat->n_rounds + 1, 2 * sizeof *next.history);
    if (next.history == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (size_t i = 0; i < chat->n_rounds; i++) {
        next.history[2 * i] = chat->rounds[i].question;
        next.history[2 * i + 1] = chat->rounds[i].answer;
    }
    chat->busy = true;
    sot_status status = generate(&next, session, question, out);
    chat->busy = false;
    soti_free(next.history);
    return status;
}
