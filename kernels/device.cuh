/* Every instruction that CUDA C++ has no word for, once, and shared memory by names that can be
 * checked: compiled by nvcc, shared<T> is a plain pointer and each function a few lines of PTX;
 * compiled as C++, the same names run on the host and look at each access
 * (tests/cuda_on_host/include/cuda_on_host.h). Kernels contain no assembler of their own. */
#ifndef SOTI_KERNELS_DEVICE_CUH
#define SOTI_KERNELS_DEVICE_CUH

#if !defined(__CUDACC__)
#include <cuda_on_host.h>
#else

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

namespace soti
{

template <class T> using shared = T *;

/* The block's dynamic shared memory from a byte on. */
template <class T> __device__ __forceinline__ shared<T> shared_memory(unsigned byte_offset)
{
    extern __shared__ __align__(128) unsigned char soti_shared_memory[];
    return reinterpret_cast<T *>(soti_shared_memory + byte_offset);
}

/* name: n elements of T, the block's. */
#define SHARED_ARRAY(T, name, n) __shared__ __align__(16) T name[n]

__device__ __forceinline__ uint32_t shared_address(const void *at)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}

__device__ __forceinline__ uint4 shared_load_16(const void *from)
{
    return *static_cast<const uint4 *>(from);
}

/* By name: four values that are computed apart are stored apart otherwise, with four times the bank
 * conflicts each. */
__device__ __forceinline__ void shared_store_16(void *to, uint4 value)
{
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(to)), "r"(value.x),
                 "r"(value.y), "r"(value.z), "r"(value.w)
                 : "memory");
}

/* Memory that this launch only reads, once: kept out of L1 and the first to leave L2. Volatile, so
 * that the load stays where it is asked for, long before its value is needed. */
__device__ __forceinline__ uint4 load_stream_16(const void *global)
{
    uint64_t policy;
    uint4 value;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(__cvta_generic_to_global(global)), "l"(policy));
    return value;
}

__device__ __forceinline__ uint4 load_16(const void *global)
{
    return *static_cast<const uint4 *>(global);
}

__device__ __forceinline__ void store_16(void *global, uint4 value)
{
    *static_cast<uint4 *>(global) = value;
}

/* Asks for the 128 bytes around an address, which must be some that may be read: from memory to L2;
 * nobody waits for them. */
__device__ __forceinline__ void prefetch_l2(const void *global)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(global)));
}

/* What another block of this launch wrote: not from L1, which may hold what was there before. */
__device__ __forceinline__ float load_fresh(const float *global)
{
    float value;
    asm volatile("ld.global.cg.f32 %0, [%1];"
                 : "=f"(value)
                 : "l"(__cvta_generic_to_global(global))
                 : "memory");
    return value;
}

__device__ __forceinline__ float4 load_fresh_16(const float *global)
{
    float4 value;
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
                 : "l"(__cvta_generic_to_global(global))
                 : "memory");
    return value;
}

/* In front of an atomic that says so: what this thread wrote, or knows from a barrier to be
 * written, is there. Behind one that was told so: it can be read, by those behind a barrier, too.
 * What
 * __threadfence() does beyond that, one order of all fences, is for nobody here and costs time. */
__device__ __forceinline__ void fence_device()
{
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
}

/* d += a b: a (16, 16) and b (16, 8) FP16, d (16, 8) FP32. With g = lane / 4, q = lane % 4:
 * a[0] row g, a[1] row g + 8, columns 2 q and 2 q + 1; a[2], a[3] the same rows, columns 8 further;
 * b[0] column g, rows 2 q and 2 q + 1; b[1] 8 rows further;
 * d[0], d[1] row g, columns 2 q and 2 q + 1; d[2], d[3] 8 rows further. All lanes of the warp. */
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four matrices of 8 by 8 halves: lanes 8 i .. 8 i + 7 say where the rows of matrix i begin, 16
 * bytes each; r[i] gets row g, columns 2 q and 2 q + 1 of matrix i. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* The same with rows and columns exchanged: r[i] gets column g, rows 2 q and 2 q + 1. */
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* Begins to copy 16 bytes, past L1; they are there for the lane behind cp_async_wait, for others
 * behind a barrier after that. */
__device__ __forceinline__ void cp_async_16(void *to, const void *global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)),
                 "l"(__cvta_generic_to_global(global))
                 : "memory");
}

/* The copies begun since the last one form a group. */
__device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until at most N of the lane's groups are on their way. */
template <int N> __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* For launches that overlap: until the kernel in front has ended and all that it wrote can be seen.
 */
__device__ __forceinline__ void grid_dependency_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* As far as this block is concerned, the next kernel may start, up to its grid_dependency_wait().
 */
__device__ __forceinline__ void grid_dependency_launch()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* Of a one-dimensional block. */
__device__ __forceinline__ unsigned lane_id()
{
    return threadIdx.x % 32;
}

/* The same, asked for anew each time: what is computed from it does not stay in registers over a
 * loop that needs them all. */
__device__ __forceinline__ unsigned lane_id_anew()
{
    unsigned lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

__device__ __forceinline__ unsigned warp_id()
{
    return threadIdx.x / 32;
}

} // namespace soti

#endif /* __CUDACC__ */

#endif
