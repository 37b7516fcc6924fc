/* Every allocation of load, session, asking and logits fails once, each in its turn. Each time the
 * call says MEMORY and gives nothing, the same call then succeeds on the same objects with the
 * result it always has, and no page or byte is lost (the bytes under AddressSanitizer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "session_check.h"
#include "sot/sot.h"

static const char tiny[] = "random:32x1x2x32x300";

/* Two points come with the partial answer, whatever the model makes of the third. */
static const char skeleton_prompt[] = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";
static const char point_prompt[] =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";

static sot_model *model;
static sot_session *session;
static sot_prompts prompts = SOT_PROMPTS_INIT;
static sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
static const char *const stop_strings[] = {"###", "never"};
static const char *const history[] = {"before", "1. A b"};

static int32_t ignore_event(const sot_event *event, void *user)
{
    (void)event;
    (void)user;
    return 0;
}

static sot_status open_session(sot_session **out)
{
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    session_params.n_threads = 1;
    session_params.n_ctx = 2048;
    session_params.max_batch = 4;
    return sot_session_create(model, &session_params, out);
}

static int setup(void **state)
{
    (void)state;
    prompts.skeleton = skeleton_prompt;
    prompts.point = point_prompt;
    params.prompts = &prompts;
    params.max_tokens = params.max_skeleton_tokens = params.max_point_tokens = 6;
    params.stop_strings = stop_strings;
    params.n_stop_strings = 2;
    params.history = history;
    params.n_history = 2;
    params.on_event = ignore_event;
    params.conversation = "vicuna";
    assert_int_equal(sot_model_load(tiny, NULL, &model), SOT_OK);
    assert_int_equal(open_session(&session), SOT_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sot_model_free(model);
    sot_session_free(session);
    return 0;
}

/* Runs call() with the n-th allocation failing, for every n there is; a call that fails is made
 * once more. after() looks at what the call left. */
static void fail_each_allocation(sot_status (*call)(void), void (*after)(sot_status), long least)
{
    long n = 0;
    for (;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = call();
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK); /* there are no more than n */
            after(status);
            break;
        }
        /* An allocation that only makes things faster may be done without. */
        assert_true(status == SOT_ERR_MEMORY || status == SOT_OK);
        assert_true(status == SOT_OK || strstr(sot_error_message(), "memory") != NULL);
        after(status);
        assert_int_equal(call(), SOT_OK);
        after(SOT_OK);
    }
    print_message("%ld allocations\n", n);
    assert_true(n >= least);
}

static const char *load_path;
static sot_model *loaded;

static sot_status load(void)
{
    return sot_model_load(load_path, NULL, &loaded);
}

static void check_loaded(sot_status status)
{
    assert_int_equal(loaded != NULL, status == SOT_OK);
    sot_model_free(loaded);
    loaded = NULL;
}

static void load_failing_anywhere_leaves_nothing(void **state)
{
    (void)state;
    static const char *const paths[] = {
        tiny, SOT_TEST_DIR "/golden/data/gqa-tied/model.gguf",
        SOT_TEST_DIR "/golden/data/linear/hf", /* shards behind an index */
        SOT_TEST_DIR "/golden/data/bf16/hf",   /* converted weights */
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        load_path = paths[i];
        fail_each_allocation(load, check_loaded, 5);
    }
}

static sot_session *opened;

static sot_status create(void)
{
    return open_session(&opened);
}

static void check_opened(sot_status status)
{
    assert_int_equal(opened != NULL, status == SOT_OK);
    sot_session_free(opened);
    opened = NULL;
}

static void session_failing_anywhere_leaves_nothing(void **state)
{
    (void)state;
    fail_each_allocation(create, check_opened, 10);
}

static sot_answer *answer;
static char expected[4096];

static sot_status generate(void)
{
    return sot_generate(session, "things", &params, &answer);
}

static void check_answer(sot_status status)
{
    assert_int_equal(answer != NULL, status == SOT_OK);
    if (answer != NULL) {
        assert_true(sot_answer_text_size(answer) < sizeof expected);
        if (expected[0] == '\0') {
            memcpy(expected, sot_answer_text(answer), sot_answer_text_size(answer) + 1);
        }
        assert_string_equal(sot_answer_text(answer), expected);
    }
    sot_answer_free(answer);
    answer = NULL;
    session_check_pages(session);
}

static void generate_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    expected[0] = '\0';
    params.mode = SOT_MODE_SOT;
    assert_int_equal(generate(), SOT_OK);
    assert_true(sot_answer_point_count(answer) >= 2);
    check_answer(SOT_OK);
    fail_each_allocation(generate, check_answer, 50);
}

static void generate_normal_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    expected[0] = '\0';
    params.mode = SOT_MODE_NORMAL;
    assert_int_equal(generate(), SOT_OK);
    check_answer(SOT_OK);
    fail_each_allocation(generate, check_answer, 10);
}

