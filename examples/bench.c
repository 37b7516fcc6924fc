/* sot-bench: measures the machine and the library. sot-bench(1) is its manual. Its commands
 * are listed in bench/commands.c; what there is without one is bench/measure_command.c. It is a
 * client of the public header like any other program. */
#include "bench/commands.h"

int main(int argc, char **argv)
{
    static const struct program bench = {
        .name = "sot-bench", .commands = bench_commands, .run = command_measure};
    return program_main(&bench, argc, argv);
}
