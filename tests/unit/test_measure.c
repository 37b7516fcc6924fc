/* What a measurement runs: steps, rows, groups, pages; and what it leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "scripted_model.h"
#include "sot/measure.h"

static sot_session *open_session(uint32_t n_ctx, uint32_t kv_tokens)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = n_ctx;
    params.max_batch = 8;
    params.chunk_rows = 32;
    params.kv_tokens = kv_tokens;
    return scripted_session_open(&params);
}

static void measure_decode_step_is_one_row_of_each_sequence(void **state)
{
    (void)state;
    sot_session *session = open_session(256, 0);
    const sot_measure_params params = {
        .n_sequences = 6, .n_past = 40, .n_warmup = 2, .n_repeats = 3};
    uint64_t times_ns[4] = {0, 0, 0, 99};
    assert_int_equal(soti_measure(session, &params, times_ns), SOT_OK);
    assert_int_equal(scripted.n_steps, 1 + 2 + 3); /* one computes the page that all others copy */
    assert_int_equal(scripted.n_rows, 16 + (2 + 3) * 6);
    assert_int_equal(scripted.n_prompt_rows, 16);
    assert_int_equal(scripted.n_picks, (2 + 3) * 6);
    assert_int_equal(scripted.n_page_copies, 6 * 3 - 1); /* every page of 6 * 41 tokens but one */
    assert_int_equal(scripted.n_groups, 6);
    assert_int_equal(scripted.group.n_shared_pages, 2); /* its own, full ones */
    for (int i = 0; i < 3; i++) {
        assert_true(times_ns[i] > 0);
    }
    assert_int_equal(times_ns[3], 99);
    scripted_session_close(session);
}

static void measure_shared_prefix_is_one_group(void **state)
{
    (void)state;
    sot_session *session = open_session(256, 0);
    const sot_measure_params params = {
        .n_sequences = 6, .n_past = 100, .n_shared = 79, .n_repeats = 1};
    uint64_t time_ns = 0;
    assert_int_equal(soti_measure(session, &params, &time_ns), SOT_OK);
    assert_int_equal(scripted.n_groups, 1);
    assert_int_equal(scripted.group.n_rows, 6);
    assert_int_equal(scripted.group.n_shared_pages, 4); /* 79 tokens are four whole pages */
    /* Pages of positions 64 to 100 are each sequence's own. */
    assert_int_equal(soti_kv_peak_pages(soti_engine_kv(session->engine)), 4 + 6 * 3);
    assert_int_equal(scripted.n_page_copies, 3 + 6 * 3);
    scripted_session_close(session);
}

static void measure_prompt_goes_in_passes_of_chunk_rows(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_sequences, n_new, n_past, n_steps;
    } cases[] = {
        {1, 31, 0, 1}, {1, 32, 0, 1}, {1, 33, 0, 2}, {1, 100, 7, 4}, {3, 32, 0, 3}, {3, 20, 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_session *session = open_session(256, 0);
        const sot_measure_params params = {.n_sequences = cases[i].n_sequences,
                                           .n_new = cases[i].n_new,
                                           .n_past = cases[i].n_past,
                                           .n_repeats = 2};
        uint64_t times_ns[2] = {0};
        scripted.n_steps = scripted.n_rows = scripted.n_prompt_rows = scripted.n_picks = 0;
        assert_int_equal(soti_measure(session, &params, times_ns), SOT_OK);
        assert_int_equal(scripted.n_steps, 1 + 3 * cases[i].n_steps);
        assert_int_equal(scripted.n_rows, 16 + 3 * cases[i].n_sequences * cases[i].n_new);
        assert_int_equal(scripted.n_prompt_rows, scripted.n_rows);
        assert_int_equal(scripted.n_picks, 3 * cases[i].n_sequences);
        scripted_session_close(session);
    }
}

static void measure_defaults_are_one_decode_step_five_times(void **state)
{
    (void)state;
    sot_session *session = open_session(256, 0);
    const sot_measure_params params = {0};
    uint64_t times_ns[5] = {0};
    assert_int_equal(soti_measure(session, &params, times_ns), SOT_OK);
    assert_int_equal(scripted.n_steps, 1 + 1 + 5); /* the first position's page, a warm-up */
    assert_int_equal(scripted.n_rows, 1 + 1 + 5);
    assert_true(times_ns[4] > 0);
    scripted_session_close(session);
}

