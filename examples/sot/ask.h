/* "sot ask": loading, asking in one mode or both, and printing. */
#ifndef SOT_COMMAND_ASK_H
#define SOT_COMMAND_ASK_H

#include "../shared/text.h"
#include "options.h"

/* Returns the exit code. */
int command_ask(const struct options *options);

/* Reads the text that a command works on, from its argument or from standard input, where newlines
 * at the end are cut off. what names it in complaints. Returns -1 to go on, or an exit code. */
int input_read(const char *argument, const char *what, struct text *input);

#endif
