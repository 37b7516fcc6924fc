/* No expansion changes by what was found in pages: every wording, first and later questions, large
 * and scarce pools, against each point's request computed from its first token on, alone, in a
 * session of its own. The requests are put together here once more, from the templates and the
 * forced skeleton. Equality is bit for bit: in the text, in the tokens that were drawn, and in the
 * logits behind each request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "session_check.h"
#include "sot/asking.h"
#include "sot/conversation.h"
#include "sot/prompts.h"
#include "sot/run.h"
#include "sot/wordings.h"

enum { N_POINTS = 4, N_TOKENS = 10, N_VOCAB = 300 };

typedef struct question {
    const char *text;
    const char *points[N_POINTS];
} question;

static const question questions[] = {
    {"How do I sleep better?",
     {"Keep regular hours.", "Dim the lights early. ", "Move a lot", "Drink less coffee."}},
    {"What makes a city quiet?", {"Fewer cars.", "More trees and parks.", "Rules", "Soft roads. "}},
};

static sot_model *model;

static void write_skeleton(const question *asked, bool with_first, char *out, size_t capacity)
{
    size_t size = (size_t)snprintf(out, capacity, "%s", with_first ? "1." : "");
    for (size_t i = 0; i < N_POINTS; i++) {
        char number[16] = "";
        if (i > 0) {
            snprintf(number, sizeof number, "\n%zu.", i + 1);
        }
        size += (size_t)snprintf(out + size, capacity - size, "%s %s", number, asked->points[i]);
    }
}

static void encode_round(const sot_conversation *conversation, const soti_request *request,
                         soti_tokens *tokens)
{
    const soti_rounds rounds = {.user = soti_buffer_text(&request->user),
                                .user_size = request->user.size,
                                .partial = soti_buffer_text(&request->partial),
                                .partial_size = request->partial.size};
    sot_status status;
    if (tokens->count == 0) {
        status = soti_conversation_encode(conversation, model->tokenizer, &rounds, tokens);
    } else {
        status = soti_conversation_continue(conversation, model->tokenizer, "", 0, &rounds, tokens);
    }
    assert_int_equal(status, SOT_OK);
}

/* The prompt of point i, from the beginning. */
static void make_prompt(const soti_wording *wording, const sot_conversation *conversation,
                        const question *asked, const char *forced, size_t i, soti_tokens *prompt)
{
    char source[512];
    char index[8];
    soti_request first = {0};
    soti_request request = {0};
    soti_prompt_values values = {.request = {asked->text, strlen(asked->text)}};
    assert_int_equal(soti_prompt_fill(wording->skeleton, &values, &first), SOT_OK);
    snprintf(source, sizeof source, "%s%s", soti_buffer_text(&first.partial), forced);
    snprintf(index, sizeof index, "%zu", i + 1);
    values.outline = (soti_text){source, strlen(source)};
    values.point = (soti_text){index, strlen(index)};
    values.point_outline = (soti_text){asked->points[i], strlen(asked->points[i])};
    assert_int_equal(soti_prompt_fill(wording->point, &values, &request), SOT_OK);
    if ((wording->flags & SOT_PROMPTS_CHAINED) != 0) {
        encode_round(conversation, &first, prompt);
        assert_int_equal(soti_tokenizer_encode(model->tokenizer, forced, strlen(forced),
                                               SOTI_TOKENIZE_BEHIND, prompt),
                         SOT_OK);
    }
    encode_round(conversation, &request, prompt);
    soti_request_free(&request);
    soti_request_free(&first);
}

static sot_session *open_session(uint32_t kv_tokens, uint32_t chunk_rows)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session *session = NULL;
    params.n_threads = 2;
    params.n_ctx = 2048;
    params.max_batch = 8;
    params.kv_tokens = kv_tokens;
    params.chunk_rows = chunk_rows;
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    return session;
}

/* Point i's expansion, computed by itself from its prompt's first token on. */
static void assert_alone(const soti_tokens *prompt, const sot_generate_params *params, size_t i,
                         const sot_answer *answer)
{
    sot_session *session = open_session(0, 0);
    soti_run run = {.engine = session->engine};
    const soti_sampler_params sampling = {.temperature = params->temperature, .seed = params->seed};
    soti_job job = {.stage = SOT_STAGE_EXPAND,
                    .i_point = (uint32_t)i,
                    .prompt = prompt->ids,
                    .n_prompt = (uint32_t)prompt->count,
                    .max_tokens = params->max_point_tokens};
    assert_int_equal(soti_sampler_init(&job.sampler, &sampling, i), SOT_OK);
    assert_int_equal(soti_stopper_begin(&job.stopper, model->tokenizer, NULL, 0), SOT_OK);
    assert_int_equal(soti_jobs_run(&run, &job, 1), SOT_OK);
    assert_int_equal(run.stats[SOT_STAGE_EXPAND - 1].prefill_tokens, prompt->count);
    assert_int_equal(sot_answer_point_tokens(answer, i), job.generated.count);
    assert_int_equal(sot_answer_point_size(answer, i), job.stopper.text.size);
    assert_memory_equal(sot_answer_point(answer, i), soti_buffer_text(&job.stopper.text),
                        job.stopper.text.size);
    soti_job_free(&job, soti_engine_kv(session->engine));
    session_close(session);
}

