/* Stop strings across tokens, what may be shown meanwhile, and that neither depends on where the
 * tokens are cut. The oracle searches the whole text in the plainest way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/utf8.h"
#include "sot/stopper.h"

/* Ids of the byte vocabulary and of the pieces that are added to it. */
enum { ID_EOS = 2, ID_BYTE = 3, ID_PIECES = 259 };
static const char *const pieces[] = {"ab",           "ba",
                                     "##",           "a#",
                                     "\xc3\xa9",     "\xf0\x9f\x98\x80",
                                     "\xe2\x96\x81", "\xe2\x96\x81\x61",
                                     "#\xc3\xa9"};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

static soti_tokenizer *tokenizer;

static int make_tokenizer(void **state)
{
    (void)state;
    soti_vocabulary vocabulary;
    assert_int_equal(soti_vocabulary_make_bytes(ID_PIECES, &vocabulary), 0);
    for (size_t i = 0; i < N_PIECES; i++) {
        assert_int_equal(soti_vocabulary_append(&vocabulary, pieces[i], strlen(pieces[i]), 0.0f,
                                                SOTI_PIECE_NORMAL),
                         0);
    }
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), 0);
    return 0;
}

static int free_tokenizer(void **state)
{
    (void)state;
    soti_tokenizer_free(tokenizer);
    return 0;
}

static void begin(soti_stopper *stopper, const char *const *strings, size_t n)
{
    assert_int_equal(soti_stopper_begin(stopper, tokenizer, strings, n), SOT_OK);
}

static void append_bytes(soti_stopper *stopper, const char *bytes)
{
    for (; *bytes != '\0'; bytes++) {
        assert_int_equal(soti_stopper_append(stopper, ID_BYTE + (unsigned char)*bytes), SOT_OK);
    }
}

static void check_shown(const soti_stopper *stopper, const char *shown)
{
    assert_int_equal(stopper->n_released, strlen(shown));
    assert_memory_equal(soti_buffer_text(&stopper->text), shown, strlen(shown));
}

static void stopper_without_strings_shows_everything(void **state)
{
    (void)state;
    soti_stopper stopper;
    begin(&stopper, NULL, 0);
    append_bytes(&stopper, "Hi ###");
    check_shown(&stopper, "Hi ###");
    assert_false(stopper.stopped);
    assert_int_equal(soti_stopper_end(&stopper), SOT_OK);
    check_shown(&stopper, "Hi ###");
    soti_stopper_free(&stopper);
}

static void stopper_string_across_tokens_is_cut_off(void **state)
{
    (void)state;
    static const char *const strings[] = {"###"};
    soti_stopper stopper;
    begin(&stopper, strings, 1);
    append_bytes(&stopper, "One.\n#");
    check_shown(&stopper, "One.\n");
    append_bytes(&stopper, "# no");
    check_shown(&stopper, "One.\n## no");
    append_bytes(&stopper, "####more");
    assert_true(stopper.stopped);
    check_shown(&stopper, "One.\n## no");
    assert_int_equal(stopper.text.size, 10); /* nothing behind is kept, nothing more is taken */
    assert_int_equal(soti_stopper_end(&stopper), SOT_OK);
    check_shown(&stopper, "One.\n## no");
    soti_stopper_free(&stopper);
}

static void stopper_string_inside_one_token_is_cut_off(void **state)
{
    (void)state;
    static const char *const strings[] = {"b"};
    soti_stopper stopper;
    begin(&stopper, strings, 1);
    assert_int_equal(soti_stopper_append(&stopper, ID_PIECES), SOT_OK); /* "ab" */
    assert_true(stopper.stopped);
    check_shown(&stopper, "a");
    soti_stopper_free(&stopper);
}

static void stopper_first_string_to_end_wins(void **state)
{
    (void)state;
    static const char *const strings[] = {"abcd", "c", "bc"};
    soti_stopper stopper;
    begin(&stopper, strings, 3);
    append_bytes(&stopper, "xabcd");
    assert_true(stopper.stopped);
    check_shown(&stopper, "xa"); /* "c" and "bc" end first, "bc" is longer */
    soti_stopper_free(&stopper);
}

