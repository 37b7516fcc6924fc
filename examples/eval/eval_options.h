/* The command line of every subcommand of sot-eval: a table of options each, from which parsing and
 * the help text come. Exit codes: sot-eval(1). */
#ifndef SOT_EVAL_OPTIONS_H
#define SOT_EVAL_OPTIONS_H

#include <sot/sot.h>
#include <stddef.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* What the member that an option sets is: int, const char *, uint32_t, uint64_t, float, double. */
enum { OPTION_FLAG, OPTION_TEXT, OPTION_COUNT, OPTION_SEED, OPTION_REAL, OPTION_DOUBLE };

struct option_row {
    const char *name;
    char letter; /* 0: none */
    unsigned kind;
    size_t offset;      /* of its member of the structure of values */
    double least, most; /* of COUNT, REAL and DOUBLE */
    const char *value;  /* its name in the help text; NULL for a flag */
    const char *help;   /* lines separated by \n */
};

struct option_table {
    const char *command; /* "run" */
    const char *usage;   /* the help text in front of the options, "Usage: …" and what it does */
    const char *remarks; /* behind them; NULL: nothing */
    const struct option_row *rows;
    size_t n_rows;
    int most_arguments; /* that are no options */
};

/* What is given besides options. */
struct arguments {
    char **names;
    int n;
};

/* Sets members of *values, which the caller has filled with defaults; --help is known to every
 * table. Returns -1 to go on, or the exit code of a command that is done: after --help, or after
 * having said what is wrong. */
int option_table_parse(const struct option_table *table, void *values, int argc, char **argv,
                       struct arguments *arguments);

/* Says what the library's last failure was; the exit code for it. */
int exit_code_of(sot_status status);

#endif
