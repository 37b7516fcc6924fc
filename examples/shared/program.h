/* What the mains of the programs have in common: a table of commands, exit codes, and the care for
 * standard output. */
#ifndef SOT_SHARED_PROGRAM_H
#define SOT_SHARED_PROGRAM_H

#include <sot/sot.h>

/* Exit codes; sot(1) has one more, which is sot's alone. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Each is a program of its own behind the dispatcher: it parses its arguments (argv[0] is the
 * command's name), prints to standard output, complains on standard error, and returns an exit
 * code. Standard output is closed, and checked, behind it. */
struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* a line for the program's --help */
};

struct program {
    const char *name;
    const struct command *commands;    /* the last one has no name */
    int (*run)(int argc, char **argv); /* what there is without a command; NULL: nothing */
    void (*print_version)(void);       /* what --version says besides; NULL: nothing */
};

/* All that main does. Returns the exit code. */
int program_main(const struct program *program, int argc, char **argv);

/* A line for each command: "  PREFIXNAME  HELP". */
void commands_print(const struct command *commands, const char *prefix);

/* Says what the library's last failure was; the exit code for it. */
int exit_code_of(sot_status status);

#endif
