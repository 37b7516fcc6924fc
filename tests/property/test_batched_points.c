/* What a point says does not depend on what it is expanded with: batch, chunk size, page pool, warm
 * or cold beginnings. Random models, points, sampling and sessions; equality is bit for bit, in the
 * text, the tokens and the way it ends. And whatever happens, no page is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "random_source.h"
#include "session_check.h"
#include "sot/sot.h"

static const char point_prompt[] =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";
static const char skeleton_prompt[] = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";

static sot_points *random_points(random_source *source)
{
    static const char *const words[] = {"Salt", "Rest and sleep.", "x", "Many long words here. "};
    soti_buffer text = {0};
    uint32_t n = random_between(source, 1, 9);
    for (uint32_t i = 0; i < n; i++) {
        char line[64];
        int size = snprintf(line, sizeof line, "%u. %s\n", i + 1, words[random_next(source) % 4]);
        assert_int_equal(soti_buffer_append(&text, line, (size_t)size), SOT_OK);
    }
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse(text.data, text.size, 0, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), n);
    soti_buffer_free(&text);
    return points;
}

static void random_sampling(random_source *source, sot_generate_params *params)
{
    static const float temperatures[] = {0.0f, 0.7f, 1.5f};
    static const float top_ps[] = {0.0f, 0.9f};
    static const float penalties[] = {0.0f, 1.3f};
    params->temperature = temperatures[random_next(source) % 3];
    params->top_p = top_ps[random_next(source) % 2];
    params->top_k = random_between(source, 0, 1) * 40;
    params->repetition_penalty = penalties[random_next(source) % 2];
    params->seed = random_next(source);
    params->max_point_tokens = random_between(source, 1, 24);
}

static void assert_same_answer(const sot_answer *a, const sot_answer *b)
{
    assert_int_equal(sot_answer_point_count(a), sot_answer_point_count(b));
    for (size_t i = 0; i < sot_answer_point_count(a); i++) {
        assert_int_equal(sot_answer_point_size(a, i), sot_answer_point_size(b, i));
        assert_memory_equal(sot_answer_point(a, i), sot_answer_point(b, i),
                            sot_answer_point_size(a, i));
        assert_int_equal(sot_answer_point_tokens(a, i), sot_answer_point_tokens(b, i));
        assert_int_equal(sot_answer_point_finish(a, i), sot_answer_point_finish(b, i));
    }
    assert_int_equal(sot_answer_text_size(a), sot_answer_text_size(b));
    assert_memory_equal(sot_answer_text(a), sot_answer_text(b), sot_answer_text_size(a));
}

static void points_batched_equal_one_at_a_time(void **state)
{
    (void)state;
    static const char *const specs[] = {"random:64x2x4x96x300", "random:48x1x3x80x263?seed=5",
                                        "random:32x3x2x64x301?seed=9"};
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.point = point_prompt;
    for (uint64_t trial = 0; trial < 12; trial++) {
        random_source source = {trial};
        sot_model *model = NULL;
        assert_int_equal(sot_model_load(specs[trial % 3], NULL, &model), SOT_OK);
        sot_session_params one = SOT_SESSION_PARAMS_INIT;
        one.n_threads = 1;
        one.n_ctx = 512;
        sot_session_params many = one;
        sot_session_params any = one;
        one.max_batch = 1;
        any.n_threads = 2;
        any.max_batch = random_between(&source, 1, 12);
        any.chunk_rows = random_between(&source, any.max_batch, 70);
        any.kv_tokens = random_between(&source, 320, 700);
        sot_session *sessions[] = {session_open(model, &one), session_open(model, &many),
                                   session_open(model, &any)};
        sot_points *points = random_points(&source);
        sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
        params.prompts = &prompts;
        random_sampling(&source, &params);
        sot_answer *expected = NULL;
        for (int round = 0; round < 2; round++) { /* the second finds beginnings */
            for (int i = 0; i < 3; i++) {
                sot_answer *answer = NULL;
                assert_int_equal(sot_expand_batch(sessions[i], "food?", points, &params, &answer),
                                 SOT_OK);
                sot_stats stats = stats_of(answer);
                assert_true(i > 0 || stats.max_rows[2] <= 1);
                assert_true(round == 0 || i == 2 || stats.reused_tokens[2] > 0);
                if (expected == NULL) {
                    expected = answer;
                } else {
                    assert_same_answer(expected, answer);
                    sot_answer_free(answer);
                }
            }
        }
        sot_answer_free(expected);
        sot_points_free(points);
        for (int i = 0; i < 3; i++) {
            session_close(sessions[i]);
        }
        sot_model_free(model);
    }
}

/* The two stages one by one are the call that does both, and a seed is all that a draw depends on.
 */
