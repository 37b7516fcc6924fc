/* The loop over jobs: who starts when (RUN-1 to RUN-4), what a step is made of, what is counted,
 * and that nothing is left behind whatever stops it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "event_log.h"
#include "scripted_model.h"
#include "sot/run.h"

enum { JOBS_MAX = 64, PROMPT_MAX = 400 };

static sot_session *session;
static soti_kv *kv;
static soti_job jobs[JOBS_MAX];
static int32_t prompt[PROMPT_MAX];
static soti_run run;
static soti_stage_stats *const stats = &run.stats[SOT_STAGE_EXPAND - 1];
static const int32_t stop_ids[] = {SCRIPT_EOS};

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    for (int32_t i = 0; i < PROMPT_MAX; i++) {
        prompt[i] = 3 + i % 256;
    }
    return 0;
}

static void open_session(uint32_t max_batch, uint32_t kv_tokens, uint32_t chunk_rows)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = 256;
    params.max_batch = max_batch;
    params.kv_tokens = kv_tokens;
    params.chunk_rows = chunk_rows;
    assert_int_equal(soti_session_open(&scripted_model, &params, &session), SOT_OK);
    kv = soti_engine_kv(session->engine);
    run = (soti_run){.engine = session->engine, .cancel = &session->cancel};
}

static void close_session(uint32_t n_jobs)
{
    for (uint32_t i = 0; i < n_jobs; i++) {
        assert_int_equal(jobs[i].state, SOTI_JOB_DONE);
        assert_null(jobs[i].sequence);
        soti_job_free(&jobs[i], kv);
    }
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
    soti_session_close(session);
}

static void make_job(uint32_t i, uint32_t n_prompt, uint32_t max_tokens)
{
    jobs[i] = (soti_job){.stage = SOT_STAGE_EXPAND,
                         .i_point = i,
                         .prompt = prompt,
                         .n_prompt = n_prompt,
                         .max_tokens = max_tokens,
                         .stop_ids = stop_ids,
                         .n_stop_ids = 1,
                         .sampler = {.stream = i}};
    assert_int_equal(soti_stopper_begin(&jobs[i].stopper, scripted_model.tokenizer, NULL, 0),
                     SOT_OK);
}

static void run_mixes_prefill_and_decode_in_one_step(void **state)
{
    (void)state;
    open_session(4, 0, 100);
    script_text(0, "0123456789", true);
    script_text(1, "0123456789", true);
    make_job(0, 80, 6);
    make_job(1, 160, 6);
    assert_int_equal(soti_jobs_run(&run, jobs, 2), SOT_OK);
    /* 100 rows: 80 + 20; 1 + 99; 1 + 41; then decoding: 4 more of job 0 beside the first 4 of job
     * 1's 5. */
    assert_int_equal(scripted.n_steps, 3 + 5);
    assert_int_equal(scripted.most_rows, 100);
    assert_int_equal(stats->prefill_tokens, 240);
    assert_int_equal(stats->decode_tokens, 12);
    assert_int_equal(stats->decode_steps, 7);
    assert_int_equal(stats->max_rows, 2);
    close_session(2);
}

static void run_finished_jobs_leave_and_waiting_ones_join(void **state)
{
    (void)state;
    open_session(3, 0, 128);
    script_text(0, "long long", false);
    script_text(1, "a", false);
    script_text(2, "b", false);
    script_text(3, "c", false);
    script_text(4, "d", false);
    for (uint32_t i = 0; i < 5; i++) {
        make_job(i, 8, 20);
    }
    assert_int_equal(soti_jobs_run(&run, jobs, 5), SOT_OK);
    /* The long one goes on for 10 picks in 10 steps; all the others pass beside it. */
    assert_int_equal(scripted.n_steps, 10);
    assert_string_equal(soti_buffer_text(&jobs[4].stopper.text), "d");
    assert_int_equal(stats->max_rows, 3);
    assert_int_equal(stats->prefill_tokens, 40);
    close_session(5);
}

/* RUN-2: with room for two at full length, the third waits even while the pool is half empty. */
static void run_admits_by_what_jobs_may_come_to_need(void **state)
{
    (void)state;
    open_session(8, 2 * 64, 128);
    for (uint32_t i = 0; i < 3; i++) {
        make_job(i, 10, 64 - 10 + 1); /* 64 positions */
        script_text(i, "0123456789", true);
    }
    assert_int_equal(soti_jobs_run(&run, jobs, 3), SOT_OK);
    assert_int_equal(stats->max_rows, 2);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].finish, SOT_FINISH_LENGTH); /* none starved */
    }
    close_session(3);
}