/* The logits behind a prompt, of which the session's pages are taken as far as they go. Returns how
 * far. */
static uint32_t compute_logits(sot_session *session, const soti_tokens *prompt, float *logits)
{
    soti_run run = {.engine = session->engine,
                    .room = soti_session_room,
                    .make_room = soti_session_make_room,
                    .room_user = session};
    soti_job job = {.stage = SOT_STAGE_EXPAND,
                    .prompt = prompt->ids,
                    .n_prompt = (uint32_t)prompt->count,
                    .max_tokens = 1,
                    .logits = logits};
    const soti_sampler_params greedy = {0};
    assert_int_equal(soti_sampler_init(&job.sampler, &greedy, 0), SOT_OK);
    assert_int_equal(soti_stopper_begin(&job.stopper, model->tokenizer, NULL, 0), SOT_OK);
    job.sequence = soti_session_fork_beginning(session, prompt->ids, job.n_prompt, &job.n_parent);
    uint32_t n_reused = job.n_parent;
    assert_int_equal(soti_jobs_run(&run, &job, 1), SOT_OK);
    assert_int_equal(run.stats[SOT_STAGE_EXPAND - 1].prefill_tokens, prompt->count - n_reused);
    soti_job_free(&job, soti_engine_kv(session->engine));
    return n_reused;
}

/* What a session that has answered keeps is what a new one computes. least: tokens of the prompt
 * that must be there. */
static void assert_kept_logits(sot_session *session, const soti_tokens *prompt, uint32_t least)
{
    float kept[N_VOCAB];
    float computed[N_VOCAB];
    sot_session *other = open_session(0, 0);
    assert_true(compute_logits(session, prompt, kept) >= least);
    assert_int_equal(compute_logits(other, prompt, computed), 0);
    assert_memory_equal(kept, computed, sizeof kept);
    session_close(other);
}

/* All tokens of the requests are computed or reused. Returns those computed. */
static uint32_t check_answer(sot_session *session, const question *asked, const char *conversation,
                             sot_generate_params *params, bool is_wide)
{
    const soti_wording *wording = soti_wording_find(params->wording);
    bool with_first = strstr(wording->skeleton, "[ROLESWITCHING") == NULL;
    char forced[512];
    sot_answer *answer = NULL;
    size_t n_all = 0;
    write_skeleton(asked, with_first, forced, sizeof forced);
    params->conversation = conversation;
    params->forced_skeleton = forced;
    if (sot_generate(session, asked->text, params, &answer) != SOT_OK) {
        fail_msg("%s: %s", wording->name, sot_error_message());
    }
    assert_int_equal(sot_answer_point_count(answer), N_POINTS);
    sot_stats stats = stats_of(answer);
    for (size_t i = 0; i < N_POINTS; i++) {
        soti_tokens prompt = {0};
        make_prompt(wording, soti_conversation_find(conversation), asked, forced, i, &prompt);
        assert_alone(&prompt, params, i, answer);
        if (is_wide) { /* chained: all of stage 1 but the last token, which was not fed */
            bool is_chained = (wording->flags & SOT_PROMPTS_CHAINED) != 0;
            uint32_t n_stage1 = stats.prefill_tokens[1] + stats.reused_tokens[1];
            assert_kept_logits(session, &prompt,
                               is_chained ? n_stage1 + stats.decode_tokens[1] - 1 : 100);
        }
        n_all += prompt.count;
        soti_tokens_free(&prompt);
    }
    sot_answer_free(answer);
    assert_int_equal(stats.prefill_tokens[2] + stats.reused_tokens[2], n_all);
    return stats.prefill_tokens[1] + stats.prefill_tokens[2];
}

static void expansions_do_not_depend_on_pages(void **state)
{
    (void)state;
    static const char *const wordings[] = {"two-shot", "zero-shot", "compact", "chained"};
    static const char *const conversations[] = {"vicuna", "none", "llama2-chat"};
    assert_int_equal(sot_model_load("random:48x2x3x80x300?seed=3", NULL, &model), SOT_OK);
    for (size_t i = 0; i < sizeof wordings / sizeof *wordings; i++) {
        sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
        params.wording = wordings[i];
        params.temperature = 1.3f;
        params.seed = 5 + i;
        params.max_point_tokens = N_TOKENS;
        params.flags = SOT_GENERATE_IGNORE_STOPS;
        const char *conversation = conversations[i % 3];
        sot_session *wide = open_session(0, 0);
        sot_session *scarce = open_session(2100, 24); /* every question has to make room */
        uint32_t n_first = check_answer(wide, &questions[0], conversation, &params, true);
        uint32_t n_later = check_answer(wide, &questions[1], conversation, &params, true);
        uint32_t n_again = check_answer(wide, &questions[0], conversation, &params, true);
        assert_true(n_later < n_first); /* or nothing was found in pages */
        assert_true(n_again < n_first);
        check_answer(scarce, &questions[0], conversation, &params, false);
        check_answer(scarce, &questions[1], conversation, &params, false);
        session_close(scarce);
        session_close(wide);
    }
    sot_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(expansions_do_not_depend_on_pages)};
    return cmocka_run_group_tests_name("page reuse", tests, NULL, NULL);
}
