/* Parsing by tables: see option_table.h. */
#include "option_table.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "text.h"

enum { FIRST_VALUE = 1000 }; /* getopt_long returns this for the first row, above all letters */

static const struct option_row help_row = {"help", 'h', OPTION_FLAG, 0,
                                           0,      0,   NULL,        "print this help"};

/* The rows of a table, and help as the last of all. */
static const struct option_row *row_at(const struct option_table *table, size_t i)
{
    return i < table->n_rows ? &table->rows[i] : &help_row;
}

static const struct option_row *find_letter(const struct option_table *table, int letter)
{
    for (size_t i = 0; i <= table->n_rows; i++)
        if (letter && row_at(table, i)->letter == letter)
            return row_at(table, i);
    return NULL;
}

/* ---- The help text -----------------------------------------------------------------------------
 */

static void print_row(const struct option_row *row)
{
    char left[64];
    char letter[] = {row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
                     row->letter ? ',' : ' ', '\0'};
    snprintf(left, sizeof left, "  %s --%s %s", letter, row->name, row->value ? row->value : "");
    for (const char *line = row->help; line;) {
        const char *end = strchr(line, '\n');
        printf("%-30s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line), line);
        left[0] = '\0';
        line = end ? end + 1 : NULL;
    }
}

static void print_help(const struct option_table *table)
{
    printf("%s\n", table->usage);
    for (size_t i = 0; i <= table->n_rows; i++)
        print_row(row_at(table, i));
    if (table->print_more)
        table->print_more();
    if (table->remarks)
        printf("\n%s", table->remarks);
}

/* ---- Values ------------------------------------------------------------------------------------
 */

static int parse_whole(const char *name, const char *value, uint64_t least, uint64_t most,
                       uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < least || number > most) {
        complain("--%s '%s': a whole number from %llu to %llu is expected", name, value,
                 (unsigned long long)least, (unsigned long long)most);
        return EXIT_USAGE;
    }
    *out = number;
    return -1;
}

int option_parse_count(const char *name, const char *value, uint32_t least, uint32_t most,
                       uint32_t *out)
{
    uint64_t number;
    int code = parse_whole(name, value, least, most, &number);
    if (code < 0)
        *out = (uint32_t)number;
    return code;
}

static int parse_real(const struct option_row *row, const char *value, double *out)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !(number >= row->least && number <= row->most)) {
        complain("--%s '%s': a number from %g to %g is expected", row->name, value, row->least,
                 row->most);
        return EXIT_USAGE;
    }
    *out = number;
    return -1;
}

static int set_real(void *out, const struct option_row *row, const char *value)
{
    double real;
    int code = parse_real(row, value, &real);
    if (code < 0 && row->kind == OPTION_DOUBLE)
        *(double *)out = real;
    else if (code < 0)
        *(float *)out = (float)real;
    return code;
}

static int set_option(void *values, const struct option_row *row, const char *value)
{
    void *out = (char *)values + row->offset;
    switch (row->kind) {
    case OPTION_FLAG:
        *(int *)out = 1;
        return -1;
    case OPTION_TEXT:
        *(const char **)out = value;
        return -1;
    case OPTION_COUNT:
        return option_parse_count(row->name, value, (uint32_t)row->least, (uint32_t)row->most, out);
    case OPTION_SEED:
        return parse_whole(row->name, value, 0, UINT64_MAX, out);
    default:
        return set_real(out, row, value);
    }
}

static void complain_of_name(const char *name, const char *given, size_t size,
                             const char *const *names, size_t n_names)
{
    struct text all = {0};
    for (size_t i = 0; i < n_names; i++)
        text_format(&all, "%s%s", i ? "," : "", names[i]);
    complain("--%s '%.*s': some of %s are expected", name, (int)size, given, all.bytes);
    text_free(&all);
}

int option_parse_names(const char *name, const char *list, const char *const *names, size_t n_names,
                       uint32_t *which)
{
    *which = 0;
    for (const char *at = list; at;) {
        size_t size = strcspn(at, ",");
        size_t i = 0;
        while (i < n_names && (strlen(names[i]) != size || memcmp(names[i], at, size) != 0))
            i++;
        if (i == n_names) {
            complain_of_name(name, at, size, names, n_names);
            return EXIT_USAGE;
        }
        *which |= 1u << i;
        at = at[size] ? at + size + 1 : NULL;
    }
    return -1;
}

/* ---- The command line --------------------------------------------------------------------------
 */

/* Which option getopt_long stumbled over: optopt is the value of a known one, its letter, the
 * letter of an unknown short one, and 0 for an unknown long one, which is the argument before
 * optind then. */
static int refuse(const struct option_table *table, int result, char **argv)
{
    if (optopt >= FIRST_VALUE)
        complain(result == ':' ? "--%s needs a value (see %s --help)"
                               : "--%s takes no value (see %s --help)",
                 row_at(table, (size_t)(optopt - FIRST_VALUE))->name, table->name);
    else if (optopt && result == ':')
        complain("-%c needs a value (see %s --help)", optopt, table->name);
    else if (optopt)
        complain("unknown option '-%c' (see %s --help)", optopt, table->name);
    else
        complain("unknown or ambiguous option '%s' (see %s --help)", argv[optind - 1], table->name);
    return EXIT_USAGE;
}

/* What getopt_long needs of a table. */
static void describe(const struct option_table *table, struct option *longs, char *shorts)
{
    *shorts++ = ':';
    for (size_t i = 0; i <= table->n_rows; i++) {
        const struct option_row *row = row_at(table, i);
        int takes = row->kind == OPTION_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){row->name, takes, NULL, FIRST_VALUE + (int)i};
        if (row->letter)
            *shorts++ = row->letter;
        if (row->letter && takes == required_argument)
            *shorts++ = ':';
    }
    *shorts = '\0';
}

int option_table_parse(const struct option_table *table, void *values, int argc, char **argv,
                       struct arguments *arguments)
{
    struct option longs[OPTION_ROWS_MOST + 2] = {0};
    char shorts[2 * OPTION_ROWS_MOST + 4];
    if (table->n_rows > OPTION_ROWS_MOST) {
        complain("%s: more than %d options", table->name, OPTION_ROWS_MOST);
        return EXIT_FAILED;
    }
    describe(table, longs, shorts);
    opterr = 0;
    for (;;) {
        int result = getopt_long(argc, argv, shorts, longs, NULL);
        if (result == -1)
            break;
        if (result == '?' || result == ':')
            return refuse(table, result, argv);
        const struct option_row *row = result >= FIRST_VALUE
                                           ? row_at(table, (size_t)(result - FIRST_VALUE))
                                           : find_letter(table, result);
        if (row == &help_row) {
            print_help(table);
            return EXIT_DONE;
        }
        int code = set_option(values, row, optarg);
        if (code >= 0)
            return code;
    }
    if (argc - optind > table->most_arguments) {
        complain("unexpected argument '%s' (see %s --help)", argv[optind + table->most_arguments],
                 table->name);
        return EXIT_USAGE;
    }
    if (arguments)
        *arguments = (struct arguments){argv + optind, argc - optind};
    return -1;
}