/* RUN-3: more is asked for than the pool could ever give. */
static void run_alone_starts_with_what_there_is(void **state)
{
    (void)state;
    open_session(8, 64, 128);
    script_text(0, "0123456789", true);
    script_text(1, "done", false);
    make_job(0, 10, 200);
    make_job(1, 10, 200);
    assert_int_equal(soti_jobs_run(&run, jobs, 2), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(jobs[0].finish, SOT_FINISH_CONTEXT);
    assert_int_equal(jobs[0].generated.count, 64 - 10 + 1);
    assert_int_equal(jobs[1].finish, SOT_FINISH_STOP);
    assert_non_null(strstr(soti_fail_message(), "point 1: the page pool of 64 tokens is full"));
    close_session(2);
}

static void run_prompt_beyond_the_pool_ends_that_job_only(void **state)
{
    (void)state;
    open_session(8, 64, 128);
    script_text(0, "x", false);
    script_text(2, "y", false);
    make_job(0, 10, 20);
    make_job(1, 65, 20);
    make_job(2, 10, 20);
    assert_int_equal(soti_jobs_run(&run, jobs, 3), SOT_ERR_CONTEXT_FULL);
    assert_non_null(strstr(soti_fail_message(), "point 2: the prompt has 65 tokens"));
    assert_non_null(strstr(soti_fail_message(), "of 64"));
    assert_int_equal(jobs[0].finish, SOT_FINISH_STOP);
    assert_int_equal(jobs[1].finish, SOT_FINISH_CONTEXT);
    assert_int_equal(jobs[2].finish, SOT_FINISH_STOP);
    close_session(3);
}

static uint32_t n_asked_for_room;

static bool give_kept_sequence(void *user)
{
    soti_sequence **kept = user;
    n_asked_for_room++;
    if (*kept == NULL) {
        return false;
    }
    soti_sequence_free(kv, *kept);
    *kept = NULL;
    return true;
}

static uint32_t count_kept_pages(void *user)
{
    soti_sequence **kept = user;
    return *kept != NULL ? soti_sequence_page_count(*kept) : 0;
}

/* A sequence that is kept, and can be had back. */
static void keep(soti_sequence **kept, uint32_t n_tokens)
{
    n_asked_for_room = 0;
    *kept = soti_sequence_create(kv);
    assert_int_equal(soti_sequence_reserve(kv, *kept, n_tokens), SOT_OK);
    run.room = count_kept_pages;
    run.make_room = give_kept_sequence;
    run.room_user = kept;
}

static void run_takes_kept_pages_before_anyone_waits(void **state)
{
    (void)state;
    open_session(8, 64, 128);
    soti_sequence *kept;
    keep(&kept, 40);
    script_text(0, "x", false);
    make_job(0, 30, 20);
    assert_int_equal(soti_jobs_run(&run, jobs, 1), SOT_OK);
    assert_int_equal(n_asked_for_room, 1);
    close_session(1);
}

/* A job alone that starts beside kept pages takes them when it grows into them. */
static void run_takes_kept_pages_in_the_middle_of_a_text(void **state)
{
    (void)state;
    open_session(8, 64, 128);
    soti_sequence *kept;
    keep(&kept, 32);
    script_text(0, "0123456789", true);
    make_job(0, 20, 40);
    assert_int_equal(soti_jobs_run(&run, jobs, 1), SOT_OK);
    assert_null(kept);
    assert_int_equal(jobs[0].generated.count, 40);
    close_session(1);
}

/* RUN-6. Of 4 pages one is kept; the first job may come to need 2, the second 4: it waits, and then
 * ends before it needs them. */
static void run_job_that_must_wait_takes_no_kept_pages(void **state)
{
    (void)state;
    open_session(8, 64, 128);
    soti_sequence *kept;
    keep(&kept, 16);
    script_text(0, "first", false);
    script_text(1, "second", false);
    make_job(0, 10, 20);
    make_job(1, 10, 50);
    assert_int_equal(soti_jobs_run(&run, jobs, 2), SOT_OK);
    assert_int_equal(stats->max_rows, 1);
    assert_string_equal(soti_buffer_text(&jobs[1].stopper.text), "second");
    assert_int_equal(n_asked_for_room, 0);
    assert_non_null(kept);
    soti_sequence_free(kv, kept);
    close_session(2);
}

/* RUN-6, for a job alone that the whole pool has no room for. */
static void run_prompt_beyond_the_pool_takes_no_kept_pages(void **state)
{
    (void)state;
    open_session(8, 64, 128);
    soti_sequence *kept;
    keep(&kept, 16);
    make_job(0, 65, 20);
    assert_int_equal(soti_jobs_run(&run, jobs, 1), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(n_asked_for_room, 0);
    assert_non_null(kept);
    soti_sequence_free(kv, kept);
    close_session(1);
}

static void run_order_of_start_is_the_order_of_jobs(void **state)
{
    (void)state;
    event_log log = {0};
    open_session(1, 0, 128);
    run.on_event = event_log_record;
    run.event_user = &log;
    run.n_prefill_total[SOT_STAGE_EXPAND - 1] = 30;
    for (uint32_t i = 0; i < 3; i++) {
        script_text(i, i == 1 ? "bb" : "a", false);
        make_job(i, 10, 20);
    }
    assert_int_equal(soti_jobs_run(&run, jobs, 3), SOT_OK);
    assert_string_equal(soti_buffer_text(&log.expansions[1]), "bb");
    assert_int_equal(log.n_of_type[SOT_EVENT_PREFILL], 3);
    assert_int_equal(log.n_done, 30);
    assert_int_equal(stats->max_rows, 1);
    event_log_free(&log);
    close_session(3);
}

static void run_cancelled_ends_every_job_and_reports_each(void **state)
{
    (void)state;
    event_log log = {0};
    open_session(2, 0, 128);
    run.on_event = event_log_record;
    run.event_user = &log;
    run.n_prefill_total[SOT_STAGE_EXPAND - 1] = 30;
    scripted.cancels = session;
    scripted.cancel_at_step = 4;
    for (uint32_t i = 0; i < 3; i++) {
        script_text(i, "0123456789", true);
        make_job(i, 10, 20);
    }
    assert_int_equal(soti_jobs_run(&run, jobs, 3), SOT_ERR_CANCELLED);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].finish, SOT_FINISH_CANCELLED);
        assert_int_equal(log.n_ends[i], 1); /* the third never started */
        assert_int_equal(log.finishes[i], SOT_FINISH_CANCELLED);
    }
    assert_string_equal(soti_buffer_text(&jobs[1].stopper.text), "012");
    atomic_store(&session->cancel, 0);
    event_log_free(&log);
    close_session(3);
}

