/* The ragged batch: rows and tables as added, groups against every possible cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "model/batch.h"
#include "random_source.h"

enum { SEQUENCES = 7, TABLE = 8, ROWS = 64 };

static sot_status copy_nothing(void *user, uint32_t to, uint32_t from, uint32_t n_tokens)
{
    (void)user;
    (void)to;
    (void)from;
    (void)n_tokens;
    return SOT_OK;
}

static soti_kv *make_kv(void)
{
    soti_kv *kv;
    assert_int_equal(soti_kv_create(SEQUENCES * TABLE, SEQUENCES, TABLE, copy_nothing, NULL, &kv),
                     SOT_OK);
    return kv;
}

static void make_batch(soti_batch *batch)
{
    assert_int_equal(soti_batch_create(ROWS, SEQUENCES, SEQUENCES, TABLE, batch), SOT_OK);
}

static void grow(soti_kv *kv, soti_sequence *sequence, uint32_t n)
{
    assert_int_equal(soti_sequence_reserve(kv, sequence, n), SOT_OK);
    soti_sequence_advance(sequence, n);
}

static soti_sequence *fork_and_grow(soti_kv *kv, const soti_sequence *parent, uint32_t n_shared,
                                    uint32_t n_more)
{
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, parent, n_shared, &child), SOT_OK);
    grow(kv, child, n_more);
    return child;
}

static uint32_t add(soti_kv *kv, soti_batch *batch, soti_sequence *sequence, uint32_t n,
                    uint32_t want_logits)
{
    static const int32_t tokens[ROWS] = {5, 6, 7, 8, 9, 10, 11, 12};
    assert_int_equal(soti_sequence_reserve(kv, sequence, n), SOT_OK);
    return soti_batch_add(batch, sequence, tokens, n, n > 1, want_logits);
}

static void assert_group(const soti_batch *batch, uint32_t i, uint32_t first_row, uint32_t n_rows,
                         uint32_t n_shared_pages)
{
    assert_true(i < batch->rows.n_groups);
    assert_int_equal(batch->rows.groups[i].first_row, first_row);
    assert_int_equal(batch->rows.groups[i].n_rows, n_rows);
    assert_int_equal(batch->rows.groups[i].n_shared_pages, n_shared_pages);
}

static void batch_rows_follow_the_written_positions(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    soti_sequence *a = soti_sequence_create(kv);
    soti_sequence *b = soti_sequence_create(kv);
    grow(kv, b, 20);
    assert_int_equal(add(kv, &batch, a, 3, 0), UINT32_MAX);
    assert_int_equal(add(kv, &batch, b, 2, 1), 0);
    soti_batch_finish(&batch, 1);
    const soti_rows *rows = &batch.rows;
    assert_int_equal(rows->n_rows, 5);
    assert_int_equal(rows->n_sequences, 2);
    const uint32_t positions[] = {0, 1, 2, 20, 21};
    const uint32_t sequences[] = {0, 0, 0, 1, 1};
    const int32_t tokens[] = {5, 6, 7, 5, 6};
    assert_memory_equal(rows->positions, positions, sizeof positions);
    assert_memory_equal(rows->sequences, sequences, sizeof sequences);
    assert_memory_equal(rows->tokens, tokens, sizeof tokens);
    assert_int_equal(rows->n_logits, 1);
    assert_int_equal(rows->logit_rows[0], 4);
    assert_int_equal(rows->table_stride, TABLE);
    assert_memory_equal(rows->page_tables, soti_sequence_pages(a), sizeof(uint32_t));
    assert_memory_equal(rows->page_tables + TABLE, soti_sequence_pages(b), 2 * sizeof(uint32_t));
    soti_batch_clear(&batch);
    assert_int_equal(batch.rows.n_rows, 0);
    assert_int_equal(batch.rows.n_logits, 0);
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

static void batch_counts_prompt_rows_and_no_others(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    add(kv, &batch, soti_sequence_create(kv), 3, 1);
    assert_int_equal(batch.rows.n_prompt_rows, 3);
    add(kv, &batch, soti_sequence_create(kv), 4, 0);
    assert_int_equal(batch.rows.n_prompt_rows, 7);
    add(kv, &batch, soti_sequence_create(kv), 1, 1);
    add(kv, &batch, soti_sequence_create(kv), 1, 1);
    soti_batch_finish(&batch, 1);
    assert_int_equal(batch.rows.n_prompt_rows, 7);
    assert_int_equal(batch.rows.n_rows, 9);
    soti_batch_clear(&batch);
    assert_int_equal(batch.rows.n_prompt_rows, 0);
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

static void batch_prefill_rows_share_the_pages_before_them(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    soti_sequence *a = soti_sequence_create(kv);
    grow(kv, a, 37);
    add(kv, &batch, a, 30, 1); /* crosses page borders: only what was full before is shared */
    soti_batch_finish(&batch, 1);
    assert_int_equal(batch.rows.n_groups, 1);
    assert_group(&batch, 0, 0, 30, 2);
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