static void stopper_end_shows_what_was_held_back(void **state)
{
    (void)state;
    static const char *const strings[] = {"</s>"};
    soti_stopper stopper;
    begin(&stopper, strings, 1);
    append_bytes(&stopper, "a </\xf0\x9f");
    check_shown(&stopper, "a ");
    assert_int_equal(soti_stopper_end(&stopper), SOT_OK);
    assert_false(stopper.stopped);
    check_shown(&stopper, "a </\xef\xbf\xbd\xef\xbf\xbd");
    soti_stopper_free(&stopper);
}

static void stopper_characters_are_never_split(void **state)
{
    (void)state;
    static const char *const strings[] = {"\xc3\xa9\xc3\xa8"};
    soti_stopper stopper;
    begin(&stopper, strings, 1);
    append_bytes(&stopper, "a\xf0\x9f\x98");
    check_shown(&stopper, "a");
    append_bytes(&stopper, "\x80\xc3\xa9");
    check_shown(&stopper, "a\xf0\x9f\x98\x80"); /* the stop string may have begun */
    append_bytes(&stopper, "\xc3\xaa");
    check_shown(&stopper, "a\xf0\x9f\x98\x80\xc3\xa9\xc3\xaa");
    soti_stopper_free(&stopper);
}

static void stopper_wrong_id_is_an_error(void **state)
{
    (void)state;
    soti_stopper stopper;
    begin(&stopper, NULL, 0);
    assert_int_equal(soti_stopper_append(&stopper, ID_PIECES + N_PIECES), SOT_ERR_ARGUMENT);
    assert_int_equal(soti_stopper_append(&stopper, -1), SOT_ERR_ARGUMENT);
    soti_stopper_free(&stopper);
}

/* Random numbers of one test case. */
typedef struct draws {
    uint64_t stream;
    uint64_t counter;
} draws;

static size_t below(draws *d, size_t n)
{
    return (size_t)(soti_random_uniform(77, d->stream, d->counter++) * (float)n);
}

/* Where the whole text must be cut, or its size. */
static size_t find_cut(const char *text, size_t size, const char *const *strings, size_t n)
{
    for (size_t end = 1; end <= size; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n; i++) {
            size_t length = strlen(strings[i]);
            if (length <= end && length > longest &&
                memcmp(text + end - length, strings[i], length) == 0) {
                longest = length;
            }
        }
        if (longest > 0) {
            return end - longest;
        }
    }
    return size;
}

/* Bytes at the end of text that begin some string. */
static size_t count_held(const char *text, size_t size, const char *const *strings, size_t n)
{
    size_t held = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = strlen(strings[i]) - 1; k > held; k--) {
            if (k <= size && memcmp(text + size - k, strings[i], k) == 0) {
                held = k;
            }
        }
    }
    return held;
}

enum { MAX_IDS = 60, MAX_STRINGS = 4, MAX_STRING = 40 };

static int32_t draw_id(draws *d)
{
    static const unsigned char bytes[] = {'a',  'b',  '#',  'a',  'b',  '#', 0xc3,
                                          0xa9, 0xf0, 0x9f, 0x98, 0x80, 0xff};
    size_t kind = below(d, 20);
    if (kind == 0) {
        return ID_EOS; /* a control piece is no text */
    }
    return kind < 12 ? ID_BYTE + bytes[below(d, sizeof bytes)]
                     : ID_PIECES + (int32_t)below(d, N_PIECES);
}

