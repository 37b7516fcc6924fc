/* Command lines by tables: each command states its options as rows, from which parsing and the help
 * text come. What the values mean together is the command's to check. */
#ifndef SOT_BENCH_OPTION_TABLE_H
#define SOT_BENCH_OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Kinds of options and what they fill: int, const char *, uint32_t. */
enum { OPTION_FLAG, OPTION_TEXT, OPTION_COUNT };

struct option_row {
    const char *name;
    char letter; /* 0: none */
    unsigned kind;
    size_t offset;        /* of its member of the command's struct */
    uint32_t least, most; /* of OPTION_COUNT */
    const char *value;    /* its name in the help text */
    const char *help;     /* lines, separated by newlines */
};

struct option_table {
    const char *program; /* "sot-bench profile": where --help is to be had */
    const struct option_row *rows;
    size_t n_rows;
};

enum { OPTION_ROWS_MOST = 64 };

/* Fills the members of the zeroed struct at out. Returns -1, or EXIT_USAGE after having said what
 * is wrong; an argument that is no option is. */
int option_table_parse(const struct option_table *table, void *out, int argc, char **argv);

/* What is given for the option named so, as a number from least to most; else as above. */
int option_parse_count(const char *name, const char *value, uint32_t least, uint32_t most,
                       uint32_t *out);

void option_table_print(const struct option_table *table);

#endif
