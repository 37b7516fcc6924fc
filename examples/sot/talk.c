/* "sot chat": reading questions, answering them behind the rounds before. See talk.h. */
#include "talk.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shared/answer_json.h"
#include "../shared/interrupt.h"
#include "../shared/json_values.h"

enum { ENTRY_MOST = 1024 * 1024 };

void talk_note_code(struct talk *talk, int code)
{
    if (talk->code == EXIT_DONE && !talk->for_people)
        talk->code = code;
}

/* Reads a question or a command, of several lines where they end with a backslash. Returns LINE_*.
 */
static int read_entry(struct talk *talk, struct text *entry)
{
    struct text line = {0};
    const char *prompt = "> ";
    int result;
    text_clear(entry);
    text_append(entry, "", 0);
    for (;;) {
        result = lines_read(&talk->lines, prompt, &line);
        if (result != LINE_READ)
            break;
        int goes_on = line.size && line.bytes[line.size - 1] == '\\';
        text_append(entry, line.bytes, line.size - (goes_on ? 1 : 0));
        if (!goes_on)
            break;
        text_append(entry, "\n", 1);
        prompt = ". ";
    }
    if (result == LINE_END && entry->size)
        result = LINE_READ;
    text_free(&line);
    return result;
}

static void print_json_answer(const struct text *question, const sot_answer *answer)
{
    json_t *object = json_object();
    json_t *members = answer_json(answer);
    json_object_set_new(object, "question", json_text(question->bytes, question->size));
    json_object_update(object, members);
    json_decref(members);
    print_json_line(object);
}

static void print_round(struct talk *talk, const struct text *question, const sot_answer *answer)
{
    if (talk->asker.options->json) {
        print_json_answer(question, answer);
        return;
    }
    asker_print(&talk->asker, answer);
}

static void answer(struct talk *talk, const struct text *question)
{
    struct asker *asker = &talk->asker;
    sot_answer *made = NULL;
    size_t n_dropped = sot_chat_dropped(talk->chat);
    interrupt_session(asker->session);
    sot_status status =
        sot_chat_generate(talk->chat, asker->session, question->bytes, &asker->params, &made);
    interrupt_session(NULL);
    int code = asker_outcome(asker, status);
    if (made)
        print_round(talk, question, made);
    asker_remark(asker, made, code);
    if (sot_chat_dropped(talk->chat) > n_dropped && !asker->options->quiet)
        complain("warning: the context was full: the oldest %zu of %zu rounds are no longer sent",
                 sot_chat_dropped(talk->chat), sot_chat_count(talk->chat));
    if (made && code != EXIT_DONE)
        talk_remark(talk, "This is no part of the conversation.");
    if (made && !asker->options->json) { /* an empty line between answers, behind what was said */
        printf("\n");
        fflush(stdout);
    }
    if (made) {
        sot_answer_free(talk->last);
        talk->last = made;
    }
    talk_note_code(talk, code);
    if (code == EXIT_INTERRUPTED && !talk->for_people)
        talk->ended = 1;
}

static int is_blank(const struct text *entry)
{
    size_t size;
    trimmed(entry->bytes, entry->size, &size);
    return size == 0;
}

static void take_entry(struct talk *talk, struct text *entry)
{
    if (is_blank(entry))
        return;
    if (strlen(entry->bytes) != entry->size || entry->size > ENTRY_MOST) {
        complain(entry->size > ENTRY_MOST ? "a question has at most 1 MiB"
                                          : "a question on standard input holds a NUL byte");
        talk_note_code(talk, EXIT_USAGE);
    } else if (entry->bytes[0] == '/' && entry->bytes[1] == '/') {
        struct text question = {0};
        text_append(&question, entry->bytes + 1, entry->size - 1);
        answer(talk, &question);
        text_free(&question);
    } else if (entry->bytes[0] == '/') {
        size_t size;
        trimmed(entry->bytes, entry->size, &size);
        entry->bytes[size] = '\0'; /* it begins with a slash */
        talk_command(talk, entry->bytes);
    } else {
        answer(talk, entry);
    }
}

static void hold(struct talk *talk)
{
    struct text entry = {0};
    while (!talk->ended) {
        interrupt_forget();
        int result = read_entry(talk, &entry);
        if (result == LINE_READ)
            take_entry(talk, &entry);
        else if (result == LINE_INTERRUPTED && talk->for_people)
            continue;
        else
            talk->ended = 1;
        if (result == LINE_INTERRUPTED)
            talk_note_code(talk, EXIT_INTERRUPTED);
        if (result == LINE_FAILED)
            talk->code = EXIT_FAILED;
    }
    text_free(&entry);
}

/* Creates the conversation, from a file where there is one. Returns -1 to go on, or an exit code.
 */
static int begin(struct talk *talk, const struct options *options)
{
    talk->chat_params = (sot_chat_params)SOT_CHAT_PARAMS_INIT;
    talk->chat_params.flags = options->keep_all ? SOT_CHAT_KEEP_ALL : 0;
    talk->chat_params.reserve_tokens = options->reserve_tokens;
    sot_status status = options->load_path
                            ? sot_chat_load(options->load_path, &talk->chat_params, &talk->chat)
                            : sot_chat_create(&talk->chat_params, &talk->chat);
    return status == SOT_OK ? -1 : library_failed(status);
}

static void greet(const struct talk *talk)
{
    sot_model_info info = SOT_MODEL_INFO_INIT;
    sot_model_get_info(talk->asker.model, &info);
    if (!talk->for_people)
        return;
    talk_remark(talk, "%s, mode %s. /help lists the commands, Ctrl-D ends.",
                info.name[0] ? info.name : talk->asker.options->model,
                mode_name(talk->asker.params.mode));
    if (sot_chat_count(talk->chat))
        talk_remark(talk, "%zu rounds from %s", sot_chat_count(talk->chat),
                    talk->asker.options->load_path);
}

int command_chat(const struct options *options)
{
    struct talk talk = {.for_people = isatty(STDIN_FILENO)};
    talk.code = asker_open(&talk.asker, options);
    if (talk.code < 0)
        talk.code = begin(&talk, options);
    if (talk.code < 0)
        talk.code = asker_load(&talk.asker);
    if (talk.code < 0) {
        talk.code = EXIT_DONE;
        interrupt_session(NULL);
        lines_open(&talk.lines, talk.asker.on_terminal, talk_command_names);
        greet(&talk);
        hold(&talk);
        lines_close(&talk.lines);
    }
    sot_answer_free(talk.last);
    sot_chat_free(talk.chat);
    asker_close(&talk.asker);
    return talk.code;
}
