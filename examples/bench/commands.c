/* The table of commands: see commands.h. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"profile", command_profile, "measure the latency model's tables"},
    {"estimate", command_estimate, "from a profile: what SoT is worth for given lengths"},
    {"prefill-overhead", command_overhead,
     "prompt tokens computed a question (the paper's Table 7)"},
    {NULL, NULL, NULL},
};

const struct command *command_find(const char *name)
{
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

void commands_print(void)
{
    if (!commands[0].name)
        return;
    printf("\nCommands (sot-bench COMMAND --help has their options):\n");
    for (const struct command *command = commands; command->name; command++)
        printf("  %-18s %s\n", command->name, command->help);
}