static void stages_one_by_one_equal_the_whole(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.point = point_prompt;
    prompts.skeleton = skeleton_prompt;
    session_params.n_threads = 1;
    session_params.n_ctx = 512;
    assert_int_equal(sot_model_load("random:48x1x3x80x300", NULL, &model), SOT_OK);
    sot_session *session = session_open(model, &session_params);
    sot_answer *first = NULL;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
        sot_answer *whole = NULL;
        sot_answer *expanded = NULL;
        sot_points *points = NULL;
        params.prompts = &prompts;
        params.temperature = 1.0f;
        params.seed = seed;
        params.max_skeleton_tokens = params.max_point_tokens = 12;
        assert_int_equal(sot_generate(session, "what?", &params, &whole), SOT_OK);
        assert_int_equal(sot_skeleton(session, "what?", &params, &points), SOT_OK);
        assert_int_equal(sot_expand_batch(session, "what?", points, &params, &expanded), SOT_OK);
        assert_same_answer(whole, expanded);
        assert_string_equal(sot_points_source(points), sot_points_source(sot_answer_points(whole)));
        if (first != NULL) {
            assert_string_not_equal(sot_answer_text(first), sot_answer_text(whole));
        }
        sot_answer_free(first);
        first = whole;
        sot_answer_free(expanded);
        sot_points_free(points);
    }
    sot_answer_free(first);
    session_close(session);
    sot_model_free(model);
}

/* Cancels after some events. */
static int32_t count_down(const sot_event *event, void *user)
{
    int32_t *left = user;
    (void)event;
    return --*left == 0;
}

/* Calls of every kind in any order, in pools and contexts that are often too small, some of them
 * stopped: each says how it ended, and its pages come back. */
static void pages_come_back_after_any_calls(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_prompts prompts = SOT_PROMPTS_INIT;
    uint32_t n_full = 0;
    uint32_t n_cancelled = 0;
    uint32_t n_ok = 0;
    prompts.point = point_prompt;
    prompts.skeleton = skeleton_prompt;
    assert_int_equal(sot_model_load("random:32x1x2x32x300", NULL, &model), SOT_OK);
    for (uint64_t trial = 0; trial < 12; trial++) {
        random_source source = {1000 + trial};
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.n_threads = 1;
        session_params.n_ctx = random_between(&source, 24, 200);
        session_params.max_batch = random_between(&source, 1, 6);
        session_params.kv_tokens = random_between(&source, 48, 500);
        session_params.chunk_rows = random_between(&source, session_params.max_batch, 64);
        sot_session *session = session_open(model, &session_params);
        for (int i = 0; i < 25; i++) {
            int32_t left =
                random_between(&source, 0, 2) == 0 ? (int32_t)random_between(&source, 1, 30) : 0;
            sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
            sot_answer *answer = NULL;
            sot_status status;
            random_sampling(&source, &params);
            params.prompts = &prompts;
            params.max_tokens = params.max_skeleton_tokens = random_between(&source, 1, 60);
            params.on_event = count_down;
            params.event_user = &left;
            uint32_t kind = random_between(&source, 0, 3);
            if (kind == 0) {
                sot_points *points = random_points(&source);
                status = sot_expand_batch(session, "why so?", points, &params, &answer);
                sot_points_free(points);
            } else if (kind == 1) {
                int32_t ids[100];
                float logits[300];
                size_t n = random_between(&source, 1, 100);
                for (size_t k = 0; k < n; k++) {
                    ids[k] = (int32_t)random_between(&source, 3, 4);
                }
                status = sot_logits(session, ids, n, logits);
                assert_true(status == SOT_OK || status == SOT_ERR_CONTEXT_FULL);
            } else {
                params.mode = kind == 2 ? SOT_MODE_NORMAL : SOT_MODE_SOT;
                status = sot_generate(session, "how now?", &params, &answer);
            }
            n_ok += status == SOT_OK;
            n_full += status == SOT_ERR_CONTEXT_FULL;
            n_cancelled += status == SOT_ERR_CANCELLED;
            assert_true(status == SOT_OK || status == SOT_ERR_CONTEXT_FULL ||
                        status == SOT_ERR_CANCELLED);
            assert_int_equal(kind == 1, answer == NULL);
            sot_answer_free(answer);
            if (random_between(&source, 0, 4) == 0) {
                session_check_pages(session);
            }
        }
        session_close(session);
    }
    sot_model_free(model);
    print_message("%u calls were completed, %u found no room, %u were stopped\n", n_ok, n_full,
                  n_cancelled);
    assert_true(n_ok > 50 && n_full > 20 && n_cancelled > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_batched_equal_one_at_a_time),
        cmocka_unit_test(stages_one_by_one_equal_the_whole),
        cmocka_unit_test(pages_come_back_after_any_calls),
    };
    return cmocka_run_group_tests_name("batched points", tests, NULL, NULL);
}
