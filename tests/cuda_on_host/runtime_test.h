/* What the tests of the layer's host side share: a clean runtime for each, values in memory. */
#ifndef SOTI_TEST_RUNTIME_TEST_H
#define SOTI_TEST_RUNTIME_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <on_host_control.h>

#define expect_cuda(call, expected) assert_string_equal(cudaGetErrorName(call), #expected)
#define expect_success(call)        expect_cuda(call, cudaSuccess)

/* Before each test: lateness does not depend on the environment. */
static inline int begin_runtime_test(void **state)
{
    (void)state;
    on_host_reset();
    on_host_set_late(1);
    on_host_forget_errors();
    return 0;
}

#define runtime_test(test) cmocka_unit_test_setup(test, begin_runtime_test)

/* n_bytes of a device, all of them value. */
static inline unsigned char *device_filled(size_t n_bytes, int value)
{
    void *memory = NULL;
    expect_success(cudaMalloc(&memory, n_bytes));
    expect_success(cudaMemset(memory, value, n_bytes));
    expect_success(cudaStreamSynchronize(NULL));
    return memory;
}

static inline unsigned char *pinned_filled(size_t n_bytes, int value)
{
    void *memory = NULL;
    expect_success(cudaMallocHost(&memory, n_bytes));
    memset(memory, value, n_bytes);
    return memory;
}

static inline cudaStream_t new_stream(void)
{
    cudaStream_t stream = NULL;
    expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static inline cudaEvent_t new_event(void)
{
    cudaEvent_t event = NULL;
    expect_success(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

#endif
