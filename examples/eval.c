/* sot-eval: runs question files through normal generation and Skeleton-of-Thought and evaluates the
 * answers. sot-eval(1) is its manual. Here is the table of subcommands; each begins in a file
 * of eval/. It is a client of the public header like any other program. */
#include <sot/sot.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/eval_commands.h"
#include "eval/eval_options.h"
#include "sot/text.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", command_run, "answer a file of questions in each mode and record everything"},
    {"report", command_report, "show what runs came to, beside the paper's numbers"},
    {"judge-pairs", command_judge_pairs, "write prompts for a judge, in both orders"},
    {"win-rate", command_win_rate, "sum up a judge's verdicts"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_overview(void)
{
    printf("Usage: sot-eval COMMAND [options]\n\n");
    for (const struct command *command = commands; command < commands + N_COMMANDS; command++)
        printf("  sot-eval %-12s %s\n", command->name, command->help);
    printf("\n  sot-eval COMMAND --help  the options of a command\n"
           "  sot-eval --version       the version\n");
}

/* A file opened later must not become standard output: closed descriptors are filled with ones that
 * fail when they are used. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_FAILED);
}

/* A disk that is full or a pipe that is closed shows at the latest here. */
static int close_output(int code)
{
    int had_error = ferror(stdout);
    if (fclose(stdout) != 0 || had_error) {
        complain("cannot write to standard output: %s", strerror(errno));
        return code == EXIT_DONE ? EXIT_FAILED : code;
    }
    return code;
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        complain("no command (see sot-eval --help)");
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview();
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("sot-eval %s\n", sot_version_string());
        return EXIT_DONE;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    complain("unknown command '%s' (see sot-eval --help)", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    program_name = "sot-eval";
    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is reported as a failed write */
    return close_output(dispatch(argc, argv));
}
