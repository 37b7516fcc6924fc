/* Where the lines of "sot chat" come from: a terminal, with editing, history and completion where
 * the program was built with libedit, or whatever standard input is. */
#ifndef SOT_COMMAND_LINES_H
#define SOT_COMMAND_LINES_H

#include "../shared/text.h"

enum { LINE_FAILED = -2, LINE_INTERRUPTED = -1, LINE_END = 0, LINE_READ = 1 };

struct editor; /* editor.h */

struct lines {
    int on_terminal; /* standard input is one: there are prompts */
    struct editor *editor;
    struct text unread; /* of standard input, behind what was handed out */
    int at_end;
};

/* edit: standard input and output are a terminal that can place text. words (ends with NULL) are
 * what Tab completes at the beginning of a line. */
void lines_open(struct lines *lines, int edit, const char *const *words);
void lines_close(struct lines *lines);

/* Reads the next line, without its end, into *line; returns LINE_*. After a Ctrl-C the line under
 * way is gone, and what follows may be read. A failure has been said. */
int lines_read(struct lines *lines, const char *prompt, struct text *line);

/* What the program edits lines with, for --version. */
const char *lines_editor_name(void);

#endif
