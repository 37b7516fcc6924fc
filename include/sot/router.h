/* The router of SoT-R (paper §4, App. C): whether a question suits Skeleton-of-Thought. sot.h
 * includes this file; its rules hold here, too. */
#ifndef SOT_ROUTER_H
#define SOT_ROUTER_H

#include "sot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What was decided. */
enum {
    SOT_LABEL_UNDECIDED = 0, /* the model's answer is neither A nor B nor C: answered normally */
    SOT_LABEL_NORMAL = 1,
    SOT_LABEL_SOT = 2
};

struct sot_decision {
    uint32_t struct_size;
    uint32_t router;   /* SOT_ROUTER_* that decided; SOT_ROUTER_DEFAULT: none was asked */
    uint32_t label;    /* SOT_LABEL_* */
    uint32_t letter;   /* prompting: 'A', 'B', 'C', or 0 where the model said something else */
    float score;       /* from 0 to 1, how well SoT suits. Prompting: the probability of A among A,
                          B and C; trained: the classifier's; always 1, never 0; callback: its own */
    uint32_t n_tokens; /* prompting: tokens the model wrote for it */
    uint64_t latency_ns; /* from the beginning of the call, or of routing, to the decision */
};
#define SOT_DECISION_INIT SOT_STRUCT_INIT(sot_decision)

#ifdef __cplusplus
}
#endif

#endif
