/* Pages and sequences, one situation at a time. tests/property/test_kv_invariants.c mixes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "model/kv.h"

typedef struct copy_log {
    uint32_t n_calls, to, from, n_tokens;
    sot_status answer;
} copy_log;

static sot_status log_copy(void *user, uint32_t to, uint32_t from, uint32_t n_tokens)
{
    copy_log *log = user;
    log->n_calls++;
    log->to = to;
    log->from = from;
    log->n_tokens = n_tokens;
    return log->answer;
}

static soti_kv *make_kv(uint32_t n_pages, uint32_t n_sequences, uint32_t n_table_max, copy_log *log)
{
    soti_kv *kv;
    *log = (copy_log){.answer = SOT_OK};
    assert_int_equal(soti_kv_create(n_pages, n_sequences, n_table_max, log_copy, log, &kv), SOT_OK);
    return kv;
}

static void write_tokens(soti_kv *kv, soti_sequence *sequence, uint32_t n)
{
    assert_int_equal(soti_sequence_reserve(kv, sequence, n), SOT_OK);
    soti_sequence_advance(sequence, n);
}

static void kv_new_pool_is_free_and_empty(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(7, 2, 4, &log);
    assert_int_equal(soti_kv_page_count(kv), 7);
    assert_int_equal(soti_kv_free_pages(kv), 7);
    assert_int_equal(soti_kv_peak_pages(kv), 0);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(soti_kv_references(kv, i), 0);
    }
    soti_kv_free(kv);
}

static void kv_reserve_takes_pages_at_page_borders_only(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 1, 8, &log);
    soti_sequence *sequence = soti_sequence_create(kv);
    const uint32_t lengths[] = {1, 15, 16, 17, 31, 32, 33};
    const uint32_t pages[] = {1, 1, 1, 2, 2, 2, 3};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_tokens(kv, sequence, lengths[i] - soti_sequence_length(sequence));
        assert_int_equal(soti_sequence_length(sequence), lengths[i]);
        assert_int_equal(soti_sequence_page_count(sequence), pages[i]);
        assert_int_equal(soti_kv_free_pages(kv), 8 - pages[i]);
    }
    soti_kv_free(kv);
}

static void kv_reserve_twice_without_advance_takes_pages_once(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 1, 8, &log);
    soti_sequence *sequence = soti_sequence_create(kv);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 40), SOT_OK);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 40), SOT_OK);
    assert_int_equal(soti_sequence_page_count(sequence), 3);
    assert_int_equal(soti_sequence_length(sequence), 0);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 0), SOT_OK);
    assert_int_equal(soti_sequence_page_count(sequence), 3);
    soti_kv_free(kv);
}

static void kv_fork_shares_every_full_page(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(16, 2, 8, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 48);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 48, &child), SOT_OK);
    assert_int_equal(log.n_calls, 0);
    assert_int_equal(soti_kv_free_pages(kv), 13);
    assert_int_equal(soti_sequence_length(child), 48);
    assert_memory_equal(soti_sequence_pages(child), soti_sequence_pages(parent),
                        3 * sizeof(uint32_t));
    assert_int_equal(soti_kv_references(kv, soti_sequence_pages(parent)[2]), 2);
    assert_int_equal(soti_sequence_shared_pages(parent, child), 3);
    soti_kv_free(kv);
}

static void kv_fork_copies_only_the_partly_filled_page(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(16, 2, 8, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 40);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 40, &child), SOT_OK);
    assert_int_equal(log.n_calls, 1);
    assert_int_equal(log.n_tokens, 8);
    assert_int_equal(log.from, soti_sequence_pages(parent)[2]);
    assert_int_equal(log.to, soti_sequence_pages(child)[2]);
    assert_int_not_equal(log.from, log.to);
    assert_int_equal(soti_kv_references(kv, log.from), 1);
    assert_int_equal(soti_kv_references(kv, log.to), 1);
    assert_int_equal(soti_sequence_shared_pages(parent, child), 2);
    soti_kv_free(kv);
}

static void kv_fork_inside_a_full_page_copies_its_beginning(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(16, 2, 8, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 64);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 21, &child), SOT_OK);
    assert_int_equal(log.n_calls, 1);
    assert_int_equal(log.n_tokens, 5);
    assert_int_equal(log.from, soti_sequence_pages(parent)[1]);
    assert_int_equal(soti_sequence_length(child), 21);
    assert_int_equal(soti_sequence_page_count(child), 2);
    assert_int_equal(soti_sequence_shared_pages(parent, child), 1);
    soti_kv_free(kv);
}

static void kv_fork_of_nothing_is_an_empty_sequence(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(4, 2, 4, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 20);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 0, &child), SOT_OK);
    assert_int_equal(soti_sequence_length(child), 0);
    assert_int_equal(soti_sequence_page_count(child), 0);
    assert_int_equal(log.n_calls, 0);
    soti_kv_free(kv);
}

static void kv_fork_beyond_the_parent_is_refused(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(4, 2, 4, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 20);
    soti_sequence *child = parent;
    assert_int_equal(soti_sequence_fork(kv, parent, 21, &child), SOT_ERR_INTERNAL);
    assert_null(child);
    assert_non_null(soti_sequence_create(kv)); /* the slot was not lost */
    soti_kv_free(kv);
}

