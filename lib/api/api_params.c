/* See api_params.h. */
#include "api/api_params.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "model/loaded.h"
#include "model/sampler.h"
#include "sot/conversation.h"
#include "sot/prompts.h"
#include "sot/routing.h"
#include "sot/wordings.h"

enum {
    DEFAULT_MAX_TOKENS = 1024,
    DEFAULT_MAX_SKELETON_TOKENS = 512,
    DEFAULT_MAX_POINT_TOKENS = 256,
    STRUCT_SIZE_MAX = 1 << 16 /* far beyond any version's; more is not a size */
};

static const char conversation_names[] =
    "vicuna, llama2-chat, ultralm, openchat, stablevicuna, none";

/* The sizes of all versions of all public structs are multiples of this, and no size cuts a field
 * in two: where there are pointers or 64-bit numbers the compiler sees to it, elsewhere fields are
 * added in pairs. */
static const size_t struct_unit = sizeof(void *);
_Static_assert(sizeof(sot_measure_params) % sizeof(uint64_t) == 0, "holds 32-bit numbers alone");

static sot_status read_struct_size(const char *what, const void *params, size_t *size)
{
    uint32_t struct_size;
    memcpy(&struct_size, params, sizeof struct_size);
    *size = struct_size;
    if (struct_size == 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: struct_size is 0, it was not initialized", what);
    }
    if (struct_size > STRUCT_SIZE_MAX || struct_size % struct_unit != 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: struct_size %u is no version's", what, struct_size);
    }
    return SOT_OK;
}

sot_status soti_params_read(const char *what, const void *params, size_t size, void *out)
{
    uint32_t known_size = (uint32_t)size;
    size_t given;
    memset(out, 0, size);
    if (params != NULL) {
        RETURN_IF_ERROR(read_struct_size(what, params, &given));
        const unsigned char *bytes = params;
        for (size_t i = size; i < given; i++) {
            if (bytes[i] != 0) {
                return soti_fail(SOT_ERR_UNSUPPORTED,
                                 "%s: struct_size is %zu and byte %zu is set; this library (%s) "
                                 "knows %zu bytes",
                                 what, given, i, sot_version_string(), size);
            }
        }
        memcpy(out, params, given < size ? given : size);
    }
    memcpy(out, &known_size, sizeof known_size);
    return SOT_OK;
}

sot_status soti_params_write(const char *what, const void *values, size_t size, void *params)
{
    size_t given;
    RETURN_IF_ERROR(read_struct_size(what, params, &given));
    unsigned char *out = params;
    size_t n = given < size ? given : size;
    memcpy(out + sizeof(uint32_t), (const unsigned char *)values + sizeof(uint32_t),
           n - sizeof(uint32_t));
    memset(out + n, 0, given - n);
    return SOT_OK;
}

sot_status soti_check_text(const char *what, const char *text)
{
    size_t size = text != NULL ? strlen(text) : 0;
    size_t i_invalid = size > 0 ? soti_utf8_find_invalid(text, size) : 0;
    if (i_invalid < size) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: byte %zu is not UTF-8", what, i_invalid);
    }
    return SOT_OK;
}

sot_status soti_check_question(const char *question)
{
    if (question == NULL || question[0] == '\0') {
        return soti_fail(SOT_ERR_ARGUMENT, "question: is %s", question ? "empty" : "NULL");
    }
    return soti_check_text("question", question);
}

sot_status soti_check_flags(const char *what, uint32_t flags, uint32_t defined)
{
    if ((flags & ~defined) == 0) {
        return SOT_OK;
    }
    if (defined == 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: flags 0x%x, none is defined", what, flags);
    }
    return soti_fail(SOT_ERR_UNSUPPORTED, "%s: flags 0x%x, only 0x%x is defined", what, flags,
                     defined);
}

/* An array of texts: pointer and count agree, no text is NULL, and none empty where that would have
 * no meaning. */
static sot_status check_texts(const char *what, const char *const *texts, size_t n,
                              bool may_be_empty)
{
    char name[64];
    if (texts == NULL && n > 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: is NULL, its count is %zu", what, n);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s[%zu]", what, i);
        if (texts[i] == NULL || (texts[i][0] == '\0' && !may_be_empty)) {
            return soti_fail(SOT_ERR_ARGUMENT, "%s: is %s", name, texts[i] ? "empty" : "NULL");
        }
        RETURN_IF_ERROR(soti_check_text(name, texts[i]));
    }
    return SOT_OK;
}

static sot_status check_sampling(const sot_generate_params *params)
{
    soti_sampler sampler;
    const soti_sampler_params values = {.temperature = params->temperature,
                                        .top_p = params->top_p,
                                        .repetition_penalty = params->repetition_penalty,
                                        .top_k = params->top_k,
                                        .seed = params->seed};
    return soti_sampler_init(&sampler, &values, 0);
}

static sot_status complete_conversation(const sot_model *model, soti_complete_params *out)
{
    sot_generate_params *params = &out->params;
    sot_conversation *conversation = &out->conversation;
    const char *name = params->conversation;
    if (params->custom_conversation != NULL) {
        RETURN_IF_ERROR(soti_params_read("custom_conversation", params->custom_conversation,
                                         sizeof *conversation, conversation));
    } else {
        const sot_conversation *known =
            soti_conversation_find(name != NULL ? name : model->checkpoint.conversation);
        if (known == NULL && name != NULL) {
            return soti_fail(SOT_ERR_ARGUMENT, "conversation: \"%.100s\" is none of %s", name,
                             conversation_names);
        }
        *conversation = *(known != NULL ? known : soti_conversation_find("none"));
    }
    RETURN_IF_ERROR(soti_check_flags("custom_conversation", conversation->flags, 0));
    const char *const texts[] = {
        conversation->user_tag,      conversation->user_end,   conversation->assistant_tag,
        conversation->assistant_end, conversation->system_tag, conversation->system_end,
        conversation->stop,          conversation->answer_gap,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        RETURN_IF_ERROR(soti_check_text("custom_conversation", texts[i]));
    }
    if (conversation->stop != NULL && conversation->stop[0] == '\0') {
        conversation->stop = NULL;
    }
    params->custom_conversation = conversation;
    return SOT_OK;
}

