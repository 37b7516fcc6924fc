/* See hf_vocabulary.h. */
#include "io/hf_vocabulary.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/json_file.h"
#include "io/path_name.h"

static const char model_file[] = "tokenizer.model";
static const char added_file[] = "added_tokens.json";

typedef struct added_token {
    const char *text;
    json_int_t id;
} added_token;

static sot_status read_model(const char *folder, soti_checkpoint *out)
{
    soti_filemap map = {0};
    char *path = soti_path_join(folder, model_file);
    if (path == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status = soti_filemap_read(path, SOTI_SMALL_FILE_MAX, NULL, &map);
    soti_free(path);
    if (status == SOT_OK) {
        status =
            soti_vocabulary_read_sentencepiece(model_file, map.data, map.size, &out->vocabulary);
    }
    soti_filemap_close(&map);
    RETURN_IF_ERROR(status);
    if (out->vocabulary.n_pieces > out->shape.n_vocab) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %u pieces, but config.json says vocab_size is %u",
                         model_file, out->vocabulary.n_pieces, out->shape.n_vocab);
    }
    return SOT_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const added_token *left = a;
    const added_token *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

static sot_status list_added(json_t *root, added_token *tokens)
{
    const char *text;
    json_t *member;
    size_t count = 0;
    json_object_foreach(root, text, member)
    {
        if (!json_is_integer(member)) {
            return soti_fail(SOT_ERR_FORMAT, "%s: the id of \"%s\" is not an integer", added_file,
                             text);
        }
        tokens[count++] = (added_token){.text = text, .id = json_integer_value(member)};
    }
    qsort(tokens, count, sizeof *tokens, compare_ids);
    return SOT_OK;
}

/* Ids below n_pieces repeat pieces of tokenizer.model; ids from n_vocab on have no weights, and
 * some published models have such tokens. */
static sot_status append_added(const added_token *tokens, size_t count, const soti_log *log,
                               soti_checkpoint *out)
{
    soti_vocabulary *vocabulary = &out->vocabulary;
    json_int_t first = vocabulary->n_pieces;
    for (size_t i = 0; i < count; i++) {
        const added_token *token = &tokens[i];
        if (token->id < first) {
            continue;
        }
        if (token->id >= (json_int_t)out->shape.n_vocab) {
            soti_log_line(log, SOT_LOG_WARNING,
                          "%s: token \"%s\" is not used: its id is %lld, vocab_size is %u",
                          added_file, token->text, (long long)token->id, out->shape.n_vocab);
            continue;
        }
        if (i > 0 && tokens[i - 1].id == token->id) {
            return soti_fail(SOT_ERR_FORMAT, "%s: \"%s\" and \"%s\" have the same id, %lld",
                             added_file, tokens[i - 1].text, token->text, (long long)token->id);
        }
        RETURN_IF_ERROR(soti_checkpoint_pad_vocabulary(out, (uint32_t)token->id));
        sot_status status = soti_vocabulary_append(vocabulary, token->text, strlen(token->text),
                                                   0.0f, SOTI_PIECE_CONTROL);
        if (status != SOT_OK) {
            return soti_fail_in(status, "%s: ", added_file);
        }
    }
    return SOT_OK;
}

static sot_status read_added(const char *folder, const soti_log *log, soti_checkpoint *out)
{
    json_t *root;
    RETURN_IF_ERROR(soti_json_read(folder, added_file, &root));
    size_t count = json_object_size(root);
    added_token *tokens = soti_alloc(count, sizeof *tokens);
    sot_status status = tokens != NULL ? list_added(root, tokens) : SOT_ERR_MEMORY;
    if (status == SOT_OK) {
        status = append_added(tokens, count, log, out);
    }
    soti_free(tokens);
    json_decref(root);
    return status;
}

static void agree_on_ids(soti_checkpoint *out)
{
    soti_vocabulary *vocabulary = &out->vocabulary;
    if (out->bos_id < 0) {
        out->bos_id = vocabulary->bos_id;
    }
    if (out->eos_id < 0) {
        out->eos_id = vocabulary->eos_id;
    }
    vocabulary->bos_id = out->bos_id;
    vocabulary->eos_id = out->eos_id;
}

sot_status soti_hf_vocabulary_read(const char *folder, const soti_log *log, soti_checkpoint *out)
{
    bool has_model;
    bool has_added;
    RETURN_IF_ERROR(soti_path_exists(folder, model_file, &has_model));
    RETURN_IF_ERROR(soti_path_exists(folder, added_file, &has_added));
    if (!has_model) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(read_model(folder, out));
    if (has_added) {
        RETURN_IF_ERROR(read_added(folder, log, out));
    }
    agree_on_ids(out);
    return SOT_OK;
}
