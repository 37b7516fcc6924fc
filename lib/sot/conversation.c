/* The conversation templates and how a prompt is put together from them. A template's strings may
 * hold control pieces; questions and answers are plain text whatever they contain. */
#include "conversation.h"

#include <string.h>

#include "base/buffer.h"
#include "base/fail.h"

/* Longest control piece that is looked for in a template. */
enum { LONGEST_PIECE = 64 };

typedef struct named_conversation {
    const char *name;
    sot_conversation conversation;
} named_conversation;

/* Table 1 of App. B.1; between complete turns as FastChat writes them. The paper leaves the
 * system message out for all but LLaMA-2-chat; a caller who gives one finds it before his first
 * question. */
static const named_conversation builtin[] = {
    {"vicuna",
     {.struct_size = sizeof(sot_conversation),
      .user_tag = "USER: ",
      .user_end = " ",
      .assistant_tag = "ASSISTANT:",
      .answer_gap = " ",
      .assistant_end = "</s>",
      .system_end = "\n\n"}},
    {"llama2-chat",
     {.struct_size = sizeof(sot_conversation),
      .user_tag = "[INST] ",
      .user_end = " ",
      .assistant_tag = "[/INST]",
      .answer_gap = " ",
      .assistant_end = " </s><s>",
      .system_tag = "<<SYS>>\n",
      .system_end = "\n<</SYS>>\n\n"}},
    {"ultralm",
     {.struct_size = sizeof(sot_conversation),
      .user_tag = "User: ",
      .user_end = "</s>",
      .assistant_tag = "Assistant:",
      .answer_gap = " ",
      .assistant_end = "</s>",
      .system_end = "\n\n"}},
    {"openchat",
     {.struct_size = sizeof(sot_conversation),
      .user_tag = "Human: ",
      .user_end = "<|end_of_turn|>",
      .assistant_tag = "Assistant:",
      .answer_gap = " ",
      .assistant_end = "<|end_of_turn|>",
      .system_end = "\n\n",
      .stop = "<|end_of_turn|>"}},
    {"stablevicuna",
     {.struct_size = sizeof(sot_conversation),
      .user_tag = "### Human: ",
      .user_end = "\n",
      .assistant_tag = "### Assistant:",
      .answer_gap = " ",
      .assistant_end = "\n",
      .system_end = "\n\n",
      .stop = "###"}},
    {"none",
     {.struct_size = sizeof(sot_conversation),
      .answer_gap = "\n",
      .assistant_end = "\n",
      .system_end = "\n\n"}},
};

const sot_conversation *soti_conversation_find(const char *name)
{
    for (size_t i = 0; i < sizeof builtin / sizeof *builtin; i++) {
        if (strcmp(builtin[i].name, name) == 0) {
            return &builtin[i].conversation;
        }
    }
    return NULL;
}

/* A prompt under way: finished ids, and the plain text that grows until a control piece ends it. */
typedef struct assembly {
    const soti_tokenizer *tokenizer;
    soti_tokens *tokens;
    soti_buffer text;
    bool at_start; /* nothing was added yet */
    bool behind;   /* text goes on behind ids that others made */
} assembly;

static sot_status flush_text(assembly *a)
{
    if (a->text.size == 0) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(soti_tokenizer_encode(a->tokenizer, a->text.data, a->text.size,
                                          a->behind ? SOTI_TOKENIZE_BEHIND : 0, a->tokens));
    soti_buffer_truncate(&a->text, 0);
    return SOT_OK;
}

static sot_status add_plain(assembly *a, const char *text, size_t size)
{
    a->at_start = a->at_start && size == 0;
    return soti_buffer_append(&a->text, text, size);
}

static sot_status add_piece(assembly *a, int32_t id)
{
    bool is_second_bos = a->at_start && id == soti_tokenizer_bos(a->tokenizer);
    a->at_start = false;
    RETURN_IF_ERROR(flush_text(a));
    a->behind = false;
    return is_second_bos ? SOT_OK : soti_tokens_append(a->tokens, &id, 1);
}

/* The longest control piece that text begins with, or -1. */
static int32_t match_piece(const soti_tokenizer *tokenizer, const char *text, size_t size,
                           size_t *piece_size)
{
    for (size_t n = size < LONGEST_PIECE ? size : LONGEST_PIECE; n > 0; n--) {
        int32_t id = soti_tokenizer_find_special(tokenizer, text, n);
        if (id >= 0) {
            *piece_size = n;
            return id;
        }
    }
    return -1;
}

