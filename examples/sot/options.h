/* The command line: one table from which parsing and the help text come. */
#ifndef SOT_COMMAND_OPTIONS_H
#define SOT_COMMAND_OPTIONS_H

#include <sot/sot.h>

enum { COMMAND_ASK = 1, COMMAND_INFO = 2, COMMAND_TOKENIZE = 4, COMMAND_CHAT = 8 };

/* Exit codes: sot(1). */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONTEXT = 3, EXIT_INTERRUPTED = 130 };

struct options {
    unsigned command; /* COMMAND_* */
    const char *model;
    const char *argument; /* question or text; NULL and "-": standard input */
    const char *mode;
    const char *router;
    const char *router_path;
    const char *prompts_path;
    const char *device; /* NULL: not said */
    const char *load_path;
    uint32_t reserve_tokens;
    int concurrent, keep_all, compare, json, stats, quiet, no_color, help, bos;
    sot_session_params session;
    sot_generate_params generate;
};

/* Parses what follows the subcommand argv[0]. Returns -1 to go on, or the exit code of a program
 * that is done: after --help, or after having said what is wrong. */
int options_parse(struct options *options, unsigned command, int argc, char **argv);

/* *mode is SOT_MODE_* of that name. Returns 0 where it is none. */
int options_find_mode(const char *name, uint32_t *mode);
/* The name of SOT_MODE_*. */
const char *options_mode_name(uint32_t mode);

/* The text of "sot --help". */
void print_overview(void);

#endif