static void kv_fork_without_page_for_the_copy_is_context_full(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(2, 2, 4, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 20);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 20, &child), SOT_ERR_CONTEXT_FULL);
    assert_null(child);
    assert_non_null(strstr(soti_fail_message(), "all 2 pages"));
    assert_int_equal(soti_kv_references(kv, soti_sequence_pages(parent)[0]), 1);
    assert_int_equal(soti_sequence_fork(kv, parent, 16, &child), SOT_OK);
    soti_kv_free(kv);
}

static void kv_fork_without_sequence_is_context_full(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(4, 1, 4, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    assert_null(soti_sequence_create(kv));
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 0, &child), SOT_ERR_CONTEXT_FULL);
    assert_null(child);
    assert_non_null(strstr(soti_fail_message(), "all 1 sequences"));
    soti_kv_free(kv);
}

static void kv_fork_whose_copy_fails_gives_everything_back(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(4, 2, 4, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 20);
    log.answer = SOT_ERR_DEVICE;
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 20, &child), SOT_ERR_DEVICE);
    assert_null(child);
    assert_int_equal(soti_kv_free_pages(kv), 2);
    assert_int_equal(soti_kv_references(kv, soti_sequence_pages(parent)[0]), 1);
    assert_non_null(soti_sequence_create(kv));
    soti_kv_free(kv);
}

static void kv_free_returns_a_page_at_its_last_reference(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(4, 2, 4, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 32);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 32, &child), SOT_OK);
    soti_sequence_free(kv, parent);
    assert_int_equal(soti_kv_free_pages(kv), 2);
    soti_sequence_free(kv, child);
    assert_int_equal(soti_kv_free_pages(kv), 4);
    soti_sequence_free(kv, NULL);
    soti_kv_free(kv);
}

static void kv_truncate_gives_back_pages_behind_the_cut(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 1, 8, &log);
    soti_sequence *sequence = soti_sequence_create(kv);
    write_tokens(kv, sequence, 50);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 40), SOT_OK);
    assert_int_equal(soti_kv_free_pages(kv), 2);
    soti_sequence_truncate(kv, sequence, 50); /* reserved pages only */
    assert_int_equal(soti_kv_free_pages(kv), 4);
    soti_sequence_truncate(kv, sequence, 17);
    assert_int_equal(soti_sequence_length(sequence), 17);
    assert_int_equal(soti_kv_free_pages(kv), 6);
    soti_sequence_truncate(kv, sequence, 16);
    assert_int_equal(soti_kv_free_pages(kv), 7);
    soti_sequence_truncate(kv, sequence, 0);
    assert_int_equal(soti_kv_free_pages(kv), 8);
    soti_kv_free(kv);
}

static void kv_reserve_in_a_page_of_others_copies_it_first(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 2, 8, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 32);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 32, &child), SOT_OK);
    uint32_t shared = soti_sequence_pages(parent)[1];
    soti_sequence_truncate(kv, child, 20); /* now it ends inside the shared second page */
    assert_int_equal(soti_sequence_reserve(kv, child, 1), SOT_OK);
    assert_int_equal(log.n_calls, 1);
    assert_int_equal(log.from, shared);
    assert_int_equal(log.n_tokens, 4);
    assert_int_not_equal(soti_sequence_pages(child)[1], shared);
    assert_int_equal(soti_kv_references(kv, shared), 1);
    assert_int_equal(soti_kv_references(kv, soti_sequence_pages(child)[1]), 1);
    soti_kv_free(kv);
}

static void kv_reserve_whose_copy_fails_changes_nothing(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 2, 8, &log);
    soti_sequence *parent = soti_sequence_create(kv);
    write_tokens(kv, parent, 32);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, 32, &child), SOT_OK);
    soti_sequence_truncate(kv, child, 20);
    log.answer = SOT_ERR_DEVICE;
    assert_int_equal(soti_sequence_reserve(kv, child, 1), SOT_ERR_DEVICE);
    assert_int_equal(soti_sequence_pages(child)[1], soti_sequence_pages(parent)[1]);
    assert_int_equal(soti_kv_free_pages(kv), 6);
    soti_kv_free(kv);
}

