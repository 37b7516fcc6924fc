/* "sot chat": a conversation, question by question, and what can be said besides (/help). */
#ifndef SOT_COMMAND_TALK_H
#define SOT_COMMAND_TALK_H

#include "asker.h"
#include "lines.h"

struct talk {
    struct asker asker;
    struct lines lines;
    sot_chat *chat;
    sot_chat_params chat_params;
    sot_answer *last; /* what /stats is about, or NULL */
    int for_people;   /* standard input is a terminal */
    int ended;
    int code; /* exit code: the first that was not EXIT_DONE */
};

/* Returns the exit code. */
int command_chat(const struct options *options);

/* What begins with a slash, ends with NULL. */
extern const char *const talk_command_names[];

/* Does what a line that begins with a slash says. */
void talk_command(struct talk *talk, const char *line);

/* A script's exit code is the first that is not EXIT_DONE; people have seen what went wrong. */
void talk_note_code(struct talk *talk, int code);

/* Prints a remark, unless --quiet, to standard error. */
void talk_remark(const struct talk *talk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
