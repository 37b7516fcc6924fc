/* The trained router's score: a few features with weights of whole numbers, expected values by hand
 * from the formula in lib/sot/classifier.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "router_image.h"
#include "sot/router_file.h"

static uint32_t mixed(uint32_t value, uint32_t part)
{
    value = (value ^ part) * 0x85EBCA6Bu;
    return value ^ (value >> 13);
}

static uint32_t feature_of(uint32_t family, uint32_t part)
{
    return mixed(mixed(0x9E3779B9u, family), part);
}

static sot_router *make_router(const router_image *image)
{
    soti_buffer bytes = {0};
    sot_router *router;
    router_image_put(image, &bytes);
    assert_int_equal(soti_router_file_read("a", (uint8_t *)bytes.data, bytes.size, &router),
                     SOT_OK);
    soti_buffer_free(&bytes);
    return router;
}

static void assert_score(const sot_router *router, const char *text, double logit)
{
    float score;
    assert_int_equal(soti_classifier_score(router, text, strlen(text), &score), SOT_OK);
    double expected = 1.0 / (1.0 + exp(-logit));
    /* one rounding to float */
    if (!(fabs((double)score - expected) <= 6e-8)) {
        fail_msg("\"%s\": %.9g, expected %.9g", text, (double)score, expected);
    }
}

static void classifier_without_weights_gives_the_bias(void **state)
{
    (void)state;
    router_image image = router_image_plain();
    image.bias = 0.75f;
    sot_router *router = make_router(&image);
    assert_score(router, "", 0.75);
    assert_score(router, "Give me tips.", 0.75);
    soti_classifier_free(router);
}

static void classifier_word_weighs_by_the_root_of_its_family(void **state)
{
    (void)state;
    router_image image = router_image_plain();
    image.bias = -1.0f;
    image.scales[SOTI_FEATURE_WORD] = 3.0f;
    router_image_weigh(&image, feature_of(SOTI_FEATURE_WORD, image_hash("tips")), 2.0f);
    sot_router *router = make_router(&image);
    assert_score(router, "tips", -1.0 + 3.0 * 2.0);
    assert_score(router, "TIPS tips Tips", -1.0 + 3.0 * 2.0);
    assert_score(router, "Give me tips.", -1.0 + 3.0 * 2.0 / 2.0); /* four tokens */
    assert_score(router, "Give me some.", -1.0);
    soti_classifier_free(router);
}

static void classifier_families_add_up(void **state)
{
    (void)state;
    router_image image = router_image_plain();
    uint32_t text = feature_of(SOTI_FEATURE_WORD, image_hash("poem"));
    uint32_t genre = feature_of(SOTI_FEATURE_KEY_CLASS, image.symbols[IMAGE_GENRE]);
    router_image_weigh(&image, text < genre ? text : genre, -1.0f);
    router_image_weigh(&image, text < genre ? genre : text, -1.0f);
    sot_router *router = make_router(&image);
    /* Words: write, poem. Classes: compose, genre. */
    assert_score(router, "Write poem", -2.0 / sqrt(2.0));
    soti_classifier_free(router);
}

static void classifier_extreme_weights_stay_in_range(void **state)
{
    (void)state;
    const float signs[] = {1.0f, -1.0f};
    for (int i = 0; i < 2; i++) {
        router_image image = router_image_plain();
        image.bias = signs[i] * 3e38f;
        image.scales[SOTI_FEATURE_WORD] = 3e38f;
        router_image_weigh(&image, feature_of(SOTI_FEATURE_WORD, image_hash("tips")),
                           signs[i] * 3e38f);
        sot_router *router = make_router(&image);
        float score;
        assert_int_equal(soti_classifier_score(router, "tips", 4, &score), SOT_OK);
        assert_true(score == (i == 0 ? 1.0f : 0.0f));
        soti_classifier_free(router);
    }
}

static void classifier_label_begins_at_the_threshold(void **state)
{
    (void)state;
    router_image image = router_image_plain();
    image.threshold = 0.625f;
    sot_router *router = make_router(&image);
    assert_int_equal(soti_classifier_label(router, 0.625f), SOT_LABEL_SOT);
    assert_int_equal(soti_classifier_label(router, nextafterf(0.625f, 0.0f)), SOT_LABEL_NORMAL);
    assert_int_equal(soti_classifier_label(router, 0.0f), SOT_LABEL_NORMAL);
    assert_int_equal(soti_classifier_label(router, 1.0f), SOT_LABEL_SOT);
    soti_classifier_free(router);
}

static void classifier_reads_no_byte_behind_the_question(void **state)
{
    (void)state;
    router_image image = router_image_plain();
    sot_router *router = make_router(&image);
    static const char text[] = "don't\xE2\x80\x99-\xE2\x80 What? \xFF";
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n > 0 ? n : 1);
        assert_non_null(copy);
        memcpy(copy, text, n);
        float score;
        assert_int_equal(soti_classifier_score(router, copy, n, &score), SOT_OK);
        free(copy);
    }
    soti_classifier_free(router);
}

static void classifier_allocation_failure_is_reported(void **state)
{
    (void)state;
    router_image image = router_image_plain();
    sot_router *router = make_router(&image);
    float score = 0.5f;
    soti_alloc_fail_at(0);
    assert_int_equal(soti_classifier_score(router, "Why?", 4, &score), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
    assert_true(score == 0.0f);
    soti_classifier_free(router);
    soti_classifier_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifier_without_weights_gives_the_bias),
        cmocka_unit_test(classifier_word_weighs_by_the_root_of_its_family),
        cmocka_unit_test(classifier_families_add_up),
        cmocka_unit_test(classifier_extreme_weights_stay_in_range),
        cmocka_unit_test(classifier_label_begins_at_the_threshold),
        cmocka_unit_test(classifier_reads_no_byte_behind_the_question),
        cmocka_unit_test(classifier_allocation_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