static void measure_out_of_range_is_refused_by_name(void **state)
{
    (void)state;
    sot_session *session = open_session(256, 0);
    static const struct {
        sot_measure_params params;
        sot_status status;
        const char *sentence;
    } cases[] = {
        {{.n_sequences = 9}, SOT_ERR_ARGUMENT, "n_sequences is 9, at most 8"},
        {{.n_repeats = 10001}, SOT_ERR_ARGUMENT, "n_repeats is 10001, at most 10000"},
        {{.n_warmup = 10001}, SOT_ERR_ARGUMENT, "n_warmup is 10001"},
        {{.n_past = 20, .n_shared = 21}, SOT_ERR_ARGUMENT, "n_shared is 21, more than n_past, 20"},
        {{.n_past = 256}, SOT_ERR_CONTEXT_FULL, "257 tokens a sequence, the context holds 256"},
        {{.n_past = UINT32_MAX, .n_new = UINT32_MAX}, SOT_ERR_CONTEXT_FULL, "8589934590"},
    };
    uint64_t times_ns[5] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(soti_measure(session, &cases[i].params, times_ns), cases[i].status);
        assert_non_null(strstr(soti_fail_message(), cases[i].sentence));
    }
    assert_int_equal(scripted.n_steps, 0);
    const sot_measure_params whole = {.n_sequences = 8, .n_past = 255}; /* and all of it fits */
    assert_int_equal(soti_measure(session, &whole, times_ns), SOT_OK);
    scripted_session_close(session);
}

/* Exactly the pages needed, no more; one fewer is too few, and nothing is lost then. */
static void measure_takes_no_page_beyond_what_is_read_and_written(void **state)
{
    (void)state;
    const sot_measure_params params = {
        .n_sequences = 4, .n_new = 2, .n_past = 62, .n_shared = 32, .n_repeats = 1};
    const uint32_t n_pages = 2 + 4 * 2;
    uint64_t time_ns = 0;
    sot_session *session = open_session(256, n_pages * SOTI_PAGE_TOKENS);
    assert_int_equal(soti_measure(session, &params, &time_ns), SOT_OK);
    scripted_session_close(session);
    session = open_session(256, (n_pages - 1) * SOTI_PAGE_TOKENS);
    assert_int_equal(soti_measure(session, &params, &time_ns), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(soti_fail_message(), "page pool"));
    scripted_session_close(session);
}

static void keep_beginning(sot_session *session, uint32_t n)
{
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_sequence *sequence = soti_sequence_create(kv);
    soti_tokens tokens = {0};
    assert_int_equal(soti_sequence_reserve(kv, sequence, n), SOT_OK);
    soti_sequence_advance(sequence, n);
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = (int32_t)i;
        assert_int_equal(soti_tokens_append(&tokens, &id, 1), SOT_OK);
    }
    soti_session_keep_beginning(session, sequence, &tokens, n);
}

static void measure_leaves_kept_pages_alone_where_there_is_room(void **state)
{
    (void)state;
    const sot_measure_params small = {.n_sequences = 2, .n_past = 15, .n_repeats = 1};
    const sot_measure_params large = {.n_sequences = 2, .n_past = 127, .n_repeats = 1};
    uint64_t time_ns = 0;
    sot_session *session = open_session(128, 256);
    keep_beginning(session, 100);
    assert_int_equal(soti_measure(session, &small, &time_ns), SOT_OK);
    assert_non_null(session->kept[0].sequence);
    assert_int_equal(soti_measure(session, &large, &time_ns), SOT_OK); /* the whole pool */
    assert_null(session->kept[0].sequence);
    keep_beginning(session, 128); /* and now the first page has to wait for room, too */
    keep_beginning(session, 127);
    assert_int_equal(soti_measure(session, &large, &time_ns), SOT_OK);
    scripted_session_close(session);
}

static void measure_cancelled_keeps_what_was_counted(void **state)
{
    (void)state;
    const sot_measure_params params = {.n_past = 31, .n_repeats = 4};
    /* Steps: the first page, a warm-up, then the four counted. */
    for (uint32_t n_counted = 0; n_counted <= 4; n_counted++) {
        sot_session *session = open_session(256, 0);
        uint64_t times_ns[4] = {0};
        scripted.n_steps = 0;
        scripted.cancels = session;
        scripted.cancel_at_step = 3 + n_counted;
        assert_int_equal(soti_measure(session, &params, times_ns),
                         n_counted < 4 ? SOT_ERR_CANCELLED : SOT_OK);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(times_ns[i] > 0, i < n_counted);
        }
        scripted_session_close(session);
    }
}

static void measure_on_a_failing_device_gives_its_pages_back(void **state)
{
    (void)state;
    const sot_measure_params params = {.n_sequences = 3, .n_past = 47, .n_shared = 32};
    for (uint32_t i_step = 1; i_step <= 7; i_step++) {
        sot_session *session = open_session(256, 0);
        uint64_t times_ns[5] = {0};
        scripted.n_steps = 0;
        scripted.fail_at_step = i_step;
        assert_int_equal(soti_measure(session, &params, times_ns), SOT_ERR_DEVICE);
        scripted_session_close(session);
    }
}

