/* Building vocabularies: what append refuses, the byte vocabulary, and failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/vocabulary.h"

static void assert_piece(const soti_vocabulary *vocabulary, uint32_t id, const char *text,
                         uint32_t type)
{
    assert_true(id < vocabulary->n_pieces);
    const soti_piece *piece = &vocabulary->pieces[id];
    assert_int_equal(piece->size, strlen(text));
    assert_memory_equal(vocabulary->text + piece->offset, text, piece->size);
    assert_int_equal(piece->type, type);
}

static void vocabulary_append_keeps_all_pieces(void **state)
{
    (void)state;
    soti_vocabulary vocabulary = {0};
    assert_int_equal(soti_vocabulary_append(&vocabulary, "one", 3, -1.5f, SOTI_PIECE_NORMAL),
                     SOT_OK);
    assert_int_equal(soti_vocabulary_append(&vocabulary, "</s>", 4, 0.0f, SOTI_PIECE_CONTROL),
                     SOT_OK);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(soti_vocabulary_append(&vocabulary, "x", 1, 2.0f, SOTI_PIECE_UNUSED),
                         SOT_OK);
    }
    assert_int_equal(vocabulary.n_pieces, 1002);
    assert_int_equal(vocabulary.text_size, 1007);
    assert_piece(&vocabulary, 0, "one", SOTI_PIECE_NORMAL);
    assert_true(vocabulary.pieces[0].score == -1.5f);
    assert_piece(&vocabulary, 1, "</s>", SOTI_PIECE_CONTROL);
    assert_piece(&vocabulary, 1001, "x", SOTI_PIECE_UNUSED);
    soti_vocabulary_free(&vocabulary);
    assert_null(vocabulary.pieces);
}

static void assert_refused(const char *text, size_t size, float score, uint32_t type,
                           const char *words)
{
    soti_vocabulary vocabulary = {0};
    assert_int_equal(soti_vocabulary_append(&vocabulary, "a", 1, 0.0f, SOTI_PIECE_NORMAL), SOT_OK);
    assert_int_equal(soti_vocabulary_append(&vocabulary, text, size, score, type), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), words));
    assert_int_equal(vocabulary.n_pieces, 1);
    assert_int_equal(vocabulary.text_size, 1);
    soti_vocabulary_free(&vocabulary);
}

static void vocabulary_append_bad_piece_is_refused(void **state)
{
    (void)state;
    assert_refused("", 0, 0.0f, SOTI_PIECE_NORMAL, "piece 1 is empty");
    assert_refused("ab\xFF", 3, 0.0f, SOTI_PIECE_NORMAL, "piece 1 is not UTF-8 at byte 2");
    assert_refused("\xED\xA0\x80", 3, 0.0f, SOTI_PIECE_NORMAL, "not UTF-8 at byte 0");
    assert_refused("b", 1, NAN, SOTI_PIECE_NORMAL, "not finite");
    assert_refused("b", 1, INFINITY, SOTI_PIECE_NORMAL, "not finite");
    assert_refused("b", 1, -INFINITY, SOTI_PIECE_NORMAL, "not finite");
    assert_refused("b", 1, 0.0f, 0, "type 0");
    assert_refused("b", 1, 0.0f, 7, "type 7");
}

static void vocabulary_append_too_many_is_refused(void **state)
{
    (void)state;
    /* Counts that no memory here could hold: nothing is touched before the check. */
    soti_vocabulary full = {.n_pieces = INT32_MAX};
    assert_int_equal(soti_vocabulary_append(&full, "a", 1, 0.0f, SOTI_PIECE_NORMAL),
                     SOT_ERR_FORMAT);
    soti_vocabulary long_text = {.text_size = UINT32_MAX};
    assert_int_equal(soti_vocabulary_append(&long_text, "a", 1, 0.0f, SOTI_PIECE_NORMAL),
                     SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "4 GiB"));
}

static void vocabulary_bytes_has_every_byte_at_its_place(void **state)
{
    (void)state;
    soti_vocabulary vocabulary;
    assert_int_equal(soti_vocabulary_make_bytes(300, &vocabulary), SOT_OK);
    assert_int_equal(vocabulary.n_pieces, 300);
    assert_int_equal(vocabulary.unk_id, 0);
    assert_int_equal(vocabulary.bos_id, 1);
    assert_int_equal(vocabulary.eos_id, 2);
    assert_int_equal(vocabulary.add_dummy_prefix, 0);
    assert_piece(&vocabulary, 0, "<unk>", SOTI_PIECE_UNKNOWN);
    assert_piece(&vocabulary, 1, "<s>", SOTI_PIECE_CONTROL);
    assert_piece(&vocabulary, 2, "</s>", SOTI_PIECE_CONTROL);
    assert_piece(&vocabulary, 3, "<0x00>", SOTI_PIECE_BYTE);
    assert_piece(&vocabulary, 3 + 0xAB, "<0xAB>", SOTI_PIECE_BYTE);
    assert_piece(&vocabulary, 258, "<0xFF>", SOTI_PIECE_BYTE);
    assert_piece(&vocabulary, 259, "\xE2\x96\x81", SOTI_PIECE_NORMAL);
    assert_piece(&vocabulary, 260, "<unused260>", SOTI_PIECE_UNUSED);
    assert_piece(&vocabulary, 299, "<unused299>", SOTI_PIECE_UNUSED);
    soti_vocabulary_free(&vocabulary);
}

static void vocabulary_bytes_too_small_is_refused(void **state)
{
    (void)state;
    soti_vocabulary vocabulary;
    assert_int_equal(soti_vocabulary_make_bytes(259, &vocabulary), SOT_OK);
    soti_vocabulary_free(&vocabulary);
    assert_int_equal(soti_vocabulary_make_bytes(258, &vocabulary), SOT_ERR_ARGUMENT);
    assert_non_null(strstr(soti_fail_message(), "258"));
    assert_null(vocabulary.pieces);
}

static void vocabulary_every_allocation_failing_leaves_nothing(void **state)
{
    (void)state;
    long n = 0;
    for (;; n++) {
        soti_vocabulary vocabulary;
        soti_alloc_fail_at(n);
        sot_status status = soti_vocabulary_make_bytes(1000, &vocabulary);
        soti_alloc_fail_at(-1);
        if (status == SOT_OK) {
            soti_vocabulary_free(&vocabulary);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(vocabulary.pieces);
        assert_null(vocabulary.text);
        assert_int_equal(vocabulary.n_pieces, 0);
    }
    assert_true(n >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabulary_append_keeps_all_pieces),
        cmocka_unit_test(vocabulary_append_bad_piece_is_refused),
        cmocka_unit_test(vocabulary_append_too_many_is_refused),
        cmocka_unit_test(vocabulary_bytes_has_every_byte_at_its_place),
        cmocka_unit_test(vocabulary_bytes_too_small_is_refused),
        cmocka_unit_test(vocabulary_every_allocation_failing_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
