/* The families of a question's features, counted by hand; that the hashes are the trainer's is
 * shown by tests/golden/test_router_golden.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "router_image.h"
#include "sot/question_features.h"

enum { N_SHAPE = 13 };

/* Features of text under the small router's lexicon, the caller's to free. */
static soti_question_features *features_of_n(const char *text, size_t n)
{
    router_image image = router_image_plain();
    soti_lexicon_word table[IMAGE_WORDS];
    for (int i = 0; i < IMAGE_WORDS; i++) {
        table[i] = (soti_lexicon_word){image.words[i].hash, image.words[i].mask};
    }
    const soti_lexicon lexicon = {.symbols = image.symbols,
                                  .words = table,
                                  .n_classes = IMAGE_CLASSES,
                                  .n_words = IMAGE_WORDS,
                                  .requests = image.requests};
    soti_question_words *words = malloc(sizeof *words);
    soti_question_features *features = malloc(sizeof *features);
    assert_non_null(words);
    assert_non_null(features);
    soti_question_words_read(text, n, &lexicon, words);
    soti_question_features_make(text, words, &lexicon, features);
    free(words);
    return features;
}

static void assert_counts(const char *text, const size_t expected[SOTI_FEATURE_FAMILIES])
{
    soti_question_features *features = features_of_n(text, strlen(text));
    for (size_t i = 0; i < SOTI_FEATURE_FAMILIES; i++) {
        if (features->n[i] != expected[i]) {
            fail_msg("\"%s\": family %zu has %zu features", text, i, features->n[i]);
        }
        for (size_t k = 1; k < features->n[i]; k++) {
            assert_true(features->values[i][k - 1] < features->values[i][k]);
        }
    }
    free(features);
}

static void features_of_nothing_are_its_shape(void **state)
{
    (void)state;
    assert_counts("", (size_t[]){0, 0, 0, 0, 0, 0, 0, N_SHAPE});
}

static void features_of_one_word(void **state)
{
    (void)state;
    assert_counts("tips", (size_t[]){1, 1, 1, 0, 1, 0, 1, N_SHAPE});
    assert_counts("poem", (size_t[]){1, 1, 1, 0, 2, 0, 1, N_SHAPE}); /* of two classes */
}

static void features_are_counted_once(void **state)
{
    (void)state;
    /* Words a b; starts 1 to 4; pairs ab ba; one class "-"; pair "- -"; class starts 1 to 4. */
    assert_counts("a b a b", (size_t[]){2, 4, 2, 2, 1, 1, 4, N_SHAPE});
}

static void features_of_key_leave_the_rest_out(void **state)
{
    (void)state;
    /* Text: one . why ? two; key: why ? */
    assert_counts("One. Why? Two", (size_t[]){5, 2, 2, 1, 2, 1, 2, N_SHAPE});
}

static void features_of_much_text_are_limited(void **state)
{
    (void)state;
    enum { N = 1000 };
    char *text = malloc(4 * N);
    assert_non_null(text);
    for (int i = 0; i < N; i++) { /* different words of three letters */
        text[4 * i] = (char)('a' + i % 26);
        text[4 * i + 1] = (char)('a' + i / 26 % 26);
        text[4 * i + 2] = (char)('a' + i / 676);
        text[4 * i + 3] = ' ';
    }
    soti_question_features *features = features_of_n(text, 4 * N);
    assert_int_equal(features->n[SOTI_FEATURE_WORD], SOTI_FEATURE_MAX_TEXT);
    assert_int_equal(features->n[SOTI_FEATURE_KEY_WORD], SOTI_QUESTION_MAX_KEY);
    assert_int_equal(features->n[SOTI_FEATURE_KEY_PAIR], SOTI_QUESTION_MAX_KEY - 1);
    assert_int_equal(features->n[SOTI_FEATURE_KEY_START], 4);
    assert_int_equal(features->n[SOTI_FEATURE_KEY_CLASS_START], 5);
    free(features);
    free(text);
}

/* How many of the shape's features two texts share. */
static size_t n_shared_shape(const char *a, const char *b)
{
    soti_question_features *x = features_of_n(a, strlen(a));
    soti_question_features *y = features_of_n(b, strlen(b));
    size_t n = 0;
    for (size_t i = 0; i < x->n[SOTI_FEATURE_SHAPE]; i++) {
        for (size_t k = 0; k < y->n[SOTI_FEATURE_SHAPE]; k++) {
            n += x->values[SOTI_FEATURE_SHAPE][i] == y->values[SOTI_FEATURE_SHAPE][k];
        }
    }
    free(x);
    free(y);
    return n;
}

static void shape_notices_one_thing_at_a_time(void **state)
{
    (void)state;
    assert_int_equal(n_shared_shape("abcdefgh", "hgfedcba"), N_SHAPE);
    assert_int_equal(n_shared_shape("abcdefgh", "Abcdefgh"), N_SHAPE);     /* a first capital */
    assert_int_equal(n_shared_shape("abcdefgh", "aBcdefgh"), N_SHAPE - 1); /* another one */
    assert_int_equal(n_shared_shape("abcdefgh", "abcdefghi"), N_SHAPE);    /* 8 to 11 bytes */
    assert_int_equal(n_shared_shape("abcdefgh", "abcdefghijkl"), N_SHAPE - 1);
    assert_int_equal(n_shared_shape("ab.", "ab?"), N_SHAPE - 2); /* a mark, and at the end */
    assert_int_equal(n_shared_shape("ab.", "ab$"), N_SHAPE - 1);
    assert_int_equal(n_shared_shape("ab.", "ab\""), N_SHAPE - 1);
    assert_int_equal(n_shared_shape("ab.", "ab{"), N_SHAPE - 1);
    assert_int_equal(n_shared_shape("a.b", "a.0"), N_SHAPE - 1);
    assert_int_equal(n_shared_shape("a b", "a\nb"), N_SHAPE - 2);    /* a newline, two sentences */
    assert_int_equal(n_shared_shape("a? b.", "b. a?"), N_SHAPE - 2); /* key first; asks last */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_of_nothing_are_its_shape),
        cmocka_unit_test(features_of_one_word),
        cmocka_unit_test(features_are_counted_once),
        cmocka_unit_test(features_of_key_leave_the_rest_out),
        cmocka_unit_test(features_of_much_text_are_limited),
        cmocka_unit_test(shape_notices_one_thing_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
