/* attention_decode: against float64, and every way to share the work against every other, bit for
 * bit. */
#include "attention_case.h"

enum { SEGMENT = SOTI_CUDA_SEGMENT_TOKENS, SEGMENT_PAGES = SEGMENT / CASE_PAGE, N_ITEMS_MAX = 400 };

typedef struct item_list {
    soti_cuda_item items[N_ITEMS_MAX];
    uint32_t n;
} item_list;

static void add_item(item_list *list, uint32_t first_row, uint32_t n_rows, uint32_t i_segment)
{
    assert_true(list->n < N_ITEMS_MAX);
    list->items[list->n++] = (soti_cuda_item){first_row, n_rows, i_segment};
}

static uint32_t segments_of(const attention_case *all, uint32_t i_row)
{
    return all->positions[i_row] / SEGMENT + 1;
}

/* Rows first .. end share n_segments segments; each is at most n_most rows' work at once. */
static void add_items(item_list *list, const attention_case *all, uint32_t first, uint32_t end,
                      uint32_t n_segments, uint32_t n_most)
{
    for (uint32_t s = 0; s < n_segments; s++) {
        for (uint32_t i = first; i < end; i += n_most) {
            add_item(list, i, end - i < n_most ? end - i : n_most, s);
        }
    }
    for (uint32_t i = first; i < end; i++) {
        for (uint32_t s = n_segments; s < segments_of(all, i); s++) {
            add_item(list, i, 1, s);
        }
    }
}

static void shuffle_items(item_list *list, uint64_t seed)
{
    random_source source = {seed};
    for (uint32_t i = 1; i < list->n; i++) {
        uint32_t j = random_between(&source, 0, i);
        soti_cuda_item item = list->items[i];
        list->items[i] = list->items[j];
        list->items[j] = item;
    }
}

static void check_counters(const uint32_t *on_device, size_t n)
{
    uint32_t *counters = case_memory(n * sizeof *counters, 0xFF);
    check_cuda(cudaMemcpy(counters, on_device, n * sizeof *counters, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(counters[i], 0);
    }
    free(counters);
}

/* Rows from n_prompt_rows on are attended, n_launches times; a as the last launch leaves it. */
static void attend_on(const attention_case *all, const item_list *list, uint32_t n_prompt_rows,
                      uint32_t n_sm, uint32_t n_launches, uint16_t *a)
{
    soti_cuda_counts counts = {
        .n_rows = all->n_rows, .n_prompt_rows = n_prompt_rows, .n_items = list->n};
    device_case device;
    device_open(&device, all, &counts, list->items, NULL);
    device.launch.n_sm = n_sm;
    soti_attention_workspace workspace = {.n_rows_max = all->n_rows - n_prompt_rows};
    for (uint32_t i = n_prompt_rows; i < all->n_rows; i++) {
        uint32_t n = segments_of(all, i);
        workspace.n_segments_max = n > workspace.n_segments_max ? n : workspace.n_segments_max;
    }
    size_t n_floats =
        soti_attention_state_floats(&all->shape, workspace.n_rows_max, workspace.n_segments_max);
    size_t n_counters = (size_t)workspace.n_rows_max * all->shape.n_head;
    uint32_t *zeros = case_memory(n_counters * sizeof *zeros, 0);
    float *garbage = case_memory(n_floats * sizeof *garbage, 0xFF);
    workspace.counters = keep_copy(&device, zeros, n_counters * sizeof *zeros);
    workspace.states = keep_copy(&device, garbage, n_floats * sizeof *garbage);
    free(zeros);
    free(garbage);
    for (uint32_t i = 0; i < n_launches; i++) {
        check_cuda(soti_launch_attention_decode(&device.launch, &all->shape, &device.rows, device.q,
                                                device.pages, &workspace, device.a));
    }
    device_fetch(&device, all, a);
    check_counters(workspace.counters, n_counters);
    check_untouched(all, a, n_prompt_rows, all->n_rows);
    device_close(&device);
}

static void attend(const attention_case *all, const item_list *list, uint16_t *a)
{
    attend_on(all, list, 0, 2, 1, a);
}

static uint16_t *results_of(const attention_case *all)
{
    return case_memory((size_t)all->n_rows * all->shape.a_stride * sizeof(uint16_t), 0);
}

static void decode_sweep_of_contexts_matches_float64(void **state)
{
    static const uint32_t contexts[] = {1, 1000, 15, 128, 16, 17, 129, 127};
    static const soti_cuda_shape shapes[] = {
        {.n_head = 4, .n_kv = 2, .d_head = 16},  {.n_head = 3, .n_kv = 1, .d_head = 48},
        {.n_head = 2, .n_kv = 2, .d_head = 64},  {.n_head = 3, .n_kv = 3, .d_head = 100},
        {.n_head = 2, .n_kv = 1, .d_head = 128},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        attention_case all;
        item_list list = {.n = 0};
        case_make(&all, 100 + i, &shapes[i], 8, 8, 1000, 100);
        for (uint32_t r = 0; r < 8; r++) {
            add_row(&all, add_sequence(&all, contexts[r], 0, 0), contexts[r] - 1);
        }
        add_items(&list, &all, 0, 8, 0, 1);
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, 8);
        case_free(&all);
    }
}

