/* Items and tiles of a batch: written out by hand for small batches, and for random ones that every
 * generated row is covered by each of its segments once, and every prompt row by one tile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "../random_source.h"
#include "cuda/cuda_items.h"

enum { N_ROWS_MAX = 400, N_ITEMS_MAX = 4000, SEGMENT = SOTI_CUDA_SEGMENT_TOKENS };

static void check_items(const soti_rows *rows, const soti_cuda_item *expected, uint32_t n)
{
    soti_cuda_item found[N_ITEMS_MAX];
    assert_int_equal(soti_cuda_items_of(rows, NULL), n);
    assert_int_equal(soti_cuda_items_of(rows, found), n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(found[i].first_row, expected[i].first_row);
        assert_int_equal(found[i].n_rows, expected[i].n_rows);
        assert_int_equal(found[i].i_segment, expected[i].i_segment);
    }
}

static void items_of_one_row_are_its_segments(void **state)
{
    static const soti_cuda_item expected[] = {{0, 1, 0}, {0, 1, 1}, {0, 1, 2}};
    uint32_t position = SEGMENT - 1;
    soti_row_group group = {.n_rows = 1, .n_shared_pages = SEGMENT / SOTI_PAGE_TOKENS * 2};
    soti_rows rows = {.n_rows = 1, .positions = &position, .n_groups = 1, .groups = &group};
    (void)state;
    check_items(&rows, expected, 1);
    position = SEGMENT;
    check_items(&rows, expected, 2);
    position = 3 * SEGMENT - 1;
    check_items(&rows, expected, 3);
}

/* 17 shared pages: two segments as a whole, the third only in part. */
static void items_of_a_group_share_whole_segments_first(void **state)
{
    static const soti_cuda_item expected[] = {{0, 2, 0}, {0, 2, 1}, {0, 1, 2},
                                              {1, 1, 2}, {1, 1, 3}, {2, 1, 0}};
    static const uint32_t positions[] = {2 * SEGMENT + 20, 3 * SEGMENT, 5};
    static const soti_row_group groups[] = {{0, 2, 17}, {2, 1, 0}};
    soti_rows rows = {.n_rows = 3, .positions = positions, .n_groups = 2, .groups = groups};
    (void)state;
    check_items(&rows, expected, 6);
}

static void items_of_a_large_group_hold_16_rows_at_most(void **state)
{
    soti_cuda_item expected[20] = {{0, 16, 0}, {16, 3, 0}};
    uint32_t positions[19];
    soti_row_group group = {.n_rows = 19, .n_shared_pages = 8};
    soti_rows rows = {.n_rows = 19, .positions = positions, .n_groups = 1, .groups = &group};
    (void)state;
    for (uint32_t i = 0; i < 19; i++) {
        positions[i] = SEGMENT - 1;
    }
    positions[18] = SEGMENT;
    expected[2] = (soti_cuda_item){18, 1, 1};
    check_items(&rows, expected, 3);
}

static void items_leave_prompt_rows_out(void **state)
{
    static const soti_cuda_item expected[] = {{3, 2, 0}, {3, 1, 1}, {4, 1, 1}};
    static const uint32_t positions[] = {SEGMENT, SEGMENT + 1, SEGMENT + 2, SEGMENT, SEGMENT};
    static const soti_row_group group = {0, 5, 8};
    soti_rows rows = {
        .n_rows = 5, .n_prompt_rows = 3, .positions = positions, .n_groups = 1, .groups = &group};
    (void)state;
    check_items(&rows, expected, 3);
    rows.n_prompt_rows = 5;
    check_items(&rows, expected, 0);
}

/* The last generated row of a group of prompts has nobody to share with. */
static void items_of_a_group_with_one_generated_row_are_its_own(void **state)
{
    static const soti_cuda_item expected[] = {{2, 1, 0}, {2, 1, 1}};
    static const uint32_t positions[] = {SEGMENT, SEGMENT + 1, SEGMENT};
    static const soti_row_group group = {0, 3, 8};
    soti_rows rows = {
        .n_rows = 3, .n_prompt_rows = 2, .positions = positions, .n_groups = 1, .groups = &group};
    (void)state;
    check_items(&rows, expected, 2);
}

static void tiles_end_with_their_sequence_and_at_64_rows(void **state)
{
    static const soti_cuda_tile expected[] = {{0, 1}, {1, 64}, {65, 64}, {129, 1}, {130, 5}};
    uint32_t sequences[140];
    soti_cuda_tile found[5];
    soti_rows rows = {.n_rows = 140, .n_prompt_rows = 135, .sequences = sequences};
    (void)state;
    for (uint32_t i = 0; i < 140; i++) {
        sequences[i] = i == 0 ? 0 : i < 130 ? 1 : i < 135 ? 2 : i - 132;
    }
    assert_int_equal(soti_cuda_tiles_of(&rows, NULL), 5);
    assert_int_equal(soti_cuda_tiles_of(&rows, found), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(found[i].first_row, expected[i].first_row);
        assert_int_equal(found[i].n_rows, expected[i].n_rows);
    }
    rows.n_prompt_rows = 0;
    assert_int_equal(soti_cuda_tiles_of(&rows, found), 0);
}

