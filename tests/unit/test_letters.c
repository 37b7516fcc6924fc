/* The letters of the router's question: their tokens in LLaMA's vocabulary and in small ones, their
 * share of the logits, and a text's first word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/alloc.h"
#include "sot/letters.h"
#include "tokenizer_model.h"

/* The ids are those of the SentencePiece library (0.2.3): piece_to_id("A"), piece_to_id("\u2581A").
 */
static void letters_of_llama_are_found_in_both_forms(void **state)
{
    (void)state;
    static const int32_t ids[SOTI_LETTER_COUNT][SOTI_LETTER_FORMS] = {
        {29909, 319}, {29933, 350}, {29907, 315}};
    const char *folder = getenv("SOT_SHARED_DIR");
    char path[512];
    snprintf(path, sizeof path, "%s/data/tokenizer/llama.model",
             folder ? folder : SOT_SOURCE_DIR "/../shared");
    soti_vocabulary vocabulary;
    if (!load_vocabulary(path, &vocabulary)) {
        print_message("SKIPPED: %s is not there; set SOT_SHARED_DIR\n", path);
        skip();
    }
    soti_tokenizer *tokenizer;
    soti_letters letters;
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), SOT_OK);
    assert_int_equal(soti_letters_find(tokenizer, &letters), SOT_OK);
    assert_memory_equal(letters.ids, ids, sizeof ids);
    assert_int_equal(soti_letters_of_token(&letters, 319), 'A');
    assert_int_equal(soti_letters_of_token(&letters, 29933), 'B');
    assert_int_equal(soti_letters_of_token(&letters, 315), 'C');
    assert_int_equal(soti_letters_of_token(&letters, 360), 0); /* "\u2581D" */
    assert_int_equal(soti_letters_of_token(&letters, -1), 0);
    soti_tokenizer_free(tokenizer);
}

/* In a vocabulary of bytes a space is a token of its own. */
static void letters_of_bytes_have_one_form(void **state)
{
    (void)state;
    soti_vocabulary vocabulary = {0};
    soti_tokenizer *tokenizer;
    soti_letters letters;
    assert_int_equal(soti_vocabulary_make_bytes(300, &vocabulary), SOT_OK);
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), SOT_OK);
    assert_int_equal(soti_letters_find(tokenizer, &letters), SOT_OK);
    for (int i = 0; i < SOTI_LETTER_COUNT; i++) {
        assert_int_equal(letters.ids[i][0], 3 + 'A' + i);
        assert_int_equal(letters.ids[i][1], -1);
    }
    for (long n = 0;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = soti_letters_find(tokenizer, &letters);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_true(n > 6);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
    }
    soti_tokenizer_free(tokenizer);
}

static void score_is_the_share_of_a_in_its_best_form(void **state)
{
    (void)state;
    const soti_letters letters = {.ids = {{0, 1}, {2, 3}, {4, 5}}};
    float logits[] = {-3.0f, 1.0f, 0.5f, -9.0f, -1.0f, 0.0f, 50.0f};
    double expected = exp(1.0) / (exp(1.0) + exp(0.5) + exp(0.0));
    assert_true(fabs((double)soti_letters_score(&letters, logits, 7) - expected) < 1e-6);
    for (int i = 0; i < 7; i++) {
        logits[i] += 1e4f; /* no overflow */
    }
    assert_true(fabs((double)soti_letters_score(&letters, logits, 7) - expected) < 1e-3);
}

static void score_without_a_sign_of_a_is_zero(void **state)
{
    (void)state;
    const float logits[] = {0.0f, 1.0f, 2.0f};
    const float broken[] = {NAN, NAN, NAN};
    const soti_letters no_a = {.ids = {{-1, -1}, {0, -1}, {-1, 1}}};
    const soti_letters none = {.ids = {{-1, -1}, {-1, -1}, {-1, -1}}};
    const soti_letters beyond = {.ids = {{3, 4}, {1, 2}, {0, 0}}};
    const soti_letters known = {.ids = {{0, 0}, {1, 1}, {2, 2}}};
    assert_true(soti_letters_score(&no_a, logits, 3) == 0.0f);
    assert_true(soti_letters_score(&none, logits, 3) == 0.0f);
    assert_true(soti_letters_score(&beyond, logits, 3) ==
                0.0f); /* ids the model has no logit for */
    assert_true(soti_letters_score(&known, broken, 3) == 0.0f);
}

static void text_is_a_letter_where_its_first_word_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t letter;
        bool has_word;
    } cases[] = {
        {"A", 'A', true},       {" B", 'B', true},
        {"C.", 'C', true},      {"\n\n(A) Organ", 'A', true},
        {"**B**", 'B', true},   {"\"C\"", 'C', true},
        {"A B", 'A', true},     {"", 0, false},
        {" \n(", 0, false},     {"As an AI", 0, true},
        {"Answer: A", 0, true}, {"D", 0, true},
        {"a", 0, true},         {"1. A", 0, true},
        {"A1", 0, true},        {"\xC3\x84 A", 0, true},
        {"A\xC3\xA9", 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool has_word;
        uint32_t letter = soti_letters_of_text(cases[i].text, strlen(cases[i].text), &has_word);
        if (letter != cases[i].letter || has_word != cases[i].has_word) {
            fail_msg("\"%s\": '%c', %d", cases[i].text, letter ? (int)letter : '0', has_word);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_llama_are_found_in_both_forms),
        cmocka_unit_test(letters_of_bytes_have_one_form),
        cmocka_unit_test(score_is_the_share_of_a_in_its_best_form),
        cmocka_unit_test(score_without_a_sign_of_a_is_zero),
        cmocka_unit_test(text_is_a_letter_where_its_first_word_is_one),
    };
    return cmocka_run_group_tests_name("letters", tests, NULL, NULL);
}
