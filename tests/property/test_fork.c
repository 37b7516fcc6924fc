/* A host that forks: in the child the model serves as before, the parent's session is refused and
 * can be freed without anybody being waited for, also when the parent was in the middle of an
 * answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sot/sot.h"

enum { CHILD_SECONDS = 60 }; /* a child that waits for a thread it has not is ended */

static sot_model *model;
static sot_session *session;
static char expected[2048];

static sot_status open_session(sot_session **out)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = 2;
    params.n_ctx = 256;
    params.max_batch = 2;
    return sot_session_create(model, &params, out);
}

static sot_status generate(sot_session *on, uint32_t max_tokens, char *text)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = max_tokens;
    sot_status status = sot_generate(on, "who?", &params, &answer);
    if (status == SOT_OK && text != NULL) {
        memcpy(text, sot_answer_text(answer), sot_answer_text_size(answer) + 1);
    }
    sot_answer_free(answer);
    return status;
}

static int setup(void **state)
{
    (void)state;
    return sot_model_load("random:64x2x4x96x300", NULL, &model) == SOT_OK &&
                   open_session(&session) == SOT_OK && generate(session, 16, expected) == SOT_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    sot_session_free(session);
    sot_model_free(model);
    return 0;
}

/* What a child does with what it has inherited; 0: all is as it should be. */
static int use_in_child(void)
{
    static char text[sizeof expected];
    sot_session *own = NULL;
    alarm(CHILD_SECONDS);
    if (generate(session, 16, NULL) != SOT_ERR_ARGUMENT ||
        strstr(sot_error_message(), "fork") == NULL) {
        return 2;
    }
    if (open_session(&own) != SOT_OK || generate(own, 16, text) != SOT_OK ||
        strcmp(text, expected) != 0) {
        return 3;
    }
    sot_session_free(session);
    sot_model_free(model);
    if (generate(own, 16, text) != SOT_OK || strcmp(text, expected) != 0) {
        return 4;
    }
    sot_session_free(own);
    return 0;
}

static void check_child(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(use_in_child());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void child_uses_the_model_and_frees_the_session(void **state)
{
    (void)state;
    char text[sizeof expected];
    check_child();
    assert_int_equal(generate(session, 16, text), SOT_OK);
    assert_string_equal(text, expected);
}

static atomic_int is_answering;
static atomic_int is_enough;

static void *answer_long(void *status)
{
    while (!atomic_load(&is_enough)) {
        atomic_store(&is_answering, 1);
        *(sot_status *)status = generate(session, 200, NULL);
    }
    return NULL;
}

static void child_of_a_busy_parent_does_the_same(void **state)
{
    (void)state;
    pthread_t thread;
    sot_status status = SOT_ERR_INTERNAL;
    assert_int_equal(pthread_create(&thread, NULL, answer_long, &status), 0);
    while (!atomic_load(&is_answering)) {
    }
    for (int i = 0; i < 5; i++) {
        check_child();
    }
    atomic_store(&is_enough, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(status, SOT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_uses_the_model_and_frees_the_session),
        cmocka_unit_test(child_of_a_busy_parent_does_the_same),
    };
    return cmocka_run_group_tests_name("fork", tests, setup, teardown);
}
