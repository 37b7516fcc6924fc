/* See session.h. Opening and closing, the guard around calls, and the pages kept between them. */
#include "sot/session.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"

enum {
    DEFAULT_CONTEXT = 2048, /* for a model that states none */
    DEFAULT_CONTEXT_MAX = 4096,
    DEFAULT_BATCH = 16,
    MAX_CONTEXT = 1 << 24,
    MAX_BATCH = 1 << 12,
    MAX_CHUNK_ROWS = 1 << 16,
    MAX_KV_TOKENS = 1 << 30,
    OTHER_SEQUENCES = 4 /* the common prefix, the logits and forks being handed over */
};

static sot_status check_limit(const char *name, uint32_t value, uint32_t limit)
{
    if (value > limit) {
        return soti_fail(SOT_ERR_ARGUMENT, "session parameters: %s is %u, at most %u is possible",
                         name, value, limit);
    }
    return SOT_OK;
}

static sot_status complete_params(const sot_model *model, const sot_session_params *params,
                                  soti_engine_params *out)
{
    uint32_t n_train = model->checkpoint.n_ctx_train;
    *out = (soti_engine_params){
        .n_threads = params->n_threads,
        .pin_threads = params->pin_threads,
        .n_ctx = params->n_ctx,
        .max_batch = params->max_batch ? params->max_batch : DEFAULT_BATCH,
        .kv_tokens = params->kv_tokens,
        .chunk_rows = params->chunk_rows,
        .isa = params->isa,
    };
    RETURN_IF_ERROR(check_limit("pin_threads", params->pin_threads, 1));
    RETURN_IF_ERROR(check_limit("n_ctx", out->n_ctx, MAX_CONTEXT));
    RETURN_IF_ERROR(check_limit("max_batch", out->max_batch, MAX_BATCH));
    RETURN_IF_ERROR(check_limit("kv_tokens", out->kv_tokens, MAX_KV_TOKENS));
    RETURN_IF_ERROR(check_limit("chunk_rows", out->chunk_rows, MAX_CHUNK_ROWS));
    if (out->n_ctx == 0) {
        out->n_ctx = n_train == 0 ? DEFAULT_CONTEXT
                                  : (n_train < DEFAULT_CONTEXT_MAX ? n_train : DEFAULT_CONTEXT_MAX);
    }
    if (out->chunk_rows == 0) {
        uint32_t n_rows = model->placement.backend->step_rows;
        out->chunk_rows = out->max_batch > n_rows ? out->max_batch : n_rows;
    }
    if (out->chunk_rows < out->max_batch) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "session parameters: chunk_rows is %u, fewer than max_batch, %u",
                         out->chunk_rows, out->max_batch);
    }
    if (out->kv_tokens == 0) {
        out->kv_tokens = out->n_ctx + 256 * out->max_batch + 1024;
    }
    out->n_sequences = out->max_batch + SOTI_KEPT_MAX + OTHER_SEQUENCES;
    return SOT_OK;
}

sot_status soti_session_open(sot_model *model, const sot_session_params *params, sot_session **out)
{
    *out = NULL;
    soti_engine_params engine_params;
    RETURN_IF_ERROR(complete_params(model, params, &engine_params));
    sot_session *session = soti_alloc(1, sizeof *session);
    if (session == NULL) {
        return SOT_ERR_MEMORY;
    }
    atomic_init(&session->cancel, 0);
    atomic_flag_clear(&session->busy);
    soti_model_retain(model);
    session->model = model;
    session->process = getpid();
    sot_status status = soti_engine_create(model, &engine_params, &session->engine);
    if (status == SOT_OK) {
        session->logits_tokens.ids = soti_alloc(engine_params.n_ctx, sizeof(int32_t));
        session->logits_tokens.capacity = engine_params.n_ctx;
        status = session->logits_tokens.ids == NULL ? SOT_ERR_MEMORY : SOT_OK;
    }
    if (status != SOT_OK) {
        soti_session_close(session);
        return status;
    }
    *out = session;
    return SOT_OK;
}

static void drop_beginning(sot_session *session, soti_beginning *beginning)
{
    soti_sequence_free(soti_engine_kv(session->engine), beginning->sequence);
    soti_tokens_free(&beginning->tokens);
    *beginning = (soti_beginning){0};
}

