/* The command line: one table from which parsing and the help text come. */
#ifndef SOT_COMMAND_OPTIONS_H
#define SOT_COMMAND_OPTIONS_H

#include <sot/sot.h>

#include "../shared/answer_options.h"
#include "../shared/program.h"

enum { COMMAND_ASK = 1, COMMAND_INFO = 2, COMMAND_TOKENIZE = 4, COMMAND_CHAT = 8 };

/* Beside those of every program: sot(1). */
enum { EXIT_CONTEXT = 3 };

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
    int concurrent, keep_all, compare, json, stats, quiet, no_color, bos;
    int copy_weights, lock_weights;
    sot_session_params session;
    sot_generate_params generate;
};

/* Parses what follows the subcommand argv[0]. Returns -1 to go on, or the exit code of a program
 * that is done: after --help, or after having said what is wrong. */
int options_parse(struct options *options, unsigned command, int argc, char **argv);

#endif
