/* The skeleton parser against Python's re: 51,200 generated strings, made here by the rules of
 * points/make_points.py from the same numbers, and every code point as a digit and as white space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "golden/points/points_grammar.h"
#include "sot/points.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define PICK(r, out, table)                                                                        \
    do {                                                                                           \
        const piece *picked = &(table)[below(r, COUNT(table))];                                    \
        put(out, picked->bytes, picked->size);                                                     \
    } while (0)

static void put(soti_buffer *out, const void *bytes, size_t size)
{
    assert_int_equal(soti_buffer_append(out, bytes, size), SOT_OK);
}

static void put_number(soti_buffer *out, uint64_t number)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put(out, text, (size_t)n);
}

/* UTF-8 that does not refuse surrogates, unlike soti_utf8_encode. */
static void put_code(soti_buffer *out, uint32_t code)
{
    if (code >= 0xD800 && code <= 0xDFFF) {
        const unsigned char bytes[3] = {0xED, (unsigned char)(0x80 | ((code >> 6) & 0x3F)),
                                        (unsigned char)(0x80 | (code & 0x3F))};
        put(out, bytes, 3);
        return;
    }
    char bytes[4];
    put(out, bytes, soti_utf8_encode(code, bytes));
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static size_t below(uint64_t *r, size_t n)
{
    *r += 0x9E3779B97F4A7C15u;
    uint64_t z = *r;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (size_t)(((z >> 32) * n) >> 32);
}

static void put_digits(uint64_t *r, soti_buffer *out, size_t n)
{
    uint32_t zero = zeros[below(r, COUNT(zeros))];
    for (size_t i = 0; i < n; i++) {
        put_code(out, zero + (uint32_t)below(r, 10));
    }
}

static void put_point(uint64_t *r, soti_buffer *out, size_t number)
{
    size_t kind = below(r, 10);
    if (kind < 7) {
        put_number(out, number);
    } else if (kind == 7) {
        put_number(out, below(r, 20000));
    } else if (kind == 8) {
        size_t n = 1 + below(r, 3);
        put_digits(r, out, n);
    } else {
        put_number(out, 1 + below(r, 5));
        put_digits(r, out, 1);
    }
    PICK(r, out, dots);
    PICK(r, out, gaps);
    size_t n_words = 1 + below(r, 5);
    for (size_t i = 0; i < n_words; i++) {
        put(out, " ", i > 0);
        PICK(r, out, words);
    }
    PICK(r, out, tails);
}

static void put_skeleton(uint64_t *r, soti_buffer *out, size_t n, size_t n_prose)
{
    PICK(r, out, heads);
    for (size_t i = 0; i < n; i++) {
        put_point(r, out, i + 1);
        if (i + 1 < n || below(r, 2)) {
            PICK(r, out, ends);
        }
        if (n_prose && below(r, n_prose) == 0) {
            PICK(r, out, prose);
        }
    }
}

static void put_codes(uint64_t *r, soti_buffer *out)
{
    for (size_t n = 1 + below(r, 40); n > 0; n--) {
        switch (below(r, 4)) {
        case 0:
            put_code(out, (uint32_t)below(r, 0x110000));
            break;
        case 1:
            put_digits(r, out, 1);
            break;
        case 2:
            put(out, ".", 1);
            break;
        default:
            PICK(r, out, soup);
        }
    }
}

static void put_bytes(uint64_t *r, soti_buffer *out)
{
    for (size_t n = below(r, 200); n > 0; n--) {
        size_t choice = below(r, 5);
        unsigned char byte = '.';
        if (choice == 1) {
            byte = (unsigned char)('0' + below(r, 10));
        } else if (choice > 1) {
            byte = (unsigned char)below(r, 256);
        }
        put(out, &byte, 1);
    }
}

static void put_long(size_t i_long, soti_buffer *out)
{
    const long_string *made_of = &long_strings[i_long % COUNT(long_strings)];
    put(out, made_of->head.bytes, made_of->head.size);
    for (size_t n = made_of->size / made_of->filler.size; n > 0; n--) {
        put(out, made_of->filler.bytes, made_of->filler.size);
    }
}

static void make_string(size_t i_string, soti_buffer *out)
{
    uint64_t state = i_string * 0xD1B54A32D192ED03u + 1;
    uint64_t *r = &state;
    soti_buffer_truncate(out, 0);
    if (i_string % 4096 == 1) {
        put_long(i_string / 4096, out);
        return;
    }
    if (i_string % 512 == 0) {
        put_skeleton(r, out, 1000 + below(r, 4000), 50);
        return;
    }
    size_t kind = below(r, 16);
    if (kind < 8) {
        put_skeleton(r, out, 1 + below(r, 12), kind < 5 ? 0 : 2);
    } else if (kind < 13) {
        for (size_t n = kind < 11 ? 1 + below(r, 60) : below(r, 7); n > 0; n--) {
            PICK(r, out, soup);
        }
    } else if (kind == 13) {
        put_codes(r, out);
    } else if (kind == 14) {
        put_bytes(r, out);
    } else {
        put_skeleton(r, out, 1 + below(r, 6), 3);
        soti_buffer_truncate(out, below(r, out->size + 1));
    }
}

static const uint64_t fnv_start = 0xCBF29CE484222325u;

static uint64_t fnv(uint64_t state, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        state = (state ^ bytes[i]) * 0x100000001B3u;
    }
    return state;
}

