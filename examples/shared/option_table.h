/* Command lines by tables: each command states its options as rows, from which parsing and the help
 * text come. What the values mean together is the command's to check. Start with struct
 * option_table. */
#ifndef SOT_SHARED_OPTION_TABLE_H
#define SOT_SHARED_OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* What the member that an option sets is: int, const char *, uint32_t, uint64_t, float, double. */
enum { OPTION_FLAG, OPTION_TEXT, OPTION_COUNT, OPTION_SEED, OPTION_REAL, OPTION_DOUBLE };

#define OPTION_COUNT_MOST 4294967295.0 /* what a count can be at most */

struct option_row {
    const char *name;
    char letter; /* 0: none */
    unsigned kind;
    size_t offset;      /* of its member of the structure of values */
    double least, most; /* of COUNT, REAL and DOUBLE */
    const char *value;  /* its name in the help text; NULL for a flag */
    const char *help;   /* lines separated by \n */
};

enum { OPTION_ROWS_MOST = 64, ARGUMENTS_MOST = 1 << 16 };

struct option_table {
    const char *name;  /* "sot-bench profile": where --help is to be had */
    const char *usage; /* the help text in front of the options, "Usage: …" and what it does */
    const struct option_row *rows; /* (n_rows) */
    size_t n_rows;                 /* at most OPTION_ROWS_MOST */
    void (*print_more)(void);      /* behind the options; NULL: nothing */
    const char *remarks;           /* the end of the help text */
    int most_arguments;            /* that are no options, at most ARGUMENTS_MOST */
};

/* What is given besides options. */
struct arguments {
    char **names;
    int n;
};

/* Sets members of *values, which the caller has filled with defaults; --help is known to every
 * table. Returns -1 to go on, or the exit code of a command that is done: after --help, or after
 * having said what is wrong. arguments may be NULL. */
int option_table_parse(const struct option_table *table, void *values, int argc, char **argv,
                       struct arguments *arguments);

/* What is given for the option named so, as a number from least to most. Returns -1, or EXIT_USAGE
 * after having said what is wrong. */
int option_parse_count(const char *name, const char *value, uint32_t least, uint32_t most,
                       uint32_t *out);

/* A list such as "a,c" for the option named so: bit i of *which is set where names[i] is in it.
 * Returns as above. */
int option_parse_names(const char *name, const char *list, const char *const *names, size_t n_names,
                       uint32_t *which);

#endif