/* n_rows sequences behind a prefix of n_shared_pages, each with a tail of its own. */
static void make_group(attention_case *all, uint64_t seed, const soti_cuda_shape *shape,
                       uint32_t n_rows, uint32_t n_shared_pages, uint32_t n_tail_most)
{
    uint32_t n_positions = n_shared_pages * CASE_PAGE + n_tail_most;
    case_make(all, seed, shape, n_rows, n_rows, n_positions,
              n_shared_pages + n_rows * (n_tail_most / CASE_PAGE + 1));
    for (uint32_t i = 0; i < n_rows; i++) {
        uint32_t n_tail = random_between(&all->source, 1, n_tail_most);
        uint32_t n = n_shared_pages * CASE_PAGE + n_tail;
        add_row(all, add_sequence(all, n, 0, i == 0 ? 0 : n_shared_pages), n - 1);
    }
}

static void check_group(const attention_case *all, uint32_t n_shared_pages, uint64_t seed)
{
    item_list flat = {.n = 0};
    item_list grouped = {.n = 0};
    uint16_t *other = results_of(all);
    add_items(&flat, all, 0, all->n_rows, 0, 1);
    add_items(&grouped, all, 0, all->n_rows, n_shared_pages / SEGMENT_PAGES, 16);
    shuffle_items(&grouped, seed);
    attend(all, &flat, all->a);
    attend(all, &grouped, other);
    check_rows(all, all->a, 0, all->n_rows);
    check_same_rows(all, other, all->a, 0, all->n_rows);
    free(other);
}

static void decode_grouped_rows_match_flat_bit_for_bit(void **state)
{
    static const uint32_t shared_pages[] = {8, 9, 16};
    static const soti_cuda_shape shapes[] = {{.n_head = 2, .n_kv = 2, .d_head = 64},
                                             {.n_head = 2, .n_kv = 1, .d_head = 128},
                                             {.n_head = 2, .n_kv = 1, .d_head = 20}};
    (void)state;
    for (uint32_t i = 0; i < 33; i++) {
        attention_case all;
        make_group(&all, 200 + i, &shapes[i % 3], i + 1, shared_pages[i % 3], 150);
        check_group(&all, shared_pages[i % 3], i);
        case_free(&all);
    }
}

/* Groups of random sizes; each shared segment's rows are cut into items at random. */
static void make_random_batch(attention_case *all, uint64_t seed, item_list *flat,
                              item_list *grouped)
{
    static const uint32_t d_heads[] = {16, 32, 48, 64, 80, 100, 120, 128};
    enum { N_GROUPS = 3, N_ROWS = 20, N_SHARED = 20, N_TAIL = 200 };
    random_source source = {seed};
    soti_cuda_shape shape = {.n_kv = random_between(&source, 1, 2),
                             .d_head = d_heads[random_between(&source, 0, 7)]};
    shape.n_head = shape.n_kv * random_between(&source, 1, 3);
    case_make(all, seed, &shape, N_GROUPS * N_ROWS, N_GROUPS * N_ROWS,
              N_SHARED * CASE_PAGE + N_TAIL,
              N_GROUPS * (N_SHARED + N_ROWS * (N_TAIL / CASE_PAGE + 1)));
    for (uint32_t g = 0; g < N_GROUPS; g++) {
        uint32_t n_rows = random_between(&source, 1, N_ROWS);
        uint32_t n_shared = random_between(&source, 0, N_SHARED);
        uint32_t first = all->n_rows;
        for (uint32_t i = 0; i < n_rows; i++) {
            uint32_t n = n_shared * CASE_PAGE + random_between(&source, 1, N_TAIL);
            add_row(all, add_sequence(all, n, first, i == 0 ? 0 : n_shared), n - 1);
        }
        add_items(flat, all, first, all->n_rows, 0, 1);
        uint32_t n_segments = n_shared / SEGMENT_PAGES;
        for (uint32_t s = 0; s < n_segments; s++) {
            for (uint32_t i = first, n = 0; i < all->n_rows; i += n) {
                n = random_between(&source, 1, 16);
                n = n < all->n_rows - i ? n : all->n_rows - i;
                add_item(grouped, i, n, s);
            }
        }
        for (uint32_t i = first; i < all->n_rows; i++) {
            for (uint32_t s = n_segments; s < segments_of(all, i); s++) {
                add_item(grouped, i, 1, s);
            }
        }
    }
    shuffle_items(grouped, seed);
}

