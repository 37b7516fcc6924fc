/* "sot ask": see ask.h. main's job is done when an exit code is known; everything that was created
 * is freed here on every way out. */
#include "ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer_json.h"
#include "interrupt.h"
#include "prompts_file.h"
#include "report.h"
#include "view.h"

enum { INPUT_MOST = 1024 * 1024 };

struct ask {
    const struct options *options;
    sot_generate_params params;
    sot_prompts prompts;
    json_t *prompts_file;
    struct text question;
    struct view view;
    struct report_style style;
    int on_terminal; /* standard output is one that can place text */
    sot_model *model;
    sot_session *session;
};

int library_failed(sot_status status)
{
    complain("%s", sot_error_message()[0] ? sot_error_message() : sot_status_name(status));
    if (status == SOT_ERR_CANCELLED)
        return EXIT_INTERRUPTED;
    if (status == SOT_ERR_CONTEXT_FULL)
        return EXIT_CONTEXT;
    return status == SOT_ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

static int interrupted(const char *when)
{
    complain("interrupted %s", when);
    return EXIT_INTERRUPTED;
}

static int read_standard_input(const char *what, struct text *input)
{
    for (;;) {
        char block[4096];
        struct pollfd readable = {STDIN_FILENO, POLLIN, 0};
        /* Not for ever: a Ctrl-C may come between looking and waiting. And read waits again after a
         * signal, so it is called only where it need not wait. */
        int n_ready = poll(&readable, 1, 200);
        if (interrupt_seen())
            return interrupted("while reading standard input");
        if (n_ready == 0 || (n_ready < 0 && errno == EINTR))
            continue;
        ssize_t n_read = read(STDIN_FILENO, block, sizeof block);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read < 0) {
            complain("standard input: %s", strerror(errno));
            return EXIT_FAILED;
        }
        if (n_read == 0)
            break;
        text_append(input, block, (size_t)n_read);
        if (input->size > INPUT_MOST) {
            complain("the %s on standard input has more than %d bytes", what, INPUT_MOST);
            return EXIT_USAGE;
        }
    }
    while (input->size && strchr("\r\n", input->bytes[input->size - 1]))
        input->size--;
    text_append(input, "", 0);
    return -1;
}

int input_read(const char *argument, const char *what, struct text *input)
{
    if (!argument && isatty(STDIN_FILENO)) {
        complain("no %s: give it as an argument, in quotes (see --help)", what);
        return EXIT_USAGE;
    }
    if (argument && strcmp(argument, "-") != 0) {
        text_string(input, argument);
    } else {
        int code = read_standard_input(what, input);
        if (code >= 0)
            return code;
    }
    if (input->size == 0) {
        complain("the %s is empty", what);
        return EXIT_USAGE;
    }
    if (strlen(input->bytes) != input->size) {
        complain("the %s on standard input holds a NUL byte", what);
        return EXIT_USAGE;
    }
    return -1;
}

static int32_t on_progress(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    struct ask *ask = user;
    view_load(&ask->view, done_bytes, total_bytes);
    return interrupt_seen();
}

static void on_log(int32_t level, const char *line, void *user)
{
    struct ask *ask = user;
    if (level < SOT_LOG_WARNING || ask->options->quiet)
        return;
    view_wipe(&ask->view);
    complain("warning: %s", line);
}

static int32_t on_event(const sot_event *event, void *user)
{
    struct ask *ask = user;
    if (interrupt_continued())
        view_resume(&ask->view);
    view_event(&ask->view, event);
    /* A call forgets what was cancelled before it began; what the user said then still counts. */
    return interrupt_seen();
}

static void choose_style(struct ask *ask)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    const struct options *options = ask->options;
    int capable = isatty(STDOUT_FILENO) && terminal && terminal[0] && strcmp(terminal, "dumb") != 0;
    ask->style.color = capable && !options->no_color && !(no_color && no_color[0]);
    view_open(&ask->view, capable && !options->json && !options->quiet, ask->style.color);
    ask->on_terminal = capable;
}

static void print_for_people(struct ask *ask, const sot_answer *answer)
{
    /* The terminal's size may have changed. */
    if (ask->on_terminal) {
        screen_measure(&ask->view.screen);
        ask->style.columns = ask->view.screen.columns;
    }
    print_answer(&ask->style, answer);
}

/* Loads the model and creates the session. Returns -1 to go on, or an exit code. */
static int prepare(struct ask *ask)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = ask->options->device;
    params.progress = on_progress;
    params.progress_user = ask;
    params.log = on_log;
    params.log_user = ask;
    sot_status status = sot_model_load(ask->options->model, &params, &ask->model);
    view_wipe(&ask->view);
    if (interrupt_seen())
        return interrupted("while loading the model");
    if (status != SOT_OK)
        return library_failed(status);
    status = sot_session_create(ask->model, &ask->options->session, &ask->session);
    if (status != SOT_OK)
        return library_failed(status);
    interrupt_session(ask->session);
    /* A Ctrl-C from here on cancels the session; one that came before is seen here. */
    if (interrupt_seen())
        return interrupted("before the answer began");
    return -1;
}

