/* The commands of sot-bench. Each is a program of its own behind the dispatcher: it parses its
 * arguments (argv[0] is the command's name), prints to standard output, complains on standard
 * error, and returns an exit code; closing standard output is the dispatcher's. A new one is a file
 * NAME_command.c, its declaration here and its row in commands.c. */
#ifndef SOT_BENCH_COMMANDS_H
#define SOT_BENCH_COMMANDS_H

int command_measure(int argc, char **argv); /* what there is without a command */
int command_profile(int argc, char **argv);
int command_estimate(int argc, char **argv);
int command_overhead(int argc, char **argv);

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* a line for sot-bench --help */
};

/* NULL: there is no such command. */
const struct command *command_find(const char *name);
/* The lines of all commands, nothing where there are none. */
void commands_print(void);

#endif