static void draw_string(draws *d, char *out)
{
    static const char *const units[] = {
        "a", "b", "#", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xef\xbf\xbd", " "};
    *out = '\0';
    for (size_t n = 1 + below(d, 6); n > 0; n--) {
        strcat(out, units[below(d, sizeof units / sizeof *units)]);
    }
}

static void check_random_case(uint64_t stream)
{
    draws d = {.stream = stream};
    char storage[MAX_STRINGS][MAX_STRING];
    const char *strings[MAX_STRINGS];
    size_t n_strings = below(&d, MAX_STRINGS + 1);
    for (size_t i = 0; i < n_strings; i++) {
        draw_string(&d, storage[i]);
        strings[i] = storage[i];
    }
    soti_stopper stopper;
    begin(&stopper, strings, n_strings);
    soti_token_stream stream_of_all;
    soti_token_stream_begin(&stream_of_all, tokenizer);
    soti_buffer whole = {0};
    size_t shown = 0;
    size_t n_ids = below(&d, MAX_IDS);
    for (size_t i = 0; i <= n_ids; i++) {
        bool last = i == n_ids;
        int32_t id = draw_id(&d);
        assert_int_equal(last ? soti_token_stream_end(&stream_of_all, &whole)
                              : soti_token_stream_append(&stream_of_all, id, &whole),
                         SOT_OK);
        assert_int_equal(last ? soti_stopper_end(&stopper) : soti_stopper_append(&stopper, id),
                         SOT_OK);
        const char *all = soti_buffer_text(&whole);
        size_t cut = find_cut(all, whole.size, strings, n_strings);
        assert_int_equal(stopper.stopped, cut < whole.size);
        assert_int_equal(stopper.text.size, cut);
        assert_memory_equal(soti_buffer_text(&stopper.text), all, cut);
        size_t held = stopper.stopped || last ? 0 : count_held(all, whole.size, strings, n_strings);
        assert_int_equal(stopper.n_released, cut - held);
        assert_true(stopper.n_released >= shown);
        shown = stopper.n_released;
        assert_int_equal(soti_utf8_find_invalid(all, shown), shown);
    }
    soti_buffer_free(&whole);
    soti_stopper_free(&stopper);
}

static void stopper_random_texts_equal_searching_the_whole(void **state)
{
    (void)state;
    for (uint64_t stream = 0; stream < 20000; stream++) {
        check_random_case(stream);
    }
}

static void stopper_long_text_takes_linear_time(void **state)
{
    (void)state;
    enum { STRING = 2000, TEXT = 500000 };
    char *string = malloc(STRING + 1);
    assert_non_null(string);
    memset(string, 'a', STRING);
    string[STRING - 1] = 'b';
    string[STRING] = '\0';
    const char *const strings[] = {string, "ab"};
    for (size_t n_strings = 1; n_strings <= 2; n_strings++) {
        soti_stopper stopper;
        begin(&stopper, strings, n_strings);
        uint64_t start = soti_clock_ns();
        for (size_t i = 0; i < TEXT; i++) {
            char byte = i % (STRING - 5) == 0 ? 'c' : 'a';
            assert_int_equal(soti_stopper_append(&stopper, ID_BYTE + byte), SOT_OK);
        }
        /* Milliseconds; 2000 steps for each of 500,000 bytes would take many seconds. */
        assert_true(soti_clock_ns() - start < 3000000000u);
        assert_false(stopper.stopped);
        soti_stopper_free(&stopper);
    }
    free(string);
}

static void stopper_allocation_failure_is_reported(void **state)
{
    (void)state;
    static const char *const strings[] = {"###", "</s>"};
    long n_failed = 0;
    for (;; n_failed++) {
        soti_stopper stopper;
        soti_alloc_fail_at(n_failed);
        sot_status status = soti_stopper_begin(&stopper, tokenizer, strings, 2);
        for (int i = 0; i < 200 && status == SOT_OK; i++) {
            status = soti_stopper_append(&stopper, ID_BYTE + 'a');
        }
        if (status == SOT_OK) {
            status = soti_stopper_end(&stopper);
        }
        bool struck = soti_alloc_fail_at(-1) < 0;
        if (!struck) {
            assert_int_equal(status, SOT_OK);
            assert_int_equal(stopper.n_released, 200);
        } else {
            assert_int_equal(status, SOT_ERR_MEMORY);
        }
        soti_stopper_free(&stopper);
        if (!struck) {
            break;
        }
    }
    assert_true(n_failed >= 4); /* two tables, and a text that grows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopper_without_strings_shows_everything),
        cmocka_unit_test(stopper_string_across_tokens_is_cut_off),
        cmocka_unit_test(stopper_string_inside_one_token_is_cut_off),
        cmocka_unit_test(stopper_first_string_to_end_wins),
        cmocka_unit_test(stopper_end_shows_what_was_held_back),
        cmocka_unit_test(stopper_characters_are_never_split),
        cmocka_unit_test(stopper_wrong_id_is_an_error),
        cmocka_unit_test(stopper_random_texts_equal_searching_the_whole),
        cmocka_unit_test(stopper_long_text_takes_linear_time),
        cmocka_unit_test(stopper_allocation_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, make_tokenizer, free_tokenizer);
}
