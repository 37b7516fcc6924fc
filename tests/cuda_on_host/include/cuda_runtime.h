/* CUDA's C++ on the host: the keywords, the variables that tell a thread who it is, and what
 * threads of a warp or a block do together. A thread is a fiber; block.cpp runs it. The host's
 * functions are in cuda_runtime_api.h; what kernels reach through kernels/device.cuh is in
 * cuda_on_host.h. */
#ifndef SOTI_TEST_CUDA_RUNTIME_H
#define SOTI_TEST_CUDA_RUNTIME_H

#include <cuda_runtime_api.h>
#include <vector_types.h>

#if defined(__cplusplus)

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n)    alignas(n)

/* Who the running thread is: set whenever another fiber takes over. */
extern __thread uint3 threadIdx __attribute__((tls_model("initial-exec")));
extern __thread uint3 blockIdx __attribute__((tls_model("initial-exec")));
extern __thread dim3 blockDim __attribute__((tls_model("initial-exec")));
extern __thread dim3 gridDim __attribute__((tls_model("initial-exec")));
#define warpSize 32

namespace on_host
{

using thread_function = void (*)(void *closure);
cudaError_t run_grid(dim3 grid, dim3 block, size_t shared_bytes, thread_function thread,
                     void *closure, const void *kernel);
cudaError_t check_launch(dim3 grid, dim3 block, size_t shared_bytes, const void *kernel);
cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work);
cudaError_t counted_call(const std::function<cudaError_t()> &body);

enum class collective {
    sync,
    shuffle,
    shuffle_up,
    shuffle_down,
    shuffle_xor,
    ballot,
    any,
    all,
    reduce_add,
    reduce_min,
    reduce_max,
    mma,
    ldmatrix
};

/* One lane's part of what lanes of its warp do together. */
struct operation {
    collective kind;
    unsigned mask;
    const char *file;
    int line;
    unsigned operand; /* of shuffles: lane, delta or lane mask */
    unsigned width;
    uint64_t value; /* of shuffles and votes; then the result */
    float *d;       /* of the matrix instructions */
    const uint32_t *a, *b;
    uint32_t *r;
    uint32_t row[4];
    bool transposed;
};

/* Whoever ran before this thread goes on may go on at context, which is to be kept in place. The
 * caller does it, so that nothing returns between a switch and the kernel: a processor expects
 * returns where the thread before came from. */
__extension__ using handover = unsigned __int128; /* place, context: one value can be passed on */

handover enter_barrier(const char *file, int line);
/* The lane waits until all lanes of its mask wait with the same operation; the last one does it. */
handover enter_operation(operation &part);

__forceinline__ void keep(handover before)
{
    void **place = reinterpret_cast<void **>(static_cast<uintptr_t>(before >> 64));
    *place = reinterpret_cast<void *>(static_cast<uintptr_t>(before));
}

__forceinline__ void meet(operation &part)
{
    keep(enter_operation(part));
}

template <class T>
inline T shuffle(collective kind, unsigned mask, T value, unsigned operand, int width,
                 const char *file, int line)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "at most 8 bytes");
    operation part;
    part.kind = kind;
    part.mask = mask;
    part.file = file;
    part.line = line;
    part.operand = operand;
    part.width = static_cast<unsigned>(width);
    part.value = 0;
    memcpy(&part.value, &value, sizeof value);
    meet(part);
    memcpy(&value, &part.value, sizeof value);
    return value;
}

inline unsigned vote(collective kind, unsigned mask, unsigned value, const char *file, int line)
{
    operation part;
    part.kind = kind;
    part.mask = mask;
    part.file = file;
    part.line = line;
    part.value = value;
    meet(part);
    return static_cast<unsigned>(part.value);
}

inline float reciprocal_root(float x)
{
    return 1.0f / sqrtf(x);
}

} // namespace on_host

/* The caller's line, for the sentence if it is wrong. */
#define ON_HOST_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(ON_HOST_SITE)
{
    on_host::keep(on_host::enter_barrier(file, line));
}

inline void __syncwarp(unsigned mask = 0xffffffffu, ON_HOST_SITE)
{
    on_host::vote(on_host::collective::sync, mask, 0, file, line);
}

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, ON_HOST_SITE)
{
    return on_host::shuffle(on_host::collective::shuffle, mask, value, static_cast<unsigned>(lane),
                            width, file, line);
}

