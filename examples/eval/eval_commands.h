/* The subcommands of sot-eval. Each gets its own name as argv[0], like a program, and returns an
 * exit code; what it prints on standard output is flushed and checked by main. */
#ifndef SOT_EVAL_COMMANDS_H
#define SOT_EVAL_COMMANDS_H

int command_run(int argc, char **argv);
int command_report(int argc, char **argv);
int command_judge_pairs(int argc, char **argv);
int command_win_rate(int argc, char **argv);

#endif
