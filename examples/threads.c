/* A host with several sessions on several threads that share one model: every question is answered
 * on a thread of its own, the answers are printed in the order of the questions. What is shared is
 * the model (weights and tokenizer, immutable); pages and activations belong to a session.
 * Usage: threads MODEL QUESTION... */
#include <sot/sot.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct task {
    sot_model *model;
    const char *question;
    pthread_t thread;
    int started;
    sot_answer *answer;
    char error[256]; /* "" if all went well */
};

/* The library keeps its last failure per thread, so the sentence is taken where it was made. */
static void keep_error(struct task *task, sot_status status)
{
    if (status != SOT_OK)
        snprintf(task->error, sizeof task->error, "%s", sot_error_message());
}

static void *answer_question(void *argument)
{
    struct task *task = argument;
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = 1; /* the parallelism is in the sessions */
    sot_status status = sot_session_create(task->model, &params, &session);
    if (status == SOT_OK)
        status = sot_generate(session, task->question, NULL, &task->answer);
    keep_error(task, status);
    /* An answer outlives the session that made it. */
    sot_session_free(session);
    return NULL;
}

static int print_task(struct task *task)
{
    if (task->started)
        pthread_join(task->thread, NULL);
    printf("%s\n", task->question);
    if (task->answer)
        printf("%s\n\n", sot_answer_text(task->answer));
    if (task->error[0])
        fprintf(stderr, "threads: %s: %s\n", task->question, task->error);
    sot_answer_free(task->answer);
    return task->error[0] != '\0';
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "threads: MODEL QUESTION... expected\n");
        return 2;
    }
    sot_model *model;
    if (sot_model_load(argv[1], NULL, &model) != SOT_OK) {
        fprintf(stderr, "threads: %s\n", sot_error_message());
        return 1;
    }
    size_t n_tasks = (size_t)argc - 2;
    struct task *tasks = calloc(n_tasks, sizeof *tasks);
    if (!tasks) {
        sot_model_free(model);
        fprintf(stderr, "threads: out of memory\n");
        return 1;
    }
    for (size_t i = 0; i < n_tasks; i++) {
        tasks[i].model = model;
        tasks[i].question = argv[i + 2];
        tasks[i].started = pthread_create(&tasks[i].thread, NULL, answer_question, &tasks[i]) == 0;
        if (!tasks[i].started)
            snprintf(tasks[i].error, sizeof tasks[i].error, "the thread could not be started");
    }
    int failed = 0;
    for (size_t i = 0; i < n_tasks; i++)
        failed |= print_task(&tasks[i]);
    free(tasks);
    sot_model_free(model);
    return failed;
}
