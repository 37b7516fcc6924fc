/* What a launch may ask for, the seed, and the errors that were found. */
#include "block.h"
#include "cuda_on_host_control.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

namespace on_host
{

namespace
{

/* What a block may have on sm_90: without asking, and at all. */
constexpr size_t shared_bytes_unasked = 48 * 1024;
constexpr size_t shared_bytes_max = 227 * 1024;

std::mutex lock;
std::map<const void *, size_t> shared_limits;
std::string errors;
std::string errors_told;

uint64_t seed_of_environment()
{
    const char *value = getenv("CUDA_ON_HOST_SEED");
    return value != nullptr ? strtoull(value, nullptr, 0) : 0;
}

std::atomic<uint64_t> &seed()
{
    static std::atomic<uint64_t> value = seed_of_environment();
    return value;
}

} // namespace

uint64_t current_seed()
{
    return seed();
}

cudaError_t check_launch(dim3 grid, dim3 block, size_t shared_bytes, const void *kernel)
{
    uint64_t n_threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    bool grid_fits = grid.x >= 1 && grid.x <= 0x7FFFFFFF && grid.y >= 1 && grid.y <= 65535 &&
                     grid.z >= 1 && grid.z <= 65535;
    bool block_fits = n_threads >= 1 && n_threads <= max_threads && block.x <= 1024 &&
                      block.y <= 1024 && block.z <= 64;
    if (!grid_fits || !block_fits) {
        return cudaErrorInvalidConfiguration;
    }
    std::lock_guard<std::mutex> hold(lock);
    auto found = shared_limits.find(kernel);
    size_t limit = found != shared_limits.end() ? found->second : shared_bytes_unasked;
    return shared_bytes > limit ? cudaErrorInvalidValue : cudaSuccess;
}

void report_error(const std::string &sentence)
{
    fprintf(stderr, "cuda_on_host: %s\n", sentence.c_str());
    std::lock_guard<std::mutex> hold(lock);
    errors += sentence + "\n";
}

} // namespace on_host

extern "C" {

const char *on_host_errors(void)
{
    std::lock_guard<std::mutex> hold(on_host::lock);
    on_host::errors_told = on_host::errors;
    return on_host::errors_told.c_str();
}

void on_host_forget_errors(void)
{
    std::lock_guard<std::mutex> hold(on_host::lock);
    on_host::errors.clear();
}

void on_host_set_seed(uint64_t seed)
{
    on_host::seed() = seed;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    return on_host::counted_call([&] {
        if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
            static_cast<size_t>(value) > on_host::shared_bytes_max) {
            return cudaErrorInvalidValue;
        }
        std::lock_guard<std::mutex> hold(on_host::lock);
        on_host::shared_limits[kernel] =
            std::max(static_cast<size_t>(value), on_host::shared_bytes_unasked);
        return cudaSuccess;
    });
}
}
