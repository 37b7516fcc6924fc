/* The trained router against its Python side: features and scores of questions of all kinds, with a
 * small router of random weights (router/make_router_golden.py made both). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden/router/router_golden.h"
#include "sot/router_file.h"

enum { N_GOLDEN = sizeof router_golden / sizeof *router_golden };

/* The question, in memory of its exact size, so that the address sanitizer sees a byte too far. */
static char *make_question(const struct router_golden *golden, size_t *size)
{
    *size = golden->begin_size * golden->n_times + golden->end_size;
    char *text = malloc(*size > 0 ? *size : 1);
    assert_non_null(text);
    for (size_t i = 0; i < golden->n_times; i++) {
        memcpy(text + i * golden->begin_size, golden->begin, golden->begin_size);
    }
    memcpy(text + *size - golden->end_size, golden->end, golden->end_size);
    return text;
}

static sot_router *load_small(void)
{
    sot_router *router;
    assert_int_equal(soti_router_file_load(SOT_TEST_DIR "/golden/router/small.router", &router),
                     SOT_OK);
    return router;
}

static void router_features_agree_with_python(void **state)
{
    (void)state;
    sot_router *router = load_small();
    soti_question_words *words = malloc(sizeof *words);
    soti_question_features *features = malloc(sizeof *features);
    assert_non_null(words);
    assert_non_null(features);
    for (size_t i = 0; i < N_GOLDEN; i++) {
        size_t size;
        char *text = make_question(&router_golden[i], &size);
        soti_question_words_read(text, size, &router->lexicon, words);
        soti_question_features_make(text, words, &router->lexicon, features);
        for (size_t family = 0; family < SOTI_FEATURE_FAMILIES; family++) {
            uint32_t sum = 0;
            for (size_t k = 0; k < features->n[family]; k++) {
                sum += features->values[family][k];
            }
            if (features->n[family] != router_golden[i].n[family] ||
                sum != router_golden[i].sums[family]) {
                fail_msg("question %zu, family %zu: %zu features, sum %u", i, family,
                         features->n[family], sum);
            }
        }
        free(text);
    }
    free(features);
    free(words);
    soti_classifier_free(router);
}

static void router_scores_agree_with_python(void **state)
{
    (void)state;
    sot_router *router = load_small();
    double worst = 0.0;
    for (size_t i = 0; i < N_GOLDEN; i++) {
        size_t size;
        float score;
        char *text = make_question(&router_golden[i], &size);
        assert_int_equal(soti_classifier_score(router, text, size, &score), SOT_OK);
        worst = fmax(worst, fabs((double)score - (double)router_golden[i].score));
        free(text);
    }
    print_message("%d questions, scores differ by at most %.1e\n", (int)N_GOLDEN, worst);
    /* Both sum doubles, in another order, and round to float: half a unit of 1.0f each. */
    assert_true(worst <= 1.2e-7);
    soti_classifier_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_features_agree_with_python),
        cmocka_unit_test(router_scores_agree_with_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
