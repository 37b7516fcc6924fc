/* Text to ids: against byte-pair encoding done the slow way over random vocabularies with many
 * equal scores, in edge cases read off the SentencePiece library (0.2.3), and against the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "base/fail.h"
#include "random_source.h"
#include "sot/sot.h"
#include "tokenizer_model.h"

/* Times mean something in an optimized build without instrumentation, on a real processor only. */
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||     \
    defined(SOT_TEST_EMULATED)
#define TIMES_COUNT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIMES_COUNT 0
#else
#define TIMES_COUNT 1
#endif
#else
#define TIMES_COUNT 1
#endif

#define SPACE_MARK "\xE2\x96\x81"

/* ---- the slow way ---- */

enum { MAX_SYMBOLS = 6000 };

static int32_t find_piece(const soti_vocabulary *v, const char *text, size_t size)
{
    for (uint32_t i = 0; i < v->n_pieces; i++) {
        if (v->pieces[i].size == size && memcmp(v->text + v->pieces[i].offset, text, size) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* Looks at every pair of neighbours, joins the best, and starts again. The text has ASCII letters
 * and space marks only, all of them pieces. */
static size_t encode_slowly(const soti_vocabulary *v, const char *text, size_t size, int32_t *ids)
{
    static size_t starts[MAX_SYMBOLS + 1];
    static int32_t pairs[MAX_SYMBOLS]; /* the piece that symbols i and i + 1 make, or -1 */
    size_t n = 0;
    for (size_t i = 0; i < size; i += (unsigned char)text[i] == 0xE2 ? 3 : 1) {
        starts[n++] = i;
    }
    starts[n] = size;
    for (size_t i = 0; i + 1 < n; i++) {
        pairs[i] = find_piece(v, text + starts[i], starts[i + 2] - starts[i]);
    }
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++) {
            if (pairs[i] >= 0 &&
                (best == n || v->pieces[pairs[i]].score > v->pieces[pairs[best]].score)) {
                best = i;
            }
        }
        if (best == n) {
            break;
        }
        memmove(&starts[best + 1], &starts[best + 2], (n - best - 1) * sizeof *starts);
        memmove(&pairs[best], &pairs[best + 1], (n - best - 1) * sizeof *pairs);
        n--;
        for (size_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            pairs[i] = find_piece(v, text + starts[i], starts[i + 2] - starts[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = find_piece(v, text + starts[i], starts[i + 1] - starts[i]);
    }
    return n;
}

/* Pieces over a, b and the space mark; inner_spaces: also with marks behind letters. */
static void make_vocabulary(random_source *random, bool inner_spaces, soti_vocabulary *v)
{
    *v = (soti_vocabulary){.unk_id = 0, .bos_id = -1, .eos_id = -1};
    soti_vocabulary_append(v, "<unk>", 5, 0.0f, SOTI_PIECE_UNKNOWN);
    soti_vocabulary_append(v, "a", 1, 0.0f, SOTI_PIECE_NORMAL);
    soti_vocabulary_append(v, "b", 1, 0.0f, SOTI_PIECE_NORMAL);
    soti_vocabulary_append(v, SPACE_MARK, 3, 0.0f, SOTI_PIECE_NORMAL);
    uint32_t n = random_between(random, 4, 40);
    for (uint32_t tries = 0; tries < n; tries++) {
        char text[32] = "";
        bool letters = false;
        for (uint32_t k = random_between(random, 2, 6); k > 0; k--) {
            uint32_t letter = random_between(random, 0, letters && !inner_spaces ? 1 : 2);
            letters = letters || letter < 2;
            strcat(text, letter == 0 ? "a" : letter == 1 ? "b" : SPACE_MARK);
        }
        if (find_piece(v, text, strlen(text)) < 0) {
            float score = (float)random_between(random, 0, 5) - 3.0f;
            soti_vocabulary_append(v, text, strlen(text), score, SOTI_PIECE_NORMAL);
        }
    }
}

static void check_against_slow_way(uint64_t seed, bool inner_spaces, uint32_t shortest,
                                   uint32_t longest)
{
    static int32_t expected[MAX_SYMBOLS];
    random_source random = {seed};
    soti_vocabulary v;
    make_vocabulary(&random, inner_spaces, &v);
    soti_buffer plain = {0};
    soti_buffer marked = {0};
    for (uint32_t n = random_between(&random, shortest, longest); n > 0; n--) {
        soti_buffer_append(&plain, &"aabb "[random_between(&random, 0, 4)], 1);
    }
    for (size_t i = 0; i < plain.size; i++) {
        bool space = plain.data[i] == ' ';
        soti_buffer_append(&marked, space ? SPACE_MARK : &plain.data[i], space ? 3 : 1);
    }
    size_t n_expected = encode_slowly(&v, soti_buffer_text(&marked), marked.size, expected);
    soti_tokenizer *tokenizer;
    soti_tokens ids = {0};
    assert_int_equal(soti_tokenizer_create(&v, &tokenizer), SOT_OK);
    assert_int_equal(
        soti_tokenizer_encode(tokenizer, soti_buffer_text(&plain), plain.size, 0, &ids), SOT_OK);
    if (ids.count != n_expected ||
        (n_expected > 0 && memcmp(ids.ids, expected, n_expected * sizeof *expected) != 0)) {
        fail_msg("seed %llu: ids differ", (unsigned long long)seed);
    }
    soti_tokens_free(&ids);
    soti_buffer_free(&plain);
    soti_buffer_free(&marked);
    soti_tokenizer_free(tokenizer);
}

static void encode_random_vocabularies_equals_the_slow_way(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        check_against_slow_way(seed, seed % 2 != 0, 0, 60);
    }
}

static void encode_in_stretches_equals_the_slow_way(void **state)
{
    (void)state;
    for (uint64_t seed = 5000; seed < 5003; seed++) { /* about two stretches of 4,096 bytes */
        check_against_slow_way(seed, false, 4500, 5500);
    }
}

/* ---- edge cases, ids by SentencePiece ---- */

static void assert_ids(const soti_tokenizer *tokenizer, const char *text, size_t size,
                       const int32_t *expected, size_t n)
{
    soti_tokens ids = {0};
    assert_int_equal(soti_tokenizer_encode(tokenizer, text, size, 0, &ids), SOT_OK);
    assert_int_equal(ids.count, n);
    assert_memory_equal(ids.ids, expected, n * sizeof *expected);
    soti_tokens_free(&ids);
}

#define ASSERT_IDS(tokenizer, text, ...)                                                           \
    assert_ids(tokenizer, text, sizeof text - 1, (const int32_t[]){__VA_ARGS__},                   \
               sizeof(const int32_t[]){__VA_ARGS__} / sizeof(int32_t))

static void encode_llama_edge_cases_are_the_librarys(void **state)
{
    (void)state;
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    ASSERT_IDS(llama, " ", 259); /* one space on top of the dummy prefix */
    ASSERT_IDS(llama, "  ", 1678);
    ASSERT_IDS(llama, "\xE2\x96\x81", 259); /* a space mark in the text is a space */
    ASSERT_IDS(llama,
               " \xE2\x96\x81"
               "a",
               259, 263);
    ASSERT_IDS(llama, "\x00", 29871, 3); /* NUL is a character like any other */
    ASSERT_IDS(llama,
               "a\x00"
               "b",
               263, 3, 29890);
    ASSERT_IDS(llama, "\xFF", 29871, 30140); /* one U+FFFD for each ill-formed byte */
    ASSERT_IDS(llama, "\xE2\x82", 29871, 26308);
    ASSERT_IDS(llama, "\xE2\x82\xAC", 25540);
    ASSERT_IDS(llama, "\xED\xA0\x80", 29871, 26308, 30140); /* a surrogate */
    ASSERT_IDS(llama, "\xF0\x9F\x98", 29871, 26308, 30140);
    ASSERT_IDS(llama, "\n\n", 29871, 13, 13);
    ASSERT_IDS(llama, "<0x41>", 529, 29900, 29916, 29946, 29896,
               29958); /* text that spells a byte piece */
    ASSERT_IDS(llama, "\xF0\x9F\x98\x80", 29871, 243, 162, 155, 131); /* byte fallback */
    ASSERT_IDS(llama, " a  b ", 29871, 263, 29871, 289, 29871);
    soti_tokenizer_free(llama);
}

/* The rest of SentencePiece's ids of the same text behind "x\n". */
static void encode_behind_other_ids_has_no_dummy_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t ids[9];
        size_t n;
    } cases[] = {
        {"  Alpha.\n2. Beta", {29871, 838, 2026, 29889, 13, 29906, 29889, 350, 1187}, 9},
        {"Alpha", {28630}, 1},
        {" ", {29871}, 1},
        {"\n\nA", {13, 13, 29909}, 3},
        {" a  b ", {263, 29871, 289, 29871}, 4},
        {"", {0}, 0},
    };
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        soti_tokens ids = {0};
        assert_int_equal(soti_tokenizer_encode(llama, cases[i].text, strlen(cases[i].text),
                                               SOTI_TOKENIZE_BEHIND, &ids),
                         SOT_OK);
        assert_int_equal(ids.count, cases[i].n);
        for (size_t k = 0; k < ids.count; k++) {
            assert_int_equal(ids.ids[k], cases[i].ids[k]);
        }
        soti_tokens_free(&ids);
    }
    soti_tokenizer_free(llama);
}

