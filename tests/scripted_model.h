/* A model whose every word is written by the test: a backend that computes nothing and whose pick
 * looks the token up by random stream and counter, under a tokenizer of bytes. So a test says what
 * the skeleton is and what each point's expansion is, and sees exactly what the pipeline makes of
 * it. The model's parts live in the test program; sessions on it are the library's own. */
#ifndef SOT_TESTS_SCRIPTED_MODEL_H
#define SOT_TESTS_SCRIPTED_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/fail.h"
#include "model/loaded.h"
#include "session_check.h"
#include "sot/asking.h"

enum { SCRIPT_VOCAB = 300, SCRIPT_EOS = 2, SCRIPT_FIRST_BYTE = 3, SCRIPTS_MAX = 96 };

typedef struct script {
    uint64_t stream;
    const char *text; /* byte by byte, then EOS */
    bool endless;     /* the text is repeated instead */
} script;

static struct {
    script scripts[SCRIPTS_MAX];
    size_t n_scripts;
    int32_t first_id; /* picked for every stream's first token unless negative */
    uint32_t n_steps;
    uint32_t n_rows;        /* of all steps */
    uint32_t n_prompt_rows; /* of all steps */
    uint32_t most_rows;     /* of one step */
    uint32_t n_picks;       /* of all steps */
    float letter_logits[3]; /* of A, B and C in every row of logits; 0: not said */
    uint32_t n_logit_reads;
    uint32_t n_page_copies;
    uint32_t n_groups; /* of the last step, and its first group */
    soti_row_group group;
    uint32_t n_contexts;   /* alive */
    uint64_t fail_at_step; /* this step returns DEVICE; 0: none */
    uint64_t cancel_at_step;
    sot_session *cancels; /* the session that cancel_at_step cancels */
    uint32_t step_ms;     /* a step takes that long at least, ... */
    uint32_t slow_every;  /* ... and each of so many ... */
    uint32_t slow_ms;     /* ... this much longer */
} scripted;

struct soti_device_weights {
    int nothing;
};

struct soti_context {
    const soti_rows *rows;
};

static inline void script_reset(void)
{
    memset(&scripted, 0, sizeof scripted);
    scripted.first_id = -1;
}

/* For another answer on the same session. */
static inline void script_anew(void)
{
    uint32_t n_contexts = scripted.n_contexts;
    script_reset();
    scripted.n_contexts = n_contexts;
}

static inline void script_text(uint64_t stream, const char *text, bool endless)
{
    scripted.scripts[scripted.n_scripts++] = (script){stream, text, endless};
}

static inline void script_skeleton(const char *text)
{
    script_text(SOTI_STREAM_SKELETON, text, false);
}

/* What the model answers the router, and the logits of A, B and C. */
static inline void script_route(const char *text, float a, float b, float c)
{
    script_text(SOTI_STREAM_ROUTE, text, false);
    scripted.letter_logits[0] = a;
    scripted.letter_logits[1] = b;
    scripted.letter_logits[2] = c;
}

static inline void script_three_points(void)
{
    script_skeleton(" Alpha.\n2. Beta.\n3. Gamma.");
    script_text(0, " first.", false);
    script_text(1, "\n second one. \n", false);
    script_text(2, " third", false);
}

static inline int32_t script_token(uint64_t stream, uint64_t counter)
{
    if (counter == 0 && scripted.first_id >= 0) {
        return scripted.first_id;
    }
    for (size_t i = 0; i < scripted.n_scripts; i++) {
        const script *found = &scripted.scripts[i];
        size_t size = strlen(found->text);
        if (found->stream == stream && (found->endless || counter < size)) {
            return SCRIPT_FIRST_BYTE + (unsigned char)found->text[counter % size];
        }
    }
    return SCRIPT_EOS;
}