static sot_status complete_prompts(soti_complete_params *out)
{
    sot_prompts *prompts = &out->prompts;
    const soti_wording *wording = soti_wording_find(out->params.wording);
    if (wording == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "wording: \"%.100s\" is none of %s", out->params.wording,
                         soti_wording_names);
    }
    RETURN_IF_ERROR(soti_params_read("prompts", out->params.prompts, sizeof *prompts, prompts));
    RETURN_IF_ERROR(soti_check_flags("prompts", prompts->flags, SOT_PROMPTS_CHAINED));
    bool is_chained = (prompts->flags & SOT_PROMPTS_CHAINED) != 0;
    RETURN_IF_ERROR(soti_check_text("prompts.skeleton", prompts->skeleton));
    RETURN_IF_ERROR(soti_check_text("prompts.point", prompts->point));
    if (prompts->skeleton != NULL) {
        RETURN_IF_ERROR(soti_prompt_check(SOTI_PROMPT_SKELETON, prompts->skeleton));
    } else {
        prompts->skeleton = wording->skeleton;
    }
    if (prompts->point != NULL) {
        RETURN_IF_ERROR(soti_prompt_check(
            is_chained ? SOTI_PROMPT_CHAINED_POINT : SOTI_PROMPT_POINT, prompts->point));
    } else if (is_chained) {
        return soti_fail(SOT_ERR_ARGUMENT, "prompts: SOT_PROMPTS_CHAINED is set, point is NULL");
    } else {
        prompts->point = wording->point;
        prompts->flags = wording->flags;
    }
    RETURN_IF_ERROR(soti_check_text("prompts.router", prompts->router));
    if (prompts->router != NULL) {
        RETURN_IF_ERROR(soti_prompt_check(SOTI_PROMPT_ROUTER, prompts->router));
    } else {
        prompts->router = soti_prompt_router;
    }
    out->params.prompts = prompts;
    return SOT_OK;
}

sot_status soti_check_router(const sot_generate_params *params)
{
    uint32_t router = soti_routing_router(params);
    if (router == SOT_ROUTER_TRAINED && params->trained_router == NULL) {
        return soti_fail(
            SOT_ERR_ARGUMENT,
            "generate parameters: the router is a trained one, trained_router is NULL");
    }
    if (router == SOT_ROUTER_CALLBACK && params->on_route == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "generate parameters: the router is a callback, on_route is NULL");
    }
    if (router > SOT_ROUTER_CALLBACK) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "generate parameters: router is %u, which is no SOT_ROUTER_*", router);
    }
    return SOT_OK;
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

sot_status soti_generate_params_read(const sot_model *model, const sot_generate_params *params,
                                     soti_complete_params *out)
{
    sot_generate_params *full = &out->params;
    RETURN_IF_ERROR(soti_params_read("generate parameters", params, sizeof *full, full));
    if (full->reserved != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "generate parameters: reserved is %u, 0 is expected",
                         full->reserved);
    }
    if (full->mode > SOT_MODE_ROUTED) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "generate parameters: mode is %u, which is no SOT_MODE_*", full->mode);
    }
    full->mode = or_default(full->mode, SOT_MODE_SOT);
    full->max_tokens = or_default(full->max_tokens, DEFAULT_MAX_TOKENS);
    full->max_skeleton_tokens = or_default(full->max_skeleton_tokens, DEFAULT_MAX_SKELETON_TOKENS);
    full->max_point_tokens = or_default(full->max_point_tokens, DEFAULT_MAX_POINT_TOKENS);
    RETURN_IF_ERROR(soti_check_flags("generate parameters", full->flags,
                                     SOT_GENERATE_IGNORE_STOPS | SOT_GENERATE_CONCURRENT));
    RETURN_IF_ERROR(check_sampling(full));
    if (full->stop_ids == NULL && full->n_stop_ids > 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "stop_ids: is NULL, its count is %zu", full->n_stop_ids);
    }
    if (full->point_limits == NULL && full->n_point_limits > 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "point_limits: is NULL, its count is %zu",
                         full->n_point_limits);
    }
    RETURN_IF_ERROR(check_texts("stop_strings", full->stop_strings, full->n_stop_strings, false));
    RETURN_IF_ERROR(check_texts("history", full->history, full->n_history, true));
    if (full->n_history % 2 != 0) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "n_history: is %zu; rounds are pairs of question and answer",
                         full->n_history);
    }
    RETURN_IF_ERROR(soti_check_text("system_message", full->system_message));
    RETURN_IF_ERROR(soti_check_text("forced_skeleton", full->forced_skeleton));
    if (full->forced_skeleton != NULL && full->forced_skeleton[0] == '\0') {
        return soti_fail(SOT_ERR_ARGUMENT, "forced_skeleton: is empty");
    }
    RETURN_IF_ERROR(complete_conversation(model, out));
    return complete_prompts(out);
}
