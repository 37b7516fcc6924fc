/* Parsing a command line by its table: see eval_options.h. */
#include "eval_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sot/text.h"

enum { FIRST_VALUE = 1000, ROWS_MOST = 64 };

static const struct option_row help_row = {"help", 'h', OPTION_FLAG, 0,
                                           0,      0,   NULL,        "print this help"};

static void print_row(const struct option_row *row)
{
    char left[64];
    char letter[] = {row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
                     row->letter ? ',' : ' ', '\0'};
    snprintf(left, sizeof left, "  %s --%s %s", letter, row->name, row->value ? row->value : "");
    for (const char *line = row->help; line;) {
        const char *end = strchr(line, '\n');
        printf("%-32s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line), line);
        left[0] = '\0';
        line = end ? end + 1 : NULL;
    }
}

static void print_help(const struct option_table *table)
{
    printf("%s\n", table->usage);
    for (size_t i = 0; i < table->n_rows; i++)
        print_row(&table->rows[i]);
    print_row(&help_row);
    if (table->remarks)
        printf("\n%s", table->remarks);
}

static int parse_count(const struct option_row *row, const char *value, uint64_t *out)
{
    uint64_t most = row->kind == OPTION_SEED ? UINT64_MAX : (uint64_t)row->most;
    uint64_t least = row->kind == OPTION_SEED ? 0 : (uint64_t)row->least;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < least || number > most) {
        complain("--%s '%s': a whole number from %llu to %llu is expected", row->name, value,
                 (unsigned long long)least, (unsigned long long)most);
        return EXIT_USAGE;
    }
    *out = number;
    return -1;
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

static int set_option(void *values, const struct option_row *row, const char *value)
{
    void *out = (char *)values + row->offset;
    uint64_t number = 0;
    double real = 0;
    int code = -1;
    if (row->kind == OPTION_COUNT || row->kind == OPTION_SEED)
        code = parse_count(row, value, &number);
    else if (row->kind == OPTION_REAL || row->kind == OPTION_DOUBLE)
        code = parse_real(row, value, &real);
    if (code >= 0)
        return code;
    if (row->kind == OPTION_FLAG)
        *(int *)out = 1;
    else if (row->kind == OPTION_TEXT)
        *(const char **)out = value;
    else if (row->kind == OPTION_COUNT)
        *(uint32_t *)out = (uint32_t)number;
    else if (row->kind == OPTION_SEED)
        *(uint64_t *)out = number;
    else if (row->kind == OPTION_REAL)
        *(float *)out = (float)real;
    else
        *(double *)out = real;
    return -1;
}

/* Which option getopt_long stumbled over: optopt is the value of a known one, its letter, the
 * letter of an unknown short one, and 0 for an unknown long one, which is the argument before
 * optind then. */
static int refuse(const struct option_table *table, int result, char **argv)
{
    const char *name = table->command;
    if (optopt >= FIRST_VALUE) {
        size_t i = (size_t)(optopt - FIRST_VALUE);
        const struct option_row *row = i < table->n_rows ? &table->rows[i] : &help_row;
        complain(result == ':' ? "--%s needs a value (see sot-eval %s --help)"
                               : "--%s takes no value (see sot-eval %s --help)",
                 row->name, name);
    } else if (optopt && result == ':') {
        complain("-%c needs a value (see sot-eval %s --help)", optopt, name);
    } else if (optopt) {
        complain("unknown option '-%c' (see sot-eval %s --help)", optopt, name);
    } else {
        complain("unknown or ambiguous option '%s' (see sot-eval %s --help)", argv[optind - 1],
                 name);
    }
    return EXIT_USAGE;
}

/* What getopt_long needs of a table; help is the last row of all. */
static void describe(const struct option_table *table, struct option *longs, char *shorts)
{
    *shorts++ = ':';
    for (size_t i = 0; i <= table->n_rows; i++) {
        const struct option_row *row = i < table->n_rows ? &table->rows[i] : &help_row;
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
    struct option longs[ROWS_MOST + 2] = {0};
    char shorts[2 * ROWS_MOST + 4];
    if (table->n_rows > ROWS_MOST) {
        complain("%s: more than %d options", table->command, ROWS_MOST);
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
        size_t i_row = result < FIRST_VALUE ? table->n_rows : (size_t)(result - FIRST_VALUE);
        for (size_t i = 0; result < FIRST_VALUE && i < table->n_rows; i++)
            if (table->rows[i].letter == result)
                i_row = i;
        if (i_row == table->n_rows) {
            print_help(table);
            return EXIT_DONE;
        }
        int code = set_option(values, &table->rows[i_row], optarg);
        if (code >= 0)
            return code;
    }
    if (argc - optind > table->most_arguments) {
        complain("unexpected argument '%s' (see sot-eval %s --help)",
                 argv[optind + table->most_arguments], table->command);
        return EXIT_USAGE;
    }
    if (arguments)
        *arguments = (struct arguments){argv + optind, argc - optind};
    return -1;
}

int exit_code_of(sot_status status)
{
    complain("%s", sot_error_message()[0] ? sot_error_message() : sot_status_name(status));
    if (status == SOT_ERR_CANCELLED)
        return EXIT_INTERRUPTED;
    return status == SOT_ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}
