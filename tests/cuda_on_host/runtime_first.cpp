/* A few host functions that run everything at once; memory ends at a page that is not there. */
#include "on_host.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

namespace
{

struct allocation {
    char *map;
    size_t map_bytes;
    size_t n_bytes;
};

constexpr size_t page_bytes = 4096;
std::mutex lock;
std::map<char *, allocation> allocations;
cudaError_t sticky;

} // namespace

namespace on_host
{

cudaError_t enqueue(cudaStream_t, std::function<cudaError_t()> work)
{
    cudaError_t status = work();
    if (status != cudaSuccess) {
        sticky = status;
    }
    return cudaSuccess;
}

std::string describe_address(const void *address)
{
    std::lock_guard<std::mutex> hold(lock);
    const char *at = static_cast<const char *>(address);
    for (const auto &[begin, found] : allocations) {
        if (at >= begin && at < found.map + found.map_bytes) {
            char text[120];
            snprintf(text, sizeof text, "byte %zu of the %zu that cudaMalloc gave",
                     static_cast<size_t>(at - begin), found.n_bytes);
            return text;
        }
    }
    return "";
}

} // namespace on_host

extern "C" {

cudaError_t cudaMalloc(void **memory, size_t n_bytes)
{
    size_t rounded = (n_bytes + 15) / 16 * 16;
    size_t map_bytes = (rounded + page_bytes - 1) / page_bytes * page_bytes + page_bytes;
    void *map =
        mmap(nullptr, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return cudaErrorMemoryAllocation;
    }
    char *end = static_cast<char *>(map) + map_bytes - page_bytes;
    mprotect(end, page_bytes, PROT_NONE);
    memset(end - rounded, 0xFF, rounded);
    std::lock_guard<std::mutex> hold(lock);
    allocations[end - rounded] = {static_cast<char *>(map), map_bytes, n_bytes};
    *memory = end - rounded;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (memory == nullptr) {
        return cudaSuccess;
    }
    std::lock_guard<std::mutex> hold(lock);
    auto found = allocations.find(static_cast<char *>(memory));
    if (found == allocations.end()) {
        return cudaErrorInvalidValue;
    }
    munmap(found->second.map, found->second.map_bytes);
    allocations.erase(found);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n_bytes, enum cudaMemcpyKind)
{
    memcpy(to, from, n_bytes);
    return sticky;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes, enum cudaMemcpyKind,
                            cudaStream_t)
{
    memcpy(to, from, n_bytes);
    return sticky;
}

cudaError_t cudaMemset(void *memory, int value, size_t n_bytes)
{
    memset(memory, value, n_bytes);
    return sticky;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    *stream = reinterpret_cast<cudaStream_t>(static_cast<uintptr_t>(16));
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return sticky;
}

cudaError_t cudaDeviceSynchronize(void)
{
    return sticky;
}

cudaError_t cudaGetLastError(void)
{
    return sticky;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an error";
}
}
