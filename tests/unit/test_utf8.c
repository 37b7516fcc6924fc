/* UTF-8: the Unicode Standard's own examples of ill-formed text (chapter 3, tables 3-8 to 3-11),
 * every code point, and the C library's iconv as the judge of random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <iconv.h>
#include <string.h>

#include "base/utf8.h"
#include "random_source.h"

static void assert_decodes(const char *text, size_t n, const uint32_t *expected, size_t n_expected)
{
    size_t at = 0;
    for (size_t i = 0; i < n_expected; i++) {
        uint32_t code;
        bool valid;
        assert_true(at < n);
        at += soti_utf8_decode(text + at, n - at, &code, &valid);
        assert_int_equal(code, expected[i]);
        assert_int_equal(valid, expected[i] != 0xFFFD);
    }
    assert_int_equal(at, n);
}

static void utf8_standards_examples_become_one_replacement_per_subpart(void **state)
{
    (void)state;
    enum { R = 0xFFFD };
    static const uint32_t eight[] = {R, R, R, R, R, R, R, R, 0x41};
    assert_decodes("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, eight, 9); /* table 3-8 */
    assert_decodes("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, eight, 9); /* table 3-9 */
    static const uint32_t others[] = {R, R, R, R, R, 0x41, R, R, 0x42};
    assert_decodes("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, others, 9); /* table 3-10 */
    static const uint32_t truncated[] = {R, R, R, R, 0x41};
    assert_decodes("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, truncated, 5); /* table 3-11 */
}

static void utf8_real_replacement_character_is_valid(void **state)
{
    (void)state;
    uint32_t code;
    bool valid;
    assert_int_equal(soti_utf8_decode("\xEF\xBF\xBD", 3, &code, &valid), 3);
    assert_int_equal(code, 0xFFFD);
    assert_true(valid);
}

static void utf8_every_code_point_comes_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char text[4];
        size_t n = soti_utf8_encode(code, text);
        uint32_t back;
        bool valid;
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        size_t expected = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (n != expected || soti_utf8_decode(text, n, &back, &valid) != n || !valid ||
            back != (surrogate ? 0xFFFD : code)) {
            fail_msg("U+%04X", code);
        }
        for (size_t cut = 1; cut < n; cut++) {
            assert_int_equal(soti_utf8_incomplete_tail(text, cut), cut);
            soti_utf8_decode(text, cut, &back, &valid);
            assert_false(valid);
        }
        assert_int_equal(soti_utf8_incomplete_tail(text, n), 0);
    }
    char text[4];
    assert_int_equal(soti_utf8_encode(0x110000, text), 3);
    assert_memory_equal(text, "\xEF\xBF\xBD", 3);
    assert_int_equal(soti_utf8_encode(UINT32_MAX, text), 3);
}

/* Where iconv stops reading UTF-8. */
static size_t iconv_stops(iconv_t converter, const char *text, size_t n)
{
    uint32_t out[64];
    char copy[64];
    memcpy(copy, text, n);
    char *from = copy;
    char *to = (char *)out;
    size_t left = n;
    size_t room = sizeof out;
    iconv(converter, NULL, NULL, NULL, NULL);
    iconv(converter, &from, &left, &to, &room);
    return n - left;
}

static void utf8_first_invalid_byte_is_where_iconv_stops(void **state)
{
    (void)state;
    iconv_t converter = iconv_open("UTF-32LE", "UTF-8");
    if (converter == (iconv_t)-1) {
        print_message("SKIPPED: no UTF-32 module is installed for this iconv\n");
        skip();
    }
    for (uint32_t pair = 0; pair < 0x10000; pair++) {
        char text[3] = {(char)(pair & 0xFF), (char)(pair >> 8), 'x'};
        assert_int_equal(soti_utf8_find_invalid(text, 3), iconv_stops(converter, text, 3));
    }
    random_source random = {1};
    static const unsigned char likely[] = {0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5,
                                           0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 'a'};
    for (int i = 0; i < 300000; i++) {
        char text[8];
        size_t n = random_between(&random, 1, sizeof text);
        for (size_t k = 0; k < n; k++) {
            text[k] = (char)likely[random_between(&random, 0, sizeof likely - 1)];
        }
        assert_int_equal(soti_utf8_find_invalid(text, n), iconv_stops(converter, text, n));
    }
    iconv_close(converter);
    assert_int_equal(soti_utf8_find_invalid("", 0), 0);
}

static void utf8_tail_that_cannot_be_completed_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t tail;
    } cases[] = {
        {"", 0},
        {"abc", 0},
        {"a\x80", 0},
        {"\x80\x80\x80", 0},
        {"\xC0", 0},
        {"\xC1", 0},
        {"\xF5", 0},
        {"\xFF", 0},
        {"\xC2", 1},
        {"ab\xDF", 1},
        {"\xE0", 1},
        {"\xE0\x80", 0},
        {"\xE0\xA0", 2},
        {"\xED\xA0", 0},
        {"\xED\x9F", 2},
        {"\xF0\x8F", 0},
        {"\xF0\x90", 2},
        {"\xF4\x90", 0},
        {"\xF4\x8F", 2},
        {"\xF1\x80\x80", 3},
        {"\xC2\x80", 0},
        {"x\xE2\x82", 2},
        {"\xE2\x82\xAC", 0},
        {"\xC2\x80\x80", 0},
        {"\xE2\xE2", 1},
        {"\xF0\x90\x80", 3},
        {"\xF0\x90\x80\x80", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (soti_utf8_incomplete_tail(cases[i].text, strlen(cases[i].text)) != cases[i].tail) {
            fail_msg("case %zu", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_standards_examples_become_one_replacement_per_subpart),
        cmocka_unit_test(utf8_real_replacement_character_is_valid),
        cmocka_unit_test(utf8_every_code_point_comes_back),
        cmocka_unit_test(utf8_first_invalid_byte_is_where_iconv_stops),
        cmocka_unit_test(utf8_tail_that_cannot_be_completed_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
