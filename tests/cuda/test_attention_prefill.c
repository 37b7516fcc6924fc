/* attention_prefill: against float64, and every cut of a prompt against every other, bit for
 * bit. */
#include "attention_case.h"

enum { TILE = SOTI_CUDA_PROMPT_TILE_ROWS, N_TILES_MAX = 300 };

typedef struct tile_list {
    soti_cuda_tile tiles[N_TILES_MAX];
    uint32_t n;
} tile_list;

static void add_tile(tile_list *list, uint32_t first_row, uint32_t n_rows)
{
    assert_true(list->n < N_TILES_MAX);
    list->tiles[list->n++] = (soti_cuda_tile){first_row, n_rows};
}

/* Rows first .. end, all of one sequence, in tiles of up to n_most. */
static void add_tiles(tile_list *list, uint32_t first, uint32_t end, uint32_t n_most)
{
    for (uint32_t i = first; i < end; i += n_most) {
        add_tile(list, i, end - i < n_most ? end - i : n_most);
    }
}

static void attend(const attention_case *all, const tile_list *list, uint16_t *a)
{
    soti_cuda_counts counts = {
        .n_rows = all->n_rows, .n_prompt_rows = all->n_rows, .n_tiles = list->n};
    device_case device;
    device_open(&device, all, &counts, NULL, list->tiles);
    check_cuda(soti_launch_attention_prefill(&device.launch, &all->shape, &device.rows, list->n,
                                             device.q, device.pages, device.a));
    device_fetch(&device, all, a);
    device_close(&device);
}

static uint16_t *results_of(const attention_case *all)
{
    return case_memory((size_t)all->n_rows * all->shape.a_stride * sizeof(uint16_t), 0);
}

/* A prompt of which the first n_before positions were there before. */
static void add_prompt(attention_case *all, tile_list *list, uint32_t n_before, uint32_t n_rows)
{
    uint32_t sequence = add_sequence(all, n_before + n_rows, 0, 0);
    uint32_t first = all->n_rows;
    for (uint32_t i = 0; i < n_rows; i++) {
        add_row(all, sequence, n_before + i);
    }
    add_tiles(list, first, all->n_rows, TILE);
}

static void prefill_sweep_of_lengths_matches_float64(void **state)
{
    static const uint32_t lengths[] = {1, 15, 16, 17, 63, 64, 65, 127, 128, 129};
    static const soti_cuda_shape shapes[] = {
        {.n_head = 2, .n_kv = 1, .d_head = 16},  {.n_head = 1, .n_kv = 1, .d_head = 48},
        {.n_head = 3, .n_kv = 1, .d_head = 64},  {.n_head = 1, .n_kv = 1, .d_head = 100},
        {.n_head = 2, .n_kv = 2, .d_head = 128},
    };
    enum { N_LENGTHS = sizeof lengths / sizeof *lengths };
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        attention_case all;
        tile_list list = {.n = 0};
        case_make(&all, 100 + i, &shapes[i], N_LENGTHS, 625, 129, 70);
        for (uint32_t n = 0; n < N_LENGTHS; n++) {
            add_prompt(&all, &list, 0, lengths[(n + i) % N_LENGTHS]);
        }
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, all.n_rows);
        check_untouched(&all, all.a, 0, all.n_rows);
        case_free(&all);
    }
}

static void prefill_behind_a_context_matches_float64(void **state)
{
    static const uint32_t before[] = {1, 16, 63, 64, 65, 100, 500};
    static const uint32_t lengths[] = {3, 70, 1, 64, 17, 130, 40};
    static const soti_cuda_shape shapes[] = {{.n_head = 2, .n_kv = 1, .d_head = 64},
                                             {.n_head = 1, .n_kv = 1, .d_head = 128}};
    enum { N_PROMPTS = sizeof before / sizeof *before };
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        attention_case all;
        tile_list list = {.n = 0};
        case_make(&all, 200 + i, &shapes[i], N_PROMPTS, 325, 540, 90);
        for (uint32_t n = 0; n < N_PROMPTS; n++) {
            add_prompt(&all, &list, before[n], lengths[n]);
        }
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, all.n_rows);
        case_free(&all);
    }
}

