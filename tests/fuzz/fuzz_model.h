/* For targets whose input becomes a model: loads it and, where it is accepted, uses all of it. */
#ifndef SOT_TESTS_FUZZ_MODEL_H
#define SOT_TESTS_FUZZ_MODEL_H

#include "fuzz_input.h"
#include "model/loaded.h"
#include "sot/sot.h"

enum { FUZZ_CTX = 64, FUZZ_TOKENS = 3 };

static inline void fuzz_answer(sot_session *session)
{
    static const char question[] = "a b?";
    sot_prompts prompts = SOT_PROMPTS_INIT;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer;
    prompts.skeleton = "{request}[ROLESWITCHING assistant:]1.";
    prompts.point = "{request}{outline}{point}[ROLESWITCHING assistant:]{point_outline}";
    params.prompts = &prompts;
    params.forced_skeleton = "a\n2. b";
    params.max_point_tokens = FUZZ_TOKENS;
    params.max_points = 2;
    sot_status status = sot_generate(session, question, &params, &answer);
    bool allowed = status == SOT_ERR_CONTEXT_FULL || status == SOT_ERR_DEVICE; /* logits all NaN */
    fuzz_check_ok(allowed ? SOT_OK : status);
    fuzz_check((status == SOT_OK) <= (answer != NULL));
    if (answer != NULL) {
        fuzz_check_text(sot_answer_text(answer));
    }
    sot_answer_free(answer);
}

/* One pass with a prompt of several tokens, and with a tokenizer one of its texts. */
static inline void fuzz_use_model(sot_model *model)
{
    sot_model_info info = SOT_MODEL_INFO_INIT;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session *session;
    fuzz_check_ok(sot_model_get_info(model, &info));
    fuzz_check_text(info.name);
    fuzz_check_text(info.conversation);
    params.n_threads = 1;
    params.n_ctx = info.n_ctx_train > 0 && info.n_ctx_train < FUZZ_CTX ? 0 : FUZZ_CTX;
    params.max_batch = 2;
    params.kv_tokens = 4 * FUZZ_CTX;
    params.chunk_rows = 16;
    fuzz_check_ok(sot_session_create(model, &params, &session));
    int32_t last = (int32_t)info.n_vocab - 1;
    const int32_t tokens[] = {0, last, last / 2, 0};
    float *logits = calloc(info.n_vocab, sizeof *logits);
    fuzz_check(logits != NULL);
    sot_status status = sot_logits(session, tokens, 4, logits);
    fuzz_check_ok(status == SOT_ERR_CONTEXT_FULL ? SOT_OK : status);
    free(logits);
    if (info.has_tokenizer) {
        fuzz_answer(session);
    }
    sot_session_free(session);
}

/* Tensors lie in the files that they are said to be in, and those in the model's folder. */
static inline void fuzz_check_places(const soti_checkpoint *checkpoint)
{
    size_t n_path = strlen(checkpoint->path);
    for (size_t k = 0; k < checkpoint->n_maps; k++) {
        const char *path = checkpoint->maps[k].path;
        fuzz_check(strncmp(path, checkpoint->path, n_path) == 0);
        fuzz_check(path[n_path] == '\0' || strchr(path + n_path + 1, '/') == NULL);
    }
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        const soti_tensor *tensor = &checkpoint->tensors[i];
        bool inside = false;
        for (size_t k = 0; k < checkpoint->n_maps; k++) {
            const soti_filemap *map = &checkpoint->maps[k];
            inside = inside || (tensor->data >= map->data && tensor->bytes <= map->size &&
                                tensor->data + tensor->bytes <= map->data + map->size);
        }
        fuzz_check(inside);
    }
}

static inline void fuzz_read_line(int32_t level, const char *line, void *user)
{
    (void)level;
    (void)user;
    fuzz_check_text(line);
}

/* Returns whether it is a model. flags: SOT_MODEL_*. */
static inline bool fuzz_try_model(const char *path, uint32_t flags)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model;
    params.device = "cpu";
    params.flags = flags;
    params.log = fuzz_read_line;
    sot_status status = sot_model_load(path, &params, &model);
    fuzz_check((status == SOT_OK) == (model != NULL));
    fuzz_check_text(sot_error_message());
    if (model == NULL) {
        fuzz_check(sot_error_message()[0] != '\0');
        return false;
    }
    fuzz_check_places(&model->checkpoint);
    fuzz_use_model(model);
    sot_model_free(model);
    return true;
}

#endif
