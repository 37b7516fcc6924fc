/* Finding pieces by text, against a search through all of them: short texts over three letters, so
 * that pieces begin with one another in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/piece_index.h"
#include "random_source.h"

enum { N_LETTERS = 3, LONGEST = 6 };

/* Letters from both ends of the byte range, so that a signed comparison would show. */
static size_t random_text(random_source *random, char *text, size_t longest)
{
    static const char *const letters[N_LETTERS] = {"a", "\x7F", "\xC3\xBF"};
    size_t n = random_between(random, 1, (uint32_t)longest);
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        const char *letter = letters[random_between(random, 0, N_LETTERS - 1)];
        memcpy(text + size, letter, strlen(letter));
        size += strlen(letter);
    }
    return size;
}

static int32_t search(const soti_vocabulary *v, const char *text, size_t size)
{
    for (uint32_t i = 0; i < v->n_pieces; i++) {
        if (v->pieces[i].size == size && memcmp(v->text + v->pieces[i].offset, text, size) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

static void make_random_vocabulary(random_source *random, uint32_t n, soti_vocabulary *v)
{
    *v = (soti_vocabulary){0};
    while (v->n_pieces < n) {
        char text[2 * LONGEST];
        size_t size = random_text(random, text, LONGEST);
        if (search(v, text, size) < 0) {
            uint32_t type = random_between(random, SOTI_PIECE_NORMAL, SOTI_PIECE_BYTE);
            assert_int_equal(soti_vocabulary_append(v, text, size, 0.0f, type), SOT_OK);
        }
    }
}

static void piece_map_finds_what_a_search_finds(void **state)
{
    (void)state;
    random_source random = {1};
    for (uint32_t n = 1; n < 300; n += 37) {
        soti_vocabulary v;
        soti_piece_map map;
        make_random_vocabulary(&random, n, &v);
        assert_int_equal(soti_piece_map_create(&v, &map), SOT_OK);
        for (int i = 0; i < 2000; i++) {
            char text[4 * LONGEST];
            size_t size = random_text(&random, text, LONGEST + 3);
            assert_int_equal(soti_piece_map_find(&map, &v, text, size), search(&v, text, size));
        }
        soti_piece_map_free(&map);
        soti_vocabulary_free(&v);
    }
}

static void piece_map_long_pieces_are_told_apart(void **state)
{
    (void)state;
    char text[40];
    memset(text, 'a', sizeof text);
    soti_vocabulary v = {0};
    soti_piece_map map;
    for (size_t size = 1; size <= 32; size++) { /* hashing goes by eight bytes */
        assert_int_equal(soti_vocabulary_append(&v, text, size, 0.0f, SOTI_PIECE_NORMAL), SOT_OK);
    }
    assert_int_equal(soti_piece_map_create(&v, &map), SOT_OK);
    for (size_t size = 1; size <= 32; size++) {
        assert_int_equal(soti_piece_map_find(&map, &v, text, size), size - 1);
    }
    assert_int_equal(soti_piece_map_find(&map, &v, text, 33), -1);
    assert_int_equal(soti_piece_map_find(&map, &v, "aaaaaaab", 8), -1);
    soti_piece_map_free(&map);
    soti_vocabulary_free(&v);
}

static void piece_map_duplicate_is_refused(void **state)
{
    (void)state;
    soti_vocabulary v = {0};
    soti_piece_map map;
    soti_vocabulary_append(&v, "x", 1, 0.0f, SOTI_PIECE_NORMAL);
    soti_vocabulary_append(&v, "twice", 5, 0.0f, SOTI_PIECE_NORMAL);
    soti_vocabulary_append(&v, "twice", 5, 0.0f, SOTI_PIECE_CONTROL);
    assert_int_equal(soti_piece_map_create(&v, &map), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "pieces 1 and 2 are both \"twice\"");
    assert_null(map.slots);
    soti_vocabulary_free(&v);
}

/* Texts that all belong into the first 64 of 4,096 slots, found among many by their hashes. */
static void make_colliding_vocabulary(uint32_t n, soti_vocabulary *v)
{
    char text[8];
    soti_vocabulary many = {0};
    soti_piece_map map;
    *v = (soti_vocabulary){0};
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "%06x", i);
        assert_int_equal(soti_vocabulary_append(&many, text, 6, 0.0f, SOTI_PIECE_NORMAL), SOT_OK);
    }
    assert_int_equal(soti_piece_map_create(&many, &map), SOT_OK);
    for (uint32_t i = 0; i <= map.mask && v->n_pieces < n; i++) {
        if (map.slots[i].id >= 0 && (map.slots[i].hash & 4095) < 64) {
            const char *found = many.text + many.pieces[map.slots[i].id].offset;
            assert_int_equal(soti_vocabulary_append(v, found, 6, 0.0f, SOTI_PIECE_NORMAL), SOT_OK);
        }
    }
    assert_int_equal(v->n_pieces, n);
    soti_piece_map_free(&map);
    soti_vocabulary_free(&many);
}

static void piece_map_texts_made_to_collide_are_refused(void **state)
{
    (void)state;
    soti_vocabulary v;
    soti_piece_map map;
    make_colliding_vocabulary(1024, &v); /* 2,048 slots: twice as many belong into each */
    assert_int_equal(soti_piece_map_create(&v, &map), SOT_OK);
    for (uint32_t i = 0; i < v.n_pieces; i++) {
        assert_int_equal(soti_piece_map_find(&map, &v, v.text + v.pieces[i].offset, 6), i);
    }
    assert_int_equal(soti_piece_map_find(&map, &v, "no one", 6), -1);
    soti_piece_map_free(&map);
    soti_vocabulary_free(&v);
    make_colliding_vocabulary(1200, &v);
    assert_int_equal(soti_piece_map_create(&v, &map), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "made to collide"));
    assert_null(map.slots);
    soti_vocabulary_free(&v);
}

