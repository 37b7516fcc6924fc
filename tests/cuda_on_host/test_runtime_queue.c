/* Streams and events of the layer: RT-1, RT-2 of on_host_control.h. Memory that the host can look
 * at at any time tells what has run. */
#include "runtime_test.h"

#include <pthread.h>

static void work_waits_until_its_stream_is_synchronised(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *memory = device_filled(64, 1);
    size_t free_bytes, total_bytes;
    expect_success(cudaMemsetAsync(memory, 2, 64, stream));
    expect_success(cudaMemGetInfo(&free_bytes, &total_bytes));
    expect_success(cudaStreamSynchronize(NULL));
    assert_int_equal(memory[0], 1);
    assert_int_equal(on_host_queued_work(), 1);
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(memory[63], 2);
    assert_int_equal(on_host_queued_work(), 0);
}

static void work_runs_in_the_order_of_its_stream(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *one = device_filled(16, 1), *two = device_filled(16, 2);
    expect_success(cudaMemcpyAsync(two, one, 16, cudaMemcpyDeviceToDevice, stream));
    expect_success(cudaMemsetAsync(one, 7, 16, stream));
    expect_success(cudaMemsetAsync(two + 1, 8, 1, stream));
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(one[0], 7);
    assert_int_equal(two[0], 1);
    assert_int_equal(two[1], 8);
}

static void work_of_another_stream_stays_queued(void **state)
{
    (void)state;
    cudaStream_t first = new_stream(), second = new_stream();
    unsigned char *memory = device_filled(16, 0);
    expect_success(cudaMemsetAsync(memory, 1, 1, first));
    expect_success(cudaMemsetAsync(memory + 1, 1, 1, second));
    expect_success(cudaStreamSynchronize(second));
    assert_int_equal(memory[0], 0);
    assert_int_equal(memory[1], 1);
    expect_success(cudaDeviceSynchronize());
    assert_int_equal(memory[0], 1);
}

static void work_runs_at_once_when_not_late(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *memory = device_filled(16, 0);
    on_host_set_late(0);
    expect_success(cudaMemsetAsync(memory, 1, 16, stream));
    assert_int_equal(memory[0], 1);
}

static void copy_of_pinned_memory_reads_it_when_it_runs(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *to = device_filled(32, 0), *from = pinned_filled(32, 1);
    expect_success(cudaMemcpyAsync(to, from, 32, cudaMemcpyHostToDevice, stream));
    memset(from, 2, 32);
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(to[31], 2);
}

static void copy_of_registered_memory_reads_it_when_it_runs(void **state)
{
    (void)state;
    static unsigned char from[32] = {1};
    cudaStream_t stream = new_stream();
    unsigned char *to = device_filled(32, 0);
    expect_success(cudaHostRegister(from, sizeof from, cudaHostRegisterDefault));
    expect_cuda(cudaHostRegister(from + 8, 1, 0), cudaErrorHostMemoryAlreadyRegistered);
    expect_success(cudaMemcpyAsync(to, from, 32, cudaMemcpyHostToDevice, stream));
    from[0] = 2;
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(to[0], 2);
    expect_success(cudaHostUnregister(from));
    expect_cuda(cudaHostUnregister(from), cudaErrorHostMemoryNotRegistered);
}

static void copy_of_pageable_memory_reads_it_when_it_is_queued(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *to = device_filled(32, 0), from[32] = {1};
    expect_success(cudaMemcpyAsync(to, from, 32, cudaMemcpyHostToDevice, stream));
    from[0] = 2;
    assert_int_equal(to[0], 0);
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(to[0], 1);
}

static void copy_to_pageable_memory_blocks(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *from = device_filled(32, 3), to[32] = {0};
    expect_success(cudaMemsetAsync(from, 4, 1, stream));
    expect_success(cudaMemcpyAsync(to, from, 32, cudaMemcpyDeviceToHost, stream));
    assert_int_equal(to[0], 4);
    assert_int_equal(to[1], 3);
}

static void copy_of_rows_leaves_the_gaps_alone(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char from[3 * 5], *to = device_filled(3 * 8, 0xEE);
    for (unsigned i = 0; i < sizeof from; i++) {
        from[i] = (unsigned char)i;
    }
    expect_success(cudaMemcpy2DAsync(to, 8, from, 5, 4, 3, cudaMemcpyHostToDevice, stream));
    expect_success(cudaStreamSynchronize(stream));
    for (unsigned row = 0; row < 3; row++) {
        for (unsigned column = 0; column < 8; column++) {
            assert_int_equal(to[row * 8 + column], column < 4 ? row * 5 + column : 0xEE);
        }
    }
    expect_cuda(cudaMemcpy2DAsync(to, 3, from, 5, 4, 3, cudaMemcpyHostToDevice, stream),
                cudaErrorInvalidPitchValue);
    expect_cuda(cudaMemcpy2DAsync(to, 8, from, 5, 4, 4, cudaMemcpyHostToDevice, stream),
                cudaErrorInvalidValue);
}