static uint64_t fnv_number(uint64_t state, uint64_t number)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(number >> (8 * i));
    }
    return fnv(state, bytes, 8);
}

static uint64_t hash_field(uint64_t state, const void *data, size_t size)
{
    return fnv(fnv_number(state, size), data, size);
}

static uint64_t hash_points(const sot_points *points)
{
    size_t n_source = sot_points_source_size(points);
    uint64_t state =
        hash_field(fnv_start, sot_points_source(points), n_source < 4096 ? n_source : 0);
    state = fnv_number(fnv_number(state, n_source), sot_points_count(points));
    for (size_t i = 0; i < sot_points_count(points); i++) {
        const char *index = sot_points_index(points, i);
        state = hash_field(state, index, strlen(index));
        state = hash_field(state, sot_points_text(points, i), sot_points_text_size(points, i));
    }
    return state;
}

static uint64_t *read_golden(void)
{
    size_t n_bytes = (N_STRINGS + 1) * sizeof(uint64_t);
    unsigned char *bytes = malloc(n_bytes);
    uint64_t *golden = malloc(n_bytes);
    FILE *file = fopen(SOT_TEST_DIR "/golden/points/points.bin", "rb");
    assert_true(bytes != NULL && golden != NULL && file != NULL);
    assert_int_equal(fread(bytes, 1, n_bytes, file), n_bytes);
    fclose(file);
    for (size_t i = 0; i <= N_STRINGS; i++) {
        golden[i] = 0;
        for (size_t k = 0; k < 8; k++) {
            golden[i] |= (uint64_t)bytes[8 * i + k] << (8 * k);
        }
    }
    free(bytes);
    return golden;
}

static void points_of_generated_strings_equal_python(void **state)
{
    (void)state;
    uint64_t *golden = read_golden();
    uint64_t strings_hash = fnv_start;
    soti_buffer text = {0};
    size_t n_wrong = 0;
    size_t first_wrong = 0;
    for (size_t i = 0; i < N_STRINGS; i++) {
        make_string(i, &text);
        strings_hash =
            hash_field(strings_hash, soti_buffer_text(&text), text.size < 512 ? text.size : 512);
        strings_hash = fnv_number(strings_hash, text.size);
        sot_points *points;
        assert_int_equal(sot_points_parse(soti_buffer_text(&text), text.size, UINT32_MAX, &points),
                         SOT_OK);
        if (hash_points(points) != golden[i + 1]) {
            first_wrong = n_wrong++ ? first_wrong : i;
        }
        sot_points_free(points);
    }
    soti_buffer_free(&text);
    bool same_strings = strings_hash == golden[0];
    free(golden);
    if (!same_strings) {
        fail_msg("the strings differ from those of make_points.py");
    }
    if (n_wrong > 0) {
        fail_msg("%zu strings parse differently; see make_points.py --show %zu", n_wrong,
                 first_wrong);
    }
}

