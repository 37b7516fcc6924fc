/* Captures and graphs of the layer: RT-5 of on_host_control.h, replay. */
#include "runtime_test.h"

#include <pthread.h>

static void begin(cudaStream_t stream)
{
    expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
}

static cudaGraphExec_t end_and_instantiate(cudaStream_t stream)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    expect_success(cudaStreamEndCapture(stream, &graph));
    expect_success(cudaGraphInstantiate(&exec, graph, 0));
    expect_success(cudaGraphDestroy(graph));
    return exec;
}

static void graph_replays_with_what_pinned_memory_holds_then(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *device = device_filled(32, 0), *copy = device_filled(32, 0);
    unsigned char *pinned = pinned_filled(32, 1);
    begin(stream);
    expect_success(cudaMemcpyAsync(device, pinned, 32, cudaMemcpyHostToDevice, stream));
    expect_success(cudaMemcpyAsync(copy, device, 32, cudaMemcpyDeviceToDevice, stream));
    cudaGraphExec_t exec = end_and_instantiate(stream);
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(device[0], 0); /* a capture runs nothing */
    for (int i = 1; i <= 3; i++) {
        memset(pinned, i, 32);
        expect_success(cudaGraphLaunch(exec, stream));
        assert_int_equal(copy[0], i - 1);
        expect_success(cudaStreamSynchronize(stream));
        assert_int_equal(copy[31], i);
    }
    memset(pinned, 9, 32); /* while the launch is queued: the launch sees it */
    expect_success(cudaGraphLaunch(exec, stream));
    memset(pinned, 10, 32);
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(copy[0], 10);
    expect_success(cudaGraphExecDestroy(exec));
}

