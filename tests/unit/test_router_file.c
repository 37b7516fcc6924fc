/* The trained router's file: a good one, the same cut at every byte and with every bit changed, and
 * files that break one rule each under a checksum that is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "router_image.h"
#include "sot/router_file.h"

/* From a copy of the exact size, so that the address sanitizer sees a byte too far. */
static sot_status read_bytes(const void *data, size_t size, sot_router **out)
{
    uint8_t *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy + 1, data, size);
    sot_status status = soti_router_file_read("a.router", copy + 1, size, out);
    free(copy);
    return status;
}

static void assert_refused(const void *data, size_t size, sot_status expected, const char *words)
{
    sot_router *router = (sot_router *)&expected;
    sot_status status = read_bytes(data, size, &router);
    if (status != expected || strstr(soti_fail_message(), words) == NULL ||
        strncmp(soti_fail_message(), "a.router: ", 10) != 0) {
        fail_msg("status %d, \"%s\"; expected %d and \"%s\"", status, soti_fail_message(), expected,
                 words);
    }
    assert_null(router);
}

static void assert_image_refused(const router_image *image, sot_status expected, const char *words)
{
    soti_buffer bytes = {0};
    router_image_put(image, &bytes);
    assert_refused(bytes.data, bytes.size, expected, words);
    soti_buffer_free(&bytes);
}

static router_image two_weights(void)
{
    router_image image = router_image_plain();
    image.bias = -0.25f;
    image.threshold = 0.75f;
    image.scales[3] = 2.5f;
    router_image_weigh(&image, 7, 1.5f);
    router_image_weigh(&image, 0xFFFFFFFFu, -3.0f);
    return image;
}

static void router_file_good_one_is_read(void **state)
{
    (void)state;
    router_image image = two_weights();
    soti_buffer bytes = {0};
    sot_router *router;
    router_image_put(&image, &bytes);
    assert_int_equal(bytes.size, 76 + 3 * 4 + 3 * 12 + 2 * 8 + 4);
    assert_int_equal(read_bytes(bytes.data, bytes.size, &router), SOT_OK);
    assert_int_equal(router->lexicon.n_classes, 3);
    assert_int_equal(router->lexicon.n_words, 3);
    assert_int_equal(router->lexicon.requests, 2);
    assert_memory_equal(router->lexicon.symbols, image.symbols, sizeof image.symbols);
    for (int i = 0; i < IMAGE_WORDS; i++) {
        assert_int_equal(router->lexicon.words[i].hash, image.words[i].hash);
        assert_int_equal(router->lexicon.words[i].mask, image.words[i].mask);
    }
    assert_int_equal(router->n_weights, 2);
    assert_int_equal(router->weights[1].feature, 0xFFFFFFFFu);
    assert_true(router->weights[0].weight == 1.5f && router->weights[1].weight == -3.0f);
    assert_true(router->bias == -0.25f && router->threshold == 0.75f);
    assert_true(router->scales[3] == 2.5f && router->scales[7] == 1.0f);
    soti_classifier_free(router);
    soti_buffer_free(&bytes);
}

static void router_file_64_classes_are_read(void **state)
{
    (void)state;
    soti_buffer bytes = {0};
    sot_router *router;
    router_image image = router_image_plain();
    router_image_put(&image, &bytes);
    soti_buffer wide = {0};
    soti_buffer_append(&wide, bytes.data, 76);
    wide.data[16] = 64;
    wide.data[35] = (char)0x80; /* a request may begin with the last class */
    for (uint32_t i = 0; i < 64; i++) {
        image_put_u32(&wide, i);
    }
    soti_buffer_append(&wide, bytes.data + 76 + 12, bytes.size - 76 - 12);
    router_image_seal(&wide, 1);
    assert_int_equal(read_bytes(wide.data, wide.size, &router), SOT_OK);
    assert_int_equal(router->lexicon.symbols[63], 63);
    soti_classifier_free(router);
    wide.data[16] = 65;
    image_put_u32(&wide, 0);
    router_image_seal(&wide, 1);
    assert_refused(wide.data, wide.size, SOT_ERR_FORMAT, "65 classes, 3 words");
    soti_buffer_free(&wide);
    soti_buffer_free(&bytes);
}

