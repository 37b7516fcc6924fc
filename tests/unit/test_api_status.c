/* Names of statuses, the error sentence, versions. The expected names are the header's own words,
 * written out here so that a renamed code is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "sot/sot.h"

static void status_names_and_numbers_are_frozen(void **state)
{
    (void)state;
    static const struct {
        sot_status status;
        int32_t number;
        const char *name;
    } cases[] = {
        {SOT_OK, 0, "SOT_OK"},
        {SOT_ERR_ARGUMENT, -1, "SOT_ERR_ARGUMENT"},
        {SOT_ERR_MEMORY, -2, "SOT_ERR_MEMORY"},
        {SOT_ERR_IO, -3, "SOT_ERR_IO"},
        {SOT_ERR_FORMAT, -4, "SOT_ERR_FORMAT"},
        {SOT_ERR_UNSUPPORTED, -5, "SOT_ERR_UNSUPPORTED"},
        {SOT_ERR_CAPACITY, -6, "SOT_ERR_CAPACITY"},
        {SOT_ERR_CONTEXT_FULL, -7, "SOT_ERR_CONTEXT_FULL"},
        {SOT_ERR_CANCELLED, -8, "SOT_ERR_CANCELLED"},
        {SOT_ERR_DEVICE, -9, "SOT_ERR_DEVICE"},
        {SOT_ERR_THREAD, -10, "SOT_ERR_THREAD"},
        {SOT_ERR_RANGE, -11, "SOT_ERR_RANGE"},
        {SOT_ERR_BUSY, -12, "SOT_ERR_BUSY"},
        {SOT_ERR_INTERNAL, -13, "SOT_ERR_INTERNAL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cases[i].status, cases[i].number);
        assert_string_equal(sot_status_name(cases[i].status), cases[i].name);
    }
    assert_int_equal(SOT_STATUS_LAST, -13);
    assert_string_equal(sot_status_name(1), "SOT_UNKNOWN");
    assert_string_equal(sot_status_name(SOT_STATUS_LAST - 1), "SOT_UNKNOWN");
}

static void *read_message(void *out)
{
    *(const char **)out = sot_error_message()[0] == '\0' ? "none" : "some";
    return NULL;
}

static void error_message_belongs_to_its_thread(void **state)
{
    (void)state;
    const char *seen = NULL;
    pthread_t thread;
    assert_int_equal(sot_model_load(NULL, NULL, NULL), SOT_ERR_ARGUMENT);
    assert_true(strlen(sot_error_message()) > 10);
    assert_int_equal(pthread_create(&thread, NULL, read_message, &seen), 0);
    pthread_join(thread, NULL);
    assert_string_equal(seen, "none");
}

static void version_string_says_what_the_number_says(void **state)
{
    (void)state;
    char text[32];
    uint32_t number = sot_version_number();
    snprintf(text, sizeof text, "%u.%u.%u", number / 1000000, number / 1000 % 1000, number % 1000);
    assert_string_equal(sot_version_string(), text);
    assert_int_equal(number / 1000000, SOT_VERSION_MAJOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_names_and_numbers_are_frozen),
        cmocka_unit_test(error_message_belongs_to_its_thread),
        cmocka_unit_test(version_string_says_what_the_number_says),
    };
    return cmocka_run_group_tests_name("api_status", tests, NULL, NULL);
}
