/* See classifier.h. The logit is bias + the sum over families f of scale_f / sqrt(n_f) times the
 * weights of its n_f features, so that a long question's many features weigh as much as a short
 * one's few. */
#include "sot/classifier.h"

#include <math.h>

#include "base/alloc.h"

typedef struct reading {
    soti_question_words words;
    soti_question_features features;
} reading;

static float find_weight(const sot_router *router, uint32_t feature)
{
    size_t low = 0;
    size_t high = router->n_weights;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (router->weights[middle].feature == feature) {
            return router->weights[middle].weight;
        }
        if (router->weights[middle].feature < feature) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0.0f;
}

sot_status soti_classifier_score(const sot_router *router, const char *text, size_t size,
                                 float *score)
{
    *score = 0.0f;
    reading *r = soti_alloc(1, sizeof *r); /* too large for a host's thread's stack */
    if (r == NULL) {
        return SOT_ERR_MEMORY;
    }
    soti_question_words_read(text, size, &router->lexicon, &r->words);
    soti_question_features_make(text, &r->words, &router->lexicon, &r->features);
    double logit = (double)router->bias;
    for (size_t family = 0; family < SOTI_FEATURE_FAMILIES; family++) {
        size_t n = r->features.n[family];
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            sum += (double)find_weight(router, r->features.values[family][i]);
        }
        logit += n > 0 ? (double)router->scales[family] / sqrt((double)n) * sum : 0.0;
    }
    *score = (float)(1.0 / (1.0 + exp(-logit)));
    soti_free(r);
    return SOT_OK;
}

uint32_t soti_classifier_label(const sot_router *router, float score)
{
    return score >= router->threshold ? SOT_LABEL_SOT : SOT_LABEL_NORMAL;
}

void soti_classifier_free(sot_router *router)
{
    if (router == NULL) {
        return;
    }
    soti_free(router->lexicon.symbols);
    soti_free(router->lexicon.words);
    soti_free(router->weights);
    soti_free(router);
}