/* Adds one of the template's own strings. */
static sot_status add_template(assembly *a, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    size_t start = 0; /* of the plain text that is not yet added */
    for (size_t i = 0; i < size;) {
        size_t piece_size;
        int32_t id = match_piece(a->tokenizer, text + i, size - i, &piece_size);
        if (id < 0) {
            i++;
            continue;
        }
        RETURN_IF_ERROR(add_plain(a, text + start, i - start));
        RETURN_IF_ERROR(add_piece(a, id));
        i += piece_size;
        start = i;
    }
    return size > start ? add_plain(a, text + start, size - start) : SOT_OK;
}

static sot_status add_user_turn(assembly *a, const sot_conversation *c, const char *system,
                                const char *user, size_t user_size)
{
    RETURN_IF_ERROR(add_template(a, c->user_tag));
    if (system != NULL) {
        RETURN_IF_ERROR(add_template(a, c->system_tag));
        RETURN_IF_ERROR(add_plain(a, system, strlen(system)));
        RETURN_IF_ERROR(add_template(a, c->system_end));
    }
    RETURN_IF_ERROR(add_plain(a, user, user_size));
    RETURN_IF_ERROR(add_template(a, c->user_end));
    return add_template(a, c->assistant_tag);
}

static sot_status add_answer(assembly *a, const sot_conversation *c, const char *answer)
{
    const char *gap = c->answer_gap ? c->answer_gap : "";
    if (strncmp(answer, gap, strlen(gap)) != 0) {
        RETURN_IF_ERROR(add_template(a, gap));
    }
    RETURN_IF_ERROR(add_plain(a, answer, strlen(answer)));
    return add_template(a, c->assistant_end);
}

static sot_status assemble(assembly *a, const sot_conversation *c, const soti_rounds *rounds)
{
    int32_t bos = soti_tokenizer_bos(a->tokenizer);
    if (bos >= 0) {
        RETURN_IF_ERROR(soti_tokens_append(a->tokens, &bos, 1));
    }
    const char *system = rounds->system;
    for (size_t i = 0; i + 1 < rounds->n_history; i += 2) {
        const char *user = rounds->history[i];
        RETURN_IF_ERROR(add_user_turn(a, c, system, user, strlen(user)));
        RETURN_IF_ERROR(add_answer(a, c, rounds->history[i + 1]));
        system = NULL;
    }
    RETURN_IF_ERROR(add_user_turn(a, c, system, rounds->user, rounds->user_size));
    RETURN_IF_ERROR(add_plain(a, rounds->partial, rounds->partial_size));
    return flush_text(a);
}

sot_status soti_conversation_encode(const sot_conversation *conversation,
                                    const soti_tokenizer *tokenizer, const soti_rounds *rounds,
                                    soti_tokens *tokens)
{
    if (tokenizer == NULL) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "the model has no tokenizer, a question needs one");
    }
    assembly a = {.tokenizer = tokenizer, .tokens = tokens, .at_start = true};
    sot_status status = assemble(&a, conversation, rounds);
    soti_buffer_free(&a.text);
    return status;
}

static sot_status assemble_next(assembly *a, const sot_conversation *c, const char *rest,
                                size_t rest_size, const soti_rounds *rounds)
{
    RETURN_IF_ERROR(add_plain(a, rest, rest_size));
    RETURN_IF_ERROR(add_template(a, c->assistant_end));
    RETURN_IF_ERROR(add_user_turn(a, c, NULL, rounds->user, rounds->user_size));
    RETURN_IF_ERROR(add_plain(a, rounds->partial, rounds->partial_size));
    return flush_text(a);
}

sot_status soti_conversation_continue(const sot_conversation *conversation,
                                      const soti_tokenizer *tokenizer, const char *rest,
                                      size_t rest_size, const soti_rounds *rounds,
                                      soti_tokens *tokens)
{
    if (tokenizer == NULL) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "the model has no tokenizer, a question needs one");
    }
    assembly a = {.tokenizer = tokenizer, .tokens = tokens, .behind = true};
    sot_status status = assemble_next(&a, conversation, rest, rest_size, rounds);
    soti_buffer_free(&a.text);
    return status;
}

soti_stop soti_conversation_stop(const sot_conversation *conversation,
                                 const soti_tokenizer *tokenizer)
{
    soti_stop stop = {.id = -1, .text = conversation->stop};
    if (stop.text == NULL || *stop.text == '\0') {
        stop.text = NULL;
        return stop;
    }
    stop.id = soti_tokenizer_find_special(tokenizer, stop.text, strlen(stop.text));
    if (stop.id >= 0) {
        stop.text = NULL;
    }
    return stop;
}