static void measure_allocates_no_more_for_more_runs(void **state)
{
    (void)state;
    enum { PLENTY = 1000 };
    sot_session *session = open_session(256, 0);
    static uint64_t times_ns[50];
    long n_allocations[2];
    for (int i = 0; i < 2; i++) {
        const sot_measure_params params = {
            .n_sequences = 4, .n_new = 20, .n_past = 90, .n_repeats = i == 0 ? 1 : 50};
        soti_alloc_fail_at(PLENTY);
        assert_int_equal(soti_measure(session, &params, times_ns), SOT_OK);
        n_allocations[i] = PLENTY - soti_alloc_fail_at(-1);
    }
    assert_int_equal(n_allocations[0], n_allocations[1]);
    for (long n = 0; n < n_allocations[0]; n++) {
        const sot_measure_params params = {.n_sequences = 4, .n_repeats = 1};
        soti_alloc_fail_at(n);
        assert_int_equal(soti_measure(session, &params, times_ns), SOT_ERR_MEMORY);
        soti_alloc_fail_at(-1);
    }
    scripted_session_close(session);
}

static void measure_within_a_budget_counts_at_least_one_run(void **state)
{
    (void)state;
    static uint64_t times_ns[50];
    static const struct {
        soti_measure_effort effort;
        uint32_t n_counted, n_steps;
    } cases[] = {
        {{.n_least = 1, .most_ns = 1}, 1, 1},              /* a warm-up, and it counts */
        {{.n_least = 7, .most_ns = UINT64_MAX}, 7, 3 + 7}, /* no more than it must be */
        {{.n_least = 1, .least_ns = UINT64_MAX, .most_ns = UINT64_MAX}, 50, 3 + 50},
        {{.n_least = 99, .most_ns = UINT64_MAX}, 50, 3 + 50},
    };
    sot_session *session = open_session(256, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sot_measure_params params = {.n_past = 31, .n_warmup = 3, .n_repeats = 50};
        uint32_t n_counted = 0;
        scripted.n_steps = 0;
        assert_int_equal(
            soti_measure_within(session, &params, &cases[i].effort, times_ns, &n_counted), SOT_OK);
        assert_int_equal(n_counted, cases[i].n_counted);
        assert_int_equal(scripted.n_steps, 1 + cases[i].n_steps); /* and the first page */
        assert_true(times_ns[0] > 0);
    }
    scripted_session_close(session);
}

static void measure_growth_is_a_step_behind_each_number_of_tokens(void **state)
{
    (void)state;
    sot_session *session = open_session(256, 0);
    uint64_t times_ns[41] = {0};
    times_ns[40] = 99;
    uint32_t n_free = soti_kv_free_pages(soti_engine_kv(session->engine));
    assert_int_equal(soti_measure_growth(session, 3, 100, 40, times_ns), SOT_OK);
    assert_int_equal(scripted.n_steps, 1 + 1 + 40); /* a page, a warm-up, the steps */
    assert_int_equal(scripted.n_rows, 16 + 3 + 40 * 3);
    assert_int_equal(scripted.n_prompt_rows, 16);
    assert_int_equal(scripted.group.n_shared_pages, 139 / 16); /* of the last, behind 139 */
    assert_int_equal(soti_kv_peak_pages(soti_engine_kv(session->engine)), 3 * 9);
    for (int i = 0; i < 40; i++) {
        assert_true(times_ns[i] > 0);
    }
    assert_int_equal(times_ns[40], 99);
    assert_int_equal(soti_measure_growth(session, 1, 250, 7, times_ns), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(soti_kv_free_pages(soti_engine_kv(session->engine)), n_free);
    scripted_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(measure_decode_step_is_one_row_of_each_sequence),
        TEST(measure_shared_prefix_is_one_group),
        TEST(measure_prompt_goes_in_passes_of_chunk_rows),
        TEST(measure_defaults_are_one_decode_step_five_times),
        TEST(measure_out_of_range_is_refused_by_name),
        TEST(measure_takes_no_page_beyond_what_is_read_and_written),
        TEST(measure_leaves_kept_pages_alone_where_there_is_room),
        TEST(measure_cancelled_keeps_what_was_counted),
        TEST(measure_on_a_failing_device_gives_its_pages_back),
        TEST(measure_allocates_no_more_for_more_runs),
        TEST(measure_within_a_budget_counts_at_least_one_run),
        TEST(measure_growth_is_a_step_behind_each_number_of_tokens),
    };
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