void soti_session_close(sot_session *session)
{
    if (session == NULL) {
        return;
    }
    if (session->engine != NULL) {
        while (soti_session_make_room(session)) {
        }
    }
    soti_tokens_free(&session->logits_tokens);
    soti_engine_free(session->engine);
    soti_model_release(session->model);
    soti_free(session);
}

uint64_t soti_session_bytes(const sot_session *session)
{
    return soti_engine_bytes(session->engine) + sizeof *session +
           session->logits_tokens.capacity * sizeof(int32_t);
}

sot_status soti_session_enter(sot_session *session)
{
    if (getpid() != session->process) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "the session is that of process %ld, of which this one, %ld, is a fork: "
                         "threads and devices do not survive a fork",
                         (long)session->process, (long)getpid());
    }
    if (atomic_flag_test_and_set_explicit(&session->busy, memory_order_acquire)) {
        return soti_fail(SOT_ERR_BUSY, "the session is in use by another call");
    }
    return SOT_OK;
}

void soti_session_leave(sot_session *session)
{
    atomic_store(&session->cancel, 0);
    atomic_flag_clear_explicit(&session->busy, memory_order_release);
}

static uint32_t count_shared(const soti_tokens *tokens, const int32_t *prompt, uint32_t n_prompt)
{
    uint32_t n = 0;
    while (n < n_prompt && n < tokens->count && tokens->ids[n] == prompt[n]) {
        n++;
    }
    return n;
}

soti_sequence *soti_session_fork_beginning(sot_session *session, const int32_t *prompt,
                                           uint32_t n_prompt, uint32_t *n_shared)
{
    soti_beginning *best = NULL;
    uint32_t n_best = 0;
    for (uint32_t i = 0; i < SOTI_KEPT_MAX; i++) {
        soti_beginning *beginning = &session->kept[i];
        uint32_t n = count_shared(&beginning->tokens, prompt, n_prompt - 1);
        if (beginning->sequence != NULL && n > n_best) {
            best = beginning;
            n_best = n;
        }
    }
    *n_shared = 0;
    if (best == NULL) {
        return NULL;
    }
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_sequence *sequence = NULL;
    if (soti_sequence_fork(kv, best->sequence, n_best, &sequence) != SOT_OK) {
        return NULL; /* without a page to spare, computing it again is all that can be done */
    }
    best->last_use = ++session->n_uses;
    *n_shared = n_best;
    return sequence;
}

/* Where these tokens of a template, or of the conversation under way, go; NULL when what is kept
 * says all of it already. */
static soti_beginning *choose_slot(sot_session *session, bool of_conversation, const int32_t *ids,
                                   uint32_t n)
{
    uint32_t i_first = of_conversation ? SOTI_BEGINNINGS_MAX : 0; /* KEPT-1 */
    uint32_t i_end = of_conversation ? SOTI_CHAIN : SOTI_BEGINNINGS_MAX;
    soti_beginning *oldest = &session->kept[i_first];
    soti_beginning *outgrown = NULL;
    for (uint32_t i = i_first; i < i_end; i++) {
        soti_beginning *beginning = &session->kept[i];
        uint32_t n_shared = count_shared(&beginning->tokens, ids, n);
        if (beginning->sequence != NULL && n_shared == n) {
            return NULL;
        }
        bool replaced = of_conversation ? beginning->chat_id == session->chat_id /* KEPT-2 */
                                        : n_shared == beginning->tokens.count;
        if (beginning->sequence != NULL && replaced) {
            outgrown = beginning;
        }
        if (beginning->last_use < oldest->last_use) { /* an unused slot has 0 */
            oldest = beginning;
        }
    }
    return outgrown != NULL ? outgrown : oldest;
}