static void run_without_cancel_flag_or_listener_is_fine(void **state)
{
    (void)state;
    open_session(2, 0, 128);
    run.cancel = NULL;
    script_text(0, "x", false);
    make_job(0, 10, 20);
    assert_int_equal(soti_jobs_run(&run, jobs, 1), SOT_OK);
    assert_int_equal(soti_jobs_run(&run, jobs, 0), SOT_OK); /* nothing to do */
    close_session(1);
}

static void run_without_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        open_session(2, 0, 128);
        for (uint32_t i = 0; i < 3; i++) {
            make_job(i, 10, 20);
        }
        scripted.n_scripts = 0;
        script_text(0, "some text", false);
        script_text(1, "more text", false);
        script_text(2, "much text", false);
        soti_alloc_fail_at(n);
        sot_status status = soti_jobs_run(&run, jobs, 3);
        long left = soti_alloc_fail_at(-1);
        close_session(3);
        if (left >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_true(n >= 3 + 3 * 2); /* the run's own, and each job's two */
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
    }
}

typedef struct ender {
    uint32_t ends[2]; /* what is ended with the first job that ends */
    uint32_t n_told;
    uint64_t n_rows;
    sot_status status;
} ender;

static sot_status end_others(void *user, soti_job *job)
{
    ender *e = user;
    assert_int_equal(job->state, SOTI_JOB_DONE);
    for (int i = 0; i < 2 && e->n_told == 0; i++) {
        assert_int_equal(soti_job_end(&jobs[e->ends[i]], kv, SOT_FINISH_CANCELLED), SOT_OK);
    }
    e->n_told++;
    return e->status;
}

static void count_rows(void *user, const soti_pass *pass)
{
    ender *e = user;
    for (int i = 0; i < SOTI_STAGE_COUNT; i++) {
        e->n_rows += pass->n_prompt[i] + pass->n_decode[i];
    }
}

