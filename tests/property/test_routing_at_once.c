/* RACE-2 on models that compute: with router, skeleton and normal answer in one batch an answer has
 * the tokens it has when they run one after the other, whatever the batch, the threads, the size of
 * a pass and the sampling; and both have those of the mode that was chosen, asked for by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "isa_list.h"
#include "random_source.h"
#include "session_check.h"
#include "sot/sot.h"

enum { MODELS_MAX = 4000, QUESTIONS = 8, QUESTION_MAX = 32 };

static const char *const skeleton_prompt =
    "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";
static const char *const point_prompt =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";
/* Random weights look at the last tokens most. */
static const char *const router_prompt =
    "Is it fit for a list? Say A, B or C.[ROLESWITCHING assistant:]{request}";

static sot_session *open_session(sot_model *model, const char *isa, uint32_t n_threads,
                                 uint32_t max_batch, uint32_t chunk_rows)
{
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_ctx = 512;
    params.isa = isa;
    params.n_threads = n_threads;
    params.max_batch = max_batch;
    params.chunk_rows = chunk_rows;
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    return session;
}

/* A model, and a question about which its random weights happen to decide as wanted. */
static sot_model *find_case(const sot_generate_params *params, const char *isa, uint32_t letter,
                            random_source *random, char *question)
{
    sot_decision decision = SOT_DECISION_INIT;
    for (uint32_t n_models = 0; n_models < MODELS_MAX; n_models++) {
        char path[64];
        sot_model *model = NULL;
        snprintf(path, sizeof path, "random:32x1x2x32x300?seed=%u",
                 random_between(random, 0, 99999));
        assert_int_equal(sot_model_load(path, NULL, &model), SOT_OK);
        sot_session *session = open_session(model, isa, 1, 4, 128);
        bool is_found = false;
        for (uint32_t n = 0; n < QUESTIONS && !is_found; n++) {
            snprintf(question, QUESTION_MAX, "question %x", random_between(random, 0, 0xFFFFF));
            assert_int_equal(sot_route(session, question, params, &decision), SOT_OK);
            is_found = decision.letter == letter;
        }
        session_close(session);
        if (is_found) {
            return model;
        }
        sot_model_free(model);
    }
    fail_msg("none of %d models says '%c'", MODELS_MAX, (int)letter);
    return NULL;
}

static void assert_same(const sot_answer *a, const sot_answer *b)
{
    assert_string_equal(sot_answer_text(a), sot_answer_text(b));
    assert_int_equal(sot_answer_finish(a), sot_answer_finish(b));
    assert_int_equal(sot_answer_point_count(a), sot_answer_point_count(b));
    for (size_t i = 0; i < sot_answer_point_count(a); i++) {
        assert_string_equal(sot_answer_point(a, i), sot_answer_point(b, i));
        assert_int_equal(sot_answer_point_tokens(a, i), sot_answer_point_tokens(b, i));
    }
}

static sot_answer *ask(sot_session *session, const char *question, sot_generate_params *params,
                       uint32_t mode, uint32_t flags)
{
    sot_answer *answer = NULL;
    params->mode = mode;
    params->flags = flags;
    assert_int_equal(sot_generate(session, question, params, &answer), SOT_OK);
    return answer;
}

static uint64_t n_spent; /* the loser may not have begun where passes are small */

static void compare(sot_model *model, const char *isa, const char *question,
                    sot_generate_params *params, uint32_t letter, random_source *random)
{
    sot_session *alone = open_session(model, isa, 1, 4, 16);
    sot_session *other = open_session(model, isa, random_between(random, 1, 2),
                                      random_between(random, 3, 6), random_between(random, 6, 300));
    sot_decision decision = SOT_DECISION_INIT;
    sot_stats stats = SOT_STATS_INIT;
    sot_answer *by_mode =
        ask(alone, question, params, letter == 'A' ? SOT_MODE_SOT : SOT_MODE_NORMAL, 0);
    sot_answer *first = ask(alone, question, params, SOT_MODE_ROUTED, 0);
    assert_same(by_mode, first);
    for (int i = 0; i < 2; i++) { /* the second time templates are in pages */
        sot_answer *beside = ask(other, question, params, SOT_MODE_ROUTED, SOT_GENERATE_CONCURRENT);
        assert_same(first, beside);
        assert_int_equal(sot_answer_get_decision(beside, &decision), SOT_OK);
        assert_int_equal(decision.letter, letter);
        stats = stats_of(beside);
        n_spent += stats.spent_tokens;
        sot_answer_free(beside);
    }
    sot_answer_free(by_mode);
    sot_answer_free(first);
    session_close(alone);
    session_close(other);
}

static void check_isa(const char *isa)
{
    static const uint32_t letters[] = {'A', 'B', 'C', 0};
    sot_prompts prompts = SOT_PROMPTS_INIT;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    random_source random = {.state = 11};
    prompts.skeleton = skeleton_prompt;
    prompts.point = point_prompt;
    prompts.router = router_prompt;
    params.prompts = &prompts;
    params.conversation = "vicuna";
    params.max_tokens = params.max_skeleton_tokens = 24;
    params.max_point_tokens = 8;
    for (size_t i = 0; i < 2 * sizeof letters / sizeof *letters; i++) {
        char question[QUESTION_MAX];
        sot_model *model = find_case(&params, isa, letters[i / 2], &random, question);
        params.temperature = 0.0f;
        compare(model, isa, question, &params, letters[i / 2], &random);
        params.temperature = 0.9f;
        params.seed = random_between(&random, 1, 1000);
        compare(model, isa, question, &params, letters[i / 2], &random);
        sot_model_free(model);
    }
}

static void answers_at_once_are_those_of_one_after_the_other(void **state)
{
    (void)state;
    for_each_isa(check_isa);
    assert_true(n_spent > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_at_once_are_those_of_one_after_the_other),
    };
    return cmocka_run_group_tests_name("routing at once", tests, NULL, NULL);
}
