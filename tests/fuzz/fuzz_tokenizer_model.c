/* Any bytes as tokenizer.model: read, make a tokenizer, use it. From the source folder:
 *   clang -g -O1 -std=c11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Iinclude -Ilib \
 *       tests/fuzz/fuzz_tokenizer_model.c lib/base/{alloc,buffer,fail,utf8}.c \
 *       lib/io/{vocabulary,protobuf,sentencepiece,piece_index}.c lib/io/token*.c -lm -o fuzz
 *   mkdir -p corpus && ./fuzz -max_len=16384 corpus tests/golden/tokenizer */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "io/tokenizer.h"
#include "sot/sot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "The  quick \xE2\x96\x81 ab abc<s>\xF0\x9F\x98\x80\xFF\n</s> aaaaaa";
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer = NULL;
    if (soti_vocabulary_read_sentencepiece("fuzz", data, size, &vocabulary) != SOT_OK) {
        return 0;
    }
    if (soti_tokenizer_create(&vocabulary, &tokenizer) == SOT_OK) {
        soti_tokens ids = {0};
        soti_buffer back = {0};
        if (soti_tokenizer_encode(tokenizer, text, sizeof text,
                                  SOT_TOKENIZE_BOS | SOT_TOKENIZE_SPECIAL, &ids) != SOT_OK ||
            soti_tokenizer_decode(tokenizer, ids.ids, ids.count, SOT_TOKENIZE_SPECIAL, &back) !=
                SOT_OK ||
            soti_utf8_find_invalid(soti_buffer_text(&back), back.size) != back.size) {
            abort();
        }
        soti_tokens_free(&ids);
        soti_buffer_free(&back);
    }
    soti_tokenizer_free(tokenizer);
    soti_vocabulary_free(&vocabulary);
    return 0;
}
