/* The command line of "sot-eval run". */
#ifndef SOT_EVAL_RUN_OPTIONS_H
#define SOT_EVAL_RUN_OPTIONS_H

#include <sot/sot.h>

#include "../shared/answer_options.h"

struct run_options {
    const char *model, *questions, *directory;
    const char *modes_list;
    const char *ids, *category;
    const char *prompts_path;
    const char *device; /* NULL: not said */
    uint32_t limit;     /* 0: all */
    const char *router, *router_path;
    int json, quiet, concurrent, copy_weights, lock_weights;
    sot_session_params session;
    sot_generate_params generate;
    const char *modes[N_MODES]; /* (n_modes) "normal", "sot", "routed" */
    unsigned n_modes;
};

/* Returns -1 to go on, or the exit code of a program that is done. */
int run_options_parse(struct run_options *options, int argc, char **argv);

/* Whether this mode is to be run. */
int run_options_have(const struct run_options *options, const char *mode);

#endif
