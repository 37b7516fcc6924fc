/* sot-eval: runs question files through normal generation and Skeleton-of-Thought and evaluates the
 * answers. sot-eval(1) is its manual. Here is the table of commands; each begins in a file of
 * eval/. It is a client of the public header like any other program. */
#include <stddef.h>

#include "eval/eval_commands.h"
#include "shared/program.h"

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"run", command_run, "answer a file of questions in each mode and record everything"},
        {"report", command_report, "show what runs came to, beside the paper's numbers"},
        {"judge-pairs", command_judge_pairs, "write prompts for a judge, in both orders"},
        {"win-rate", command_win_rate, "sum up a judge's verdicts"},
        {NULL, NULL, NULL},
    };
    static const struct program eval = {.name = "sot-eval", .commands = commands};
    return program_main(&eval, argc, argv);
}