static void copy_in_the_wrong_direction_is_refused(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *device = device_filled(32, 0), host[32] = {0};
    expect_cuda(cudaMemcpyAsync(host, device, 32, cudaMemcpyHostToDevice, stream),
                cudaErrorInvalidValue);
    expect_cuda(cudaMemcpyAsync(device, host, 33, cudaMemcpyHostToDevice, stream),
                cudaErrorInvalidValue);
    expect_cuda(cudaMemcpyAsync(device + 1, device, 32, cudaMemcpyDeviceToDevice, stream),
                cudaErrorInvalidValue);
    expect_success(cudaMemcpyAsync(host, device, 32, cudaMemcpyDefault, stream));
}

static void copy_whose_memory_is_freed_before_it_runs_is_an_error(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    unsigned char *to = device_filled(32, 0), *from = pinned_filled(32, 1);
    expect_success(cudaMemcpyAsync(to, from, 32, cudaMemcpyHostToDevice, stream));
    expect_success(cudaFreeHost(from));
    expect_cuda(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    assert_non_null(strstr(on_host_errors(), "freed before it ran"));
}

static void event_orders_two_streams(void **state)
{
    (void)state;
    cudaStream_t first = new_stream(), second = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *memory = device_filled(16, 0), *copy = device_filled(16, 9);
    expect_success(cudaMemsetAsync(memory, 1, 16, first));
    expect_success(cudaEventRecord(event, first));
    expect_success(cudaMemsetAsync(memory, 2, 16, first));
    expect_success(cudaStreamWaitEvent(second, event, 0));
    expect_success(cudaMemcpyAsync(copy, memory, 16, cudaMemcpyDeviceToDevice, second));
    /* Recording anew does not move what already waits. */
    expect_success(cudaEventRecord(event, first));
    expect_success(cudaStreamSynchronize(second));
    assert_int_equal(copy[0], 1);
    assert_int_equal(memory[0], 1);
    expect_success(cudaEventSynchronize(event));
    assert_int_equal(memory[0], 2);
}

static void event_without_a_wait_orders_nothing(void **state)
{
    (void)state;
    cudaStream_t first = new_stream(), second = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *memory = device_filled(16, 0), *copy = device_filled(16, 9);
    expect_success(cudaMemsetAsync(memory, 1, 16, first));
    expect_success(cudaEventRecord(event, first));
    expect_success(cudaMemcpyAsync(copy, memory, 16, cudaMemcpyDeviceToDevice, second));
    expect_success(cudaStreamSynchronize(second));
    assert_int_equal(copy[0], 0);
}

static void event_synchronise_runs_what_lies_before_it(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *memory = device_filled(16, 0);
    expect_success(cudaEventSynchronize(event));
    expect_success(cudaMemsetAsync(memory, 1, 1, stream));
    expect_success(cudaEventRecord(event, stream));
    expect_success(cudaMemsetAsync(memory + 1, 1, 1, stream));
    expect_success(cudaEventSynchronize(event));
    assert_int_equal(memory[0], 1);
    assert_int_equal(memory[1], 0);
}

static void query_answers_not_ready_and_then_the_work_runs(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *memory = device_filled(16, 0);
    expect_success(cudaMemsetAsync(memory, 1, 16, stream));
    expect_success(cudaEventRecord(event, stream));
    for (int i = 0; i < 3; i++) {
        expect_cuda(cudaEventQuery(event), cudaErrorNotReady);
        assert_int_equal(memory[0], 0);
    }
    expect_cuda(cudaStreamQuery(stream), cudaErrorNotReady);
    expect_success(cudaEventQuery(event));
    assert_int_equal(memory[0], 1);
    expect_success(cudaStreamQuery(stream));
    expect_cuda(cudaGetLastError(), cudaErrorNotReady);
    expect_success(cudaGetLastError());
}

static void event_times_lie_apart_as_its_records_ran(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaEvent_t start, end, untimed = new_event();
    float milliseconds = -1;
    unsigned char *memory = device_filled(1 << 22, 0);
    expect_success(cudaEventCreate(&start));
    expect_success(cudaEventCreate(&end));
    expect_cuda(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
    expect_success(cudaEventRecord(start, stream));
    expect_success(cudaMemsetAsync(memory, 1, 1 << 22, stream));
    expect_success(cudaEventRecord(end, stream));
    expect_cuda(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
    expect_success(cudaEventSynchronize(end));
    expect_success(cudaEventElapsedTime(&milliseconds, start, end));
    assert_true(milliseconds > 0 && milliseconds < 60000);
    expect_success(cudaEventRecord(untimed, stream));
    expect_cuda(cudaEventElapsedTime(&milliseconds, start, untimed),
                cudaErrorInvalidResourceHandle);
}

static void default_stream_and_blocking_streams_wait_for_each_other(void **state)
{
    (void)state;
    cudaStream_t blocking, apart = new_stream();
    unsigned char *memory = device_filled(16, 0), copy[16];
    expect_success(cudaStreamCreate(&blocking));
    expect_success(cudaMemsetAsync(memory, 1, 1, blocking));
    expect_success(cudaMemsetAsync(memory + 1, 1, 1, apart));
    expect_success(cudaMemcpy(copy, memory, 16, cudaMemcpyDeviceToHost));
    assert_int_equal(copy[0], 1);
    assert_int_equal(copy[1], 0);
    expect_success(cudaMemset(memory + 2, 1, 1));
    expect_success(cudaStreamSynchronize(apart));
    assert_int_equal(memory[2], 0);
    expect_success(cudaMemsetAsync(memory + 3, 1, 1, blocking));
    expect_success(cudaStreamSynchronize(blocking));
    assert_int_equal(memory[2], 1);
}

static void destroyed_handles_are_refused(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *memory = device_filled(16, 0);
    expect_success(cudaMemsetAsync(memory, 1, 16, stream));
    expect_success(cudaEventRecord(event, stream));
    expect_success(cudaStreamDestroy(stream));
    expect_cuda(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
    expect_cuda(cudaMemsetAsync(memory, 2, 16, stream), cudaErrorInvalidResourceHandle);
    assert_int_equal(memory[0], 0);
    expect_success(cudaEventSynchronize(event));
    assert_int_equal(memory[0], 1);
    expect_success(cudaEventDestroy(event));
    expect_cuda(cudaEventDestroy(event), cudaErrorInvalidResourceHandle);
}

enum { N_THREADS = 4, N_STEPS = 200 };

typedef struct relay {
    cudaStream_t streams[N_THREADS];
    unsigned char *device;
    unsigned char *pinned[N_THREADS];
    unsigned i_thread;
} relay;

/* Each thread has its stream, and each step waits for what the neighbour's last event says. */
static void *run_relay(void *argument)
{
    relay *all = argument;
    unsigned own = all->i_thread;
    unsigned char *memory = all->device + 16 * own;
    cudaEvent_t event = NULL;
    uintptr_t n_wrong = cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess;
    for (unsigned i = 1; i <= N_STEPS; i++) {
        int value = (int)(i & 0xFF);
        n_wrong += cudaMemsetAsync(memory, value, 16, all->streams[own]) != cudaSuccess;
        n_wrong += cudaEventRecord(event, all->streams[own]) != cudaSuccess;
        n_wrong +=
            cudaStreamWaitEvent(all->streams[(own + 1) % N_THREADS], event, 0) != cudaSuccess;
        n_wrong += cudaMemcpyAsync(all->pinned[own], memory, 16, cudaMemcpyDeviceToHost,
                                   all->streams[own]) != cudaSuccess;
        n_wrong += cudaStreamSynchronize(all->streams[own]) != cudaSuccess;
        n_wrong += all->pinned[own][0] != value;
    }
    n_wrong += cudaEventDestroy(event) != cudaSuccess;
    return (void *)n_wrong;
}

static void threads_that_wait_for_each_others_streams_get_on(void **state)
{
    (void)state;
    relay all[N_THREADS];
    pthread_t threads[N_THREADS];
    all[0].device = device_filled(16 * N_THREADS, 0);
    for (unsigned i = 0; i < N_THREADS; i++) {
        all[0].streams[i] = new_stream();
        all[0].pinned[i] = pinned_filled(16, 0);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        all[i] = all[0];
        all[i].i_thread = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_relay, &all[i]), 0);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        void *n_wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        runtime_test(work_waits_until_its_stream_is_synchronised),
        runtime_test(work_runs_in_the_order_of_its_stream),
        runtime_test(work_of_another_stream_stays_queued),
        runtime_test(work_runs_at_once_when_not_late),
        runtime_test(copy_of_pinned_memory_reads_it_when_it_runs),
        runtime_test(copy_of_registered_memory_reads_it_when_it_runs),
        runtime_test(copy_of_pageable_memory_reads_it_when_it_is_queued),
        runtime_test(copy_to_pageable_memory_blocks),
        runtime_test(copy_of_rows_leaves_the_gaps_alone),
        runtime_test(copy_in_the_wrong_direction_is_refused),
        runtime_test(copy_whose_memory_is_freed_before_it_runs_is_an_error),
        runtime_test(event_orders_two_streams),
        runtime_test(event_without_a_wait_orders_nothing),
        runtime_test(event_synchronise_runs_what_lies_before_it),
        runtime_test(query_answers_not_ready_and_then_the_work_runs),
        runtime_test(event_times_lie_apart_as_its_records_ran),
        runtime_test(default_stream_and_blocking_streams_wait_for_each_other),
        runtime_test(destroyed_handles_are_refused),
        runtime_test(threads_that_wait_for_each_others_streams_get_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