/* RUN-5, for a job that is under way, before and behind the one that ends, and one that waits. */
static void run_jobs_ended_by_another_s_end_leave(void **state)
{
    (void)state;
    for (uint32_t i_under_way = 0; i_under_way < 3; i_under_way += 2) {
        ender e = {.ends = {i_under_way, 3}};
        open_session(3, 0, 128);
        scripted.n_scripts = 0;
        scripted.n_rows = 0;
        for (uint32_t i = 0; i < 4; i++) {
            make_job(i, 8, 20);
            script_text(i, i == 1 ? "abc" : "0123456789", i != 1);
        }
        run.watch = (soti_run_watch){.on_pass = count_rows, .on_end = end_others, .user = &e};
        assert_int_equal(soti_jobs_run(&run, jobs, 4), SOT_OK);
        uint32_t i_left = 2 - i_under_way;
        assert_int_equal(jobs[i_left].generated.count, 20);
        assert_int_equal(jobs[i_left].finish, SOT_FINISH_LENGTH);
        assert_int_equal(jobs[i_under_way].finish, SOT_FINISH_CANCELLED);
        /* "abc" and its end are four; who comes later in a pass does not take its last token. */
        assert_int_equal(jobs[i_under_way].generated.count, i_under_way == 0 ? 4 : 3);
        assert_int_equal(jobs[3].generated.count, 0);
        assert_int_equal(jobs[3].finish, SOT_FINISH_CANCELLED);
        assert_int_equal(e.n_told, 2);
        assert_int_equal(e.n_rows, 3 * 8 + 3 * 3 + 16);
        assert_int_equal(e.n_rows, scripted.n_rows);
        close_session(4);
    }
}

static void run_is_stopped_by_what_a_watcher_returns(void **state)
{
    (void)state;
    ender e = {.ends = {1, 1}, .status = SOT_ERR_MEMORY};
    open_session(3, 0, 128);
    for (uint32_t i = 0; i < 3; i++) {
        make_job(i, 8, 20);
        script_text(i, i == 0 ? "abc" : "0123456789", i != 0);
    }
    run.watch.on_end = end_others;
    run.watch.user = &e;
    assert_int_equal(soti_jobs_run(&run, jobs, 3), SOT_ERR_MEMORY);
    assert_int_equal(jobs[2].finish, SOT_FINISH_NONE);
    close_session(3);
}

static void run_expendable_job_without_room_is_no_failure(void **state)
{
    (void)state;
    open_session(3, 0, 128);
    make_job(0, 300, 5); /* n_ctx is 256 */
    make_job(1, 8, 5);
    jobs[0].is_expendable = true;
    script_text(1, "abc", false);
    assert_int_equal(soti_jobs_run(&run, jobs, 2), SOT_OK);
    assert_int_equal(jobs[0].finish, SOT_FINISH_CONTEXT);
    assert_string_equal(soti_buffer_text(&jobs[1].stopper.text), "abc");
    close_session(2);
}

/* What was muted is told later, whole, and of another stage nothing is missing. */
static void run_muted_stage_is_caught_up_with(void **state)
{
    (void)state;
    event_log log = {0};
    open_session(3, 0, 128);
    run.on_event = event_log_record;
    run.event_user = &log;
    run.muted = UINT32_C(1) << SOT_STAGE_NORMAL;
    run.n_prefill_total[SOT_STAGE_NORMAL - 1] = run.n_prefill_total[SOT_STAGE_EXPAND - 1] = 8;
    make_job(0, 8, 5);
    make_job(1, 8, 5);
    jobs[0].stage = SOT_STAGE_NORMAL;
    script_text(0, "abc", false);
    script_text(1, "de", false);
    assert_int_equal(soti_jobs_run(&run, jobs, 2), SOT_OK);
    assert_int_equal(log.texts[SOT_STAGE_NORMAL].size, 0);
    assert_string_equal(soti_buffer_text(&log.expansions[1]), "de");
    assert_int_equal(log.n_of_type[SOT_EVENT_PREFILL], 1);
    run.muted = 0;
    soti_run_catch_up(&run, &jobs[0]);
    assert_string_equal(soti_buffer_text(&log.texts[SOT_STAGE_NORMAL]), "abc");
    assert_int_equal(log.n_of_type[SOT_EVENT_PREFILL], 2);
    event_log_free(&log);
    close_session(2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(run_mixes_prefill_and_decode_in_one_step),
        TEST(run_finished_jobs_leave_and_waiting_ones_join),
        TEST(run_admits_by_what_jobs_may_come_to_need),
        TEST(run_alone_starts_with_what_there_is),
        TEST(run_prompt_beyond_the_pool_ends_that_job_only),
        TEST(run_takes_kept_pages_before_anyone_waits),
        TEST(run_takes_kept_pages_in_the_middle_of_a_text),
        TEST(run_job_that_must_wait_takes_no_kept_pages),
        TEST(run_prompt_beyond_the_pool_takes_no_kept_pages),
        TEST(run_order_of_start_is_the_order_of_jobs),
        TEST(run_cancelled_ends_every_job_and_reports_each),
        TEST(run_without_cancel_flag_or_listener_is_fine),
        TEST(run_without_memory_leaves_nothing_behind),
        TEST(run_jobs_ended_by_another_s_end_leave),
        TEST(run_is_stopped_by_what_a_watcher_returns),
        TEST(run_expendable_job_without_room_is_no_failure),
        TEST(run_muted_stage_is_caught_up_with),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
