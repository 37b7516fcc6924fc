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

/* The limit belongs to the kernel on the current device, whoever launches it. So all that there is
 * is asked for: what another thread needs less for its launch is not taken from this one's. Kernels
 * that come here have no static shared memory, which would count, too. */
inline cudaError_t allow_most_shared(const void *kernel)
{
    int device = 0;
    int most = 0;
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess) {
        status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    return status != cudaSuccess
               ? status
               : cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

/* Queues kernel(args...) on stream. overlap = 1: it may start before the kernel in front of it on
 * the stream has ended, and calls grid_dependency_wait() before it reads what that one wrote. */
template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, unsigned threads, size_t shared_bytes,
                   cudaStream_t stream, int overlap, A... args)
{
    if (shared_bytes > plain_shared_bytes) {
        cudaError_t status = allow_most_shared(reinterpret_cast<const void *>(kernel));
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
