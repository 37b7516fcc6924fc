/* Failures of the layer's calls and work, on demand: RT-4 of on_host_control.h, fail_at. */
#include "runtime_test.h"

#include <cublasLt.h>
#include <stdbool.h>

/* Makes one of each, as far as it gets, and releases them in any case. */
static cudaError_t use_all(void)
{
    void *device = NULL, *pinned = NULL;
    cudaStream_t stream = NULL;
    cudaEvent_t event = NULL;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cublasLtHandle_t blas = NULL;
    cudaError_t status = cudaMalloc(&device, 64);
    status = status != cudaSuccess ? status : cudaMallocHost(&pinned, 64);
    status = status != cudaSuccess ? status : cudaStreamCreateWithFlags(&stream, 1);
    status = status != cudaSuccess ? status : cudaEventCreateWithFlags(&event, 2);
    if (status == cudaSuccess && cublasLtCreate(&blas) != CUBLAS_STATUS_SUCCESS) {
        status = cudaErrorUnknown;
    }
    if (status == cudaSuccess) {
        status = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
        if (status == cudaSuccess) {
            cudaError_t copied =
                cudaMemcpyAsync(device, pinned, 64, cudaMemcpyHostToDevice, stream);
            status = cudaStreamEndCapture(stream, &graph);
            status = copied != cudaSuccess ? copied : status;
        }
    }
    status = status != cudaSuccess ? status : cudaGraphInstantiate(&exec, graph, 0);
    status = status != cudaSuccess ? status : cudaGraphLaunch(exec, stream);
    status = status != cudaSuccess ? status : cudaEventRecord(event, stream);
    status = status != cudaSuccess ? status : cudaEventSynchronize(event);
    (void)(exec != NULL ? cudaGraphExecDestroy(exec) : 0);
    (void)(graph != NULL ? cudaGraphDestroy(graph) : 0);
    (void)(blas != NULL ? cublasLtDestroy(blas) : 0);
    (void)(event != NULL ? cudaEventDestroy(event) : 0);
    (void)(stream != NULL ? cudaStreamDestroy(stream) : 0);
    (void)cudaFreeHost(pinned);
    (void)cudaFree(device);
    return status;
}

static void failure_of_every_call_in_turn_is_seen_and_leaks_nothing(void **state)
{
    (void)state;
    uint64_t before = on_host_call_count();
    expect_success(use_all());
    uint64_t n_calls = on_host_call_count() - before;
    assert_int_equal(n_calls, 19);
    static const cudaError_t errors[] = {cudaErrorMemoryAllocation, cudaErrorLaunchFailure};
    for (int i = 0; i < 2; i++) {
        for (uint64_t n = 1; n <= n_calls; n++) {
            begin_runtime_test(state);
            on_host_fail_at(n, errors[i]);
            cudaError_t status = use_all();
            assert_true(n > 12 || status != cudaSuccess);
            assert_int_equal(on_host_live_count(), 0);
            /* What cuBLASLt says CUDA remembers only if it lasts. */
            bool is_blas = n == 5 || n == 15;
            assert_int_equal(cudaGetLastError() != cudaSuccess, !is_blas || i == 1);
        }
        begin_runtime_test(state);
        on_host_fail_at(n_calls + 1, errors[i]);
        expect_success(use_all());
        assert_int_equal(cudaDeviceSynchronize(), errors[i]);
    }
}

static void failure_is_given_once_and_remembered_once(void **state)
{
    (void)state;
    void *memory = NULL;
    on_host_fail_at(2, cudaErrorMemoryAllocation);
    cudaStream_t stream = new_stream();
    expect_cuda(cudaMalloc(&memory, 16), cudaErrorMemoryAllocation);
    expect_success(cudaMalloc(&memory, 16));
    expect_cuda(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
    expect_cuda(cudaGetLastError(), cudaErrorMemoryAllocation);
    expect_success(cudaGetLastError());
    expect_success(cudaStreamDestroy(stream));
}

static void failure_of_queued_work_is_seen_later_and_lasts(void **state)
{
    (void)state;
    on_host_set_devices(2);
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    unsigned char *memory = device_filled(16, 0);
    on_host_fail_work_at(2, cudaErrorIllegalAddress);
    expect_success(cudaMemsetAsync(memory, 1, 1, stream));
    expect_success(cudaMemsetAsync(memory + 1, 1, 1, stream));
    expect_success(cudaMemsetAsync(memory + 2, 1, 1, stream));
    expect_success(cudaEventRecord(event, stream));
    expect_success(cudaGetLastError());
    expect_cuda(cudaEventSynchronize(event), cudaErrorIllegalAddress);
    assert_int_equal(memory[0], 1);
    assert_int_equal(memory[1], 0);
    assert_int_equal(memory[2], 0);
    expect_cuda(cudaGetLastError(), cudaErrorIllegalAddress);
    expect_cuda(cudaGetLastError(), cudaErrorIllegalAddress);
    expect_cuda(cudaMemsetAsync(memory, 1, 1, stream), cudaErrorIllegalAddress);
    expect_cuda(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    expect_success(cudaSetDevice(1));
    expect_cuda(cudaGetLastError(), cudaErrorIllegalAddress); /* this thread's own memory of it */
    expect_success(cudaGetLastError());
    cudaStream_t other = new_stream();
    unsigned char *healthy = device_filled(16, 3);
    expect_success(cudaMemsetAsync(healthy, 4, 16, other));
    expect_success(cudaStreamSynchronize(other));
    assert_int_equal(healthy[0], 4);
    expect_success(cudaFree(healthy));
    expect_success(cudaStreamDestroy(other));
    /* What belongs to the broken device is freed, and says so. */
    expect_success(cudaSetDevice(0));
    expect_cuda(cudaFree(memory), cudaErrorIllegalAddress);
    expect_cuda(cudaStreamDestroy(stream), cudaErrorIllegalAddress);
    expect_cuda(cudaEventDestroy(event), cudaErrorIllegalAddress);
    assert_int_equal(on_host_live_count(), 0);
}

static void failure_within_a_graph_ends_its_launch(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    unsigned char *memory = device_filled(16, 0), *pinned = pinned_filled(16, 1);
    expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    expect_success(cudaMemcpyAsync(memory, pinned, 16, cudaMemcpyHostToDevice, stream));
    expect_success(cudaMemsetAsync(memory, 2, 16, stream));
    expect_success(cudaStreamEndCapture(stream, &graph));
    expect_success(cudaGraphInstantiate(&exec, graph, 0));
    expect_success(cudaFreeHost(pinned));
    expect_success(cudaGraphLaunch(exec, stream));
    expect_cuda(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    assert_int_equal(memory[0], 0);
}

static void errors_have_cudas_names_and_sentences(void **state)
{
    (void)state;
    assert_string_equal(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
    assert_string_equal(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    assert_string_equal(cudaGetErrorString((cudaError_t)12345), "unrecognized error code");
    assert_string_equal(cublasLtGetStatusName(CUBLAS_STATUS_INVALID_VALUE),
                        "CUBLAS_STATUS_INVALID_VALUE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        runtime_test(failure_of_every_call_in_turn_is_seen_and_leaks_nothing),
        runtime_test(failure_is_given_once_and_remembered_once),
        runtime_test(failure_of_queued_work_is_seen_later_and_lasts),
        runtime_test(failure_within_a_graph_ends_its_launch),
        runtime_test(errors_have_cudas_names_and_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