/* Asks in one mode. Returns the exit code; an answer may be there in every case. */
static int generate(struct ask *ask, uint32_t mode, sot_answer **answer)
{
    ask->params.mode = mode;
    sot_status status = sot_generate(ask->session, ask->question.bytes, &ask->params, answer);
    view_wipe(&ask->view);
    if (status == SOT_OK)
        return EXIT_DONE;
    if (status == SOT_ERR_CANCELLED && interrupt_seen())
        return EXIT_INTERRUPTED;
    return library_failed(status);
}

/* What remains to be said once the answer is printed. */
static void print_remarks(const struct ask *ask, const sot_answer *answer, int code)
{
    fflush(stdout);
    if (code == EXIT_INTERRUPTED)
        complain("interrupted; the answer is incomplete");
    if (answer && !ask->options->quiet)
        print_warnings(answer);
    if (answer && ask->options->stats && !ask->options->json)
        print_stats(answer);
}

static json_t *question_json(const struct ask *ask)
{
    json_t *object = json_object();
    json_object_set_new(object, "question", json_text(ask->question.bytes, ask->question.size));
    return object;
}

static int ask_once(struct ask *ask)
{
    sot_answer *answer = NULL;
    int code = generate(ask, ask->options->generate.mode, &answer);
    if (answer && ask->options->json) {
        json_t *object = question_json(ask);
        json_t *members = answer_json(answer);
        json_object_update(object, members);
        json_decref(members);
        print_json(object);
    } else if (answer) {
        print_for_people(ask, answer);
    }
    print_remarks(ask, answer, code);
    sot_answer_free(answer);
    return code;
}

/* One token on another question: maps the weights and wakes the threads, so that the mode that
 * comes first does not pay for both. */
static void warm_up(struct ask *ask)
{
    sot_generate_params params = ask->params;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = 1;
    params.on_event = NULL;
    sot_answer *answer = NULL;
    sot_generate(ask->session, "Hello", &params, &answer);
    sot_answer_free(answer);
}

static void print_compared(struct ask *ask, const char *heading, const sot_answer *answer, int code)
{
    if (answer && !ask->options->json) {
        print_heading(&ask->style, heading);
        print_for_people(ask, answer);
        printf("\n");
    }
    print_remarks(ask, answer, code);
}

static int ask_both(struct ask *ask)
{
    sot_answer *normal = NULL;
    sot_answer *sot = NULL;
    warm_up(ask);
    if (interrupt_seen())
        return interrupted("before the answer began");
    int code = generate(ask, SOT_MODE_NORMAL, &normal);
    print_compared(ask, "Normal", normal, code);
    if (normal && code != EXIT_INTERRUPTED) {
        int sot_code = generate(ask, SOT_MODE_SOT, &sot);
        print_compared(ask, "Skeleton-of-Thought", sot, sot_code);
        code = sot_code != EXIT_DONE ? sot_code : code;
    }
    int complete = normal && sot && code != EXIT_INTERRUPTED;
    struct comparison comparison = {0};
    if (complete)
        comparison = comparison_make(normal, sot);
    if (ask->options->json && normal) {
        json_t *object = question_json(ask);
        json_object_set_new(object, "normal", answer_json(normal));
        json_object_set_new(object, "sot", sot ? answer_json(sot) : json_null());
        json_object_set_new(object, "comparison",
                            complete ? comparison_json(&comparison) : json_null());
        print_json(object);
    } else if (complete) {
        print_comparison(&ask->style, &comparison);
    }
    sot_answer_free(normal);
    sot_answer_free(sot);
    return code;
}

int command_ask(const struct options *options)
{
    struct ask ask = {.options = options, .params = options->generate, .prompts = SOT_PROMPTS_INIT};
    ask.params.on_event = on_event;
    ask.params.event_user = &ask;
    interrupt_install();
    choose_style(&ask);
    int code = -1;
    if (options->prompts_path) {
        if (prompts_file_read(options->prompts_path, &ask.prompts, &ask.prompts_file))
            code = EXIT_FAILED;
        ask.params.prompts = &ask.prompts;
    }
    if (code < 0)
        code = input_read(options->argument, "question", &ask.question);
    if (code < 0)
        code = prepare(&ask);
    if (code < 0)
        code = options->compare ? ask_both(&ask) : ask_once(&ask);
    interrupt_session(NULL);
    sot_session_free(ask.session);
    sot_model_free(ask.model);
    json_decref(ask.prompts_file);
    view_free(&ask.view);
    text_free(&ask.question);
    return code;
}
