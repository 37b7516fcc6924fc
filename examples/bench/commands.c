/* The table of commands: see commands.h. */
#include "commands.h"

#include <stddef.h>

const struct command bench_commands[] = {
    {"profile", command_profile, "measure the latency model's tables"},
    {"estimate", command_estimate, "from a profile: what SoT is worth for given lengths"},
    {"prefill-overhead", command_overhead,
     "prompt tokens computed a question (the paper's Table 7)"},
    {NULL, NULL, NULL},
};
