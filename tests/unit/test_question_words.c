/* Tokens, sentences, classes and the key sentence of a question, by the rules in
 * lib/sot/question_words.h; FNV-1a by the values its authors publish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router_image.h"
#include "sot/router_file.h"

static sot_router *small;

static int make_small(void **state)
{
    (void)state;
    soti_buffer bytes = {0};
    router_image image = router_image_plain();
    router_image_put(&image, &bytes);
    sot_status status = soti_router_file_read("small", (uint8_t *)bytes.data, bytes.size, &small);
    soti_buffer_free(&bytes);
    return status;
}

static int free_small(void **state)
{
    (void)state;
    soti_classifier_free(small);
    return 0;
}

static soti_question_words *read_n(const char *text, size_t n)
{
    soti_question_words *words = malloc(sizeof *words);
    assert_non_null(words);
    memset(words, 0xA5, sizeof *words); /* nothing may depend on what was there */
    soti_question_words_read(text, n, &small->lexicon, words);
    return words;
}

static soti_question_words *read_text(const char *text)
{
    return read_n(text, strlen(text));
}

/* The tokens of text are expected, which is a list with one space between them. */
static void assert_tokens(const char *text, const char *expected)
{
    soti_question_words *words = read_text(text);
    size_t n = 0;
    while (*expected != '\0') {
        size_t size = strcspn(expected, " ");
        assert_true(n < words->n_tokens);
        if (words->tokens[n].hash != soti_text_hash(expected, size)) {
            fail_msg("\"%s\": token %zu is not \"%.*s\"", text, n, (int)size, expected);
        }
        n++;
        expected += size + (expected[size] == ' ');
    }
    assert_int_equal(words->n_tokens, n);
    free(words);
}

/* The key sentence of text has tokens [begin, end) and is the first one, or not. */
static void assert_key(const char *text, size_t begin, size_t end, bool is_first)
{
    soti_question_words *words = read_text(text);
    if (words->i_key != begin || words->n_key != end - begin || words->key_is_first != is_first) {
        fail_msg("\"%s\": key sentence [%zu, %zu), first: %d", text, words->i_key,
                 words->i_key + words->n_key, words->key_is_first);
    }
    free(words);
}

static void text_hash_is_fnv1a(void **state)
{
    (void)state;
    assert_int_equal(soti_text_hash("", 0), 0x811C9DC5u);
    assert_int_equal(soti_text_hash("a", 1), 0xE40C292Cu);
    assert_int_equal(soti_text_hash("foobar", 6), 0xBF9CF968u);
    assert_int_equal(soti_text_hash("\xFF", 1), (0x811C9DC5u ^ 0xFF) * 0x01000193u);
}

static void question_words_are_lower_case_tokens(void **state)
{
    (void)state;
    assert_tokens("", "");
    assert_tokens(" \t\r\n\v\f", "");
    assert_tokens("Give ME tips!", "give me tips !");
    assert_tokens("don't re-use 'it' x- -y a--b", "don't re-use ' it ' x - - y a - - b");
    assert_tokens("rock'n'roll,ok", "rock'n'roll , ok");
    assert_tokens("\xC3\x89tude caf\xC3\xA9s", "\xC3\x89tude caf\xC3\xA9s");
}

static void question_numbers_are_all_the_same(void **state)
{
    (void)state;
    assert_tokens("3 007 1,234.5 2nd x9", "0 0 0 , 0 . 0 0 nd x 0");
}

static void question_curly_quotes_are_made_straight(void **state)
{
    (void)state;
    assert_tokens("don\xE2\x80\x99t \xE2\x80\x9Cgo\xE2\x80\x9D \xE2\x80\x98", "don't \" go \" '");
    assert_tokens("a\xE2\x80\x93z \xE2\x80", "a\xE2\x80\x93z \xE2\x80");
}

static void question_any_bytes_are_read(void **state)
{
    (void)state;
    soti_question_words *words = read_n("\0\x01 \xFF\xFE\0", 6);
    assert_int_equal(words->n_tokens, 4);
    assert_int_equal(words->tokens[0].hash, soti_text_hash("\0", 1));
    assert_int_equal(words->tokens[1].hash, soti_text_hash("\x01", 1));
    assert_int_equal(words->tokens[2].hash, soti_text_hash("\xFF\xFE", 2));
    free(words);
}

static void question_sentences_end_at_marks_and_newlines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {
        {"", 0},
        {"One", 1},
        {"One. Two! Three? Four", 4},
        {"3.5 a.b c?d", 1},
        {"One.\"Two", 1},
        {"One\nTwo\n\nThree", 3},
        {"One...  Two", 2},
        {"One.\n\n\nTwo.", 2},
        {"\n\nOne\n", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        soti_question_words *words = read_text(cases[i].text);
        if (words->n_sentences != cases[i].n) {
            fail_msg("\"%s\": %zu sentences", cases[i].text, words->n_sentences);
        }
        free(words);
    }
}

