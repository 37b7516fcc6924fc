/* How every kernel is launched: through cudaLaunchKernelEx and never <<<>>>, so that a C++ compiler
 * can read the file, too. */
#ifndef SOTI_KERNELS_LAUNCH_CUH
#define SOTI_KERNELS_LAUNCH_CUH

#include <cuda_runtime.h>
#include <stddef.h>

namespace soti
{

/* What a block may have without being asked for. */
constexpr size_t plain_shared_bytes = 48 * 1024;

/* Queues kernel(args...) on stream. overlap = 1: it may start before the kernel in front of it on
 * the stream has ended, and calls grid_dependency_wait() before it reads what that one wrote. */
template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, unsigned threads, size_t shared_bytes,
                   cudaStream_t stream, int overlap, A... args)
{
    if (shared_bytes > plain_shared_bytes) {
        cudaError_t status = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  static_cast<int>(shared_bytes));
        if (status != cudaSuccess) {
            return status;
        }
    }
    cudaLaunchAttribute serialization = {};
    serialization.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    serialization.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = &serialization;
    config.numAttrs = overlap ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

} // namespace soti

#endif
