/* Any bytes as tokenizer.model: read, make a tokenizer, use it. */
#include "fuzz_input.h"
#include "io/tokenizer.h"
#include "sot/sot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "The  quick \xE2\x96\x81 ab abc<s>\xF0\x9F\x98\x80\xFF\n</s> aaaaaa";
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer = NULL;
    if (soti_vocabulary_read_sentencepiece("fuzz", data, size, &vocabulary) != SOT_OK) {
        fuzz_check_text(sot_error_message());
        return 0;
    }
    if (soti_tokenizer_create(&vocabulary, &tokenizer) == SOT_OK) {
        soti_tokens ids = {0};
        soti_buffer back = {0};
        fuzz_check_ok(soti_tokenizer_encode(tokenizer, text, sizeof text,
                                            SOT_TOKENIZE_BOS | SOT_TOKENIZE_SPECIAL, &ids));
        fuzz_check_ok(
            soti_tokenizer_decode(tokenizer, ids.ids, ids.count, SOT_TOKENIZE_SPECIAL, &back));
        fuzz_check(soti_utf8_find_invalid(soti_buffer_text(&back), back.size) == back.size);
        soti_tokens_free(&ids);
        soti_buffer_free(&back);
    }
    soti_tokenizer_free(tokenizer);
    soti_vocabulary_free(&vocabulary);
    return 0;
}
