/* See gguf_vocabulary.h. */
#include "io/gguf_vocabulary.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

static uint64_t load_u64(const uint8_t *data)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value |= (uint64_t)data[i] << (8 * i);
    }
    return value;
}

static uint32_t load_u32(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

/* An array that goes along with the tokens: absent, or one item for each. */
static sot_status get_parallel(const soti_gguf_metadata *metadata, const char *key,
                               uint32_t item_type, uint64_t n, const uint8_t **data)
{
    const soti_gguf_value *value;
    RETURN_IF_ERROR(soti_gguf_get_array(metadata, key, item_type, false, &value));
    *data = NULL;
    if (value == NULL) {
        return SOT_OK;
    }
    if (value->n_items != n) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: %llu items, but there are %llu tokens",
                         metadata->file, key, (unsigned long long)value->n_items,
                         (unsigned long long)n);
    }
    *data = value->data;
    return SOT_OK;
}

static sot_status read_pieces(const soti_gguf_metadata *metadata, soti_checkpoint *out)
{
    const soti_gguf_value *tokens;
    const uint8_t *scores;
    const uint8_t *types;
    RETURN_IF_ERROR(
        soti_gguf_get_array(metadata, "tokenizer.ggml.tokens", SOTI_GGUF_STRING, true, &tokens));
    uint64_t n = tokens->n_items;
    if (n > out->shape.n_vocab) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: key tokenizer.ggml.tokens: %llu tokens, but the vocabulary has %u",
                         metadata->file, (unsigned long long)n, out->shape.n_vocab);
    }
    RETURN_IF_ERROR(get_parallel(metadata, "tokenizer.ggml.scores", SOTI_GGUF_FLOAT32, n, &scores));
    RETURN_IF_ERROR(
        get_parallel(metadata, "tokenizer.ggml.token_type", SOTI_GGUF_INT32, n, &types));
    const uint8_t *at = tokens->data; /* lengths were checked when the metadata was read */
    for (uint64_t i = 0; i < n; i++) {
        size_t size = (size_t)load_u64(at);
        float score = 0.0f;
        uint32_t type = SOTI_PIECE_NORMAL;
        if (scores != NULL) {
            uint32_t bits = load_u32(scores + 4 * i);
            memcpy(&score, &bits, sizeof score);
        }
        if (types != NULL) {
            type = load_u32(types + 4 * i);
        }
        sot_status status =
            soti_vocabulary_append(&out->vocabulary, (const char *)at + 8, size, score, type);
        if (status != SOT_OK) {
            return soti_fail_in(status, "%s: tokenizer.ggml.tokens: ", metadata->file);
        }
        at += 8 + size;
    }
    return SOT_OK;
}

/* A missing key means default_id, where there is such a token. */
static sot_status read_id(const soti_gguf_metadata *metadata, const char *key, uint32_t n,
                          int32_t default_id, int32_t *out)
{
    *out = default_id < (int64_t)n ? default_id : -1;
    if (soti_gguf_find(metadata, key) == NULL) {
        return SOT_OK;
    }
    uint32_t id;
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, key, true, &id));
    if (id >= n) {
        return soti_fail(SOT_ERR_FORMAT, "%s: key %s: %u, but there are %u tokens", metadata->file,
                         key, id, n);
    }
    *out = (int32_t)id;
    return SOT_OK;
}

/* What soti_gguf_write keeps of tokenizer.model that GGUF has no key for. */
static sot_status read_unknown_surface(const soti_gguf_metadata *metadata,
                                       soti_vocabulary *vocabulary)
{
    const char *text;
    size_t size;
    RETURN_IF_ERROR(soti_gguf_get_text(metadata, "sot.unknown_surface", false, &text, &size));
    if (text == NULL) {
        return SOT_OK;
    }
    vocabulary->unk_surface = soti_copy_text(text, size);
    return vocabulary->unk_surface != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

/* The defaults are those of LLaMA's own tokenizer. */
static sot_status read_options(const soti_gguf_metadata *metadata, soti_vocabulary *vocabulary)
{
    uint32_t n = vocabulary->n_pieces;
    bool add_prefix = true;
    bool remove_spaces = false;
    RETURN_IF_ERROR(
        read_id(metadata, "tokenizer.ggml.unknown_token_id", n, 0, &vocabulary->unk_id));
    RETURN_IF_ERROR(read_id(metadata, "tokenizer.ggml.bos_token_id", n, 1, &vocabulary->bos_id));
    RETURN_IF_ERROR(read_id(metadata, "tokenizer.ggml.eos_token_id", n, 2, &vocabulary->eos_id));
    RETURN_IF_ERROR(soti_gguf_get_bool(metadata, "tokenizer.ggml.add_space_prefix", &add_prefix));
    RETURN_IF_ERROR(
        soti_gguf_get_bool(metadata, "tokenizer.ggml.remove_extra_whitespaces", &remove_spaces));
    RETURN_IF_ERROR(read_unknown_surface(metadata, vocabulary));
    vocabulary->add_dummy_prefix = add_prefix;
    vocabulary->remove_extra_whitespaces = remove_spaces;
    return SOT_OK;
}

sot_status soti_gguf_read_vocabulary(const soti_gguf_metadata *metadata, soti_checkpoint *out)
{
    const char *model;
    size_t size;
    RETURN_IF_ERROR(soti_gguf_get_text(metadata, "tokenizer.ggml.model", false, &model, &size));
    if (model == NULL) {
        uint32_t n = out->shape.n_vocab;
        RETURN_IF_ERROR(read_id(metadata, "tokenizer.ggml.bos_token_id", n, -1, &out->bos_id));
        return read_id(metadata, "tokenizer.ggml.eos_token_id", n, -1, &out->eos_id);
    }
    if (size != 5 || memcmp(model, "llama", 5) != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: tokenizer.ggml.model is %.*s, supported is llama (SentencePiece BPE)",
                         metadata->file, (int)size, model);
    }
    RETURN_IF_ERROR(read_pieces(metadata, out));
    RETURN_IF_ERROR(read_options(metadata, &out->vocabulary));
    out->bos_id = out->vocabulary.bos_id;
    out->eos_id = out->vocabulary.eos_id;
    return SOT_OK;
}
