/* What a call takes from its arguments: prompts and their constant part, stops, limits, streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "scripted_model.h"
#include "sot/asking.h"
#include "sot/conversation.h"
#include "sot/wordings.h"

static sot_session *session;
static soti_asking asking;
static sot_prompts prompts;
static sot_generate_params params;
static sot_conversation conversation;

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    assert_int_equal(sot_session_create(&scripted_model, NULL, &session), SOT_OK);
    prompts = (sot_prompts){.skeleton = soti_wording_find(NULL)->skeleton,
                            .point = soti_wording_find(NULL)->point};
    conversation = (sot_conversation){.user_tag = "U ", .assistant_tag = " A:"};
    params = (sot_generate_params){.prompts = &prompts,
                                   .custom_conversation = &conversation,
                                   .max_tokens = 11,
                                   .max_skeleton_tokens = 22,
                                   .max_point_tokens = 33};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    soti_asking_end(&asking);
    sot_session_free(session);
    scripted_model_close();
    return 0;
}

static void begin(void)
{
    assert_int_equal(soti_asking_begin(&asking, session, "Why?", &params), SOT_OK);
}

/* The text that prompt's tokens stand for, BOS aside. */
static void assert_prompt(const soti_tokens *prompt, const char *text)
{
    assert_int_equal(prompt->count, 1 + strlen(text));
    assert_int_equal(prompt->ids[0], 1);
    for (size_t i = 0; text[i] != '\0'; i++) {
        bool is_space = text[i] == ' ';
        int32_t id = is_space ? 259 : SCRIPT_FIRST_BYTE + (unsigned char)text[i];
        assert_int_equal(prompt->ids[1 + i], id);
    }
}

static void stops_are_the_caller_s_and_the_model_s(void **state)
{
    (void)state;
    const int32_t ids[] = {7, 9};
    const char *const strings[] = {"stop", "end"};
    params.stop_ids = ids;
    params.n_stop_ids = 2;
    params.stop_strings = strings;
    params.n_stop_strings = 2;
    conversation.stop = "###";
    begin();
    assert_int_equal(asking.stop_ids.ids[0], 7);
    assert_int_equal(asking.stop_ids.ids[1], 9);
    assert_true(asking.stop_ids.count > 2);
    for (size_t i = 2; i < asking.stop_ids.count; i++) {
        assert_int_equal(asking.stop_ids.ids[i], SCRIPT_EOS);
    }
    assert_int_equal(asking.n_stop_strings, 3);
    assert_string_equal(asking.stop_strings[1], "end");
    assert_string_equal(asking.stop_strings[2], "###");
}

static void stops_that_are_ignored_are_none(void **state)
{
    (void)state;
    const int32_t ids[] = {7};
    const char *const strings[] = {"stop"};
    params.flags = SOT_GENERATE_IGNORE_STOPS;
    params.stop_ids = ids;
    params.n_stop_ids = 1;
    params.stop_strings = strings;
    params.n_stop_strings = 1;
    conversation.stop = "###";
    begin();
    assert_int_equal(asking.stop_ids.count, 0);
    assert_int_equal(asking.n_stop_strings, 0);
}

static void stop_that_is_a_control_piece_is_an_id(void **state)
{
    (void)state;
    scripted_model.checkpoint.eos_id = -1;
    conversation.stop = "<s>";
    begin();
    bool has_bos = false;
    for (size_t i = 0; i < asking.stop_ids.count; i++) {
        has_bos = has_bos || asking.stop_ids.ids[i] == 1;
    }
    assert_true(has_bos);
    assert_int_equal(asking.n_stop_strings, 0);
}

static void prompt_is_the_conversation_around_the_request(void **state)
{
    (void)state;
    static const char *const history[] = {"q", "a"};
    soti_request request = {0};
    soti_tokens prompt = {0};
    const soti_prompt_values values = {.request = {"Why?", 4}};
    conversation.user_end = ".";
    conversation.assistant_end = ";";
    conversation.system_tag = "{";
    conversation.system_end = "}";
    params.system_message = "sys";
    params.history = history;
    params.n_history = 2;
    begin();
    assert_int_equal(
        soti_prompt_fill("Do {request} now[ROLESWITCHING assistant:] 1.", &values, &request),
        SOT_OK);
    assert_int_equal(soti_asking_encode(&asking, &request, &prompt), SOT_OK);
    assert_prompt(&prompt, "U {sys}q. A:a;U Do Why? now. A: 1.");
    uint32_t n_constant;
    assert_int_equal(soti_asking_count_constant(&asking, &request, &prompt, &n_constant), SOT_OK);
    assert_int_equal(n_constant, 1 + strlen("U {sys}q. A:a;U ")); /* what later rounds have, too */
    params.n_history = 0;
    soti_tokens_free(&prompt);
    assert_int_equal(soti_asking_encode(&asking, &request, &prompt), SOT_OK);
    assert_int_equal(soti_asking_count_constant(&asking, &request, &prompt, &n_constant), SOT_OK);
    assert_int_equal(n_constant, 1 + strlen("U {sys}Do "));
    soti_tokens_free(&prompt);
    soti_request_free(&request);
}

