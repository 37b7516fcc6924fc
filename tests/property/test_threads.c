/* Threads that share one model, each with its own sessions: what they generate is what one thread
 * alone generates, whoever frees what first; cancelling and a second caller may come at any moment.
 * Run it under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "sot/sot.h"

enum { N_THREADS = 4, N_QUESTIONS = 6 };

static const char tiny[] = "random:64x2x4x96x300";
static const char skeleton_prompt[] = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";
static const char point_prompt[] =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";
static const char *const questions[N_QUESTIONS] = {"why?", "how?", "who?", "where to?", "1", "no?"};

static const sot_prompts prompts = {
    .struct_size = sizeof prompts, .skeleton = skeleton_prompt, .point = point_prompt};

static sot_generate_params make_params(size_t i)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.prompts = &prompts;
    params.mode = i % 3 == 0 ? SOT_MODE_NORMAL : SOT_MODE_SOT;
    params.temperature = i % 2 == 0 ? 0.0f : 1.0f;
    params.seed = i;
    params.max_tokens = params.max_skeleton_tokens = params.max_point_tokens = 8;
    return params;
}

static sot_status open_session(sot_model *model, uint32_t n_threads, sot_session **session)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = n_threads;
    params.n_ctx = 256;
    params.max_batch = 4;
    return sot_session_create(model, &params, session);
}

static char expected[N_QUESTIONS][2048];

typedef struct worker {
    sot_model *model; /* borrowed; the main thread gives it up when all have a session */
    size_t i_worker;
    atomic_uint *n_ready;
    uint32_t n_wrong; /* cmocka's assertions belong to the main thread */
} worker;

static void *answer_questions(void *argument)
{
    worker *self = argument;
    sot_session *sessions[2] = {NULL, NULL};
    self->n_wrong += open_session(self->model, 1, &sessions[0]) != SOT_OK;
    self->n_wrong += open_session(self->model, 2, &sessions[1]) != SOT_OK;
    atomic_fetch_add(self->n_ready, 1);
    for (size_t k = 0; k < N_QUESTIONS && self->n_wrong == 0; k++) {
        size_t i = (k + self->i_worker) % N_QUESTIONS; /* each in another order */
        sot_generate_params params = make_params(i);
        sot_answer *answer = NULL;
        self->n_wrong += sot_generate(sessions[k % 2], questions[i], &params, &answer) != SOT_OK;
        self->n_wrong += strcmp(sot_answer_text(answer), expected[i]) != 0;
        sot_answer_free(answer);
    }
    sot_session_free(sessions[self->i_worker % 2]);
    sot_session_free(sessions[1 - self->i_worker % 2]);
    return NULL;
}

static void sessions_on_threads_say_what_one_says(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_session *session = NULL;
    assert_int_equal(sot_model_load(tiny, NULL, &model), SOT_OK);
    assert_int_equal(open_session(model, 1, &session), SOT_OK);
    for (size_t i = 0; i < N_QUESTIONS; i++) {
        sot_generate_params params = make_params(i);
        sot_answer *answer = NULL;
        assert_int_equal(sot_generate(session, questions[i], &params, &answer), SOT_OK);
        assert_true(sot_answer_text_size(answer) < sizeof expected[i]);
        strcpy(expected[i], sot_answer_text(answer));
        sot_answer_free(answer);
    }
    sot_session_free(session);
    pthread_t threads[N_THREADS];
    worker workers[N_THREADS];
    atomic_uint n_ready = 0;
    for (size_t i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){.model = model, .i_worker = i, .n_ready = &n_ready};
        assert_int_equal(pthread_create(&threads[i], NULL, answer_questions, &workers[i]), 0);
    }
    while (atomic_load(&n_ready) < N_THREADS) {
    }
    sot_model_free(model); /* the sessions keep it */
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].n_wrong, 0);
    }
}

typedef struct canceller {
    sot_session *session;
    atomic_uint stop;
} canceller;

static void *cancel_all_the_time(void *argument)
{
    canceller *self = argument;
    while (!atomic_load(&self->stop)) {
        for (volatile int i = 0; i < 20000; i++) {
        }
        sot_session_cancel(self->session);
    }
    return NULL;
}

static void cancel_from_another_thread_may_come_at_any_moment(void **state)
{
    (void)state;
    sot_model *model = NULL;
    canceller other = {0};
    pthread_t thread;
    uint32_t n_cancelled = 0;
    assert_int_equal(sot_model_load(tiny, NULL, &model), SOT_OK);
    assert_int_equal(open_session(model, 2, &other.session), SOT_OK);
    assert_int_equal(pthread_create(&thread, NULL, cancel_all_the_time, &other), 0);
    for (size_t i = 0; i < 30; i++) {
        sot_generate_params params = make_params(i);
        sot_answer *answer = NULL;
        sot_status status =
            sot_generate(other.session, questions[i % N_QUESTIONS], &params, &answer);
        assert_true(status == SOT_OK || status == SOT_ERR_CANCELLED);
        assert_non_null(answer);
        assert_int_equal(sot_answer_finish(answer) == SOT_FINISH_CANCELLED,
                         status == SOT_ERR_CANCELLED);
        n_cancelled += status == SOT_ERR_CANCELLED;
        sot_answer_free(answer);
    }
    atomic_store(&other.stop, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(n_cancelled > 0);
    sot_session_free(other.session);
    sot_model_free(model);
}

typedef struct caller {
    sot_session *session;
    uint32_t n_ok, n_busy, n_other;
} caller;

static void *call_often(void *argument)
{
    caller *self = argument;
    for (size_t i = 0; i < 20; i++) {
        sot_generate_params params = make_params(i);
        sot_answer *answer = NULL;
        sot_status status = sot_generate(self->session, "what?", &params, &answer);
        self->n_ok += status == SOT_OK;
        self->n_busy += status == SOT_ERR_BUSY;
        self->n_other += status != SOT_OK && status != SOT_ERR_BUSY;
        sot_answer_free(answer);
    }
    return NULL;
}

static void session_called_by_two_threads_serves_one(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_session *session = NULL;
    pthread_t threads[2];
    caller callers[2];
    assert_int_equal(sot_model_load(tiny, NULL, &model), SOT_OK);
    assert_int_equal(open_session(model, 1, &session), SOT_OK);
    for (size_t i = 0; i < 2; i++) {
        callers[i] = (caller){.session = session};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].n_other, 0);
    }
    assert_true(callers[0].n_ok + callers[1].n_ok > 0);
    sot_session_free(session);
    sot_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_on_threads_say_what_one_says),
        cmocka_unit_test(cancel_from_another_thread_may_come_at_any_moment),
        cmocka_unit_test(session_called_by_two_threads_serves_one),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