static void prefill_of_1000_rows_matches_float64(void **state)
{
    soti_cuda_shape shape = {.n_head = 1, .n_kv = 1, .d_head = 16};
    attention_case all;
    tile_list list = {.n = 0};
    (void)state;
    case_make(&all, 300, &shape, 1, 1000, 1000, 63);
    add_prompt(&all, &list, 0, 1000);
    attend(&all, &list, all.a);
    check_rows(&all, all.a, 0, all.n_rows);
    case_free(&all);
}

/* Tiles of 64, of one row, and of random numbers of rows in random order. */
static void prefill_cut_of_a_prompt_changes_no_bit(void **state)
{
    static const soti_cuda_shape shapes[] = {{.n_head = 2, .n_kv = 1, .d_head = 64},
                                             {.n_head = 1, .n_kv = 1, .d_head = 128}};
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        attention_case all;
        tile_list list = {.n = 0};
        case_make(&all, 400 + i, &shapes[i], 1, 200, 200, 13);
        add_prompt(&all, &list, 0, 200);
        uint16_t *other = results_of(&all);
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, all.n_rows);
        list.n = 0;
        add_tiles(&list, 0, 200, 1);
        attend(&all, &list, other);
        check_same_rows(&all, other, all.a, 0, 200);
        list.n = 0;
        for (uint32_t n = 0, first = 0; first < 200; first += n) {
            n = random_between(&all.source, 1, TILE);
            n = n < 200 - first ? n : 200 - first;
            add_tile(&list, first, n);
        }
        attend(&all, &list, other);
        check_same_rows(&all, other, all.a, 0, 200);
        free(other);
        case_free(&all);
    }
}

/* Rows see nothing of most tiles that their neighbours make the block go through. */
static void prefill_tile_of_the_future_leaves_a_row_alone(void **state)
{
    static const uint32_t positions[] = {2, 300, 63, 64, 0, 299, 128, 17, 191, 192, 5, 6};
    enum { N = sizeof positions / sizeof *positions };
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 2, .d_head = 128};
    attention_case all;
    tile_list list = {.n = 0};
    (void)state;
    case_make(&all, 500, &shape, 1, N, 301, 20);
    uint32_t sequence = add_sequence(&all, 301, 0, 0);
    for (uint32_t i = 0; i < N; i++) {
        add_row(&all, sequence, positions[i]);
    }
    uint16_t *together = results_of(&all);
    add_tile(&list, 0, N);
    attend(&all, &list, together);
    check_rows(&all, together, 0, N);
    list.n = 0;
    add_tiles(&list, 0, N, 1);
    attend(&all, &list, all.a);
    check_same_rows(&all, together, all.a, 0, N);
    free(together);
    case_free(&all);
}

/* Prompts behind contexts, some of whose pages belong to other sequences as well, in tiles of
 * random sizes; against tiles of one row. */