static void encode_appends_behind_what_is_there(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = load_tokenizer("plain");
    soti_tokens once = {0};
    soti_tokens twice = {0};
    assert_int_equal(soti_tokenizer_encode(tokenizer, "the point", 9, 0, &once), SOT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(soti_tokenizer_encode(tokenizer, "the point", 9, 0, &twice), SOT_OK);
    }
    assert_true(once.count > 0);
    assert_int_equal(twice.count, 2 * once.count);
    assert_memory_equal(twice.ids + once.count, once.ids, once.count * sizeof *once.ids);
    soti_tokens_free(&once);
    soti_tokens_free(&twice);
    soti_tokenizer_free(tokenizer);
}

/* ---- the clock ---- */

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void time_text(const soti_tokenizer *tokenizer, const char *name, const soti_buffer *text)
{
    soti_tokens ids = {0};
    soti_buffer back = {0};
    double began = cpu_seconds();
    assert_int_equal(soti_tokenizer_encode(tokenizer, text->data, text->size, 0, &ids), SOT_OK);
    double encoded = cpu_seconds();
    assert_int_equal(soti_tokenizer_decode(tokenizer, ids.ids, ids.count, 0, &back), SOT_OK);
    double decoded = cpu_seconds();
    print_message("%-10s %zu bytes, %zu tokens: encode %.3f s, decode %.3f s\n", name, text->size,
                  ids.count, encoded - began, decoded - encoded);
    if (TIMES_COUNT) {
        assert_true(encoded - began < 1.0);
        assert_true(decoded - encoded < 1.0);
    }
    soti_tokens_free(&ids);
    soti_buffer_free(&back);
}

