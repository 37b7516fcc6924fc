/* The router of a run: which is asked, and what run.json says of it. */
#ifndef SOT_EVAL_RUN_ROUTER_H
#define SOT_EVAL_RUN_ROUTER_H

#include <jansson.h>
#include <sot/sot.h>

#include "run_options.h"

struct run_router {
    sot_router *trained; /* NULL: another one is asked */
    json_t *facts;       /* NULL: no mode is routed */
};

/* Loads what the options name and sets the router in *params. Returns -1 to go on, or an exit code
 * after having said what is wrong. */
int run_router_open(struct run_router *router, const struct run_options *options,
                    sot_generate_params *params);
void run_router_close(struct run_router *router);

#endif
