/* One job's state machine, driven by hand: the test plays the engine's part of a step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "scripted_model.h"
#include "sot/job.h"

static sot_session *session;
static soti_kv *kv;
static const int32_t prompt[] = {1,  40, 41, 42, 43, 44, 45, 46, 47, 48,
                                 49, 50, 51, 52, 53, 54, 55, 56, 57, 58};
static const int32_t stop_ids[] = {SCRIPT_EOS, SCRIPT_FIRST_BYTE + '#'};

static int setup(void **state)
{
    (void)state;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    scripted_model_open();
    params.n_ctx = 32;
    assert_int_equal(soti_session_open(&scripted_model, &params, &session), SOT_OK);
    kv = soti_engine_kv(session->engine);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
    soti_session_close(session);
    scripted_model_close();
    return 0;
}

static soti_job make_job(uint32_t max_tokens)
{
    soti_job job = {.stage = SOT_STAGE_NORMAL,
                    .prompt = prompt,
                    .n_prompt = 20,
                    .max_tokens = max_tokens,
                    .stop_ids = stop_ids,
                    .n_stop_ids = 2};
    assert_int_equal(soti_stopper_begin(&job.stopper, scripted_model.tokenizer, NULL, 0), SOT_OK);
    return job;
}

/* A step that takes n tokens of what the job proposes and picks id behind them. */
static sot_status play_step(soti_job *job, uint32_t n, int32_t id)
{
    soti_work work;
    soti_job_propose(job, &work);
    assert_true(n <= work.n_tokens);
    assert_int_equal(soti_sequence_reserve(kv, work.sequence, n), SOT_OK);
    soti_sequence_advance(work.sequence, n);
    work.n_taken = n;
    work.has_picked = n == work.n_tokens && work.want_pick;
    work.picked = id;
    return soti_job_consume(job, kv, &work);
}

static int32_t byte_id(char byte)
{
    return SCRIPT_FIRST_BYTE + (unsigned char)byte;
}

static void job_goes_through_its_states(void **state)
{
    (void)state;
    soti_job job = make_job(10);
    soti_work work;
    assert_int_equal(job.state, SOTI_JOB_READY);
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    assert_int_equal(job.state, SOTI_JOB_PREFILL);
    soti_job_propose(&job, &work);
    assert_ptr_equal(work.tokens, prompt);
    assert_int_equal(work.n_tokens, 20);
    assert_int_equal(work.is_prompt, 1);
    assert_int_equal(play_step(&job, 8, -1), SOT_OK);
    assert_int_equal(job.state, SOTI_JOB_PREFILL);
    soti_job_propose(&job, &work);
    assert_ptr_equal(work.tokens, prompt + 8);
    assert_int_equal(work.pick.counter, 0);
    assert_int_equal(play_step(&job, 12, byte_id('a')), SOT_OK);
    assert_int_equal(job.state, SOTI_JOB_DECODE);
    soti_job_propose(&job, &work);
    assert_int_equal(work.n_tokens, 1);
    assert_int_equal(work.is_prompt, 0);
    assert_int_equal(work.tokens[0], byte_id('a'));
    assert_int_equal(work.pick.counter, 1);
    assert_int_equal(work.pick.n_recent, 1);
    assert_int_equal(play_step(&job, 1, byte_id('b')), SOT_OK);
    assert_int_equal(play_step(&job, 1, SCRIPT_EOS), SOT_OK);
    assert_int_equal(job.state, SOTI_JOB_DONE);
    assert_int_equal(job.finish, SOT_FINISH_STOP);
    assert_null(job.sequence);
    assert_string_equal(soti_buffer_text(&job.stopper.text), "ab");
    assert_int_equal(job.generated.count, 3); /* the one that stopped it, too */
    soti_job_free(&job, kv);
}

static void job_row_left_out_of_a_step_changes_nothing(void **state)
{
    (void)state;
    soti_job job = make_job(10);
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    assert_int_equal(play_step(&job, 0, -1), SOT_OK);
    assert_int_equal(job.state, SOTI_JOB_PREFILL);
    assert_int_equal(play_step(&job, 20, byte_id('a')), SOT_OK);
    assert_int_equal(play_step(&job, 0, -1), SOT_OK);
    assert_int_equal(job.generated.count, 1);
    soti_job_free(&job, kv); /* and a job may be freed in any state */
}

static void job_ends_for_each_reason(void **state)
{
    (void)state;
    static const struct {
        uint32_t max_tokens;
        const char *text;
        uint32_t finish;
        size_t n_tokens;
    } cases[] = {
        {100, "a#", SOT_FINISH_STOP, 2},
        {3, "abcdefgh", SOT_FINISH_LENGTH, 3},
        {1, "abc", SOT_FINISH_LENGTH, 1},
        {100, "abcdefghijklmnopqrst", SOT_FINISH_CONTEXT, 32 - 20 + 1},
        {13, "abcdefghijklmnopqrst", SOT_FINISH_LENGTH, 13}, /* both at once: the limit asked for */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        soti_job job = make_job(cases[c].max_tokens);
        assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
        for (size_t i = 0; job.state != SOTI_JOB_DONE; i++) {
            assert_int_equal(play_step(&job, i == 0 ? 20 : 1, byte_id(cases[c].text[i])), SOT_OK);
        }
        assert_int_equal(job.finish, cases[c].finish);
        assert_int_equal(job.generated.count, cases[c].n_tokens);
        soti_job_free(&job, kv);
    }
}

