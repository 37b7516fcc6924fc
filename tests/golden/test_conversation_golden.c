/* Prompts of every conversation template against the ids that SentencePiece gives for them
 * (conversation/make_conversations.py). Needs LLaMA's vocabulary from the shared data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sot/conversation.h"

static soti_tokenizer *plain;       /* LLaMA's vocabulary */
static soti_tokenizer *end_of_turn; /* with <|end_of_turn|> as piece 32000 */

static soti_tokenizer *make_tokenizer(const char *path, const uint8_t *data, size_t size, bool add)
{
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer;
    static const char piece[] = "<|end_of_turn|>";
    assert_int_equal(soti_vocabulary_read_sentencepiece(path, data, size, &vocabulary), SOT_OK);
    if (add) {
        assert_int_equal(
            soti_vocabulary_append(&vocabulary, piece, sizeof piece - 1, 0.0f, SOTI_PIECE_CONTROL),
            SOT_OK);
    }
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), SOT_OK);
    return tokenizer;
}

static bool load_tokenizers(void)
{
    const char *shared = getenv("SOT_SHARED_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/data/tokenizer/llama.model",
             shared ? shared : SOT_SOURCE_DIR "/../shared");
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("SKIPPED: no %s (set SOT_SHARED_DIR)\n", path);
        return false;
    }
    enum { MAX_SIZE = 1 << 20 };
    uint8_t *data = malloc(MAX_SIZE);
    assert_non_null(data);
    size_t size = fread(data, 1, MAX_SIZE, file);
    fclose(file);
    plain = make_tokenizer(path, data, size, false);
    end_of_turn = make_tokenizer(path, data, size, true);
    free(data);
    return true;
}

static const char *text_of(const json_t *entry, const char *key)
{
    return json_string_value(json_object_get(entry, key));
}

static void check_case(size_t i_case, const json_t *entry)
{
    const char *history[8];
    const json_t *texts = json_object_get(entry, "history");
    size_t n_history = json_array_size(texts);
    assert_true(n_history <= 8);
    for (size_t i = 0; i < n_history; i++) {
        history[i] = json_string_value(json_array_get(texts, i));
    }
    const char *user = text_of(entry, "user");
    const char *partial = text_of(entry, "partial");
    soti_rounds rounds = {.history = history,
                          .n_history = n_history,
                          .system = text_of(entry, "system"),
                          .user = user,
                          .user_size = strlen(user),
                          .partial = partial,
                          .partial_size = strlen(partial)};
    const sot_conversation *conversation = soti_conversation_find(text_of(entry, "template"));
    assert_non_null(conversation);
    const soti_tokenizer *tokenizer =
        json_is_true(json_object_get(entry, "end_of_turn")) ? end_of_turn : plain;
    soti_tokens tokens = {0};
    assert_int_equal(soti_conversation_encode(conversation, tokenizer, &rounds, &tokens), SOT_OK);
    const json_t *ids = json_object_get(entry, "ids");
    bool equal = tokens.count == json_array_size(ids);
    for (size_t i = 0; equal && i < tokens.count; i++) {
        equal = tokens.ids[i] == json_integer_value(json_array_get(ids, i));
    }
    if (!equal) {
        fail_msg("case %zu, %s: \"%s\"", i_case, text_of(entry, "template"), user);
    }
    soti_tokens_free(&tokens);
}

static void conversation_ids_equal_sentencepiece(void **state)
{
    (void)state;
    if (!load_tokenizers()) {
        skip();
    }
    json_error_t error;
    json_t *cases =
        json_load_file(SOT_TEST_DIR "/golden/conversation/conversations.json", 0, &error);
    if (cases == NULL) {
        fail_msg("conversations.json: %s", error.text);
    }
    assert_true(json_array_size(cases) > 80);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        check_case(i, json_array_get(cases, i));
    }
    json_decref(cases);
    soti_tokenizer_free(plain);
    soti_tokenizer_free(end_of_turn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversation_ids_equal_sentencepiece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
