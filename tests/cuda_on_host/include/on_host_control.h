/* What tests set and ask of the host side of the layer: devices, memory, lateness, failures, what
 * is still alive. Errors' sentences and the seed are in include/cuda_on_host_control.h.
 *
 * How the host side differs from a GPU's, on purpose:
 *   RT-1  Queued work runs only when something demands it: cudaStreamSynchronize,
 *         cudaEventSynchronize, cudaDeviceSynchronize, a copy that blocks, or the fourth
 *         cudaStreamQuery or cudaEventQuery for the same work. Then just the work behind the demand
 *         runs. cudaFree, cudaStreamDestroy, cudaMemGetInfo and the rest demand nothing.
 *   RT-2  A copy reads pinned memory when it runs. Pageable memory is read when the copy is queued,
 *         and a copy to pageable memory blocks; neither may be captured.
 *   RT-3  Memory of cudaMalloc and cudaMallocHost is filled with 0xFF, ends (rounded up to 16
 *         bytes) at a page that cannot be touched, and cannot be touched once it is freed.
 *   RT-4  After a failure of queued work its device refuses all that follows with the same error;
 *         what frees something frees it and gives the error too. on_host_reset() mends it.
 *   RT-5  A thread that captures (not in relaxed mode) may not allocate, free, synchronise, query
 *         or use the legacy default stream; nor may any thread while another captures in global
 *         mode. Waiting in a capture for another capture's event is not supported.
 *   RT-6  cuBLASLt: matmul wants an algorithm that a heuristic gave for the same shapes; pointers
 *         aligned as the preference said (256 bytes unless told otherwise); the algorithm's
 *         workspace, which it overwrites. Unless the preference's reduction scheme mask is NONE,
 *         algorithms split k.
 *
 * Environment, read at first and by on_host_reset: CUDA_ON_HOST_LATE (0: work runs as it is
 * queued), CUDA_ON_HOST_DEVICES, CUDA_ON_HOST_MEMORY (bytes of each device),
 * CUDA_ON_HOST_MULTIPROCESSORS. */
#ifndef SOTI_TEST_ON_HOST_CONTROL_H
#define SOTI_TEST_ON_HOST_CONTROL_H

#include <cuda_on_host_control.h>
#include <cuda_runtime_api.h>

#if defined(__cplusplus)
extern "C" {
#endif

enum { ON_HOST_DEVICES_MAX = 8 };

/* Forgets all objects, queued work, errors of devices and threads; settings become what they were
 * at first. Handles and memory from before are invalid. No other thread may be in a call. */
void on_host_reset(void);

void on_host_set_late(int late);
void on_host_set_devices(int n_devices);                 /* 0 .. ON_HOST_DEVICES_MAX; at first 1 */
void on_host_set_memory(int device, size_t total_bytes); /* at first 8 GiB */
void on_host_set_multiprocessors(int device, int n);     /* at first 4 */
void on_host_set_capability(int device, int major, int minor); /* at first 9.0 */
void on_host_set_driver_version(int version); /* at first 13000; 0: there is no driver */

/* The n-th call from now on (1: the next), of any thread, fails with error; 0: none does. Calls
 * that only read settings or errors do not count: cudaGetLastError, cudaPeekAtLastError and
 * cudaGetError*; launches and cuBLASLt's calls do. A call that frees something frees it. An error
 * that lasts (RT-4) does so. From cuBLASLt it is CUBLAS_STATUS_ALLOC_FAILED for
 * cudaErrorMemoryAllocation, otherwise CUBLAS_STATUS_EXECUTION_FAILED. */
void on_host_fail_at(uint64_t n, cudaError_t error);
/* The same for the n-th piece of queued work that runs from now on (kernels, copies, products; not
 * what a graph consists of: a graph's launch is one). */
void on_host_fail_work_at(uint64_t n, cudaError_t error);

/* Calls so far that count for on_host_fail_at; pieces of work that ran. */
uint64_t on_host_call_count(void);
uint64_t on_host_work_count(void);

/* What exists now. */
typedef struct on_host_live {
    uint64_t device_allocations;
    uint64_t device_bytes; /* of all devices, each allocation rounded up to 256 */
    uint64_t pinned_allocations;
    uint64_t pinned_bytes;
    uint64_t registrations; /* cudaHostRegister */
    uint64_t streams;
    uint64_t events;
    uint64_t graphs;
    uint64_t graph_execs;
    uint64_t blas_handles;
    uint64_t blas_descriptors; /* matmul descriptions, layouts, preferences */
} on_host_live;

on_host_live on_host_live_allocations(void);
/* Their sum, without bytes: 0 when all was given back. */
uint64_t on_host_live_count(void);
/* The most bytes of device memory that were in use at once since the last reset. */
uint64_t on_host_peak_device_bytes(void);

/* Pieces of work that are queued and have not run, on all streams, destroyed ones too. */
uint64_t on_host_queued_work(void);

#if defined(__cplusplus)
}
#endif

#endif
