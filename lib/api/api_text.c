/* The exported tokenizer functions: arguments are checked here, io/tokenizer.c does the work. */
#include "sot/sot.h"

#include <string.h>

#include "base/fail.h"
#include "model/loaded.h"

/* What both directions ask of their arguments. */
static sot_status check_call(const char *name, const sot_model *model, const void *input,
                             size_t input_size, uint32_t flags, uint32_t known_flags,
                             const void *output, size_t capacity, size_t *size)
{
    if (model == NULL || size == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: %s is NULL", name,
                         model == NULL ? "model" : "the size that is returned");
    }
    *size = 0;
    if ((input == NULL && input_size > 0) || (output == NULL && capacity > 0)) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: the %s is NULL, its size is %zu", name,
                         input == NULL && input_size > 0 ? "input" : "output",
                         input == NULL && input_size > 0 ? input_size : capacity);
    }
    if ((flags & ~known_flags) != 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: flags 0x%x, only 0x%x is defined", name, flags,
                         known_flags);
    }
    if (model->tokenizer == NULL) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: the model has no tokenizer",
                         model->checkpoint.path);
    }
    return SOT_OK;
}

sot_status sot_tokenize(const sot_model *model, const char *text, size_t text_size, uint32_t flags,
                        int32_t *tokens, size_t capacity, size_t *count)
{
    RETURN_IF_ERROR(check_call("sot_tokenize", model, text, text_size, flags,
                               SOT_TOKENIZE_BOS | SOT_TOKENIZE_SPECIAL, tokens, capacity, count));
    soti_tokens ids = {0};
    sot_status status =
        soti_tokenizer_encode(model->tokenizer, text ? text : "", text_size, flags, &ids);
    if (status == SOT_OK) {
        *count = ids.count;
        if (ids.count > capacity) {
            status = soti_fail(SOT_ERR_CAPACITY, "the text has %zu tokens, there is room for %zu",
                               ids.count, capacity);
        } else if (ids.count > 0) {
            memcpy(tokens, ids.ids, ids.count * sizeof *tokens);
        }
    }
    soti_tokens_free(&ids);
    return status;
}

sot_status sot_detokenize(const sot_model *model, const int32_t *tokens, size_t count,
                          uint32_t flags, char *text, size_t capacity, size_t *text_size)
{
    RETURN_IF_ERROR(check_call("sot_detokenize", model, tokens, count, flags, SOT_TOKENIZE_SPECIAL,
                               text, capacity, text_size));
    soti_buffer bytes = {0};
    sot_status status = soti_tokenizer_decode(model->tokenizer, tokens, count, flags, &bytes);
    if (status == SOT_OK) {
        *text_size = bytes.size;
        if (bytes.size > capacity) {
            status = soti_fail(SOT_ERR_CAPACITY, "the text has %zu bytes, there is room for %zu",
                               bytes.size, capacity);
        } else if (bytes.size > 0) {
            memcpy(text, bytes.data, bytes.size);
        }
    }
    soti_buffer_free(&bytes);
    return status;
}