static void question_key_is_the_last_that_asks(void **state)
{
    (void)state;
    assert_key("I sew. Why? How? Thanks.", 5, 7, false);
    assert_key("Why? Write it. Bye.", 0, 2, true);
    assert_key("Is it a?b or c", 0, 7, true);
}

static void question_key_without_question_is_the_request(void **state)
{
    (void)state;
    assert_key("I sew. Please write it. Write that.", 3, 7, false);
    assert_key("I sew. So please write it. Thanks.", 0, 3, true); /* the third token */
    assert_key("I sew.\nPoem!", 3, 5, false);                     /* a word of two classes */
    assert_key("I sew. Tips.", 0, 3, true); /* of a class that requests do not begin with */
    assert_key("", 0, 0, true);
}

static void question_key_is_cut_at_its_most_tokens(void **state)
{
    (void)state;
    char text[400] = "Hi. ";
    for (int i = 0; i < 90; i++) {
        strcat(text, "a ");
    }
    strcat(text, "?");
    assert_key(text, 2, 2 + SOTI_QUESTION_MAX_KEY, false);
    soti_question_words *words = read_text(text);
    assert_true(words->ends_asking);
    free(words);
}

static void question_classes_come_from_the_lexicon(void **state)
{
    (void)state;
    soti_question_words *words = read_text("Write Tips poem");
    assert_int_equal(words->tokens[0].mask, 1u << IMAGE_COMPOSE);
    assert_int_equal(words->tokens[0].symbol, image_hash("@compose"));
    assert_int_equal(words->tokens[1].mask, 1u << IMAGE_ADVICE);
    assert_int_equal(words->tokens[1].symbol, image_hash("@advice"));
    assert_int_equal(words->tokens[2].mask, 1u << IMAGE_COMPOSE | 1u << IMAGE_GENRE);
    assert_int_equal(words->tokens[2].symbol, image_hash("@compose")); /* the first of two */
    free(words);
}

static void question_other_words_have_their_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *word, *symbol;
    } cases[] = {
        {"nations", "-s"},  {"station", "-tion"}, {"nation", "-"},        {"ation", "-"},
        {"sing", "-"},      {"string", "-ing"},   {"glass", "-ss"},       {"dog's", "-'s"},
        {"quickly", "-ly"}, {"the", "-"},         {"asks", "-s"},         {"?", "?"},
        {"12", "0"},        {"\xC3\xA9s", "-"},   {"caf\xC3\xA9s", "-s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        soti_question_words *words = read_text(cases[i].word);
        assert_int_equal(words->n_tokens, 1);
        assert_int_equal(words->tokens[0].mask, 0);
        if (words->tokens[0].symbol != image_hash(cases[i].symbol)) {
            fail_msg("\"%s\" has not the symbol \"%s\"", cases[i].word, cases[i].symbol);
        }
        free(words);
    }
}

static void question_too_long_is_read_in_part(void **state)
{
    (void)state;
    size_t n = SOTI_QUESTION_MAX_BYTES + 1000;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    text[SOTI_QUESTION_MAX_BYTES - 1] = '?';
    soti_question_words *words = read_n(text, n);
    assert_int_equal(words->n_raw, SOTI_QUESTION_MAX_BYTES);
    assert_int_equal(words->n_tokens, 2);
    assert_true(words->ends_asking);
    free(words);
    memset(text, '.', n);
    words = read_n(text, n);
    assert_int_equal(words->n_tokens, SOTI_QUESTION_MAX_TOKENS);
    assert_int_equal(words->n_sentences, 1);
    assert_false(words->ends_asking);
    free(words);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_hash_is_fnv1a),
        cmocka_unit_test(question_words_are_lower_case_tokens),
        cmocka_unit_test(question_numbers_are_all_the_same),
        cmocka_unit_test(question_curly_quotes_are_made_straight),
        cmocka_unit_test(question_any_bytes_are_read),
        cmocka_unit_test(question_sentences_end_at_marks_and_newlines),
        cmocka_unit_test(question_key_is_the_last_that_asks),
        cmocka_unit_test(question_key_without_question_is_the_request),
        cmocka_unit_test(question_key_is_cut_at_its_most_tokens),
        cmocka_unit_test(question_classes_come_from_the_lexicon),
        cmocka_unit_test(question_other_words_have_their_suffix),
        cmocka_unit_test(question_too_long_is_read_in_part),
    };
    return cmocka_run_group_tests(tests, make_small, free_small);
}
