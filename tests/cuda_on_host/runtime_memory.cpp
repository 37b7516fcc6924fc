/* Memory of devices and pinned memory of the host: RT-3. Each allocation has its own pages, and
 * ends where they end; behind them lies one that nobody may touch. */
#include "runtime_state.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace on_host
{

namespace
{

constexpr size_t memory_granule = 16;
constexpr size_t device_granule = 256;
/* Freed memory stays out of reach until so many more were freed. */
constexpr size_t n_freed_most = 4096;

size_t round_up(size_t n, size_t granule)
{
    return (n + granule - 1) / granule * granule;
}

size_t page_size()
{
    static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

bool map_memory(allocation *out, char **begin)
{
    size_t rounded = round_up(out->n_bytes, memory_granule);
    out->map_bytes = round_up(rounded, page_size()) + page_size();
    void *map =
        mmap(nullptr, out->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    out->map = static_cast<char *>(map);
    char *end = out->map + out->map_bytes - page_size();
    if (mprotect(end, page_size(), PROT_NONE) != 0) {
        munmap(map, out->map_bytes);
        return false;
    }
    *begin = end - rounded;
    memset(*begin, 0xFF, rounded);
    return true;
}

/* Keeps the addresses, so that a late access faults, and gives back the memory. */
void seal(runtime &all, const allocation &what)
{
    void *sealed = mmap(what.map, what.map_bytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (sealed == MAP_FAILED) {
        return;
    }
    all.freed.emplace_back(what.map, what.map_bytes);
    if (all.freed.size() > n_freed_most) {
        munmap(all.freed.front().first, all.freed.front().second);
        all.freed.pop_front();
    }
}

cudaError_t allocate(runtime &all, memory_kind kind, size_t n_bytes, void **out)
{
    *out = nullptr;
    device_state &device = all.devices[this_thread().device];
    if (n_bytes == 0) {
        return cudaSuccess;
    }
    if (n_bytes > SIZE_MAX / 4) {
        return cudaErrorMemoryAllocation;
    }
    size_t used = kind == memory_kind::device ? round_up(n_bytes, device_granule) : 0;
    if (used > 0 &&
        (device.used_bytes > device.total_bytes || used > device.total_bytes - device.used_bytes)) {
        return cudaErrorMemoryAllocation;
    }
    allocation made = {kind, this_thread().device, n_bytes, nullptr, 0};
    char *begin = nullptr;
    if (!map_memory(&made, &begin)) {
        return cudaErrorMemoryAllocation;
    }
    all.allocations[reinterpret_cast<uintptr_t>(begin)] = made;
    device.used_bytes += used;
    size_t all_used = 0;
    for (const device_state &each : all.devices) {
        all_used += each.used_bytes;
    }
    all.peak_bytes = std::max(all.peak_bytes, all_used);
    *out = begin;
    return cudaSuccess;
}

cudaError_t release(runtime &all, memory_kind kind, void *memory, cudaError_t otherwise)
{
    if (memory == nullptr && kind != memory_kind::registered) {
        return cudaSuccess;
    }
    auto found = all.allocations.find(reinterpret_cast<uintptr_t>(memory));
    if (found == all.allocations.end() || found->second.kind != kind) {
        return otherwise;
    }
    const allocation &what = found->second;
    if (kind == memory_kind::device) {
        all.devices[what.device].used_bytes -= round_up(what.n_bytes, device_granule);
    }
    if (kind != memory_kind::registered) {
        seal(all, what);
    }
    all.allocations.erase(found);
    return cudaSuccess;
}

/* The last allocation that begins at the address or in front of it. */
std::map<uintptr_t, allocation>::const_iterator allocation_at(const runtime &all, uintptr_t at)
{
    auto next = all.allocations.upper_bound(at);
    return next == all.allocations.begin() ? all.allocations.end() : std::prev(next);
}

} // namespace

memory_kind kind_of(const runtime &all, const void *memory, size_t n_bytes)
{
    uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
    auto found = allocation_at(all, begin);
    if (found != all.allocations.end()) {
        size_t before = begin - found->first;
        if (before < found->second.n_bytes) {
            return n_bytes <= found->second.n_bytes - before ? found->second.kind
                                                             : memory_kind::none;
        }
        uintptr_t map = reinterpret_cast<uintptr_t>(found->second.map);
        if (map != 0 && begin - map < found->second.map_bytes) {
            return memory_kind::none;
        }
    }
    auto next = all.allocations.upper_bound(begin);
    if (next != all.allocations.end() && next->second.map != nullptr &&
        begin >= reinterpret_cast<uintptr_t>(next->second.map)) {
        return memory_kind::none;
    }
    for (const auto &[map, map_bytes] : all.freed) {
        if (begin - reinterpret_cast<uintptr_t>(map) < map_bytes) {
            return memory_kind::none;
        }
    }
    return memory != nullptr ? memory_kind::pageable : memory_kind::none;
}

uintptr_t offset_in_allocation(const runtime &all, const void *memory)
{
    uintptr_t at = reinterpret_cast<uintptr_t>(memory);
    auto found = allocation_at(all, at);
    bool is_inside = found != all.allocations.end() && found->second.kind == memory_kind::device &&
                     at - found->first < found->second.n_bytes;
    return is_inside ? at - found->first : at;
}

void free_all_memory(runtime &all)
{
    for (const auto &[begin, each] : all.allocations) {
        if (each.map != nullptr) {
            munmap(each.map, each.map_bytes);
        }
    }
    for (const auto &[map, map_bytes] : all.freed) {
        munmap(map, map_bytes);
    }
    all.allocations.clear();
    all.freed.clear();
}

std::string describe_address(const void *address)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    char text[160];
    for (const auto &[begin, each] : all.allocations) {
        uintptr_t map = reinterpret_cast<uintptr_t>(each.map);
        const char *who = each.kind == memory_kind::device ? "cudaMalloc" : "cudaMallocHost";
        if (each.map == nullptr || at - map >= each.map_bytes) {
            continue;
        }
        if (at < begin) {
            snprintf(text, sizeof text, "%zu bytes before the %zu bytes that %s gave",
                     static_cast<size_t>(begin - at), each.n_bytes, who);
        } else if (at - begin < each.n_bytes) {
            snprintf(text, sizeof text, "byte %zu of %zu bytes that %s gave",
                     static_cast<size_t>(at - begin), each.n_bytes, who);
        } else {
            snprintf(text, sizeof text, "%zu bytes behind the end of %zu bytes that %s gave",
                     static_cast<size_t>(at - begin) - each.n_bytes, each.n_bytes, who);
        }
        return text;
    }
    for (const auto &[map, map_bytes] : all.freed) {
        if (at - reinterpret_cast<uintptr_t>(map) < map_bytes) {
            return "in memory that was freed";
        }
    }
    return "";
}

} // namespace on_host

using namespace on_host;

extern "C" {

cudaError_t cudaMalloc(void **pointer, size_t n_bytes)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &) {
        return allocate(all, memory_kind::device, n_bytes, pointer);
    });
}

