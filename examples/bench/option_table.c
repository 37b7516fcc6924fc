/* Parsing by tables: see option_table.h. */
#include "option_table.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sot/text.h"
#include "bench_options.h"

enum { FIRST_VALUE = 1000 }; /* getopt_long returns this for the first row, above all letters */

void option_table_print(const struct option_table *table)
{
    for (const struct option_row *row = table->rows; row < table->rows + table->n_rows; row++) {
        char left[64];
        char letter[] = {row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
                         row->letter ? ',' : ' ', '\0'};
        snprintf(left, sizeof left, "  %s --%s %s", letter, row->name,
                 row->value ? row->value : "");
        for (const char *line = row->help; line;) {
            const char *end = strchr(line, '\n');
            printf("%-30s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line), line);
            left[0] = '\0';
            line = end ? end + 1 : NULL;
        }
    }
}

int option_parse_count(const char *name, const char *value, uint32_t least, uint32_t most,
                       uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < least || number > most) {
        complain("--%s '%s': a whole number from %u to %u is expected", name, value, least, most);
        return EXIT_USAGE;
    }
    *out = (uint32_t)number;
    return -1;
}

static int set_option(const struct option_row *row, const char *value, void *values)
{
    void *out = (char *)values + row->offset;
    if (row->kind == OPTION_COUNT)
        return option_parse_count(row->name, value, row->least, row->most, out);
    if (row->kind == OPTION_FLAG)
        *(int *)out = 1;
    else
        *(const char **)out = value;
    return -1;
}

static const struct option_row *find_letter(const struct option_table *table, int letter)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (letter && table->rows[i].letter == letter)
            return &table->rows[i];
    return NULL;
}

/* Which option getopt_long stumbled over: optopt is the value of a known one, the letter of an
 * unknown short one, and 0 for an unknown long one, which is the argument before optind then. */
static int refuse(const struct option_table *table, int result, char **argv)
{
    const char *program = table->program;
    if (optopt >= FIRST_VALUE)
        complain(result == ':' ? "--%s needs a value (see %s --help)"
                               : "--%s takes no value (see %s --help)",
                 table->rows[optopt - FIRST_VALUE].name, program);
    else if (result == ':' && find_letter(table, optopt))
        complain("-%c needs a value (see %s --help)", optopt, program);
    else if (optopt)
        complain("unknown option '-%c' (see %s --help)", optopt, program);
    else
        complain("unknown or ambiguous option '%s' (see %s --help)", argv[optind - 1], program);
    return EXIT_USAGE;
}

int option_table_parse(const struct option_table *table, void *out, int argc, char **argv)
{
    struct option longs[OPTION_ROWS_MOST + 1] = {0};
    char shorts[2 * OPTION_ROWS_MOST + 2] = ":";
    size_t n_shorts = 1;
    for (size_t i = 0; i < table->n_rows && i < OPTION_ROWS_MOST; i++) {
        const struct option_row *row = &table->rows[i];
        int has_argument = row->kind == OPTION_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){row->name, has_argument, NULL, FIRST_VALUE + (int)i};
        if (row->letter) {
            shorts[n_shorts++] = row->letter;
            if (has_argument == required_argument)
                shorts[n_shorts++] = ':';
        }
    }
    opterr = 0;
    for (;;) {
        int result = getopt_long(argc, argv, shorts, longs, NULL);
        if (result == -1)
            break;
        if (result == '?' || result == ':')
            return refuse(table, result, argv);
        const struct option_row *row =
            result >= FIRST_VALUE ? &table->rows[result - FIRST_VALUE] : find_letter(table, result);
        int code = set_option(row, optarg, out);
        if (code >= 0)
            return code;
    }
    if (optind < argc) {
        complain("'%s' is no command and no option (see %s --help)", argv[optind], table->program);
        return EXIT_USAGE;
    }
    return -1;
}
