/* The steady clock against the system's own idea of passing time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static void clock_never_goes_back(void **state)
{
    (void)state;
    uint64_t last_ns = soti_clock_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now_ns = soti_clock_ns();
        assert_true(now_ns >= last_ns);
        last_ns = now_ns;
    }
}

static void clock_counts_nanoseconds(void **state)
{
    (void)state;
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    uint64_t began_ns = soti_clock_ns();
    assert_int_equal(nanosleep(&pause, NULL), 0);
    uint64_t passed_ns = soti_clock_ns() - began_ns;
    /* nanosleep never returns early; a minute leaves room for the busiest machine. */
    assert_true(passed_ns >= 20u * 1000 * 1000);
    assert_true(passed_ns < 60u * 1000 * 1000 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_never_goes_back),
        cmocka_unit_test(clock_counts_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