static void prefill_of_random_batches_matches_float64_and_any_cut(void **state)
{
    static const uint32_t d_heads[] = {16, 32, 48, 64, 80, 100, 120, 128};
    enum { N_PROMPTS = 3, N_ROWS = 90, N_BEFORE = 300 };
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        attention_case all;
        tile_list list = {.n = 0};
        random_source source = {seed};
        soti_cuda_shape shape = {.n_kv = random_between(&source, 1, 2),
                                 .d_head = d_heads[random_between(&source, 0, 7)]};
        shape.n_head = shape.n_kv * random_between(&source, 1, 2);
        print_message("seed %u\n", (unsigned)seed);
        case_make(&all, seed, &shape, N_PROMPTS, N_PROMPTS * N_ROWS, N_BEFORE + N_ROWS,
                  N_PROMPTS * ((N_BEFORE + N_ROWS) / CASE_PAGE + 1));
        for (uint32_t p = 0; p < N_PROMPTS; p++) {
            uint32_t n_before = random_between(&source, 0, N_BEFORE);
            uint32_t n_rows = random_between(&source, 1, N_ROWS);
            uint32_t n_shared = (p == 0                      ? 0
                                 : n_before < all.lengths[0] ? n_before
                                                             : all.lengths[0]);
            uint32_t first = all.n_rows;
            uint32_t sequence = add_sequence(&all, n_before + n_rows, 0, n_shared / CASE_PAGE);
            for (uint32_t i = 0; i < n_rows; i++) {
                add_row(&all, sequence, n_before + i);
            }
            for (uint32_t i = first, n = 0; i < all.n_rows; i += n) {
                n = random_between(&source, 1, TILE);
                n = n < all.n_rows - i ? n : all.n_rows - i;
                add_tile(&list, i, n);
            }
        }
        uint16_t *other = results_of(&all);
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, all.n_rows);
        check_untouched(&all, all.a, 0, all.n_rows);
        list.n = 0;
        add_tiles(&list, 0, all.n_rows, 1);
        attend(&all, &list, other);
        check_same_rows(&all, other, all.a, 0, all.n_rows);
        free(other);
        case_free(&all);
    }
}

static void prefill_of_large_scores_matches_float64(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 2, .d_head = 64};
    (void)state;
    for (uint64_t seed = 600; seed < 603; seed++) {
        attention_case all;
        tile_list list = {.n = 0};
        case_make(&all, seed, &shape, 2, 170, 200, 30);
        all.exponent = 4;
        add_prompt(&all, &list, 30, 100);
        add_prompt(&all, &list, 130, 70);
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, all.n_rows);
        case_free(&all);
    }
}

static void prefill_rows_outside_tiles_are_left_alone(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 1, .d_head = 40};
    attention_case all;
    tile_list list = {.n = 0};
    (void)state;
    case_make(&all, 700, &shape, 1, 60, 60, 4);
    add_prompt(&all, &list, 0, 60);
    list.n = 0;
    add_tile(&list, 7, 31);
    attend(&all, &list, all.a);
    check_rows(&all, all.a, 7, 38);
    check_untouched(&all, all.a, 7, 38);
    list.n = 0;
    attend(&all, &list, all.a);
    check_untouched(&all, all.a, 0, 0);
    case_free(&all);
}

static void prefill_shape_outside_its_limits_is_refused(void **state)
{
    soti_cuda_launch launch = {.n_sm = 1};
    soti_cuda_rows rows = {.counts = NULL};
    soti_cuda_pages pages = {NULL, NULL};
    soti_cuda_shape shapes[] = {
        {.n_head = 1, .n_kv = 1, .d_head = 130, .d_page = 192, .a_stride = 192},
        {.n_head = 1, .n_kv = 1, .d_head = 15, .d_page = 64, .a_stride = 64},
        {.n_head = 3, .n_kv = 2, .d_head = 16, .d_page = 64, .a_stride = 64}};
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        assert_int_equal(
            soti_launch_attention_prefill(&launch, &shapes[i], &rows, 1, NULL, pages, NULL),
            cudaErrorInvalidValue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefill_sweep_of_lengths_matches_float64),
        cmocka_unit_test(prefill_behind_a_context_matches_float64),
        cmocka_unit_test(prefill_of_1000_rows_matches_float64),
        cmocka_unit_test(prefill_cut_of_a_prompt_changes_no_bit),
        cmocka_unit_test(prefill_tile_of_the_future_leaves_a_row_alone),
        cmocka_unit_test(prefill_of_random_batches_matches_float64_and_any_cut),
        cmocka_unit_test(prefill_of_large_scores_matches_float64),
        cmocka_unit_test(prefill_rows_outside_tiles_are_left_alone),
        cmocka_unit_test(prefill_shape_outside_its_limits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