typedef struct random_batch {
    uint32_t positions[N_ROWS_MAX];
    uint32_t sequences[N_ROWS_MAX];
    soti_row_group groups[N_ROWS_MAX];
    soti_rows rows;
} random_batch;

/* Prompts of several rows, then generated rows; groups of neighbouring sequences. */
static void make_batch(random_batch *batch, random_source *source)
{
    uint32_t n_prompts = random_between(source, 0, 3);
    uint32_t n_sequences = n_prompts + random_between(source, 1, 40);
    uint32_t n = 0;
    uint32_t shared = 0;
    memset(batch, 0, sizeof *batch);
    for (uint32_t s = 0; s < n_sequences; s++) {
        if (s == 0 || random_between(source, 0, 3) == 0) {
            shared = random_between(source, 0, 40);
            batch->groups[batch->rows.n_groups++] =
                (soti_row_group){.first_row = n, .n_shared_pages = shared};
        }
        uint32_t n_own = s < n_prompts ? random_between(source, 1, 100) : 1;
        uint32_t first = shared * SOTI_PAGE_TOKENS + random_between(source, 0, 300);
        for (uint32_t i = 0; i < n_own; i++) {
            batch->positions[n] = first + i;
            batch->sequences[n++] = s;
        }
        batch->groups[batch->rows.n_groups - 1].n_rows += n_own;
        batch->rows.n_prompt_rows += s < n_prompts ? n_own : 0;
    }
    batch->rows.n_rows = n;
    batch->rows.positions = batch->positions;
    batch->rows.sequences = batch->sequences;
    batch->rows.groups = batch->groups;
    batch->rows.n_sequences = n_sequences;
}

static void check_cover(const random_batch *batch)
{
    static soti_cuda_item items[N_ITEMS_MAX];
    static uint8_t n_covers[N_ROWS_MAX][16];
    memset(n_covers, 0, sizeof n_covers);
    uint32_t n_items = soti_cuda_items_of(&batch->rows, items);
    assert_true(n_items <= N_ITEMS_MAX);
    for (uint32_t i = 0; i < n_items; i++) {
        assert_in_range(items[i].n_rows, 1, SOTI_CUDA_GROUP_ROWS);
        for (uint32_t r = 0; r < items[i].n_rows; r++) {
            n_covers[items[i].first_row + r][items[i].i_segment]++;
        }
    }
    for (uint32_t row = 0; row < batch->rows.n_rows; row++) {
        for (uint32_t segment = 0; segment < 16; segment++) {
            int is_due =
                row >= batch->rows.n_prompt_rows && segment <= batch->positions[row] / SEGMENT;
            assert_int_equal(n_covers[row][segment], is_due);
        }
    }
}

static void items_of_random_batches_cover_each_segment_once(void **state)
{
    static random_batch batch;
    random_source source = {.state = 11};
    (void)state;
    for (int i = 0; i < 500; i++) {
        make_batch(&batch, &source);
        check_cover(&batch);
    }
}

static void tiles_of_random_batches_cover_prompts_in_order(void **state)
{
    static random_batch batch;
    static soti_cuda_tile tiles[N_ROWS_MAX];
    random_source source = {.state = 12};
    (void)state;
    for (int i = 0; i < 500; i++) {
        make_batch(&batch, &source);
        uint32_t next = 0;
        uint32_t n_tiles = soti_cuda_tiles_of(&batch.rows, tiles);
        for (uint32_t t = 0; t < n_tiles; t++) {
            assert_int_equal(tiles[t].first_row, next);
            assert_in_range(tiles[t].n_rows, 1, SOTI_CUDA_PROMPT_TILE_ROWS);
            next += tiles[t].n_rows;
            assert_int_equal(batch.sequences[tiles[t].first_row], batch.sequences[next - 1]);
        }
        assert_int_equal(next, batch.rows.n_prompt_rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_of_one_row_are_its_segments),
        cmocka_unit_test(items_of_a_group_share_whole_segments_first),
        cmocka_unit_test(items_of_a_large_group_hold_16_rows_at_most),
        cmocka_unit_test(items_leave_prompt_rows_out),
        cmocka_unit_test(items_of_a_group_with_one_generated_row_are_its_own),
        cmocka_unit_test(tiles_end_with_their_sequence_and_at_64_rows),
        cmocka_unit_test(items_of_random_batches_cover_each_segment_once),
        cmocka_unit_test(tiles_of_random_batches_cover_prompts_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