static void encode_a_megabyte_takes_under_a_second(void **state)
{
    (void)state;
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    if (!TIMES_COUNT) {
        print_message("NOTE: times are not checked in this build, only printed\n");
    }
    static const char *const patterns[][2] = {
        {"letter a", "a"},
        {"spaces", " "},
        {"newlines", "\n"},
        {"emoji", "\xF0\x9F\x98\x80"},
        {"Chinese", "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C"},
        {"no UTF-8", "\xFF"},
        {"English", "The quick brown fox jumps over the lazy dog. "},
        {"one word", "the"},
        {"code", "    for (int i = 0; i < n; i++) {\n        sum += x[i];\n    }\n"},
    };
    enum { MEGABYTE = 1000 * 1000 };
    soti_buffer text = {0};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        soti_buffer_truncate(&text, 0);
        while (text.size < MEGABYTE) {
            soti_buffer_append_text(&text, patterns[i][1]);
        }
        time_text(llama, patterns[i][0], &text);
    }
    random_source random = {3};
    soti_buffer_truncate(&text, 0);
    while (text.size < MEGABYTE) {
        char c = (char)random_between(&random, 0, 255);
        soti_buffer_append(&text, &c, 1);
    }
    time_text(llama, "random", &text);
    soti_buffer_free(&text);
    soti_tokenizer_free(llama);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_random_vocabularies_equals_the_slow_way),
        cmocka_unit_test(encode_in_stretches_equals_the_slow_way),
        cmocka_unit_test(encode_llama_edge_cases_are_the_librarys),
        cmocka_unit_test(encode_behind_other_ids_has_no_dummy_prefix),
        cmocka_unit_test(encode_appends_behind_what_is_there),
        cmocka_unit_test(encode_a_megabyte_takes_under_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