cudaError_t cudaFree(void *pointer)
{
    return api_call(CALL_UNSAFE | CALL_FREES, [&](runtime &all, held_lock &) {
        return release(all, memory_kind::device, pointer, cudaErrorInvalidValue);
    });
}

cudaError_t cudaMallocHost(void **pointer, size_t n_bytes)
{
    return cudaHostAlloc(pointer, n_bytes, cudaHostAllocDefault);
}

cudaError_t cudaHostAlloc(void **pointer, size_t n_bytes, unsigned int flags)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &) {
        unsigned known = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
        return (flags & ~known) == 0 ? allocate(all, memory_kind::pinned, n_bytes, pointer)
                                     : cudaErrorInvalidValue;
    });
}

cudaError_t cudaFreeHost(void *pointer)
{
    return api_call(CALL_UNSAFE | CALL_FREES, [&](runtime &all, held_lock &) {
        return release(all, memory_kind::pinned, pointer, cudaErrorInvalidValue);
    });
}

cudaError_t cudaHostRegister(void *pointer, size_t n_bytes, unsigned int flags)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &) {
        uintptr_t begin = reinterpret_cast<uintptr_t>(pointer);
        if (pointer == nullptr || n_bytes == 0 || n_bytes > SIZE_MAX - begin) {
            return cudaErrorInvalidValue;
        }
        if ((flags & cudaHostRegisterReadOnly) != 0) {
            return cudaErrorNotSupported;
        }
        auto next = all.allocations.lower_bound(begin);
        if ((next != all.allocations.end() && next->first < begin + n_bytes) ||
            kind_of(all, pointer, 1) != memory_kind::pageable) {
            return cudaErrorHostMemoryAlreadyRegistered;
        }
        all.allocations[begin] = {memory_kind::registered, this_thread().device, n_bytes, nullptr,
                                  0};
        return cudaSuccess;
    });
}

cudaError_t cudaHostUnregister(void *pointer)
{
    return api_call(CALL_UNSAFE | CALL_FREES, [&](runtime &all, held_lock &) {
        return release(all, memory_kind::registered, pointer, cudaErrorHostMemoryNotRegistered);
    });
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        const device_state &device = all.devices[this_thread().device];
        *total_bytes = device.total_bytes;
        *free_bytes =
            device.total_bytes > device.used_bytes ? device.total_bytes - device.used_bytes : 0;
        return cudaSuccess;
    });
}
}
