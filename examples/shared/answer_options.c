/* Names of modes and routers: see answer_options.h. */
#include "answer_options.h"

#include <string.h>

#include "program.h"
#include "text.h"

uint32_t model_flags(int copy_weights, int lock_weights)
{
    return (copy_weights ? (uint32_t)SOT_MODEL_COPY : 0) |
           (lock_weights ? (uint32_t)SOT_MODEL_LOCK : 0);
}

const char *const mode_names[N_MODES] = {"normal", "sot", "routed"};
static const uint32_t mode_numbers[N_MODES] = {SOT_MODE_NORMAL, SOT_MODE_SOT, SOT_MODE_ROUTED};

uint32_t mode_number(const char *name)
{
    for (int i = 0; i < N_MODES; i++)
        if (strcmp(mode_names[i], name) == 0)
            return mode_numbers[i];
    return SOT_MODE_DEFAULT;
}

const char *mode_name(uint32_t mode)
{
    for (int i = 0; i < N_MODES; i++)
        if (mode_numbers[i] == mode)
            return mode_names[i];
    return "sot";
}

static uint32_t router_number(const char *name)
{
    static const char *const names[] = {
        [SOT_ROUTER_PROMPTING] = "prompting",
        [SOT_ROUTER_TRAINED] = "trained",
        [SOT_ROUTER_ALWAYS] = "always",
        [SOT_ROUTER_NEVER] = "never",
    };
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] && strcmp(names[i], name) == 0)
            return i;
    return SOT_ROUTER_DEFAULT;
}

int router_choose(sot_generate_params *params, const char **name, const char *path)
{
    if (!*name)
        *name = path ? "trained" : "prompting";
    params->router = router_number(*name);
    if (params->router == SOT_ROUTER_DEFAULT) {
        complain("--router '%s': prompting, trained, always or never is expected", *name);
        return EXIT_USAGE;
    }
    if (path && params->router != SOT_ROUTER_TRAINED) {
        complain("--router-file is for the trained router, not for --router %s", *name);
        return EXIT_USAGE;
    }
    return -1;
}
