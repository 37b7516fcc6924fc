/* The one error path: sentences, prefixes, cutting at a character's border, one message a thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/fail.h"
#include "base/utf8.h"

enum { LONGEST = 1023 };

static void fail_keeps_sentence_and_returns_status(void **state)
{
    (void)state;
    assert_int_equal(soti_fail(SOT_ERR_FORMAT, "%s: tensor %d", "a.gguf", 7), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "a.gguf: tensor 7");
    assert_int_equal(soti_fail(SOT_ERR_IO, "other"), SOT_ERR_IO);
    assert_string_equal(soti_fail_message(), "other");
    soti_fail_clear();
    assert_string_equal(soti_fail_message(), "");
}

static void fail_in_puts_a_prefix_in_front(void **state)
{
    (void)state;
    soti_fail(SOT_ERR_FORMAT, "piece %d is empty", 3);
    assert_int_equal(soti_fail_in(SOT_ERR_IO, "%s: ", "a.model"), SOT_ERR_IO);
    assert_string_equal(soti_fail_message(), "a.model: piece 3 is empty");
    soti_fail_in(SOT_ERR_IO, "loading: ");
    assert_string_equal(soti_fail_message(), "loading: a.model: piece 3 is empty");
}

static void fail_restore_brings_the_saved_sentence_back(void **state)
{
    (void)state;
    char saved[SOTI_FAIL_MESSAGE_BYTES];
    soti_fail(SOT_ERR_IO, "first");
    soti_fail_save(saved);
    soti_fail(SOT_ERR_IO, "second");
    soti_fail_restore(saved);
    assert_string_equal(soti_fail_message(), "first");
}

static void fail_arguments_may_be_the_message_itself(void **state)
{
    (void)state;
    soti_fail(SOT_ERR_IO, "inner");
    soti_fail(SOT_ERR_IO, "outer (%s)", soti_fail_message());
    assert_string_equal(soti_fail_message(), "outer (inner)");
    soti_fail_in(SOT_ERR_IO, "%s / ", soti_fail_message());
    assert_string_equal(soti_fail_message(), "outer (inner) / outer (inner)");
}

static void fail_long_sentence_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t kind = 0; kind < 4; kind++) {
        size_t width = strlen(characters[kind]);
        for (size_t shift = 0; shift < 4; shift++) {
            char text[2000] = "yyyy";
            size_t n = shift;
            while (n + width < sizeof text) {
                memcpy(text + n, characters[kind], width);
                n += width;
            }
            text[n] = '\0';
            soti_fail(SOT_ERR_IO, "%s", text);
            size_t kept = strlen(soti_fail_message());
            assert_true(kept <= LONGEST && kept > LONGEST - width);
            assert_int_equal(soti_utf8_find_invalid(soti_fail_message(), kept), kept);
            assert_memory_equal(soti_fail_message(), text, kept);
        }
    }
}

static void fail_sentence_of_just_the_limit_is_kept_whole(void **state)
{
    (void)state;
    char text[LONGEST + 1];
    memset(text, 'x', LONGEST);
    memcpy(text + LONGEST - 2, "\xC3\xA9", 3);
    soti_fail(SOT_ERR_IO, "%s", text);
    assert_string_equal(soti_fail_message(), text);
}

static void fail_long_prefix_is_cut_between_characters(void **state)
{
    (void)state;
    char prefix[1500];
    for (size_t n = 0; n + 4 < sizeof prefix; n += 4) {
        memcpy(prefix + n, "\xF0\x9F\x98\x80", 5);
    }
    soti_fail(SOT_ERR_IO, "the rest");
    soti_fail_in(SOT_ERR_IO, "%s", prefix);
    size_t kept = strlen(soti_fail_message());
    assert_int_equal(kept, LONGEST / 4 * 4);
    assert_int_equal(soti_utf8_find_invalid(soti_fail_message(), kept), kept);
}

static void fail_quotes_neither_ill_formed_bytes_nor_control_characters(void **state)
{
    (void)state;
    soti_fail(SOT_ERR_IO, "%s", "\xFF/a\xC3\xA9\x1b[2J, \xC9");
    assert_string_equal(soti_fail_message(), "?/a\xC3\xA9?[2J, ?");
    soti_fail_in(SOT_ERR_IO, "%s", "\x80: ");
    assert_string_equal(soti_fail_message(), "?: ?/a\xC3\xA9?[2J, ?");
}

static void *fail_in_thread(void *seen)
{
    *(bool *)seen = soti_fail_message()[0] != '\0';
    soti_fail(SOT_ERR_IO, "of the thread");
    return NULL;
}

static void fail_message_is_the_threads_own(void **state)
{
    (void)state;
    pthread_t thread;
    bool seen = true;
    soti_fail(SOT_ERR_IO, "of main");
    assert_int_equal(pthread_create(&thread, NULL, fail_in_thread, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(seen);
    assert_string_equal(soti_fail_message(), "of main");
}

static sot_status return_early(sot_status status, int *reached)
{
    RETURN_IF_ERROR(status);
    (*reached)++;
    return SOT_OK;
}

static void fail_return_if_error_returns_failures_alone(void **state)
{
    (void)state;
    int reached = 0;
    assert_int_equal(return_early(SOT_ERR_BUSY, &reached), SOT_ERR_BUSY);
    assert_int_equal(reached, 0);
    assert_int_equal(return_early(SOT_OK, &reached), SOT_OK);
    assert_int_equal(reached, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_keeps_sentence_and_returns_status),
        cmocka_unit_test(fail_in_puts_a_prefix_in_front),
        cmocka_unit_test(fail_restore_brings_the_saved_sentence_back),
        cmocka_unit_test(fail_arguments_may_be_the_message_itself),
        cmocka_unit_test(fail_long_sentence_is_cut_between_characters),
        cmocka_unit_test(fail_sentence_of_just_the_limit_is_kept_whole),
        cmocka_unit_test(fail_long_prefix_is_cut_between_characters),
        cmocka_unit_test(fail_quotes_neither_ill_formed_bytes_nor_control_characters),
        cmocka_unit_test(fail_message_is_the_threads_own),
        cmocka_unit_test(fail_return_if_error_returns_failures_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
