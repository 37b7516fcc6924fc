/* The trained router (paper App. C.2): a linear classifier over the features of a question. What it
 * knows comes from a file (router_file.h); it is immutable and may be used by many threads. */
#ifndef SOTI_SOT_CLASSIFIER_H
#define SOTI_SOT_CLASSIFIER_H

#include <stddef.h>
#include <stdint.h>

#include "sot/question_features.h"
#include "sot/sot.h"

typedef struct soti_router_weight {
    uint32_t feature;
    float weight;
} soti_router_weight;

struct sot_router {
    soti_lexicon lexicon;
    soti_router_weight *weights; /* (n_weights), ascending by feature; all others weigh 0 */
    uint32_t n_weights;
    float scales[SOTI_FEATURE_FAMILIES];
    float bias;
    float threshold; /* between 0 and 1: SoT from this score on */
};

/* *score: from 0 to 1, how well SoT suits text, which may be any bytes, none included. Returns
 * MEMORY. */
sot_status soti_classifier_score(const sot_router *router, const char *text, size_t size,
                                 float *score);

/* SOT_LABEL_SOT or SOT_LABEL_NORMAL. */
uint32_t soti_classifier_label(const sot_router *router, float score);

void soti_classifier_free(sot_router *router); /* NULL: nothing */

#endif
