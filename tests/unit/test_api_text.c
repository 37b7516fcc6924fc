/* The exported tokenizer functions: arguments, capacities, and that the tokenizer is reached. What
 * ids are right is test_tokenizer's matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scripted_model.h"

static void tokenize_gives_ids_and_their_number(void **state)
{
    (void)state;
    int32_t ids[16];
    size_t count;
    assert_int_equal(sot_tokenize(&scripted_model, "ab", 2, 0, ids, 16, &count), SOT_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], SCRIPT_FIRST_BYTE + 'a');
    assert_int_equal(sot_tokenize(&scripted_model, "a</s>", 5,
                                  SOT_TOKENIZE_BOS | SOT_TOKENIZE_SPECIAL, ids, 16, &count),
                     SOT_OK);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[2], SCRIPT_EOS);
    assert_int_equal(sot_tokenize(&scripted_model, NULL, 0, 0, NULL, 0, &count), SOT_OK);
    assert_int_equal(count, 0);
}

static void tokenize_without_room_reports_what_is_needed(void **state)
{
    (void)state;
    int32_t ids[4];
    size_t count;
    assert_int_equal(sot_tokenize(&scripted_model, "abcde", 5, 0, ids, 4, &count),
                     SOT_ERR_CAPACITY);
    assert_int_equal(count, 5);
    assert_int_equal(sot_tokenize(&scripted_model, "abcde", 5, 0, NULL, 0, &count),
                     SOT_ERR_CAPACITY);
    assert_int_equal(count, 5);
}

static void tokenize_arguments_are_checked(void **state)
{
    (void)state;
    int32_t id;
    size_t count;
    assert_int_equal(sot_tokenize(NULL, "a", 1, 0, &id, 1, &count), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_tokenize(&scripted_model, NULL, 1, 0, &id, 1, &count), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_tokenize(&scripted_model, "a", 1, 0, NULL, 1, &count), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_tokenize(&scripted_model, "a", 1, 0, &id, 1, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_tokenize(&scripted_model, "a", 1, 4, &id, 1, &count), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(sot_error_message(), "flags 0x4"));
}

static void detokenize_gives_text_and_its_size(void **state)
{
    (void)state;
    const int32_t ids[] = {1, SCRIPT_FIRST_BYTE + 'h', SCRIPT_FIRST_BYTE + 'i', SCRIPT_EOS};
    char text[16];
    size_t size;
    assert_int_equal(sot_detokenize(&scripted_model, ids, 4, 0, text, 16, &size), SOT_OK);
    assert_int_equal(size, 2);
    assert_memory_equal(text, "hi", 2);
    assert_int_equal(sot_detokenize(&scripted_model, ids, 4, SOT_TOKENIZE_SPECIAL, text, 16, &size),
                     SOT_OK);
    assert_int_equal(size, strlen("<s>hi</s>"));
    assert_memory_equal(text, "<s>hi</s>", size);
    assert_int_equal(sot_detokenize(&scripted_model, ids, 4, 0, text, 1, &size), SOT_ERR_CAPACITY);
    assert_int_equal(size, 2);
    assert_int_equal(sot_detokenize(&scripted_model, NULL, 0, 0, NULL, 0, &size), SOT_OK);
    assert_int_equal(size, 0);
}

static void detokenize_arguments_are_checked(void **state)
{
    (void)state;
    const int32_t ids[] = {SCRIPT_VOCAB};
    char text[4];
    size_t size;
    assert_int_equal(sot_detokenize(&scripted_model, ids, 1, 0, text, 4, &size), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_detokenize(&scripted_model, NULL, 1, 0, text, 4, &size), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_detokenize(&scripted_model, ids, 0, SOT_TOKENIZE_BOS, text, 4, &size),
                     SOT_ERR_ARGUMENT);
    assert_int_equal(sot_detokenize(NULL, ids, 0, 0, text, 4, &size), SOT_ERR_ARGUMENT);
}

static void text_without_a_tokenizer_is_unsupported(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = scripted_model.tokenizer;
    size_t size;
    scripted_model.tokenizer = NULL;
    assert_int_equal(sot_tokenize(&scripted_model, "a", 1, 0, NULL, 0, &size), SOT_ERR_UNSUPPORTED);
    assert_int_equal(sot_detokenize(&scripted_model, NULL, 0, 0, NULL, 0, &size),
                     SOT_ERR_UNSUPPORTED);
    scripted_model.tokenizer = tokenizer;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(tokenize_gives_ids_and_their_number),
        TEST(tokenize_without_room_reports_what_is_needed),
        TEST(tokenize_arguments_are_checked),
        TEST(detokenize_gives_text_and_its_size),
        TEST(detokenize_arguments_are_checked),
        TEST(text_without_a_tokenizer_is_unsupported),
    };
    return cmocka_run_group_tests_name("api_text", tests, NULL, NULL);
}