static void graph_copies_its_arguments_at_capture(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *device = device_filled(16, 0);
    int value = 5;
    begin(stream);
    expect_success(cudaMemsetAsync(device, value, 16, stream));
    value = 6;
    cudaGraphExec_t exec = end_and_instantiate(stream);
    expect_success(cudaGraphLaunch(exec, stream));
    expect_success(cudaGraphExecDestroy(exec)); /* a queued launch keeps what it needs */
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(device[0], 5);
    assert_int_equal(value, 6);
    expect_cuda(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
}

static void capture_leaves_other_streams_alone(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream(), other = new_stream();
    unsigned char *device = device_filled(16, 0);
    begin(stream);
    expect_success(cudaMemsetAsync(device, 1, 1, stream));
    expect_success(cudaMemsetAsync(device + 1, 1, 1, other));
    cudaGraphExec_t exec = end_and_instantiate(stream);
    expect_success(cudaDeviceSynchronize());
    assert_int_equal(device[0], 0);
    assert_int_equal(device[1], 1);
    expect_success(cudaGraphExecDestroy(exec));
}

typedef cudaError_t (*illegal_call)(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                                    void *device);

static cudaError_t call_malloc(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                               void *device)
{
    (void)stream, (void)other, (void)event, (void)device;
    void *memory = NULL;
    return cudaMalloc(&memory, 16);
}

static cudaError_t call_malloc_host(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                                    void *device)
{
    (void)stream, (void)other, (void)event, (void)device;
    void *memory = NULL;
    return cudaMallocHost(&memory, 16);
}

static cudaError_t call_free(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                             void *device)
{
    (void)stream, (void)other, (void)event;
    return cudaFree(device);
}

static cudaError_t call_stream_synchronise(cudaStream_t stream, cudaStream_t other,
                                           cudaEvent_t event, void *device)
{
    (void)other, (void)event, (void)device;
    return cudaStreamSynchronize(stream);
}

static cudaError_t call_other_synchronise(cudaStream_t stream, cudaStream_t other,
                                          cudaEvent_t event, void *device)
{
    (void)stream, (void)event, (void)device;
    return cudaStreamSynchronize(other);
}

static cudaError_t call_event_synchronise(cudaStream_t stream, cudaStream_t other,
                                          cudaEvent_t event, void *device)
{
    (void)stream, (void)other, (void)device;
    return cudaEventSynchronize(event);
}

static cudaError_t call_device_synchronise(cudaStream_t stream, cudaStream_t other,
                                           cudaEvent_t event, void *device)
{
    (void)stream, (void)other, (void)event, (void)device;
    return cudaDeviceSynchronize();
}

static cudaError_t call_query(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                              void *device)
{
    (void)other, (void)event, (void)device;
    return cudaStreamQuery(stream);
}

static cudaError_t call_blocking_copy(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                                      void *device)
{
    (void)stream, (void)other, (void)event;
    char host[8];
    return cudaMemcpy(host, device, 8, cudaMemcpyDeviceToHost);
}

static cudaError_t call_legacy_fill(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                                    void *device)
{
    (void)stream, (void)other, (void)event;
    return cudaMemset(device, 0, 8);
}

static cudaError_t call_pageable_copy(cudaStream_t stream, cudaStream_t other, cudaEvent_t event,
                                      void *device)
{
    (void)other, (void)event;
    char host[8] = {0};
    return cudaMemcpyAsync(device, host, 8, cudaMemcpyHostToDevice, stream);
}

static void capture_ends_with_a_call_that_is_illegal_in_it(void **state)
{
    (void)state;
    static const illegal_call calls[] = {
        call_malloc,
        call_malloc_host,
        call_free,
        call_stream_synchronise,
        call_other_synchronise,
        call_event_synchronise,
        call_device_synchronise,
        call_query,
        call_blocking_copy,
        call_legacy_fill,
        call_pageable_copy,
    };
    cudaStream_t stream = new_stream(), other = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *device = device_filled(16, 1);
    expect_success(cudaEventRecord(event, other));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        enum cudaStreamCaptureStatus status;
        cudaGraph_t graph = NULL;
        begin(stream);
        expect_success(cudaMemsetAsync(device, 2, 16, stream));
        expect_cuda(calls[i](stream, other, event, device), cudaErrorStreamCaptureUnsupported);
        expect_success(cudaStreamIsCapturing(stream, &status));
        assert_int_equal(status, cudaStreamCaptureStatusInvalidated);
        expect_cuda(cudaMemsetAsync(device, 3, 16, stream), cudaErrorStreamCaptureInvalidated);
        expect_cuda(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
        assert_null(graph);
        expect_success(cudaStreamIsCapturing(stream, &status));
        assert_int_equal(status, cudaStreamCaptureStatusNone);
    }
    expect_success(cudaDeviceSynchronize());
    assert_int_equal(device[0], 1);
    assert_int_equal(on_host_live_allocations().device_allocations, 1);
    assert_int_equal(on_host_live_allocations().graphs, 0);
}

static void capture_of_an_event_from_outside_is_refused(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream(), other = new_stream();
    cudaEvent_t outside = new_event(), inside = new_event();
    cudaGraph_t graph = NULL;
    expect_success(cudaEventRecord(outside, other));
    begin(stream);
    expect_success(cudaEventRecord(inside, stream));
    expect_success(cudaStreamWaitEvent(stream, inside, 0));
    expect_cuda(cudaStreamWaitEvent(stream, outside, 0), cudaErrorStreamCaptureIsolation);
    expect_cuda(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    begin(stream);
    expect_success(cudaEventRecord(inside, stream));
    expect_cuda(cudaStreamWaitEvent(other, inside, 0), cudaErrorCapturedEvent);
    expect_cuda(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
}

static void capture_of_the_default_stream_is_refused(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaGraph_t graph = NULL;
    expect_cuda(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeThreadLocal),
                cudaErrorStreamCaptureUnsupported);
    expect_cuda(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    begin(stream);
    expect_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                cudaErrorIllegalState);
    expect_success(cudaStreamEndCapture(stream, &graph));
    expect_success(cudaGraphDestroy(graph));
}

typedef struct side_call {
    cudaStream_t capturing;
    cudaError_t malloc_status;
    cudaError_t device_status;
    cudaError_t end_status;
    int calls_device;
} side_call;

static void *call_beside(void *argument)
{
    side_call *all = argument;
    void *memory = NULL;
    cudaGraph_t graph = NULL;
    all->malloc_status = cudaMalloc(&memory, 16);
    (void)cudaFree(memory);
    all->device_status = all->calls_device ? cudaDeviceSynchronize() : cudaSuccess;
    all->end_status = cudaStreamEndCapture(all->capturing, &graph);
    return NULL;
}

static cudaError_t capture_beside(enum cudaStreamCaptureMode mode, side_call *all)
{
    pthread_t thread;
    cudaGraph_t graph = NULL;
    expect_success(cudaStreamBeginCapture(all->capturing, mode));
    assert_int_equal(pthread_create(&thread, NULL, call_beside, all), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    cudaError_t status = cudaStreamEndCapture(all->capturing, &graph);
    if (status == cudaSuccess) {
        expect_success(cudaGraphDestroy(graph));
    }
    return status;
}

static void capture_of_one_thread_suffers_from_another_in_global_mode_only(void **state)
{
    (void)state;
    side_call all = {.capturing = new_stream()};
    expect_success(capture_beside(cudaStreamCaptureModeThreadLocal, &all));
    expect_success(all.malloc_status);
    expect_cuda(all.end_status, cudaErrorStreamCaptureWrongThread);
    expect_cuda(capture_beside(cudaStreamCaptureModeGlobal, &all),
                cudaErrorStreamCaptureInvalidated);
    expect_cuda(all.malloc_status, cudaErrorStreamCaptureUnsupported);
    /* A device holds the stream that is captured, so that waiting for all of it is wrong. */
    all.calls_device = 1;
    expect_cuda(capture_beside(cudaStreamCaptureModeThreadLocal, &all),
                cudaErrorStreamCaptureInvalidated);
    expect_cuda(all.device_status, cudaErrorStreamCaptureUnsupported);
}

static void relaxed_threads_may_do_all_while_capturing(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaGraph_t graph = NULL;
    void *memory = NULL;
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    begin(stream);
    expect_success(cudaThreadExchangeStreamCaptureMode(&mode));
    assert_int_equal(mode, cudaStreamCaptureModeGlobal);
    expect_success(cudaMalloc(&memory, 16));
    expect_success(cudaThreadExchangeStreamCaptureMode(&mode));
    expect_success(cudaStreamEndCapture(stream, &graph));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        runtime_test(graph_replays_with_what_pinned_memory_holds_then),
        runtime_test(graph_copies_its_arguments_at_capture),
        runtime_test(capture_leaves_other_streams_alone),
        runtime_test(capture_ends_with_a_call_that_is_illegal_in_it),
        runtime_test(capture_of_an_event_from_outside_is_refused),
        runtime_test(capture_of_the_default_stream_is_refused),
        runtime_test(capture_of_one_thread_suffers_from_another_in_global_mode_only),
        runtime_test(relaxed_threads_may_do_all_while_capturing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
