/* The commands of a conversation: see talk.h. What they have to say goes to standard error, so that
 * standard output has the answers alone. */
#include "talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const talk_command_names[] = {"/help",  "/load", "/mode",  "/quit",
                                          "/reset", "/save", "/stats", NULL};

void talk_remark(const struct talk *talk, const char *format, ...)
{
    if (talk->asker.options->quiet)
        return;
    struct text said = {0}, clean = {0};
    va_list arguments;
    va_start(arguments, format);
    text_format_list(&said, format, arguments);
    va_end(arguments);
    text_clean(&clean, said.bytes, said.size);
    fflush(stdout);
    fprintf(stderr, "%s\n", clean.bytes);
    text_free(&said);
    text_free(&clean);
}

static void help(struct talk *talk, const char *argument)
{
    (void)talk;
    (void)argument;
    fflush(stdout);
    fputs("/mode [NAME]  answer in mode normal, sot or routed from now on; or say which it is\n"
          "/stats        times and tokens of the last answer\n"
          "/reset        forget the conversation\n"
          "/save FILE    write the conversation as JSON lines\n"
          "/load FILE    go on with such a file instead\n"
          "/quit         end, as Ctrl-D does\n"
          "//TEXT        ask a question that begins with a slash\n"
          "A line that ends with \\ goes on in the next one. Ctrl-C stops an answer.\n",
          stderr);
}

static void mode(struct talk *talk, const char *argument)
{
    uint32_t number = mode_number(argument);
    if (!argument[0]) {
        talk_remark(talk, "mode %s", mode_name(talk->asker.params.mode));
    } else if (number != SOT_MODE_DEFAULT) {
        talk->asker.params.mode = number;
        talk_remark(talk, "mode %s from now on", argument);
    } else {
        complain("/mode '%s': normal, sot or routed is expected", argument);
        talk_note_code(talk, EXIT_USAGE);
    }
}

static void stats(struct talk *talk, const char *argument)
{
    (void)argument;
    fflush(stdout);
    if (talk->last)
        print_stats(talk->last);
    size_t n_rounds = sot_chat_count(talk->chat);
    size_t n_dropped = sot_chat_dropped(talk->chat);
    fprintf(stderr, "%zu round%s", n_rounds, n_rounds == 1 ? "" : "s");
    if (n_dropped)
        fprintf(stderr, ", the oldest %zu no longer sent", n_dropped);
    fputc('\n', stderr);
}

static void reset(struct talk *talk, const char *argument)
{
    (void)argument;
    sot_chat_clear(talk->chat);
    talk_remark(talk, "a new conversation");
}

static void save(struct talk *talk, const char *argument)
{
    sot_status status = sot_chat_save(talk->chat, argument);
    if (status == SOT_OK)
        talk_remark(talk, "%zu rounds in %s", sot_chat_count(talk->chat), argument);
    else
        talk_note_code(talk, library_failed(status));
}

static void load(struct talk *talk, const char *argument)
{
    sot_chat *loaded;
    sot_status status = sot_chat_load(argument, &talk->chat_params, &loaded);
    if (status != SOT_OK) {
        talk_note_code(talk, library_failed(status));
        return;
    }
    sot_chat_free(talk->chat);
    talk->chat = loaded;
    talk_remark(talk, "%zu rounds from %s", sot_chat_count(loaded), argument);
}

static void quit(struct talk *talk, const char *argument)
{
    (void)argument;
    talk->ended = 1;
}

static const struct slash_command {
    const char *name;
    int takes; /* 0: nothing, 1: something or nothing, 2: something */
    void (*run)(struct talk *talk, const char *argument);
} commands[] = {
    {"/help", 0, help},   {"/load", 2, load}, {"/mode", 1, mode},   {"/quit", 0, quit},
    {"/reset", 0, reset}, {"/save", 2, save}, {"/stats", 0, stats},
};

void talk_command(struct talk *talk, const char *line)
{
    size_t name_size = strcspn(line, " \t");
    const char *argument = line + name_size + strspn(line + name_size, " \t");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct slash_command *command = &commands[i];
        if (strlen(command->name) != name_size || memcmp(command->name, line, name_size) != 0)
            continue;
        if (command->takes == 0 && argument[0])
            complain("%s takes nothing, '%s' was given", command->name, argument);
        else if (command->takes == 2 && !argument[0])
            complain("%s needs a file", command->name);
        else
            command->run(talk, argument);
        if ((command->takes == 0 && argument[0]) || (command->takes == 2 && !argument[0]))
            talk_note_code(talk, EXIT_USAGE);
        return;
    }
    complain("'%.*s' is no command; /help lists them, // begins a question with a slash",
             (int)name_size, line);
    talk_note_code(talk, EXIT_USAGE);
}