static inline sot_status scripted_context_create(soti_device_weights *weights,
                                                 const soti_context_params *params,
                                                 soti_context **out)
{
    (void)weights;
    (void)params;
    *out = calloc(1, sizeof **out);
    scripted.n_contexts++;
    return *out != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

static inline void scripted_context_free(soti_context *context)
{
    scripted.n_contexts--;
    free(context);
}

static inline uint64_t scripted_context_bytes(const soti_context *context)
{
    return sizeof *context;
}

static inline void scripted_context_info(const soti_context *context, soti_context_info *out)
{
    (void)context;
    *out = (soti_context_info){.isa = ""};
}

static inline sot_status scripted_batch_begin(soti_context *context, const soti_rows *rows)
{
    context->rows = rows;
    scripted.n_steps++;
    scripted.n_rows += rows->n_rows;
    scripted.n_prompt_rows += rows->n_prompt_rows;
    scripted.n_groups = rows->n_groups;
    scripted.group = rows->groups[0];
    scripted.most_rows = rows->n_rows > scripted.most_rows ? rows->n_rows : scripted.most_rows;
    if (scripted.step_ms > 0) {
        bool is_slow = scripted.slow_every > 0 && scripted.n_steps % scripted.slow_every == 0;
        uint32_t ms = scripted.step_ms + (is_slow ? scripted.slow_ms : 0);
        nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
    }
    if (scripted.n_steps == scripted.cancel_at_step) {
        sot_session_cancel(scripted.cancels);
    }
    if (scripted.n_steps == scripted.fail_at_step) {
        return soti_fail(SOT_ERR_DEVICE, "the scripted device fails on purpose");
    }
    return SOT_OK;
}

static inline sot_status scripted_stage(soti_context *context)
{
    (void)context;
    return SOT_OK;
}

static inline sot_status scripted_layer(soti_context *context, uint32_t i_layer)
{
    (void)context;
    (void)i_layer;
    return SOT_OK;
}

static inline sot_status scripted_pick(soti_context *context, const soti_pick *picks,
                                       uint32_t n_picks, int32_t *tokens)
{
    (void)context;
    scripted.n_picks += n_picks;
    for (uint32_t i = 0; i < n_picks; i++) {
        tokens[i] = script_token(picks[i].stream, picks[i].counter);
    }
    return SOT_OK;
}

static inline sot_status scripted_read_logits(soti_context *context, uint32_t i_logit, float *out)
{
    int32_t last = context->rows->tokens[context->rows->logit_rows[i_logit]];
    for (int32_t id = 0; id < SCRIPT_VOCAB; id++) {
        out[id] = id == last ? 1.0f : 0.0f; /* names the token it stands behind */
    }
    for (int i = 0; i < 3; i++) {
        out[SCRIPT_FIRST_BYTE + 'A' + i] += scripted.letter_logits[i];
    }
    scripted.n_logit_reads++;
    return SOT_OK;
}

static inline sot_status scripted_page_copy(soti_context *context, uint32_t to_page,
                                            uint32_t from_page, uint32_t n_tokens)
{
    (void)context;
    (void)to_page;
    (void)from_page;
    (void)n_tokens;
    scripted.n_page_copies++;
    return SOT_OK;
}

static const soti_backend scripted_backend = {
    .version = SOTI_BACKEND_VERSION,
    .table_size = sizeof scripted_backend,
    .name = "scripted",
    .step_rows = 128,
    .rows_alike = 1,
    .context_create = scripted_context_create,
    .context_free = scripted_context_free,
    .context_bytes = scripted_context_bytes,
    .context_info = scripted_context_info,
    .batch_begin = scripted_batch_begin,
    .embed = scripted_stage,
    .qkv = scripted_layer,
    .attention = scripted_layer,
    .attention_output = scripted_layer,
    .gate_up = scripted_layer,
    .down = scripted_layer,
    .logits = scripted_stage,
    .pick = scripted_pick,
    .read_logits = scripted_read_logits,
    .page_copy = scripted_page_copy,
};

static soti_device_weights scripted_weights;
static sot_model scripted_model;

static inline void scripted_model_open(void)
{
    static char path[] = "scripted";
    static char conversation[] = "none";
    soti_vocabulary vocabulary = {0};
    script_reset();
    memset(&scripted_model, 0, sizeof scripted_model);
    atomic_init(&scripted_model.n_references, 1);
    scripted_model.checkpoint.path = path;
    scripted_model.checkpoint.conversation = conversation;
    scripted_model.checkpoint.eos_id = SCRIPT_EOS;
    scripted_model.checkpoint.bos_id = 1;
    scripted_model.checkpoint.n_ctx_train = 4096;
    scripted_model.checkpoint.shape = (soti_shape){.n_layer = 2,
                                                   .n_head = 1,
                                                   .n_kv = 1,
                                                   .d_head = 2,
                                                   .d_model = 2,
                                                   .d_ff = 2,
                                                   .n_vocab = SCRIPT_VOCAB,
                                                   .rope_theta = 1e4f,
                                                   .rope_scale = 1.0f,
                                                   .norm_eps = 1e-5f};
    scripted_model.placement.backend = &scripted_backend;
    scripted_model.placement.weights = &scripted_weights;
    assert_int_equal(soti_vocabulary_make_bytes(SCRIPT_VOCAB, &vocabulary), SOT_OK);
    assert_int_equal(soti_tokenizer_create(&vocabulary, &scripted_model.tokenizer), SOT_OK);
}

/* Gives the vocabulary a piece of several bytes, whose id it returns: its last one. */
static inline int32_t script_piece(const char *piece)
{
    soti_vocabulary vocabulary = {0};
    assert_int_equal(soti_vocabulary_make_bytes(SCRIPT_VOCAB - 1, &vocabulary), SOT_OK);
    assert_int_equal(
        soti_vocabulary_append(&vocabulary, piece, strlen(piece), 0.0f, SOTI_PIECE_NORMAL), SOT_OK);
    soti_tokenizer_free(scripted_model.tokenizer);
    assert_int_equal(soti_tokenizer_create(&vocabulary, &scripted_model.tokenizer), SOT_OK);
    return SCRIPT_VOCAB - 1;
}

/* Every session must be gone by now, and every context with it. */
static inline void scripted_model_close(void)
{
    assert_int_equal(atomic_load(&scripted_model.n_references), 1);
    assert_int_equal(scripted.n_contexts, 0);
    soti_tokenizer_free(scripted_model.tokenizer);
    scripted_model.tokenizer = NULL;
}

/* For a test that needs the model alone. */
static inline int scripted_setup(void **state)
{
    (void)state;
    scripted_model_open();
    return 0;
}

static inline int scripted_teardown(void **state)
{
    (void)state;
    scripted_model_close();
    return 0;
}

static inline sot_session *scripted_session_open(const sot_session_params *params)
{
    return session_open(&scripted_model, params);
}

static inline void scripted_session_close(sot_session *session)
{
    session_close(session);
}

#endif
