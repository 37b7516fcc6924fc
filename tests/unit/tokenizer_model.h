/* Tokenizers for the unit tests: the small trained models of tests/golden/tokenizer, LLaMA's from
 * the shared folder, and vocabularies written out in a test. */
#ifndef SOT_TESTS_TOKENIZER_MODEL_H
#define SOT_TESTS_TOKENIZER_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "io/tokenizer.h"

/* False if the file is not there. */
static inline bool load_vocabulary(const char *path, soti_vocabulary *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    soti_buffer model = {0};
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) {
        assert_int_equal(soti_buffer_append(&model, block, n), SOT_OK);
    }
    fclose(file);
    assert_int_equal(
        soti_vocabulary_read_sentencepiece(path, (const uint8_t *)model.data, model.size, out),
        SOT_OK);
    soti_buffer_free(&model);
    return true;
}

static inline soti_tokenizer *load_tokenizer(const char *name)
{
    char path[512];
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/golden/tokenizer/%s.model", SOT_TEST_DIR, name);
    assert_true(load_vocabulary(path, &vocabulary));
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), SOT_OK);
    return tokenizer;
}

/* NULL, said aloud, if the shared folder is not there. */
static inline soti_tokenizer *load_llama(void)
{
    char path[512];
    const char *folder = getenv("SOT_SHARED_DIR");
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/data/tokenizer/llama.model",
             folder ? folder : SOT_SOURCE_DIR "/../shared");
    if (!load_vocabulary(path, &vocabulary)) {
        print_message("SKIPPED: %s is not there; set SOT_SHARED_DIR\n", path);
        return NULL;
    }
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), SOT_OK);
    return tokenizer;
}

#endif