static void kv_reserve_beyond_the_table_says_context(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 1, 2, &log);
    soti_sequence *sequence = soti_sequence_create(kv);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 33), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(soti_fail_message(), "33 tokens"));
    assert_non_null(strstr(soti_fail_message(), "holds 32"));
    assert_int_equal(soti_sequence_reserve(kv, sequence, UINT32_MAX), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 32), SOT_OK);
    soti_kv_free(kv);
}

static void kv_reserve_beyond_the_pool_keeps_what_it_got(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(2, 1, 8, &log);
    soti_sequence *sequence = soti_sequence_create(kv);
    assert_int_equal(soti_sequence_reserve(kv, sequence, 33), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(soti_fail_message(), "page pool"));
    assert_int_equal(soti_sequence_page_count(sequence), 2);
    assert_int_equal(soti_kv_free_pages(kv), 0);
    soti_sequence_free(kv, sequence);
    assert_int_equal(soti_kv_free_pages(kv), 2);
    soti_kv_free(kv);
}

static void kv_peak_is_the_most_since_reset(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *kv = make_kv(8, 2, 8, &log);
    soti_sequence *a = soti_sequence_create(kv);
    soti_sequence *b = soti_sequence_create(kv);
    write_tokens(kv, a, 60);
    write_tokens(kv, b, 10);
    soti_sequence_free(kv, a);
    assert_int_equal(soti_kv_peak_pages(kv), 5);
    soti_kv_reset_peak(kv);
    assert_int_equal(soti_kv_peak_pages(kv), 1);
    write_tokens(kv, b, 10);
    assert_int_equal(soti_kv_peak_pages(kv), 2);
    soti_kv_free(kv);
}

static void kv_create_survives_every_failed_allocation(void **state)
{
    (void)state;
    copy_log log = {.answer = SOT_OK};
    long n = 0;
    for (;; n++) {
        soti_kv *kv;
        soti_alloc_fail_at(n);
        sot_status status = soti_kv_create(4, 2, 4, log_copy, &log, &kv);
        if (soti_alloc_fail_at(-1) >= 0) { /* nothing failed: all allocations were passed */
            assert_int_equal(status, SOT_OK);
            soti_kv_free(kv);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(kv);
    }
    assert_true(n >= 6);
}

static void kv_bytes_cover_the_page_tables(void **state)
{
    (void)state;
    copy_log log;
    soti_kv *small = make_kv(4, 2, 4, &log);
    soti_kv *large = make_kv(4, 2, 104, &log);
    assert_int_equal(soti_kv_bytes(large) - soti_kv_bytes(small), 2 * 100 * sizeof(uint32_t));
    soti_kv_free(small);
    soti_kv_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_new_pool_is_free_and_empty),
        cmocka_unit_test(kv_reserve_takes_pages_at_page_borders_only),
        cmocka_unit_test(kv_reserve_twice_without_advance_takes_pages_once),
        cmocka_unit_test(kv_fork_shares_every_full_page),
        cmocka_unit_test(kv_fork_copies_only_the_partly_filled_page),
        cmocka_unit_test(kv_fork_inside_a_full_page_copies_its_beginning),
        cmocka_unit_test(kv_fork_of_nothing_is_an_empty_sequence),
        cmocka_unit_test(kv_fork_beyond_the_parent_is_refused),
        cmocka_unit_test(kv_fork_without_page_for_the_copy_is_context_full),
        cmocka_unit_test(kv_fork_without_sequence_is_context_full),
        cmocka_unit_test(kv_fork_whose_copy_fails_gives_everything_back),
        cmocka_unit_test(kv_free_returns_a_page_at_its_last_reference),
        cmocka_unit_test(kv_truncate_gives_back_pages_behind_the_cut),
        cmocka_unit_test(kv_reserve_in_a_page_of_others_copies_it_first),
        cmocka_unit_test(kv_reserve_whose_copy_fails_changes_nothing),
        cmocka_unit_test(kv_reserve_beyond_the_table_says_context),
        cmocka_unit_test(kv_reserve_beyond_the_pool_keeps_what_it_got),
        cmocka_unit_test(kv_peak_is_the_most_since_reset),
        cmocka_unit_test(kv_create_survives_every_failed_allocation),
        cmocka_unit_test(kv_bytes_cover_the_page_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