static bool in_ranges(uint32_t code, const code_range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

static uint32_t first_code(const char *text)
{
    uint32_t code;
    bool valid;
    soti_utf8_decode(text, strlen(text), &code, &valid);
    assert_true(valid);
    return code;
}

/* 1: PCRE2's tables are of a newer Unicode version than Python's, 0: of the same, -1: of an older.
 */
static int compare_unicode_versions(void)
{
    char version[64] = "";
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    double here = strtod(version, NULL);
    double there = strtod(UNICODE_OF_PYTHON, NULL);
    if (here != there) {
        print_message(
            "PCRE2 has Unicode %s, Python had %s: digits that the newer one added are not "
            "compared\n",
            version, UNICODE_OF_PYTHON);
    }
    return (here > there) - (here < there);
}

/* A line "{code}.x" for every code point of a plane: those that are digits become indexes. */
static void check_digits_of_plane(uint32_t plane, int pcre2_newer)
{
    soti_buffer text = {0};
    bool *is_digit = calloc(0x10000, sizeof *is_digit);
    assert_non_null(is_digit);
    for (uint32_t low = 0; low < 0x10000; low++) {
        put_code(&text, plane << 16 | low);
        put(&text, ".x\n", 3);
    }
    sot_points *points;
    assert_int_equal(sot_points_parse(text.data, text.size, UINT32_MAX, &points), SOT_OK);
    for (size_t i = 0; i < sot_points_count(points); i++) {
        is_digit[first_code(sot_points_index(points, i)) & 0xFFFF] = true;
    }
    for (uint32_t low = 0; low < 0x10000; low++) {
        bool expected = in_ranges(plane << 16 | low, python_digits, COUNT(python_digits));
        bool forgiven = is_digit[low] ? pcre2_newer > 0 : pcre2_newer < 0;
        if (is_digit[low] != expected && !forgiven) {
            fail_msg("U+%04X: %s to Python", plane << 16 | low, expected ? "a digit" : "no digit");
        }
    }
    sot_points_free(points);
    soti_buffer_free(&text);
    free(is_digit);
}

/* A line "{number}.{code}x" for every code point of a plane: white space is left out of the text.
 */
static void check_spaces_of_plane(uint32_t plane)
{
    soti_buffer text = {0};
    for (uint32_t low = 0; low < 0x10000; low++) {
        put_number(&text, low);
        put(&text, ".", 1);
        put_code(&text, plane << 16 | low);
        put(&text, "x\n", 2);
    }
    sot_points *points;
    assert_int_equal(sot_points_parse(text.data, text.size, UINT32_MAX, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), 0x10000);
    for (uint32_t low = 0; low < 0x10000; low++) {
        bool is_space = sot_points_text_size(points, low) == 1;
        bool expected = in_ranges(plane << 16 | low, python_spaces, COUNT(python_spaces));
        if (is_space != expected) {
            fail_msg("U+%04X: %s to Python", plane << 16 | low,
                     expected ? "white space" : "no white space");
        }
    }
    sot_points_free(points);
    soti_buffer_free(&text);
}

static void points_digits_are_those_of_python(void **state)
{
    (void)state;
    int pcre2_newer = compare_unicode_versions();
    for (uint32_t plane = 0; plane <= 16; plane++) {
        check_digits_of_plane(plane, pcre2_newer);
    }
}

static void points_white_space_is_that_of_python(void **state)
{
    (void)state;
    for (uint32_t plane = 0; plane <= 16; plane++) {
        check_spaces_of_plane(plane);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_of_generated_strings_equal_python),
        cmocka_unit_test(points_digits_are_those_of_python),
        cmocka_unit_test(points_white_space_is_that_of_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
