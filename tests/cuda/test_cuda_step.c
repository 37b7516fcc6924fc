/* The block that tells the device of a step: what lands where, and which batches are refused before
 * a kernel could be sent to a wrong address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/fail.h"
#include "cuda/cuda_step.h"

enum { N_VOCAB = 50, N_PAGES = 20, N_TABLE = 16, BLOCK_BYTES = 8192 };

/* Two prompts' rows of sequence 0, then sequences 1 and 2 with a row each. */
typedef struct bench {
    soti_cuda_limits limits;
    soti_cuda_step_layout layout;
    int32_t tokens[4];
    uint32_t positions[4];
    uint32_t sequences[4];
    uint32_t tables[3 * 9];
    uint32_t logit_rows[2];
    soti_row_group groups[2];
    soti_rows rows;
    _Alignas(64) char block[BLOCK_BYTES];
} bench;

static int bench_open(void **state)
{
    static bench all;
    static const soti_context_params params = {.n_rows_max = 6,
                                               .n_logits_max = 3,
                                               .n_sequences_max = 4,
                                               .n_pages = N_PAGES,
                                               .n_table_max = N_TABLE};
    memset(&all, 0, sizeof all);
    assert_int_equal(soti_cuda_limits_make(&params, N_VOCAB, &all.limits), SOT_OK);
    assert_int_equal(soti_cuda_step_layout_make(&all.limits, &all.layout), SOT_OK);
    assert_in_range(all.layout.bytes, 1, BLOCK_BYTES);
    memcpy(all.tokens, (int32_t[]){1, 49, 0, 7}, sizeof all.tokens);
    memcpy(all.positions, (uint32_t[]){15, 16, 130, 3}, sizeof all.positions);
    memcpy(all.sequences, (uint32_t[]){0, 0, 1, 2}, sizeof all.sequences);
    memset(all.tables, 0xFF, sizeof all.tables);
    for (uint32_t i = 0; i < 2; i++) {
        all.tables[i] = 10 + i;
    }
    for (uint32_t i = 0; i < 9; i++) {
        all.tables[9 + i] = i;
    }
    all.tables[18] = 19;
    all.logit_rows[0] = 1;
    all.logit_rows[1] = 3;
    all.groups[0] = (soti_row_group){0, 3, 0};
    all.groups[1] = (soti_row_group){3, 1, 0};
    all.rows = (soti_rows){.n_rows = 4,
                           .n_prompt_rows = 2,
                           .tokens = all.tokens,
                           .positions = all.positions,
                           .sequences = all.sequences,
                           .n_sequences = 3,
                           .page_tables = all.tables,
                           .table_stride = 9,
                           .n_groups = 2,
                           .groups = all.groups,
                           .n_logits = 2,
                           .logit_rows = all.logit_rows};
    *state = &all;
    return 0;
}

static sot_status fill(bench *all, soti_cuda_counts *counts)
{
    return soti_cuda_step_fill(&all->limits, &all->layout, &all->rows, all->block, counts);
}