static void batch_row_on_a_page_border_shares_the_page_just_filled(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    soti_sequence *a = soti_sequence_create(kv);
    grow(kv, a, 16);
    soti_sequence *b = fork_and_grow(kv, a, 16, 0);
    add(kv, &batch, a, 1, 1);
    add(kv, &batch, b, 1, 1);
    soti_batch_finish(&batch, 1);
    assert_int_equal(batch.rows.n_groups, 1);
    assert_group(&batch, 0, 0, 2, 1);
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

static void batch_two_families_make_two_groups(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    soti_sequence *a = soti_sequence_create(kv);
    soti_sequence *b = soti_sequence_create(kv);
    grow(kv, a, 40);
    grow(kv, b, 70);
    soti_sequence *a2 = fork_and_grow(kv, a, 33, 5);
    soti_sequence *b2 = fork_and_grow(kv, b, 64, 1);
    add(kv, &batch, a, 1, 1);
    add(kv, &batch, a2, 1, 1);
    add(kv, &batch, b, 1, 1);
    add(kv, &batch, b2, 1, 1);
    soti_batch_finish(&batch, 1);
    assert_int_equal(batch.rows.n_groups, 2);
    assert_group(&batch, 0, 0, 2, 2);
    assert_group(&batch, 1, 2, 2, 4);
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

/* One page of a common template beginning must not spoil a family's four. */
static void batch_distant_relative_stays_outside_a_close_family(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    soti_sequence *a = soti_sequence_create(kv);
    grow(kv, a, 64);
    soti_sequence *distant = fork_and_grow(kv, a, 16, 30);
    soti_sequence *b = fork_and_grow(kv, a, 64, 3);
    add(kv, &batch, distant, 1, 1);
    add(kv, &batch, a, 1, 1);
    add(kv, &batch, b, 1, 1);
    soti_batch_finish(&batch, 1);
    assert_int_equal(batch.rows.n_groups, 2);
    assert_group(&batch, 0, 0, 1, 2);
    assert_group(&batch, 1, 1, 2, 4);
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

static void batch_without_grouping_every_row_is_alone(void **state)
{
    (void)state;
    soti_kv *kv = make_kv();
    soti_batch batch;
    make_batch(&batch);
    soti_sequence *a = soti_sequence_create(kv);
    grow(kv, a, 40);
    soti_sequence *b = fork_and_grow(kv, a, 40, 0);
    add(kv, &batch, a, 2, 1);
    add(kv, &batch, b, 1, 1);
    soti_batch_finish(&batch, 0);
    assert_int_equal(batch.rows.n_groups, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_group(&batch, i, i, 1, 0);
    }
    soti_batch_free(&batch);
    soti_kv_free(kv);
}

/* Page reads saved by the run of sequences [start, end), computed from the sequences themselves. */
static uint64_t saved_by(soti_sequence **members, const uint32_t *n_rows, uint32_t start,
                         uint32_t end)
{
    uint32_t shared = soti_sequence_length(members[start]) / SOTI_PAGE_TOKENS;
    uint32_t rows = 0;
    for (uint32_t i = start; i < end; i++) {
        uint32_t common =
            i == start ? shared : soti_sequence_shared_pages(members[start], members[i]);
        shared = common < shared ? common : shared;
        rows += n_rows[i];
    }
    return (uint64_t)shared * (rows - 1);
}

static uint64_t best_of_all_cuts(soti_sequence **members, const uint32_t *n_rows, uint32_t n)
{
    uint64_t best = 0;
    for (uint32_t cuts = 0; cuts < 1u << (n - 1); cuts++) {
        uint64_t saved = 0;
        uint32_t start = 0;
        for (uint32_t i = 1; i <= n; i++) {
            if (i == n || (cuts >> (i - 1) & 1u)) {
                saved += saved_by(members, n_rows, start, i);
                start = i;
            }
        }
        best = saved > best ? saved : best;
    }
    return best;
}

static void batch_random_families_are_cut_as_well_as_possible(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        random_source random = {.state = seed};
        soti_kv *kv = make_kv();
        soti_batch batch;
        make_batch(&batch);
        soti_sequence *members[SEQUENCES];
        uint32_t n_rows[SEQUENCES];
        uint32_t n = random_between(&random, 1, SEQUENCES);
        for (uint32_t i = 0; i < n; i++) {
            if (i == 0 || random_between(&random, 0, 4) == 0) {
                members[i] = soti_sequence_create(kv);
                grow(kv, members[i], random_between(&random, 0, 80));
            } else {
                soti_sequence *parent = members[random_between(&random, 0, i - 1)];
                uint32_t shared = random_between(&random, 0, soti_sequence_length(parent));
                uint32_t more = random_between(&random, 0, 100 - shared);
                members[i] = fork_and_grow(kv, parent, shared, more);
            }
        }
        for (uint32_t i = 0; i < n; i++) {
            n_rows[i] = random_between(&random, 1, 6);
            add(kv, &batch, members[i], n_rows[i], 1);
        }
        soti_batch_finish(&batch, 1);
        uint64_t saved = 0;
        for (uint32_t g = 0; g < batch.rows.n_groups; g++) {
            const soti_row_group *group = &batch.rows.groups[g];
            saved += (uint64_t)group->n_shared_pages * (group->n_rows - 1);
        }
        assert_true(saved == best_of_all_cuts(members, n_rows, n));
        soti_batch_free(&batch);
        soti_kv_free(kv);
    }
}

static void batch_create_survives_every_failed_allocation(void **state)
{
    (void)state;
    long n = 0;
    for (;; n++) {
        soti_batch batch;
        soti_alloc_fail_at(n);
        sot_status status = soti_batch_create(ROWS, SEQUENCES, SEQUENCES, TABLE, &batch);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        if (passed_all) {
            soti_batch_free(&batch);
            break;
        }
        assert_null(batch.tokens);
    }
    assert_true(n >= 7);
}

static void batch_bytes_cover_the_rows(void **state)
{
    (void)state;
    soti_batch small;
    soti_batch large;
    assert_int_equal(soti_batch_create(10, 2, 2, TABLE, &small), SOT_OK);
    assert_int_equal(soti_batch_create(110, 2, 2, TABLE, &large), SOT_OK);
    size_t per_row = 3 * sizeof(uint32_t) + sizeof(soti_row_group);
    assert_int_equal(soti_batch_bytes(&large) - soti_batch_bytes(&small), 100 * per_row);
    soti_batch_free(&small);
    soti_batch_free(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_rows_follow_the_written_positions),
        cmocka_unit_test(batch_counts_prompt_rows_and_no_others),
        cmocka_unit_test(batch_prefill_rows_share_the_pages_before_them),
        cmocka_unit_test(batch_row_on_a_page_border_shares_the_page_just_filled),
        cmocka_unit_test(batch_two_families_make_two_groups),
        cmocka_unit_test(batch_distant_relative_stays_outside_a_close_family),
        cmocka_unit_test(batch_without_grouping_every_row_is_alone),
        cmocka_unit_test(batch_random_families_are_cut_as_well_as_possible),
        cmocka_unit_test(batch_create_survives_every_failed_allocation),
        cmocka_unit_test(batch_bytes_cover_the_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
