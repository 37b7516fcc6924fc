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
    SOT_LABEL_NORMAL = 1,    /* a normal answer suits */
    SOT_LABEL_SOT = 2        /* Skeleton-of-Thought suits */
};

/* A decision and what it rests on. Since 0.1. */
struct sot_decision {
    uint32_t struct_size;
    uint32_t router;   /* SOT_ROUTER_* that decided; SOT_ROUTER_DEFAULT: none was asked */
    uint32_t label;    /* SOT_LABEL_* */
    uint32_t letter;   /* prompting: 'A', 'B', 'C', or 0 where the model said something else */
    float score;       /* from 0 to 1, how well SoT suits. Prompting: the probability of A among A,
                          B and C, 1 or 0 where the letter had to be read from a longer text;
                          trained: the classifier's; always 1, never 0; callback: its own */
    uint32_t n_tokens; /* prompting: tokens the model wrote for it */
    uint64_t latency_ns; /* from the beginning of the call to the decision */
};
#define SOT_DECISION_INIT SOT_STRUCT_INIT(sot_decision)

/* Decides whether a question suits SoT; params->router says who is asked. The prompting router lets
 * the model choose among A, B and C (paper App. C.1), greedily, behind history and system message:
 * A is SoT, B and C are normal. Where one of the letters is the likeliest token, that is one pass
 * behind the prompt; otherwise the model writes up to 8 tokens, of which the first word decides.
 * mode, limits, stops and sampling do not apply; events are those of stage ROUTE.
 * Fills the first struct_size bytes of *decision; undecided where no decision fell.
 * Returns as sot_generate does; CONTEXT_FULL where the question to the model has no room.
 * Since 0.1. */
SOT_API sot_status sot_route(sot_session *session, const char *question,
                             const sot_generate_params *params, sot_decision *decision);

/* The decision behind an answer in routed mode; of any other answer router is SOT_ROUTER_DEFAULT.
 * Fills the first struct_size bytes of *decision. Returns ARGUMENT. Since 0.1. */
SOT_API sot_status sot_answer_get_decision(const sot_answer *answer, sot_decision *decision);

/* A trained router: a classifier read from a file of at most 512 KiB. Immutable, for all threads.
 * The one that is installed with the library was trained on LIMA, whose licence (CC BY-NC-SA) it
 * carries; see examples/router/README.md for what it is good for. */

/* Loads a trained router. path NULL: the installed one, sot/lima.router in the data folder (share),
 * looked for from the library's own file, where the build was configured to install it, and in
 * /usr/share.
 * The file is read whole and not needed any more afterwards.
 * Returns ARGUMENT, MEMORY, IO (also: none is installed; the sentence names the places), FORMAT,
 * UNSUPPORTED (another version of the format). The caller owns *out. Since 0.1. */
SOT_API sot_status sot_router_load(const char *path, sot_router **out);

/* NULL: nothing. No session may be routing by it. Since 0.1. */
SOT_API void sot_router_free(sot_router *router);

/* Classifies a question of size bytes, which may be any bytes; the first 16,384 are read. *score:
 * from 0 to 1, how well SoT suits it; *label: SOT_LABEL_SOT where the score reaches the threshold
 * that the file states, otherwise SOT_LABEL_NORMAL. Either may be NULL. Takes well under 1 ms.
 * Returns ARGUMENT, MEMORY; then *score is 0 and *label SOT_LABEL_UNDECIDED. Since 0.1. */
SOT_API sot_status sot_router_classify(const sot_router *router, const char *question, size_t size,
                                       float *score, uint32_t *label);

#ifdef __cplusplus
}
#endif

#endif