static void router_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    router_image image = two_weights();
    soti_buffer bytes = {0};
    router_image_put(&image, &bytes);
    for (size_t n = 0; n < bytes.size; n++) {
        assert_refused(bytes.data, n, SOT_ERR_FORMAT,
                       n < 8    ? "does not begin with SOTROUTR"
                       : n < 80 ? "ends in its header"
                                : "bytes and states 144");
    }
    soti_buffer_append(&bytes, "", 1);
    assert_refused(bytes.data, bytes.size, SOT_ERR_FORMAT, "has 145 bytes and states 144");
    soti_buffer_free(&bytes);
}

static void router_file_any_changed_bit_is_refused(void **state)
{
    (void)state;
    router_image image = two_weights();
    soti_buffer bytes = {0};
    router_image_put(&image, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
        assert_refused(bytes.data, bytes.size,
                       bit / 8 >= 8 && bit / 8 < 12 ? SOT_ERR_UNSUPPORTED : SOT_ERR_FORMAT, "");
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
    }
    soti_buffer_free(&bytes);
}

static void router_file_other_version_is_unsupported(void **state)
{
    (void)state;
    router_image image = two_weights();
    image.version = 2;
    assert_image_refused(&image, SOT_ERR_UNSUPPORTED, "version 2 of the format");
}

static void router_file_counts_that_overflow_are_refused(void **state)
{
    (void)state;
    router_image image = two_weights();
    image.n_words = 0xFFFFFFFFu;
    assert_image_refused(&image, SOT_ERR_FORMAT, "4294967295 words and 2 weights");
    image = two_weights();
    image.n_weights = 0x20000002u; /* times 8 is 16 more than 2^32 */
    assert_image_refused(&image, SOT_ERR_FORMAT, "536870914 weights");
    image = two_weights();
    image.n_classes = 0;
    assert_image_refused(&image, SOT_ERR_FORMAT, "0 classes");
}

static void router_file_too_large_is_refused(void **state)
{
    (void)state;
    soti_buffer bytes = {0};
    router_image image = router_image_plain();
    router_image_put(&image, &bytes);
    const size_t n = SOTI_ROUTER_FILE_MAX / 8;
    for (uint32_t i = 0; i < n; i++) {
        image_put_u32(&bytes, i);
        image_put_f32(&bytes, 0.0f);
    }
    router_image_seal(&bytes, 1);
    assert_refused(bytes.data, bytes.size, SOT_ERR_FORMAT, "at most 524288 are allowed");
    soti_buffer_free(&bytes);
}

static void router_file_numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    router_image image = two_weights();
    image.bias = NAN;
    assert_image_refused(&image, SOT_ERR_FORMAT, "byte 36");
    const float thresholds[] = {0.0f, 1.0f, -0.5f, NAN, INFINITY};
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        image = two_weights();
        image.threshold = thresholds[i];
        assert_image_refused(&image, SOT_ERR_FORMAT, "byte 36");
    }
    image = two_weights();
    image.scales[2] = INFINITY;
    assert_image_refused(&image, SOT_ERR_FORMAT, "byte 52: the scale");
    image = two_weights();
    image.requests = 1u << 3;
    assert_image_refused(&image, SOT_ERR_FORMAT, "byte 28");
}

