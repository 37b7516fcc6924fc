/* Memory of the layer: RT-3 of on_host_control.h, what is counted, devices. */
#include "runtime_test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether touching the byte ends a process. */
static int touching_ends(volatile unsigned char *memory, int writes)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        if (writes) {
            *memory = 1;
        }
        (void)*memory;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static void memory_ends_where_it_must_not_be_touched(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 15, 16, 17, 4095, 4096, 4097, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *device = NULL, *pinned = NULL;
        size_t rounded = (sizes[i] + 15) / 16 * 16;
        expect_success(cudaMalloc(&device, sizes[i]));
        expect_success(cudaMallocHost(&pinned, sizes[i]));
        unsigned char *both[2] = {device, pinned};
        for (int j = 0; j < 2; j++) {
            assert_int_equal((uintptr_t)both[j] % 16, 0);
            for (size_t at = 0; at < sizes[i]; at++) {
                assert_int_equal(both[j][at], 0xFF);
            }
            assert_false(touching_ends(both[j] + rounded - 1, 1));
            assert_true(touching_ends(both[j] + rounded, 0));
        }
        expect_success(cudaFree(device));
        expect_success(cudaFreeHost(pinned));
        assert_true(touching_ends(both[0], 0));
        assert_true(touching_ends(both[1], 0));
    }
}

static void memory_freed_twice_or_never_given_is_refused(void **state)
{
    (void)state;
    void *device = NULL, *none = &device;
    char host;
    expect_success(cudaMalloc(&device, 100));
    expect_cuda(cudaFreeHost(device), cudaErrorInvalidValue);
    expect_cuda(cudaFree((char *)device + 16), cudaErrorInvalidValue);
    expect_success(cudaFree(device));
    expect_cuda(cudaFree(device), cudaErrorInvalidValue);
    expect_cuda(cudaFree(&host), cudaErrorInvalidValue);
    expect_success(cudaFree(NULL));
    expect_success(cudaMalloc(&none, 0));
    assert_null(none);
}

static void memory_of_a_device_is_limited_and_counted(void **state)
{
    (void)state;
    size_t free_bytes = 0, total_bytes = 0;
    void *first = NULL, *second = NULL;
    on_host_set_devices(2);
    on_host_set_memory(0, 10000);
    on_host_set_memory(1, 500);
    expect_success(cudaMalloc(&first, 5000)); /* counts as 5120 */
    expect_cuda(cudaMalloc(&second, 5000), cudaErrorMemoryAllocation);
    expect_cuda(cudaMalloc(&second, SIZE_MAX), cudaErrorMemoryAllocation);
    expect_success(cudaMalloc(&second, 10000 - 5120 - 16));
    expect_success(cudaMemGetInfo(&free_bytes, &total_bytes));
    assert_int_equal(free_bytes, 16);
    assert_int_equal(total_bytes, 10000);
    assert_int_equal(on_host_live_allocations().device_allocations, 2);
    assert_int_equal(on_host_live_allocations().device_bytes, 9984);
    expect_success(cudaFree(first));
    expect_success(cudaSetDevice(1));
    expect_success(cudaMemGetInfo(&free_bytes, &total_bytes));
    assert_int_equal(free_bytes, 500);
    expect_success(cudaFree(second)); /* of device 0 */
    assert_int_equal(on_host_live_allocations().device_bytes, 0);
    assert_int_equal(on_host_peak_device_bytes(), 9984);
}

static void live_objects_are_counted_until_all_are_gone(void **state)
{
    (void)state;
    static char registered[64];
    assert_int_equal(on_host_live_count(), 0);
    unsigned char *device = device_filled(300, 0), *pinned = pinned_filled(10, 0);
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    expect_success(cudaHostRegister(registered, sizeof registered, 0));
    expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    expect_success(cudaStreamEndCapture(stream, &graph));
    expect_success(cudaGraphInstantiate(&exec, graph, 0));
    on_host_live live = on_host_live_allocations();
    assert_int_equal(live.device_allocations, 1);
    assert_int_equal(live.device_bytes, 512);
    assert_int_equal(live.pinned_allocations, 1);
    assert_int_equal(live.pinned_bytes, 10);
    assert_int_equal(live.registrations, 1);
    assert_int_equal(live.streams, 1);
    assert_int_equal(live.events, 1);
    assert_int_equal(live.graphs, 1);
    assert_int_equal(live.graph_execs, 1);
    assert_int_equal(on_host_live_count(), 7);
    expect_success(cudaFree(device));
    expect_success(cudaFreeHost(pinned));
    expect_success(cudaHostUnregister(registered));
    expect_success(cudaStreamDestroy(stream));
    expect_success(cudaEventDestroy(event));
    expect_success(cudaGraphDestroy(graph));
    assert_int_equal(on_host_live_count(), 1);
    expect_success(cudaGraphExecDestroy(exec));
    assert_int_equal(on_host_live_count(), 0);
}

