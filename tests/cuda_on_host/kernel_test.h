/* For the layer's own tests: a kernel is run at once, without streams, so that a deliberately wrong
 * one leaves no sticky error. */
#ifndef SOTI_TEST_KERNEL_TEST_H
#define SOTI_TEST_KERNEL_TEST_H

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
extern "C" {
#include <cmocka.h>
}

#include "../../kernels/device.cuh"
#include "../../kernels/launch.cuh"
#include "cuda_on_host_control.h"

#include <cstdio>
#include <tuple>

template <class... P> struct direct_run {
    void (*kernel)(P...);
    std::tuple<P...> arguments;

    static void run(void *closure)
    {
        direct_run *self = static_cast<direct_run *>(closure);
        std::apply(self->kernel, self->arguments);
    }
};

template <class... P, class... A>
cudaError_t run_kernel(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, A... args)
{
    direct_run<P...> closure = {kernel, std::tuple<P...>(args...)};
    return on_host::run_grid(grid, block, shared_bytes, direct_run<P...>::run, &closure,
                             reinterpret_cast<const void *>(kernel));
}

/* That status is success and nothing was found wrong. */
inline void expect_clean(cudaError_t status)
{
    assert_string_equal(on_host_errors(), "");
    assert_int_equal(status, cudaSuccess);
}

/* That one error was found, whose sentence has these words. */
inline void expect_words(cudaError_t status, const char *words)
{
    char errors[2000];
    snprintf(errors, sizeof errors, "%s", on_host_errors());
    on_host_forget_errors();
    if (strstr(errors, words) == nullptr) {
        print_message("expected: %s\nfound: %s\n", words, errors);
    }
    assert_int_not_equal(status, cudaSuccess);
    assert_non_null(strstr(errors, words));
    assert_ptr_equal(strchr(errors, '\n'), errors + strlen(errors) - 1);
}

#endif
