/* "sot ask": see ask.h. main's job is done when an exit code is known; everything that was created
 * is freed here on every way out. Loading and printing are asker.c's. */
#include "ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shared/answer_json.h"
#include "../shared/interrupt.h"
#include "../shared/json_values.h"
#include "asker.h"

enum { INPUT_MOST = 1024 * 1024 };

struct ask {
    struct asker asker;
    struct text question;
};

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

/* Asks in one mode. Returns the exit code; an answer may be there in every case. */
static int generate(struct ask *ask, uint32_t mode, sot_answer **answer)
{
    ask->asker.params.mode = mode;
    return asker_outcome(&ask->asker, sot_generate(ask->asker.session, ask->question.bytes,
                                                   &ask->asker.params, answer));
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
    int code = generate(ask, ask->asker.options->generate.mode, &answer);
    if (answer && ask->asker.options->json) {
        json_t *object = question_json(ask);
        json_t *members = answer_json(answer);
        json_object_update(object, members);
        json_decref(members);
        print_json(object);
    } else if (answer) {
        asker_print(&ask->asker, answer);
    }
    asker_remark(&ask->asker, answer, code);
    sot_answer_free(answer);
    return code;
}

/* One token on another question: maps the weights and wakes the threads, so that the mode that
 * comes first does not pay for both. */
static void warm_up(struct ask *ask)
{
    sot_generate_params params = ask->asker.params;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = 1;
    params.on_event = NULL;
    sot_answer *answer = NULL;
    sot_generate(ask->asker.session, "Hello", &params, &answer);
    sot_answer_free(answer);
}

static void print_compared(struct ask *ask, const char *heading, const sot_answer *answer, int code)
{
    if (answer && !ask->asker.options->json) {
        print_heading(&ask->asker.style, heading);
        asker_print(&ask->asker, answer);
        printf("\n");
    }
    asker_remark(&ask->asker, answer, code);
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
    if (ask->asker.options->json && normal) {
        json_t *object = question_json(ask);
        json_object_set_new(object, "normal", answer_json(normal));
        json_object_set_new(object, "sot", sot ? answer_json(sot) : json_null());
        json_object_set_new(object, "comparison",
                            complete ? comparison_json(&comparison) : json_null());
        print_json(object);
    } else if (complete) {
        print_comparison(&ask->asker.style, &comparison);
    }
    sot_answer_free(normal);
    sot_answer_free(sot);
    return code;
}

int command_ask(const struct options *options)
{
    struct ask ask = {0};
    int code = asker_open(&ask.asker, options);
    if (code < 0)
        code = input_read(options->argument, "question", &ask.question);
    if (code < 0)
        code = asker_load(&ask.asker);
    if (code < 0)
        code = options->compare ? ask_both(&ask) : ask_once(&ask);
    asker_close(&ask.asker);
    text_free(&ask.question);
    return code;
}
