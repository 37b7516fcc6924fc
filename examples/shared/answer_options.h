/* The options that sot and sot-eval have in common: how a question is answered, and on what. The
 * structure that they fill has the members that are named here; AT(member) is its offset. */
#ifndef SOT_SHARED_ANSWER_OPTIONS_H
#define SOT_SHARED_ANSWER_OPTIONS_H

#include <sot/sot.h>

#include "option_table.h"

/* ROW(name, letter, kind, offset, least, most, value, help) */
#define MODEL_ROWS(ROW)                                                                            \
    ROW("model", 'm', OPTION_TEXT, AT(model), 0, 0, "PATH",                                        \
        "GGUF file, Hugging Face directory, or random:SHAPE")

#define ROUTER_ROWS(ROW)                                                                           \
    ROW("router", 0, OPTION_TEXT, AT(router), 0, 0, "NAME",                                        \
        "who decides in mode routed: prompting (the model; default), trained,\nalways, never"),    \
        ROW("router-file", 0, OPTION_TEXT, AT(router_path), 0, 0, "FILE",                          \
            "weights of the trained router (default: the installed ones)"),                        \
        ROW("concurrent", 0, OPTION_FLAG, AT(concurrent), 0, 0, NULL,                              \
            "mode routed: router and both answers begin at once")

#define PROMPT_ROWS(ROW)                                                                           \
    ROW("template", 0, OPTION_TEXT, AT(generate.conversation), 0, 0, "NAME",                       \
        "conversation template (default: the model's): vicuna, llama2-chat,\n"                     \
        "ultralm, openchat, stablevicuna, none"),                                                  \
        ROW("system", 0, OPTION_TEXT, AT(generate.system_message), 0, 0, "TEXT",                   \
            "system message"),                                                                     \
        ROW("wording", 0, OPTION_TEXT, AT(generate.wording), 0, 0, "NAME",                         \
            "of the prompts: two-shot (default), zero-shot, compact, chained"),                    \
        ROW("prompts", 0, OPTION_TEXT, AT(prompts_path), 0, 0, "FILE",                             \
            "JSON with outline_prompt and point_prompt; goes before --wording")

#define SAMPLING_ROWS(ROW)                                                                         \
    ROW("temperature", 0, OPTION_REAL, AT(generate.temperature), 0, 1000, "X",                     \
        "0 (default) takes the likeliest token"),                                                  \
        ROW("top-k", 0, OPTION_COUNT, AT(generate.top_k), 0, OPTION_COUNT_MOST, "N",               \
            "sample from the N likeliest tokens; 0: all"),                                         \
        ROW("top-p", 0, OPTION_REAL, AT(generate.top_p), 0, 1, "X",                                \
            "sample from the smallest set of this probability"),                                   \
        ROW("repetition-penalty", 0, OPTION_REAL, AT(generate.repetition_penalty), 0, 1000, "X",   \
            "above 1: tokens already written become less likely"),                                 \
        ROW("seed", 0, OPTION_SEED, AT(generate.seed), 0, 0, "N", "of the random draws")

#define LIMIT_ROWS(ROW)                                                                            \
    ROW("max-tokens", 0, OPTION_COUNT, AT(generate.max_tokens), 1, OPTION_COUNT_MOST, "N",         \
        "limit of a normal answer (default 1024)"),                                                \
        ROW("max-skeleton-tokens", 0, OPTION_COUNT, AT(generate.max_skeleton_tokens), 1,           \
            OPTION_COUNT_MOST, "N", "limit of the skeleton (default 512)"),                        \
        ROW("max-point-tokens", 0, OPTION_COUNT, AT(generate.max_point_tokens), 1,                 \
            OPTION_COUNT_MOST, "N", "limit of each point's expansion (default 256)"),              \
        ROW("max-points", 0, OPTION_COUNT, AT(generate.max_points), 1, OPTION_COUNT_MOST, "N",     \
            "points that are expanded (default 64)")

#define SESSION_ROWS(ROW)                                                                          \
    ROW("threads", 0, OPTION_COUNT, AT(session.n_threads), 1, OPTION_COUNT_MOST, "N",              \
        "worker threads (default: one per CPU)"),                                                  \
        ROW("ctx", 0, OPTION_COUNT, AT(session.n_ctx), 1, OPTION_COUNT_MOST, "N",                  \
            "tokens of a prompt and its text\n(default: the model's, at most 4096)"),              \
        ROW("isa", 0, OPTION_TEXT, AT(session.isa), 0, 0, "NAME",                                  \
            "instruction set: auto (default), amx, avx512, avx2, neon, portable")

#define WEIGHT_ROWS(ROW)                                                                           \
    ROW("copy-weights", 0, OPTION_FLAG, AT(copy_weights), 0, 0, NULL,                              \
        "read the model's files into memory; they may change then"),                               \
        ROW("lock-weights", 0, OPTION_FLAG, AT(lock_weights), 0, 0, NULL,                          \
            "bring the weights into memory at once and keep them there")

/* SOT_MODEL_* of the two. */
uint32_t model_flags(int copy_weights, int lock_weights);

/* The modes a question can be asked in. */
enum { MODE_NORMAL, MODE_SOT, MODE_ROUTED, N_MODES };
extern const char *const mode_names[N_MODES]; /* "normal", "sot", "routed" */
/* SOT_MODE_* of a name, SOT_MODE_DEFAULT where it is none; and back. */
uint32_t mode_number(const char *name);
const char *mode_name(uint32_t mode);

/* Sets the router in *params: the one named so, or, where *name is NULL, the one that is meant when
 * this file is given (path) or not (NULL); *name is then its name. Returns -1, or EXIT_USAGE after
 * having said what is wrong. */
int router_choose(sot_generate_params *params, const char **name, const char *path);

#endif
