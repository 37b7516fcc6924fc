/* sot-bench: measures the machine and the library. sot-bench(1) is its manual. Here a command
 * is chosen and standard output closed; bench/commands.h lists the commands, and what there is
 * without one is bench/measure_command.c. It is a client of the public header like any other
 * program. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench_options.h"
#include "bench/commands.h"
#include "sot/text.h"

int main(int argc, char **argv)
{
    program_name = "sot-bench";
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is reported as a failed write */
    const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
    int code = command ? command->run(argc - 1, argv + 1) : command_measure(argc, argv);
    int had_error = ferror(stdout);
    if (fclose(stdout) != 0 || had_error) {
        complain("cannot write to standard output: %s", strerror(errno));
        return code == EXIT_DONE ? EXIT_FAILED : code;
    }
    return code;
}