static void decode_of_random_batches_matches_float64_and_flat(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        attention_case all;
        item_list flat = {.n = 0};
        item_list grouped = {.n = 0};
        print_message("seed %u\n", (unsigned)seed);
        make_random_batch(&all, seed, &flat, &grouped);
        uint16_t *other = results_of(&all);
        attend(&all, &grouped, all.a);
        check_rows(&all, all.a, 0, all.n_rows);
        attend(&all, &flat, other);
        check_same_rows(&all, other, all.a, 0, all.n_rows);
        free(other);
        case_free(&all);
    }
}

/* As when points of an answer fork within a segment: rows of an item see more and less of it. */
static void decode_group_of_unequal_rows_matches_flat_bit_for_bit(void **state)
{
    static const uint32_t positions[] = {130, 3, 127, 64, 0, 15, 128, 16, 95, 96, 32, 31};
    enum { N = sizeof positions / sizeof *positions };
    soti_cuda_shape shape = {.n_head = 1, .n_kv = 1, .d_head = 128};
    attention_case all;
    (void)state;
    case_make(&all, 300, &shape, 1, N, 131, 10);
    uint32_t sequence = add_sequence(&all, 131, 0, 0);
    for (uint32_t i = 0; i < N; i++) {
        add_row(&all, sequence, positions[i]);
    }
    check_group(&all, SEGMENT_PAGES, 1);
    case_free(&all);
}

static void decode_row_alone_matches_itself_in_a_batch(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 1, .d_head = 64};
    attention_case all;
    item_list list = {.n = 0};
    (void)state;
    make_group(&all, 400, &shape, 9, 8, 200);
    uint16_t *alone = results_of(&all);
    add_items(&list, &all, 0, 9, 1, 16);
    attend(&all, &list, all.a);
    for (uint32_t i = 0; i < 9; i++) {
        attention_case one = all;
        list.n = 0;
        one.n_rows = 1;
        one.positions = all.positions + i;
        one.sequences = all.sequences + i;
        one.q = all.q + (size_t)i * shape.n_head * all.shape.d_page;
        add_items(&list, &one, 0, 1, 0, 1);
        attend(&one, &list, alone);
        check_same_rows(&one, alone, all.a + (size_t)i * all.shape.a_stride, 0, 1);
    }
    free(alone);
    case_free(&all);
}

static void decode_order_of_items_and_size_of_grid_change_no_bit(void **state)
{
    static const uint32_t sizes[] = {1, 3, 50};
    soti_cuda_shape shape = {.n_head = 3, .n_kv = 3, .d_head = 32};
    attention_case all;
    item_list list = {.n = 0};
    (void)state;
    make_group(&all, 500, &shape, 6, 16, 300);
    uint16_t *other = results_of(&all);
    add_items(&list, &all, 0, 6, 2, 16);
    attend(&all, &list, all.a);
    check_rows(&all, all.a, 0, 6);
    for (uint32_t i = 0; i < 3; i++) {
        shuffle_items(&list, i);
        attend_on(&all, &list, 0, sizes[i], 1, other);
        check_same_rows(&all, other, all.a, 0, 6);
    }
    free(other);
    case_free(&all);
}

static void decode_again_on_the_same_workspace_gives_the_same(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 2, .d_head = 64};
    attention_case all;
    item_list list = {.n = 0};
    (void)state;
    make_group(&all, 600, &shape, 5, 8, 260);
    uint16_t *other = results_of(&all);
    add_items(&list, &all, 0, 5, 1, 16);
    attend(&all, &list, all.a);
    attend_on(&all, &list, 0, 2, 3, other);
    check_same_rows(&all, other, all.a, 0, 5);
    free(other);
    case_free(&all);
}