static void devices_are_what_was_set(void **state)
{
    (void)state;
    int n = -1, value = -1;
    struct cudaDeviceProp properties;
    expect_success(cudaGetDeviceCount(&n));
    assert_int_equal(n, 1);
    expect_cuda(cudaSetDevice(1), cudaErrorInvalidDevice);
    on_host_set_devices(3);
    on_host_set_multiprocessors(2, 132);
    on_host_set_capability(1, 8, 0);
    on_host_set_memory(2, 12345);
    expect_success(cudaSetDevice(2));
    expect_success(cudaGetDevice(&value));
    assert_int_equal(value, 2);
    expect_success(cudaGetDeviceProperties(&properties, 2));
    assert_int_equal(properties.multiProcessorCount, 132);
    assert_int_equal(properties.totalGlobalMem, 12345);
    assert_int_equal(properties.major, 9);
    expect_success(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 1));
    assert_int_equal(value, 8);
    expect_success(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
    assert_int_equal(value, 4);
    expect_success(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    assert_int_equal(value, 227 * 1024);
    expect_cuda(cudaGetDeviceProperties(&properties, 3), cudaErrorInvalidDevice);
}

static void settings_begin_as_the_environment_says(void **state)
{
    (void)state;
    int n = 0;
    size_t free_bytes = 0, total_bytes = 0;
    setenv("CUDA_ON_HOST_DEVICES", "2", 1);
    setenv("CUDA_ON_HOST_MEMORY", "4096", 1);
    setenv("CUDA_ON_HOST_MULTIPROCESSORS", "7", 1);
    setenv("CUDA_ON_HOST_LATE", "0", 1);
    on_host_reset();
    expect_success(cudaGetDeviceCount(&n));
    assert_int_equal(n, 2);
    expect_success(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, 1));
    assert_int_equal(n, 7);
    expect_success(cudaMemGetInfo(&free_bytes, &total_bytes));
    assert_int_equal(total_bytes, 4096);
    cudaStream_t stream = new_stream();
    unsigned char *memory = device_filled(16, 0);
    expect_success(cudaMemsetAsync(memory, 1, 16, stream));
    assert_int_equal(memory[0], 1);
    unsetenv("CUDA_ON_HOST_DEVICES");
    unsetenv("CUDA_ON_HOST_MEMORY");
    unsetenv("CUDA_ON_HOST_MULTIPROCESSORS");
    unsetenv("CUDA_ON_HOST_LATE");
}

static void devices_are_none_without_a_driver(void **state)
{
    (void)state;
    int n = -1;
    void *memory = NULL;
    on_host_set_devices(0);
    expect_cuda(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    assert_int_equal(n, 0);
    expect_cuda(cudaMalloc(&memory, 16), cudaErrorNoDevice);
    on_host_set_devices(1);
    on_host_set_driver_version(0);
    expect_success(cudaDriverGetVersion(&n));
    assert_int_equal(n, 0);
    expect_cuda(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    expect_cuda(cudaMalloc(&memory, 16), cudaErrorInsufficientDriver);
}

static void streams_and_events_belong_to_a_device(void **state)
{
    (void)state;
    on_host_set_devices(2);
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    expect_success(cudaSetDevice(1));
    cudaStream_t other = new_stream();
    expect_cuda(cudaEventRecord(event, other), cudaErrorInvalidResourceHandle);
    expect_success(cudaEventRecord(event, stream));
    expect_success(cudaStreamWaitEvent(other, event, 0));
    unsigned char *memory = device_filled(16, 1);
    expect_success(cudaMemsetAsync(memory, 2, 16, stream));
    expect_success(cudaStreamSynchronize(stream));
    assert_int_equal(memory[0], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        runtime_test(memory_ends_where_it_must_not_be_touched),
        runtime_test(memory_freed_twice_or_never_given_is_refused),
        runtime_test(memory_of_a_device_is_limited_and_counted),
        runtime_test(live_objects_are_counted_until_all_are_gone),
        runtime_test(devices_are_what_was_set),
        runtime_test(settings_begin_as_the_environment_says),
        runtime_test(devices_are_none_without_a_driver),
        runtime_test(streams_and_events_belong_to_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
