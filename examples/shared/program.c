/* The frame of every program: see program.h. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

int exit_code_of(sot_status status)
{
    complain("%s", sot_error_message()[0] ? sot_error_message() : sot_status_name(status));
    if (status == SOT_ERR_CANCELLED)
        return EXIT_INTERRUPTED;
    return status == SOT_ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

void commands_print(const struct command *commands, const char *prefix)
{
    size_t width = 0;
    for (const struct command *command = commands; command->name; command++)
        if (strlen(command->name) > width)
            width = strlen(command->name);
    for (const struct command *command = commands; command->name; command++)
        printf("  %s%-*s  %s\n", prefix, (int)width, command->name, command->help);
}

static void print_overview(const struct program *program)
{
    struct text prefix = {0};
    text_format(&prefix, "%s ", program->name);
    printf("Usage: %s COMMAND [options]\n\n", program->name);
    commands_print(program->commands, prefix.bytes);
    printf("\n  %s COMMAND --help  the options of a command\n"
           "  %s --version       the version\n",
           program->name, program->name);
    text_free(&prefix);
}

static int dispatch(const struct program *program, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    for (const struct command *command = program->commands; name && command->name; command++)
        if (strcmp(name, command->name) == 0)
            return command->run(argc - 1, argv + 1);
    if (program->run && (!name || name[0] == '-'))
        return program->run(argc, argv);
    if (name && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)) {
        print_overview(program);
        return EXIT_DONE;
    }
    if (name && strcmp(name, "--version") == 0) {
        printf("%s %s\n", program->name, sot_version_string());
        if (program->print_version)
            program->print_version();
        return EXIT_DONE;
    }
    if (name)
        complain("unknown command '%s' (see %s --help)", name, program->name);
    else
        complain("no command (see %s --help)", program->name);
    return EXIT_USAGE;
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

int program_main(const struct program *program, int argc, char **argv)
{
    program_name = program->name;
    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is reported as a failed write */
    return close_output(dispatch(program, argc, argv));
}
