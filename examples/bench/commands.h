/* The commands of sot-bench (program.h says what a command is). A new one is a file NAME_command.c,
 * its declaration here and its row in commands.c. */
#ifndef SOT_BENCH_COMMANDS_H
#define SOT_BENCH_COMMANDS_H

#include "../shared/program.h"

int command_measure(int argc, char **argv); /* what there is without a command */
int command_profile(int argc, char **argv);
int command_estimate(int argc, char **argv);
int command_overhead(int argc, char **argv);

extern const struct command bench_commands[];

#endif
