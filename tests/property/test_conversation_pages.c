/* What a conversation finds in pages changes nothing: random models, modes, templates, samplings
 * and contexts; each round is answered once more on a session that has just been opened, with the
 * same rounds as its history, and every text is the same bit for bit. And what a round computes is
 * what is new: the literal prompt without what the pages of the round before hold of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "random_source.h"
#include "session_check.h"
#include "sot/sot.h"

enum { ROUNDS = 5 };

static const char point_prompt[] =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";
static const char chained_prompt[] =
    "Write {point}: {point_outline}[ROLESWITCHING assistant:]{point}.";
static const char skeleton_prompt[] = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";

static void assert_same_text(const char *a, size_t a_size, const char *b, size_t b_size)
{
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
}

static void assert_same_answer(const sot_answer *a, const sot_answer *b)
{
    assert_same_text(sot_answer_text(a), sot_answer_text_size(a), sot_answer_text(b),
                     sot_answer_text_size(b));
    assert_int_equal(sot_answer_point_count(a), sot_answer_point_count(b));
    for (size_t i = 0; i < sot_answer_point_count(a); i++) {
        assert_same_text(sot_answer_point(a, i), sot_answer_point_size(a, i),
                         sot_answer_point(b, i), sot_answer_point_size(b, i));
        assert_int_equal(sot_answer_point_tokens(a, i), sot_answer_point_tokens(b, i));
    }
    assert_int_equal(sot_answer_finish(a), sot_answer_finish(b));
    sot_stats a_stats = stats_of(a);
    sot_stats b_stats = stats_of(b);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a_stats.decode_tokens[i], b_stats.decode_tokens[i]);
        assert_int_equal(a_stats.prefill_tokens[i] + a_stats.reused_tokens[i],
                         b_stats.prefill_tokens[i] + b_stats.reused_tokens[i]);
    }
}

/* The chat's rounds that are sent, as a caller without sot_chat would give them. */
static size_t get_history(const sot_chat *chat, const char **history)
{
    size_t n = 0;
    for (size_t i = sot_chat_dropped(chat); i < sot_chat_count(chat); i++) {
        history[n++] = sot_chat_question(chat, i);
        history[n++] = sot_chat_answer(chat, i);
    }
    return n;
}

static void one_conversation(random_source *source, sot_model *model,
                             const sot_session_params *session_params, sot_generate_params *params,
                             uint32_t *n_reused, uint32_t *n_dropped)
{
    static const char *const questions[] = {"Why?", "And what of the sea?", "List more", "x"};
    sot_chat *chat = NULL;
    const char *history[2 * ROUNDS];
    sot_session *session = session_open(model, session_params);
    assert_int_equal(sot_chat_create(NULL, &chat), SOT_OK);
    for (int round = 0; round < ROUNDS; round++) {
        sot_answer *answer = NULL;
        sot_answer *fresh_answer = NULL;
        const char *question = questions[random_next(source) % 4];
        params->mode = random_next(source) % 2 ? SOT_MODE_NORMAL : SOT_MODE_SOT;
        params->seed = random_next(source);
        sot_session *fresh = session_open(model, session_params);
        sot_status status = sot_chat_generate(chat, session, question, params, &answer);
        sot_generate_params alone = *params;
        /* What was sent, without the round that has just been appended. */
        size_t n_history = get_history(chat, history);
        alone.n_history = n_history - (status == SOT_OK ? 2 : 0);
        alone.history = history;
        assert_int_equal(sot_generate(fresh, question, &alone, &fresh_answer), status);
        assert_true(status == SOT_OK || status == SOT_ERR_CONTEXT_FULL);
        assert_same_answer(answer, fresh_answer);
        sot_stats stats = stats_of(answer);
        *n_reused += round > 0 ? stats.reused_tokens[0] + stats.reused_tokens[1] : 0;
        sot_answer_free(answer);
        sot_answer_free(fresh_answer);
        sot_session_free(fresh);
    }
    *n_dropped += (uint32_t)sot_chat_dropped(chat);
    sot_session_free(session);
    sot_chat_free(chat);
}

static void rounds_with_kept_pages_equal_rounds_without(void **state)
{
    (void)state;
    static const char *const specs[] = {"random:64x2x4x96x300", "random:48x1x3x80x263?seed=5",
                                        "random:32x3x2x64x301?seed=9"};
    static const char *const templates[] = {"vicuna", "llama2-chat", "none", "stablevicuna"};
    uint32_t n_reused = 0;
    uint32_t n_dropped = 0;
    sot_prompts prompts = SOT_PROMPTS_INIT;
    prompts.skeleton = skeleton_prompt;
    for (uint64_t trial = 0; trial < 12; trial++) {
        random_source source = {trial};
        sot_model *model = NULL;
        assert_int_equal(sot_model_load(specs[trial % 3], NULL, &model), SOT_OK);
        sot_session_params session_params = SOT_SESSION_PARAMS_INIT;
        session_params.n_threads = 1 + (uint32_t)(trial % 2);
        session_params.n_ctx = random_between(&source, 200, 900);
        session_params.max_batch = random_between(&source, 1, 8);
        session_params.chunk_rows = random_between(&source, session_params.max_batch, 70);
        session_params.kv_tokens = random_between(&source, 500, 2000);
        sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
        bool is_chained = random_next(&source) % 2 == 1;
        prompts.flags = is_chained ? SOT_PROMPTS_CHAINED : 0;
        prompts.point = is_chained ? chained_prompt : point_prompt;
        params.prompts = &prompts;
        params.conversation = templates[random_next(&source) % 4];
        params.temperature = random_next(&source) % 2 ? 0.8f : 0.0f;
        params.max_tokens = random_between(&source, 1, 40);
        params.max_skeleton_tokens = 6;
        params.max_point_tokens = random_between(&source, 1, 12);
        one_conversation(&source, model, &session_params, &params, &n_reused, &n_dropped);
        sot_model_free(model);
    }
    print_message("%u tokens found in pages, %u rounds dropped\n", n_reused, n_dropped);
    assert_true(n_reused > 1000);
    assert_true(n_dropped > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_with_kept_pages_equal_rounds_without),
    };
    return cmocka_run_group_tests_name("conversation_pages", tests, NULL, NULL);
}
