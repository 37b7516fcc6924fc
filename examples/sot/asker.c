/* What "sot ask" and "sot chat" share: see asker.h. */
#include "asker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/interrupt.h"

int library_failed(sot_status status)
{
    int code = exit_code_of(status);
    return status == SOT_ERR_CONTEXT_FULL ? EXIT_CONTEXT : code;
}

int interrupted(const char *when)
{
    complain("interrupted %s", when);
    return EXIT_INTERRUPTED;
}

static int32_t on_progress(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    struct asker *asker = user;
    view_load(&asker->view, done_bytes, total_bytes);
    return interrupt_seen();
}

static void on_log(int32_t level, const char *line, void *user)
{
    struct asker *asker = user;
    if (level < SOT_LOG_WARNING || asker->options->quiet)
        return;
    view_wipe(&asker->view);
    complain("warning: %s", line);
}

static int32_t on_event(const sot_event *event, void *user)
{
    struct asker *asker = user;
    if (interrupt_continued())
        view_resume(&asker->view);
    view_event(&asker->view, event);
    /* A call forgets what was cancelled before it began; what the user said then still counts. */
    return interrupt_seen();
}

static void choose_style(struct asker *asker)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    const struct options *options = asker->options;
    int capable = isatty(STDOUT_FILENO) && terminal && terminal[0] && strcmp(terminal, "dumb") != 0;
    asker->style.color = capable && !options->no_color && !(no_color && no_color[0]);
    view_open(&asker->view, capable && !options->json && !options->quiet, asker->style.color);
    asker->on_terminal = capable;
}

void asker_print(struct asker *asker, const sot_answer *answer)
{
    /* The terminal's size may have changed. */
    if (asker->on_terminal) {
        screen_measure(&asker->view.screen);
        asker->style.columns = asker->view.screen.columns;
    }
    print_answer(&asker->style, answer);
}

int asker_load(struct asker *asker)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = asker->options->device;
    params.flags = model_flags(asker->options->copy_weights, asker->options->lock_weights);
    params.progress = on_progress;
    params.progress_user = asker;
    params.log = on_log;
    params.log_user = asker;
    sot_status status = sot_model_load(asker->options->model, &params, &asker->model);
    view_wipe(&asker->view);
    if (interrupt_seen())
        return interrupted("while loading the model");
    if (status != SOT_OK)
        return library_failed(status);
    status = sot_session_create(asker->model, &asker->options->session, &asker->session);
    if (status != SOT_OK)
        return library_failed(status);
    interrupt_session(asker->session);
    /* A Ctrl-C from here on cancels the session; one that came before is seen here. */
    if (interrupt_seen())
        return interrupted("before the answer began");
    return -1;
}

void asker_remark(const struct asker *asker, const sot_answer *answer, int code)
{
    fflush(stdout);
    if (code == EXIT_INTERRUPTED)
        complain("interrupted; the answer is incomplete");
    if (answer && !asker->options->quiet)
        print_warnings(answer);
    if (answer && asker->options->stats && !asker->options->json)
        print_stats(answer);
}

int asker_open(struct asker *asker, const struct options *options)
{
    *asker = (struct asker){.options = options, .params = options->generate};
    asker->params.on_event = on_event;
    asker->params.event_user = asker;
    interrupt_install();
    choose_style(asker);
    sot_status status = SOT_OK;
    if (options->prompts_path)
        status = sot_prompts_load(options->prompts_path, &asker->prompts);
    if (status == SOT_OK && options->generate.router == SOT_ROUTER_TRAINED)
        status = sot_router_load(options->router_path, &asker->router);
    if (status != SOT_OK)
        return library_failed(status);
    asker->params.prompts = asker->prompts;
    asker->params.trained_router = asker->router;
    return -1;
}

void asker_close(struct asker *asker)
{
    interrupt_session(NULL);
    sot_session_free(asker->session);
    sot_model_free(asker->model);
    sot_prompts_free(asker->prompts);
    sot_router_free(asker->router);
    view_free(&asker->view);
}

int asker_outcome(struct asker *asker, sot_status status)
{
    view_wipe(&asker->view);
    if (status == SOT_OK)
        return EXIT_DONE;
    if (status == SOT_ERR_CANCELLED && interrupt_seen())
        return EXIT_INTERRUPTED;
    return library_failed(status);
}