static void decode_behind_prompt_rows_leaves_them_alone(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 1, .d_head = 16};
    attention_case all;
    item_list list = {.n = 0};
    (void)state;
    make_group(&all, 700, &shape, 12, 8, 140);
    add_items(&list, &all, 5, 12, 1, 16);
    attend_on(&all, &list, 5, 2, 1, all.a);
    check_rows(&all, all.a, 5, 12);
    case_free(&all);
}

/* The merge goes by 32 segments. */
static void decode_of_32_and_more_segments_matches_float64(void **state)
{
    static const uint32_t positions[] = {32 * SEGMENT - 1, 32 * SEGMENT, 65 * SEGMENT - 3};
    soti_cuda_shape shape = {.n_head = 1, .n_kv = 1, .d_head = 16};
    attention_case all;
    item_list list = {.n = 0};
    (void)state;
    case_make(&all, 800, &shape, 1, 3, 65 * SEGMENT, 65 * SEGMENT_PAGES);
    uint32_t sequence = add_sequence(&all, 65 * SEGMENT - 2, 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        add_row(&all, sequence, positions[i]);
    }
    add_items(&list, &all, 0, 3, 0, 1);
    shuffle_items(&list, 1);
    attend(&all, &list, all.a);
    check_rows(&all, all.a, 0, 3);
    case_free(&all);
}

/* Scores of hundreds: all the weight on one position, wherever it lies. */
static void decode_of_large_scores_matches_float64(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 2, .d_head = 64};
    (void)state;
    for (uint64_t seed = 900; seed < 903; seed++) {
        attention_case all;
        item_list list = {.n = 0};
        case_make(&all, seed, &shape, 4, 4, 400, 100);
        all.exponent = 4;
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t n = random_between(&all.source, 1, 400);
            add_row(&all, add_sequence(&all, n, 0, 0), n - 1);
        }
        add_items(&list, &all, 0, 4, 0, 1);
        attend(&all, &list, all.a);
        check_rows(&all, all.a, 0, 4);
        case_free(&all);
    }
}

static void decode_without_items_writes_nothing(void **state)
{
    soti_cuda_shape shape = {.n_head = 2, .n_kv = 1, .d_head = 16};
    attention_case all;
    item_list list = {.n = 0};
    (void)state;
    make_group(&all, 1000, &shape, 2, 8, 20);
    soti_cuda_counts counts = {.n_rows = 2, .n_prompt_rows = 2};
    device_case device;
    device_open(&device, &all, &counts, list.items, NULL);
    soti_attention_workspace workspace = {.n_segments_max = 1};
    check_cuda(soti_launch_attention_decode(&device.launch, &all.shape, &device.rows, device.q,
                                            device.pages, &workspace, device.a));
    device_fetch(&device, &all, all.a);
    check_untouched(&all, all.a, 0, 0);
    device_close(&device);
    case_free(&all);
}

static void decode_shape_outside_its_limits_is_refused(void **state)
{
    soti_cuda_launch launch = {.n_sm = 1};
    soti_cuda_rows rows = {.counts = NULL};
    soti_cuda_pages pages = {NULL, NULL};
    soti_attention_workspace workspace = {.states = NULL};
    soti_cuda_shape shapes[] = {
        {.n_head = 1, .n_kv = 1, .d_head = 130, .d_page = 192, .a_stride = 192},
        {.n_head = 1, .n_kv = 1, .d_head = 15, .d_page = 64, .a_stride = 64},
        {.n_head = 3, .n_kv = 2, .d_head = 16, .d_page = 64, .a_stride = 64}};
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        assert_int_equal(
            soti_launch_attention_decode(&launch, &shapes[i], &rows, NULL, pages, &workspace, NULL),
            cudaErrorInvalidValue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_sweep_of_contexts_matches_float64),
        cmocka_unit_test(decode_grouped_rows_match_flat_bit_for_bit),
        cmocka_unit_test(decode_of_random_batches_matches_float64_and_flat),
        cmocka_unit_test(decode_group_of_unequal_rows_matches_flat_bit_for_bit),
        cmocka_unit_test(decode_row_alone_matches_itself_in_a_batch),
        cmocka_unit_test(decode_order_of_items_and_size_of_grid_change_no_bit),
        cmocka_unit_test(decode_again_on_the_same_workspace_gives_the_same),
        cmocka_unit_test(decode_behind_prompt_rows_leaves_them_alone),
        cmocka_unit_test(decode_of_32_and_more_segments_matches_float64),
        cmocka_unit_test(decode_of_large_scores_matches_float64),
        cmocka_unit_test(decode_without_items_writes_nothing),
        cmocka_unit_test(decode_shape_outside_its_limits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
