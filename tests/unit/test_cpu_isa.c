/* Choosing an instruction set by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/fail.h"
#include "cpu/cpu_isa.h"

static void isa_auto_takes_the_best_there_is(void **state)
{
    (void)state;
    const soti_cpu_kernels *best;
    const soti_cpu_kernels *kernels;
    assert_int_equal(soti_cpu_isa_select(NULL, &best), SOT_OK);
    assert_int_equal(soti_cpu_isa_select("auto", &kernels), SOT_OK);
    assert_ptr_equal(kernels, best);
    assert_int_equal(soti_cpu_isa_select("", &kernels), SOT_OK);
    assert_ptr_equal(kernels, best);
    assert_int_equal(soti_cpu_isa_select("portable", &kernels), SOT_OK);
    assert_string_equal(kernels->isa, "portable");
    for (uint32_t i = 0; soti_cpu_isa_name(i) != NULL; i++) {
        if (soti_cpu_isa_select(soti_cpu_isa_name(i), &kernels) == SOT_OK) {
            assert_ptr_equal(kernels, best);
            return;
        }
        assert_non_null(strstr(soti_fail_message(), soti_cpu_isa_name(i)));
    }
    fail_msg("no instruction set is supported");
}

static void isa_unknown_name_is_refused_by_name(void **state)
{
    (void)state;
    const soti_cpu_kernels *kernels;
    assert_int_equal(soti_cpu_isa_select("avx3", &kernels), SOT_ERR_UNSUPPORTED);
    assert_null(kernels);
    assert_non_null(strstr(soti_fail_message(), "avx3"));
    assert_non_null(strstr(soti_fail_message(), "portable"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(isa_auto_takes_the_best_there_is),
        cmocka_unit_test(isa_unknown_name_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