/* Until the model, whose weights are random, says A about the router's question. */
static void find_router_that_says_a(void)
{
    sot_decision decision = SOT_DECISION_INIT;
    for (int n = 0; n < 4000; n++) {
        char path[64];
        snprintf(path, sizeof path, "%s?seed=%d", tiny, n);
        assert_int_equal(sot_model_load(path, NULL, &model), SOT_OK);
        assert_int_equal(open_session(&session), SOT_OK);
        assert_int_equal(sot_route(session, "things", &params, &decision), SOT_OK);
        if (decision.letter == 'A') {
            return;
        }
        sot_session_free(session);
        sot_model_free(model);
    }
    fail();
}

static void generate_routed_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, SOT_GENERATE_CONCURRENT};
    sot_model *first_model = model;
    sot_session *first_session = session;
    params.mode = SOT_MODE_ROUTED;
    prompts.router = "Is {request} fit?";
    for (size_t i = 0; i < 4; i++) {
        if (i == 2) { /* the model before is undecided */
            find_router_that_says_a();
        }
        expected[0] = '\0';
        params.flags = flags[i % 2];
        assert_int_equal(generate(), SOT_OK);
        assert_true((sot_answer_point_count(answer) >= 2) == (i >= 2));
        check_answer(SOT_OK);
        fail_each_allocation(generate, check_answer, 40);
    }
    sot_session_free(session);
    sot_model_free(model);
    session = first_session;
    model = first_model;
    params.flags = 0;
    prompts.router = NULL;
}

static sot_points *points;

static sot_status skeleton(void)
{
    return sot_skeleton(session, "things", &params, &points);
}

static void check_points(sot_status status)
{
    assert_int_equal(points != NULL, status == SOT_OK);
    sot_points_free(points);
    points = NULL;
    session_check_pages(session);
}

static void skeleton_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    fail_each_allocation(skeleton, check_points, 20);
}

static sot_status expand(void)
{
    sot_status status = sot_points_parse("1. One\n2. Two\n3. Three", 22, 0, &points);
    if (status == SOT_OK) {
        status = sot_expand_batch(session, "things", points, &params, &answer);
    }
    sot_points_free(points);
    points = NULL;
    return status;
}

static void expand_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    expected[0] = '\0';
    assert_int_equal(expand(), SOT_OK);
    check_answer(SOT_OK);
    fail_each_allocation(expand, check_answer, 40);
}

/* Both stages, of which the second goes on from the first's conversation. */
static sot_status chain(void)
{
    sot_status status = skeleton();
    if (status == SOT_OK) {
        status = sot_expand_batch(session, "things", points, &params, &answer);
    }
    sot_points_free(points);
    points = NULL;
    return status;
}

static void chained_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    params.prompts = NULL;
    params.wording = "chained";
    params.forced_skeleton = " Ab\n2. Cd";
    expected[0] = '\0';
    assert_int_equal(chain(), SOT_OK);
    assert_int_equal(sot_answer_point_count(answer), 2);
    check_answer(SOT_OK);
    fail_each_allocation(chain, check_answer, 60);
    params.prompts = &prompts;
    params.wording = NULL;
    params.forced_skeleton = NULL;
}

static sot_status tokens_and_logits(void)
{
    int32_t ids[64];
    size_t count = 0;
    char text[64];
    size_t size = 0;
    float logits[300];
    sot_status status = sot_tokenize(model, "some text", 9, SOT_TOKENIZE_BOS, ids, 64, &count);
    if (status == SOT_OK) {
        status = sot_logits(session, ids, count, logits);
    }
    if (status == SOT_OK) {
        status = sot_detokenize(model, ids, count, 0, text, sizeof text, &size);
    }
    if (status == SOT_OK) {
        assert_int_equal(size, 9);
        assert_memory_equal(text, "some text", 9);
    }
    return status;
}

static void check_nothing_kept(sot_status status)
{
    (void)status;
    session_check_pages(session);
}

static void tokens_and_logits_failing_anywhere_can_be_asked_again(void **state)
{
    (void)state;
    fail_each_allocation(tokens_and_logits, check_nothing_kept, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_failing_anywhere_leaves_nothing),
        cmocka_unit_test(session_failing_anywhere_leaves_nothing),
        cmocka_unit_test(generate_failing_anywhere_can_be_asked_again),
        cmocka_unit_test(generate_normal_failing_anywhere_can_be_asked_again),
        cmocka_unit_test(generate_routed_failing_anywhere_can_be_asked_again),
        cmocka_unit_test(skeleton_failing_anywhere_can_be_asked_again),
        cmocka_unit_test(expand_failing_anywhere_can_be_asked_again),
        cmocka_unit_test(chained_failing_anywhere_can_be_asked_again),
        cmocka_unit_test(tokens_and_logits_failing_anywhere_can_be_asked_again),
    };
    return cmocka_run_group_tests_name("allocation failure", tests, setup, teardown);
}
