/* Inside of the layer: what its two halves say to each other. The device side (grids, blocks,
 * threads, shared memory) runs what the host side (streams, events, graphs, memory) queued. */
#ifndef SOTI_TEST_ON_HOST_H
#define SOTI_TEST_ON_HOST_H

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>

namespace on_host
{

/* Of the device side.
 *
 * Runs a grid on the calling host thread and returns when it has ended: cudaSuccess, or the error
 * that ended it, whose sentence is then in on_host_errors(). kernel is the kernel function's
 * address, for naming it. Not from within a kernel. Different host threads may run grids at once.
 */
using Thread = void (*)(void *closure);
cudaError_t run_grid(dim3 grid, dim3 block, size_t shared_bytes, Thread thread, void *closure,
                     const void *kernel);

/* Whether a launch of this size would be accepted, before it is queued: cudaSuccess,
 * cudaErrorInvalidConfiguration or cudaErrorInvalidValue. cudaLaunchKernelEx asks. The limit on
 * dynamic shared memory is what cudaFuncSetAttribute (also of the device side) was told. */
cudaError_t check_launch(dim3 grid, dim3 block, size_t shared_bytes, const void *kernel);

/* Adds a sentence to on_host_errors() and prints it to stderr. Either side may. */
void report_error(const std::string &sentence);

/* Of the host side.
 *
 * Queues work on a stream, or adds it to the graph that is being captured there; work may be run
 * any number of times. Called by cudaLaunchKernelEx; what it returns is what the launch returns.
 * What work returns later is the stream's (sticky) error. */
cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work);

/* For a call of CUDA's API that the device side owns: it counts and fails as the host side's do,
 * and what it returns is the thread's last error. */
cudaError_t counted_call(const std::function<cudaError_t()> &body);

/* Where an address lies, for the sentence about a fault: "4 bytes behind the end of 1024 bytes that
 * cudaMalloc gave"; empty if it is near no allocation. */
std::string describe_address(const void *address);

} // namespace on_host

#endif