static void check_refused(bench *all, const char *words)
{
    soti_cuda_counts counts;
    assert_int_equal(fill(all, &counts), SOT_ERR_DEVICE);
    if (strstr(soti_fail_message(), words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", soti_fail_message(), words);
    }
}

static void step_block_holds_what_the_batch_says(void **state)
{
    bench *all = *state;
    soti_cuda_counts counts;
    assert_int_equal(fill(all, &counts), SOT_OK);
    soti_cuda_rows view = soti_cuda_step_view(&all->limits, &all->layout, all->block);
    assert_memory_equal(view.counts, &counts, sizeof counts);
    assert_int_equal(counts.n_rows, 4);
    assert_int_equal(counts.n_prompt_rows, 2);
    assert_int_equal(counts.n_logits, 2);
    assert_int_equal(counts.n_items, 3);
    assert_int_equal(counts.n_tiles, 1);
    assert_memory_equal(view.tokens, all->tokens, sizeof all->tokens);
    assert_memory_equal(view.positions, all->positions, sizeof all->positions);
    assert_memory_equal(view.sequences, all->sequences, sizeof all->sequences);
    assert_memory_equal(view.logit_rows, all->logit_rows, sizeof all->logit_rows);
    assert_int_equal(view.items[1].first_row, 2);
    assert_int_equal(view.items[1].i_segment, 1);
    assert_int_equal(view.items[2].first_row, 3);
    assert_int_equal(view.tiles[0].n_rows, 2);
    assert_int_equal(view.table_stride, N_TABLE);
    assert_memory_equal(view.page_tables, all->tables, 2 * sizeof(uint32_t));
    assert_memory_equal(view.page_tables + N_TABLE, all->tables + 9, 9 * sizeof(uint32_t));
    assert_int_equal(view.page_tables[2 * N_TABLE], 19);
}

static void step_arrays_lie_apart(void **state)
{
    const bench *all = *state;
    const soti_cuda_step_layout *at = &all->layout;
    const soti_cuda_limits *limits = &all->limits;
    size_t ends[][2] = {
        {sizeof(soti_cuda_counts), at->tokens},
        {at->tokens + limits->n_rows * sizeof(int32_t), at->positions},
        {at->positions + limits->n_rows * sizeof(uint32_t), at->sequences},
        {at->sequences + limits->n_rows * sizeof(uint32_t), at->logit_rows},
        {at->logit_rows + limits->n_logits * sizeof(uint32_t), at->items},
        {at->items + limits->n_items * sizeof(soti_cuda_item), at->tiles},
        {at->tiles + limits->n_tiles * sizeof(soti_cuda_tile), at->page_tables},
        {soti_cuda_step_bytes(limits, at, limits->n_sequences), at->bytes},
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        assert_true(ends[i][0] <= ends[i][1]);
        assert_int_equal(ends[i][1] % 16, 0);
    }
}

static void step_over_the_limits_is_refused(void **state)
{
    bench *all = *state;
    soti_rows rows = all->rows;
    all->rows.n_rows = 7;
    check_refused(all, "a batch of 7 rows, 3 sequences and 2 rows of logits is over the context's "
                       "6, 4 and 3");
    all->rows = rows;
    all->rows.n_logits = 4;
    check_refused(all, "is over");
    all->rows = rows;
    all->rows.n_sequences = 5;
    check_refused(all, "is over");
    all->rows = rows;
    all->rows.n_prompt_rows = 5;
    check_refused(all, "5 of them from prompts");
}

static void step_with_a_wrong_index_is_refused(void **state)
{
    bench *all = *state;
    all->tokens[1] = N_VOCAB;
    check_refused(all, "row 1: token 50 is not one of 50");
    all->tokens[1] = -1;
    check_refused(all, "row 1: token -1 is not one of 50");
    all->tokens[1] = 1;
    all->positions[3] = N_TABLE * SOTI_PAGE_TOKENS;
    check_refused(all, "row 3: position 256 is behind the last of 16 pages");
    all->positions[3] = 3;
    all->tables[18] = N_PAGES;
    check_refused(all, "sequence 2: page 20 is not one of 20");
    all->tables[18] = 19;
    all->sequences[3] = 3;
    check_refused(all, "row 3: sequence 3 of 3 is out of order");
    all->sequences[3] = 0;
    check_refused(all, "row 3: sequence 0 of 3 is out of order");
    all->sequences[3] = 2;
    all->logit_rows[1] = 4;
    check_refused(all, "logits of row 4 of 4 were asked for");
}

static void step_whose_groups_do_not_cover_it_is_refused(void **state)
{
    bench *all = *state;
    all->rows.n_groups = 1;
    check_refused(all, "groups cover 3 of 4 rows");
    all->rows.n_groups = 2;
    all->groups[1].first_row = 2;
    check_refused(all, "group 1 has 1 rows from 2 on, behind 3 of 4");
    all->groups[1] = (soti_row_group){3, 2, 0};
    check_refused(all, "group 1 has 2 rows");
}

static void step_whose_group_shares_more_than_a_row_has_behind_it_is_refused(void **state)
{
    bench *all = *state;
    soti_cuda_counts counts;
    all->groups[0].n_shared_pages = 1;
    check_refused(all, "group 0 shares 1 pages, which row 0 is not behind");
    all->positions[0] = 16;
    all->positions[1] = 17;
    assert_int_equal(fill(all, &counts), SOT_OK);
    all->groups[1].n_shared_pages = 1;
    check_refused(all, "group 1 shares 1 pages, which row 3 is not behind");
}

/* Items could outgrow the space that is kept for them otherwise. */
static void step_of_one_sequence_with_many_generated_rows_is_refused(void **state)
{
    bench *all = *state;
    static const soti_context_params params = {.n_rows_max = 6,
                                               .n_logits_max = 3,
                                               .n_sequences_max = 3,
                                               .n_pages = N_PAGES,
                                               .n_table_max = 9};
    assert_int_equal(soti_cuda_limits_make(&params, N_VOCAB, &all->limits), SOT_OK);
    assert_int_equal(soti_cuda_step_layout_make(&all->limits, &all->layout), SOT_OK);
    all->rows.n_prompt_rows = 0;
    check_refused(all, "at most 3 may be generated");
}

static void limits_of_absurd_contexts_are_refused(void **state)
{
    soti_context_params params = {.n_rows_max = UINT32_MAX,
                                  .n_logits_max = UINT32_MAX,
                                  .n_sequences_max = UINT32_MAX,
                                  .n_pages = UINT32_MAX,
                                  .n_table_max = 1 << 20};
    soti_cuda_limits limits;
    (void)state;
    assert_int_equal(soti_cuda_limits_make(&params, N_VOCAB, &limits), SOT_ERR_MEMORY);
    params.n_table_max = UINT32_MAX;
    assert_int_equal(soti_cuda_limits_make(&params, N_VOCAB, &limits), SOT_ERR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(step_block_holds_what_the_batch_says, bench_open),
        cmocka_unit_test_setup(step_arrays_lie_apart, bench_open),
        cmocka_unit_test_setup(step_over_the_limits_is_refused, bench_open),
        cmocka_unit_test_setup(step_with_a_wrong_index_is_refused, bench_open),
        cmocka_unit_test_setup(step_whose_groups_do_not_cover_it_is_refused, bench_open),
        cmocka_unit_test_setup(step_whose_group_shares_more_than_a_row_has_behind_it_is_refused,
                               bench_open),
        cmocka_unit_test_setup(step_of_one_sequence_with_many_generated_rows_is_refused,
                               bench_open),
        cmocka_unit_test(limits_of_absurd_contexts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