static void constant_part_leaves_a_token_to_compute(void **state)
{
    (void)state;
    soti_request request = {0};
    soti_tokens prompt = {0};
    uint32_t n_constant;
    begin();
    assert_int_equal(soti_buffer_append_text(&request.user, "abc"), SOT_OK);
    request.constant = 3;
    assert_int_equal(soti_asking_encode(&asking, &request, &prompt), SOT_OK);
    assert_int_equal(soti_asking_count_constant(&asking, &request, &prompt, &n_constant), SOT_OK);
    assert_int_equal(n_constant, prompt.count - 1);
    soti_tokens_free(&prompt);
    soti_request_free(&request);
}

static void jobs_have_their_stage_s_limit_and_stream(void **state)
{
    (void)state;
    int32_t ids[] = {1, 2, 3};
    const soti_tokens prompt = {.ids = ids, .count = 3};
    params.seed = 77;
    params.temperature = 0.5f;
    begin();
    static const struct {
        uint32_t stage, i_point, max_tokens;
        uint64_t stream;
    } cases[] = {
        {SOT_STAGE_NORMAL, 0, 11, SOTI_STREAM_NORMAL},
        {SOT_STAGE_SKELETON, 0, 22, SOTI_STREAM_SKELETON},
        {SOT_STAGE_EXPAND, 0, 33, 0},
        {SOT_STAGE_EXPAND, 5, 33, 5},
        {SOT_STAGE_ROUTE, 0, 8, SOTI_STREAM_ROUTE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        soti_job job;
        assert_int_equal(
            soti_asking_make_job(&asking, cases[i].stage, cases[i].i_point, &prompt, &job), SOT_OK);
        assert_int_equal(job.state, SOTI_JOB_READY);
        assert_int_equal(job.n_prompt, 3);
        assert_int_equal(job.max_tokens, cases[i].max_tokens);
        assert_true(job.sampler.stream == cases[i].stream);
        assert_int_equal(job.sampler.params.seed, 77);
        bool is_greedy = cases[i].stage == SOT_STAGE_ROUTE;
        assert_true(job.sampler.params.temperature == (is_greedy ? 0.0f : 0.5f));
        assert_true(job.sampler.params.top_p == 1.0f); /* 0 means off */
        soti_job_free(&job, soti_engine_kv(session->engine));
    }
}

static void begin_without_a_tokenizer_is_unsupported(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = scripted_model.tokenizer;
    scripted_model.tokenizer = NULL;
    assert_int_equal(soti_asking_begin(&asking, session, "Why?", &params), SOT_ERR_UNSUPPORTED);
    scripted_model.tokenizer = tokenizer;
    assert_non_null(strstr(soti_fail_message(), "tokenizer"));
}

static void begin_without_memory_can_be_ended(void **state)
{
    (void)state;
    static const int32_t ids[] = {7};
    params.stop_ids = ids;
    params.n_stop_ids = 1;
    for (long n = 0; n < 2; n++) {
        soti_alloc_fail_at(n);
        assert_int_equal(soti_asking_begin(&asking, session, "Why?", &params), SOT_ERR_MEMORY);
        soti_alloc_fail_at(-1);
        soti_asking_end(&asking);
    }
}

static void stats_have_the_stages_in_order(void **state)
{
    (void)state;
    sot_stats stats;
    begin();
    soti_asking_enter_stage(&asking, SOT_STAGE_EXPAND);
    asking.run.stats[SOT_STAGE_EXPAND - 1].decode_tokens = 5;
    soti_asking_enter_stage(&asking, SOT_STAGE_NORMAL);
    asking.run.stats[SOT_STAGE_NORMAL - 1].prefill_tokens = 6;
    soti_asking_get_stats(&asking, &stats);
    assert_int_equal(stats.decode_tokens[2], 5);
    assert_int_equal(stats.prefill_tokens[0], 6);
    assert_true(stats.session_bytes > sizeof(sot_session));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(stops_are_the_caller_s_and_the_model_s),
        TEST(stops_that_are_ignored_are_none),
        TEST(stop_that_is_a_control_piece_is_an_id),
        TEST(prompt_is_the_conversation_around_the_request),
        TEST(constant_part_leaves_a_token_to_compute),
        TEST(jobs_have_their_stage_s_limit_and_stream),
        TEST(begin_without_a_tokenizer_is_unsupported),
        TEST(begin_without_memory_can_be_ended),
        TEST(stats_have_the_stages_in_order),
    };
    return cmocka_run_group_tests_name("asking", tests, NULL, NULL);
}
