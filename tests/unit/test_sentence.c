/* Lines for people, made of what files say: cut, and without what drives a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/sentence.h"

static void format(char *out, size_t room, const char *words, ...)
{
    va_list arguments;
    va_start(arguments, words);
    soti_sentence_format(out, room, words, arguments);
    va_end(arguments);
}

static void sentence_has_no_control_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80",
         "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
        {"\x1b[2J\x07\x7f", "?[2J??"},
        {"a\nb\tc\rd", "a b c d"},
        {"\xC2\x80\xC2\x9B\xC2\x9F\xC2\xA0", "???\xC2\xA0"}, /* C1; U+00A0 stays */
        {"\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xAE\xE2\x80\xAF", "\xE2\x80\xA7??\xE2\x80\xAF"},
        {"\xE2\x81\xA5\xE2\x81\xA6\xE2\x81\xA9\xE2\x81\xAA", "\xE2\x81\xA5??\xE2\x81\xAA"},
        {"\xD8\x9C\xE2\x80\x8D\xE2\x80\x8E\xE2\x80\x8F", "?\xE2\x80\x8D??"},
        {"\xFF\xC3(\xE2\x82", "?"
                              "?(?"}, /* a maximal subpart is one character */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        format(out, sizeof out, "<%s>", cases[i].text);
        size_t n = strlen(cases[i].expected);
        assert_int_equal(strlen(out), n + 2);
        assert_memory_equal(out + 1, cases[i].expected, n);
    }
}

static void sentence_is_cut_between_characters(void **state)
{
    (void)state;
    char out[8];
    format(out, sizeof out, "abcdef\xC3\xA9");
    assert_string_equal(out, "abcdef");
    format(out, sizeof out, "abcde\xC3\xA9");
    assert_string_equal(out, "abcde\xC3\xA9");
    format(out, 1, "abc");
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentence_has_no_control_characters),
        cmocka_unit_test(sentence_is_cut_between_characters),
    };
    return cmocka_run_group_tests_name("sentence", tests, NULL, NULL);
}