static void job_forced_takes_its_ids_to_the_end(void **state)
{
    (void)state;
    const int32_t forced[] = {byte_id('a'), SCRIPT_EOS, byte_id('#'), byte_id('b')};
    soti_job job = make_job(4);
    job.forced = forced;
    job.n_forced = 4;
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    assert_int_equal(play_step(&job, 20, SCRIPT_EOS), SOT_OK); /* what is picked does not count */
    for (size_t i = 1; i < 4; i++) {
        soti_work work;
        assert_int_equal(job.state, SOTI_JOB_DECODE);
        soti_job_propose(&job, &work);
        assert_int_equal(work.tokens[0], forced[i - 1]);
        assert_int_equal(work.want_pick, 1); /* at the same cost */
        assert_int_equal(play_step(&job, 1, byte_id('z')), SOT_OK);
    }
    assert_int_equal(job.state, SOTI_JOB_DONE);
    assert_int_equal(job.finish, SOT_FINISH_STOP);
    assert_memory_equal(job.generated.ids, forced, sizeof forced);
    assert_string_equal(soti_buffer_text(&job.stopper.text), "a#b");
    soti_job_free(&job, kv);
}

static void job_without_tokens_to_write_is_done_behind_its_prompt(void **state)
{
    (void)state;
    soti_job job = make_job(0);
    soti_stopper_free(&job.stopper);
    job.stopper = (soti_stopper){0};
    job.keep_sequence = true;
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    assert_int_equal(play_step(&job, 20, -1), SOT_OK);
    assert_int_equal(job.state, SOTI_JOB_DONE);
    assert_int_equal(soti_sequence_length(job.sequence), 20);
    soti_job_free(&job, kv);
}

static void job_forked_from_a_parent_proposes_the_rest(void **state)
{
    (void)state;
    soti_work work;
    soti_job first = make_job(0);
    first.keep_sequence = true;
    assert_int_equal(soti_job_start(&first, session->engine), SOT_OK);
    assert_int_equal(play_step(&first, 20, -1), SOT_OK);
    soti_job job = make_job(10);
    job.parent = first.sequence;
    job.n_parent = 17;
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    soti_job_propose(&job, &work);
    assert_ptr_equal(work.tokens, prompt + 17);
    assert_int_equal(work.n_tokens, 3);
    soti_job_free(&job, kv);
    soti_job_free(&first, kv);
}

static void job_positions_leave_the_last_token_out(void **state)
{
    (void)state;
    soti_job job = {.n_prompt = 20};
    static const struct {
        uint32_t max_tokens, n_ctx, positions;
    } cases[] = {{0, 100, 20}, {1, 100, 20}, {2, 100, 21}, {50, 60, 60}, {UINT32_MAX, 60, 60}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job.max_tokens = cases[i].max_tokens;
        assert_int_equal(soti_job_positions(&job, cases[i].n_ctx), cases[i].positions);
    }
}

static void job_ended_early_releases_what_was_held_back(void **state)
{
    (void)state;
    static const char *const stop_strings[] = {"abX"};
    soti_job job = make_job(10);
    soti_stopper_free(&job.stopper);
    assert_int_equal(soti_stopper_begin(&job.stopper, scripted_model.tokenizer, stop_strings, 1),
                     SOT_OK);
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    assert_int_equal(play_step(&job, 20, byte_id('a')), SOT_OK);
    assert_int_equal(play_step(&job, 1, byte_id('b')), SOT_OK);
    assert_int_equal(job.stopper.n_released, 0);
    assert_int_equal(soti_job_end(&job, kv, SOT_FINISH_CANCELLED), SOT_OK);
    assert_int_equal(job.stopper.n_released, 2);
    assert_int_equal(job.finish, SOT_FINISH_CANCELLED);
    assert_int_equal(soti_job_end(&job, kv, SOT_FINISH_STOP), SOT_OK); /* once is enough */
    assert_int_equal(job.finish, SOT_FINISH_CANCELLED);
    soti_job_free(&job, kv);
}

static void job_start_without_memory_stays_ready(void **state)
{
    (void)state;
    for (long n = 0; n < 2; n++) {
        soti_job job = make_job(10);
        soti_alloc_fail_at(n);
        assert_int_equal(soti_job_start(&job, session->engine), SOT_ERR_MEMORY);
        soti_alloc_fail_at(-1);
        assert_int_equal(job.state, SOTI_JOB_READY);
        assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
        soti_job_free(&job, kv);
    }
}

static void job_whose_prompt_brought_no_token_is_an_internal_failure(void **state)
{
    (void)state;
    soti_job job = make_job(10);
    soti_work work;
    assert_int_equal(soti_job_start(&job, session->engine), SOT_OK);
    soti_job_propose(&job, &work);
    assert_int_equal(soti_sequence_reserve(kv, work.sequence, 20), SOT_OK);
    soti_sequence_advance(work.sequence, 20);
    assert_int_equal(soti_job_consume(&job, kv, &work), SOT_ERR_INTERNAL);
    soti_job_free(&job, kv);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(job_goes_through_its_states),
        TEST(job_row_left_out_of_a_step_changes_nothing),
        TEST(job_ends_for_each_reason),
        TEST(job_forced_takes_its_ids_to_the_end),
        TEST(job_without_tokens_to_write_is_done_behind_its_prompt),
        TEST(job_forked_from_a_parent_proposes_the_rest),
        TEST(job_positions_leave_the_last_token_out),
        TEST(job_ended_early_releases_what_was_held_back),
        TEST(job_start_without_memory_stays_ready),
        TEST(job_whose_prompt_brought_no_token_is_an_internal_failure),
    };
    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