template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, ON_HOST_SITE)
{
    return on_host::shuffle(on_host::collective::shuffle_up, mask, value, delta, width, file, line);
}

template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, ON_HOST_SITE)
{
    return on_host::shuffle(on_host::collective::shuffle_down, mask, value, delta, width, file,
                            line);
}

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, ON_HOST_SITE)
{
    return on_host::shuffle(on_host::collective::shuffle_xor, mask, value,
                            static_cast<unsigned>(lane_mask), width, file, line);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, ON_HOST_SITE)
{
    return on_host::vote(on_host::collective::ballot, mask, predicate != 0, file, line);
}

inline int __any_sync(unsigned mask, int predicate, ON_HOST_SITE)
{
    return on_host::vote(on_host::collective::any, mask, predicate != 0, file, line) != 0;
}

inline int __all_sync(unsigned mask, int predicate, ON_HOST_SITE)
{
    return on_host::vote(on_host::collective::all, mask, predicate != 0, file, line) == mask;
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value, ON_HOST_SITE)
{
    return on_host::vote(on_host::collective::reduce_add, mask, value, file, line);
}

inline unsigned __reduce_min_sync(unsigned mask, unsigned value, ON_HOST_SITE)
{
    return on_host::vote(on_host::collective::reduce_min, mask, value, file, line);
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value, ON_HOST_SITE)
{
    return on_host::vote(on_host::collective::reduce_max, mask, value, file, line);
}

inline void __threadfence()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

inline void __threadfence_block()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Of global memory; those of shared memory are in cuda_on_host.h. */
inline unsigned atomicAdd(unsigned *at, unsigned value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}

inline int atomicAdd(int *at, int value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}

inline unsigned atomicExch(unsigned *at, unsigned value)
{
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
}

inline unsigned atomicCAS(unsigned *at, unsigned expected, unsigned value)
{
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

template <class T> inline T __ldcg(const T *at)
{
    return *at;
}

template <class T> inline T __ldg(const T *at)
{
    return *at;
}

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}

inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}

inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

inline unsigned __umulhi(unsigned x, unsigned y)
{
    return static_cast<unsigned>(static_cast<uint64_t>(x) * y >> 32);
}

inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    __extension__ using wide = unsigned __int128;
    return static_cast<unsigned long long>(static_cast<wide>(x) * y >> 64);
}

inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline int __float_as_int(float x)
{
    return static_cast<int>(__float_as_uint(x));
}

inline float __int_as_float(int bits)
{
    return __uint_as_float(static_cast<unsigned>(bits));
}

#define rsqrtf(x) on_host::reciprocal_root(x)

inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}

inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

inline int2 make_int2(int x, int y)
{
    return {x, y};
}

inline int4 make_int4(int x, int y, int z, int w)
{
    return {x, y, z, w};
}

inline float2 make_float2(float x, float y)
{
    return {x, y};
}

inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

/* CUDA has these outside of any namespace, for mixed signedness too, which here does not compile.
 */
template <class T> inline std::enable_if_t<std::is_arithmetic_v<T>, T> min(T x, T y)
{
    return y < x ? y : x;
}

template <class T> inline std::enable_if_t<std::is_arithmetic_v<T>, T> max(T x, T y)
{
    return x < y ? y : x;
}

/* As CUDA's own template: the arguments are copied when the launch is queued. */
template <class... P, class... A>
inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...),
                                      A &&...args)
{
    struct launch {
        void (*kernel)(P...);
        std::tuple<std::decay_t<P>...> arguments;
        static void run(void *closure)
        {
            launch *self = static_cast<launch *>(closure);
            std::apply(self->kernel, self->arguments);
        }
    };
    const void *address = reinterpret_cast<const void *>(kernel);
    cudaError_t status =
        on_host::check_launch(config->gridDim, config->blockDim, config->dynamicSmemBytes, address);
    if (status != cudaSuccess) {
        return on_host::counted_call([status] { return status; });
    }
    launch queued = {kernel, std::tuple<std::decay_t<P>...>(static_cast<P>(args)...)};
    return on_host::enqueue(config->stream, [queued, address, grid = config->gridDim,
                                             block = config->blockDim,
                                             shared_bytes = config->dynamicSmemBytes]() mutable {
        return on_host::run_grid(grid, block, shared_bytes, launch::run, &queued, address);
    });
}

#endif /* __cplusplus */

#endif