static void piece_list_matches_the_longest_beginning(void **state)
{
    (void)state;
    random_source random = {2};
    for (uint32_t n = 1; n < 300; n += 23) {
        soti_vocabulary v;
        soti_piece_list list;
        make_random_vocabulary(&random, n, &v);
        assert_int_equal(soti_piece_list_create(&v, SOTI_PIECE_USER_DEFINED, &list), SOT_OK);
        for (int i = 0; i < 2000; i++) {
            char text[4 * LONGEST];
            size_t size = random_text(&random, text, LONGEST + 3);
            int32_t expected = -1;
            for (size_t k = 1; k <= size; k++) {
                int32_t id = search(&v, text, k);
                if (id >= 0 && v.pieces[id].type == SOTI_PIECE_USER_DEFINED) {
                    expected = id;
                }
            }
            assert_int_equal(soti_piece_list_match(&list, &v, text, size), expected);
        }
        assert_int_equal(soti_piece_list_match(&list, &v, "", 0), -1);
        soti_piece_list_free(&list);
        soti_vocabulary_free(&v);
    }
}

static void piece_list_without_pieces_matches_nothing(void **state)
{
    (void)state;
    soti_vocabulary v = {0};
    soti_piece_list list;
    soti_vocabulary_append(&v, "x", 1, 0.0f, SOTI_PIECE_NORMAL);
    assert_int_equal(soti_piece_list_create(&v, SOTI_PIECE_CONTROL, &list), SOT_OK);
    assert_int_equal(list.n_ids, 0);
    assert_int_equal(soti_piece_list_match(&list, &v, "x", 1), -1);
    soti_piece_list_free(&list);
    soti_vocabulary_free(&v);
}

static void piece_index_allocation_failing_is_a_status(void **state)
{
    (void)state;
    soti_vocabulary v = {0};
    soti_piece_map map;
    soti_piece_list list;
    soti_vocabulary_append(&v, "x", 1, 0.0f, SOTI_PIECE_NORMAL);
    soti_alloc_fail_at(0);
    assert_int_equal(soti_piece_map_create(&v, &map), SOT_ERR_MEMORY);
    soti_alloc_fail_at(0);
    assert_int_equal(soti_piece_list_create(&v, SOTI_PIECE_NORMAL, &list), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
    soti_vocabulary_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(piece_map_finds_what_a_search_finds),
        cmocka_unit_test(piece_map_long_pieces_are_told_apart),
        cmocka_unit_test(piece_map_duplicate_is_refused),
        cmocka_unit_test(piece_map_texts_made_to_collide_are_refused),
        cmocka_unit_test(piece_list_matches_the_longest_beginning),
        cmocka_unit_test(piece_list_without_pieces_matches_nothing),
        cmocka_unit_test(piece_index_allocation_failing_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