static void router_file_bad_tables_are_refused(void **state)
{
    (void)state;
    router_image image = two_weights();
    image.words[2].hash = image.words[1].hash;
    assert_image_refused(&image, SOT_ERR_FORMAT, "byte 112: word 2 is out of order");
    image = two_weights();
    image.words[0].mask = 0;
    assert_image_refused(&image, SOT_ERR_FORMAT, "word 0 has classes 0 of 3");
    image.words[0].mask = 8;
    assert_image_refused(&image, SOT_ERR_FORMAT, "word 0 has classes 8 of 3");
    image = two_weights();
    image.weights[1].feature = 7;
    assert_image_refused(&image, SOT_ERR_FORMAT, "byte 132: feature 1");
    image = two_weights();
    image.weights[0].weight = -INFINITY;
    assert_image_refused(&image, SOT_ERR_FORMAT, "byte 124: feature 0");
}

static void router_file_every_allocation_failure_is_reported(void **state)
{
    (void)state;
    router_image image = two_weights();
    soti_buffer bytes = {0};
    sot_router *router;
    router_image_put(&image, &bytes);
    int n_failed = 0;
    for (;; n_failed++) {
        soti_alloc_fail_at(n_failed);
        sot_status status = soti_router_file_read("a", (uint8_t *)bytes.data, bytes.size, &router);
        soti_alloc_fail_at(-1);
        if (status == SOT_OK) {
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(router);
    }
    assert_int_equal(n_failed, 4);
    soti_classifier_free(router);
    soti_buffer_free(&bytes);
}

static void router_file_load_names_the_path(void **state)
{
    (void)state;
    char path[] = "/tmp/sot-router-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    sot_router *router;
    router_image image = two_weights();
    soti_buffer bytes = {0};
    router_image_put(&image, &bytes);
    assert_int_equal(write(descriptor, bytes.data, bytes.size), bytes.size);
    assert_int_equal(soti_router_file_load(path, &router), SOT_OK);
    soti_classifier_free(router);
    assert_int_equal(ftruncate(descriptor, 100), 0);
    assert_int_equal(soti_router_file_load(path, &router), SOT_ERR_FORMAT);
    assert_null(router);
    assert_non_null(strstr(soti_fail_message(), path));
    assert_int_equal(ftruncate(descriptor, 100000001), 0);
    assert_int_equal(soti_router_file_load(path, &router), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), path));
    assert_non_null(
        strstr(soti_fail_message(), "has 100000001 bytes; at most 100000000 are allowed"));
    close(descriptor);
    unlink(path);
    assert_int_equal(soti_router_file_load(path, &router), SOT_ERR_IO);
    assert_non_null(strstr(soti_fail_message(), path));
    soti_buffer_free(&bytes);
}

/* This program lies where no library is installed, so only the absolute places can have one. */
static void router_file_none_installed_names_all_places(void **state)
{
    (void)state;
    sot_router *router;
    sot_status status = soti_router_file_load(NULL, &router);
    if (status == SOT_OK) {
        soti_classifier_free(router);
        print_message("a trained router is installed on this machine\n");
        skip();
    }
    assert_int_equal(status, SOT_ERR_IO);
    assert_null(router);
    const char *first = strstr(soti_fail_message(), "/sot/lima.router");
    assert_non_null(first);
    const char *last = strstr(first + 1, " or /usr/share/sot/lima.router");
    assert_non_null(last);
    /* That may be where the build's data go, too. */
    assert_true(strstr(soti_fail_message(), " /usr/share/sot/lima.router") == last + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_file_good_one_is_read),
        cmocka_unit_test(router_file_64_classes_are_read),
        cmocka_unit_test(router_file_cut_anywhere_is_refused),
        cmocka_unit_test(router_file_any_changed_bit_is_refused),
        cmocka_unit_test(router_file_other_version_is_unsupported),
        cmocka_unit_test(router_file_counts_that_overflow_are_refused),
        cmocka_unit_test(router_file_too_large_is_refused),
        cmocka_unit_test(router_file_numbers_out_of_range_are_refused),
        cmocka_unit_test(router_file_bad_tables_are_refused),
        cmocka_unit_test(router_file_every_allocation_failure_is_reported),
        cmocka_unit_test(router_file_load_names_the_path),
        cmocka_unit_test(router_file_none_installed_names_all_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