/* The slot gets the first n tokens; where it is NULL they go. */
static void put(sot_session *session, soti_beginning *slot, uint64_t chat_id,
                soti_sequence *sequence, soti_tokens *tokens, uint32_t n)
{
    soti_kv *kv = soti_engine_kv(session->engine);
    if (slot == NULL) {
        soti_sequence_free(kv, sequence);
        soti_tokens_free(tokens);
    } else {
        drop_beginning(session, slot);
        soti_sequence_truncate(kv, sequence, n);
        tokens->count = n;
        *slot = (soti_beginning){.tokens = *tokens,
                                 .sequence = sequence,
                                 .last_use = ++session->n_uses,
                                 .chat_id = chat_id};
    }
    *tokens = (soti_tokens){0};
}

/* Of n tokens, those that sequence has. */
static uint32_t count_written(const soti_sequence *sequence, size_t n)
{
    uint32_t n_written = sequence != NULL ? soti_sequence_length(sequence) : 0;
    return n < n_written ? (uint32_t)n : n_written;
}

static void keep(sot_session *session, bool of_conversation, soti_sequence *sequence,
                 soti_tokens *tokens, uint32_t n)
{
    n = count_written(sequence, n);
    soti_beginning *slot = n > 0 ? choose_slot(session, of_conversation, tokens->ids, n) : NULL;
    put(session, slot, of_conversation ? session->chat_id : 0, sequence, tokens, n);
}

void soti_session_keep_beginning(sot_session *session, soti_sequence *sequence, soti_tokens *tokens,
                                 uint32_t n)
{
    keep(session, false, sequence, tokens, n);
}

void soti_session_keep_conversation(sot_session *session, soti_sequence *sequence,
                                    soti_tokens *tokens, uint32_t n)
{
    keep(session, true, sequence, tokens, n);
}

void soti_session_keep_chain(sot_session *session, soti_sequence *sequence, soti_tokens *tokens)
{
    uint32_t n = count_written(sequence, tokens->count);
    put(session, n > 0 ? &session->kept[SOTI_CHAIN] : NULL, 0, sequence, tokens, n);
}

/* The i-th of SOTI_KEPT_MAX + 1 sequences that a session keeps; NULL: it does not. */
static const soti_sequence *kept_sequence(const sot_session *session, uint32_t i)
{
    return i < SOTI_KEPT_MAX ? session->kept[i].sequence : session->logits_sequence;
}

/* Of the kept sequences from i_first on, those that hold this page. Sequences have a page in common
 * at the same place only. */
static uint32_t count_holders(const sot_session *session, uint32_t i_first, uint32_t i_page,
                              uint32_t page)
{
    uint32_t n = 0;
    for (uint32_t i = i_first; i <= SOTI_KEPT_MAX; i++) {
        const soti_sequence *sequence = kept_sequence(session, i);
        n += sequence != NULL && i_page < soti_sequence_page_count(sequence) &&
             soti_sequence_pages(sequence)[i_page] == page;
    }
    return n;
}

uint32_t soti_session_room(void *user)
{
    const sot_session *session = user;
    const soti_kv *kv = soti_engine_kv(session->engine);
    uint32_t n_room = 0;
    for (uint32_t i = 0; i <= SOTI_KEPT_MAX; i++) {
        const soti_sequence *sequence = kept_sequence(session, i);
        uint32_t n_pages = sequence != NULL ? soti_sequence_page_count(sequence) : 0;
        for (uint32_t k = 0; k < n_pages; k++) {
            uint32_t page = soti_sequence_pages(sequence)[k];
            /* Counted with the first sequence that holds it, where nobody else does. */
            n_room += count_holders(session, i, k, page) == soti_kv_references(kv, page);
        }
    }
    return n_room;
}

bool soti_session_make_room(void *user)
{
    sot_session *session = user;
    if (session->logits_sequence != NULL) {
        soti_sequence_free(soti_engine_kv(session->engine), session->logits_sequence);
        session->logits_sequence = NULL;
        session->logits_tokens.count = 0;
        return true;
    }
    soti_beginning *oldest = NULL;
    for (uint32_t i = 0; i < SOTI_KEPT_MAX; i++) {
        soti_beginning *beginning = &session->kept[i];
        if (beginning->sequence != NULL &&
            (oldest == NULL || beginning->last_use < oldest->last_use)) {
            oldest = beginning;
        }
    }
    if (oldest == NULL) {
        return false;
    }
    drop_beginning(session, oldest);
    return true;
}
