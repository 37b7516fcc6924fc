/* How every call of the host API begins and ends (injected failures, broken devices, last errors),
 * what tests set and ask (on_host_control.h), and CUDA's names for errors. */
#include "runtime_state.h"

#include <algorithm>
#include <cstdlib>

namespace on_host
{

namespace
{

constexpr int version_of_cuda = 13000;

uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value != nullptr ? strtoull(value, nullptr, 0) : otherwise;
}

void set_first_values(runtime &all)
{
    all.is_late = environment_number("CUDA_ON_HOST_LATE", 1) != 0;
    all.driver_version = version_of_cuda;
    uint64_t n_devices = environment_number("CUDA_ON_HOST_DEVICES", 1);
    all.n_devices =
        static_cast<int>(std::min(n_devices, static_cast<uint64_t>(ON_HOST_DEVICES_MAX)));
    all.fail_at_call = 0;
    all.fail_at_work = 0;
    all.peak_bytes = 0;
    for (int i = 0; i < ON_HOST_DEVICES_MAX; i++) {
        device_state &device = all.devices[i];
        device.total_bytes = environment_number("CUDA_ON_HOST_MEMORY", uint64_t{8} << 30);
        device.used_bytes = 0;
        device.n_multiprocessors =
            static_cast<int>(environment_number("CUDA_ON_HOST_MULTIPROCESSORS", 4));
        device.major = 9;
        device.minor = 0;
        device.broken_by = cudaSuccess;
        device.streams.clear();
        device.default_stream = std::make_shared<stream>();
        device.default_stream->device = i;
        device.default_stream->is_blocking = true;
        device.default_stream->is_default = true;
        device.streams.push_back(device.default_stream);
    }
}

/* Sets a field of a device, or of all. */
template <class F> void set_device(int i_device, F &&set)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    if (i_device >= 0 && i_device < ON_HOST_DEVICES_MAX) {
        set(all.devices[i_device]);
    }
}

} // namespace

runtime &the_runtime()
{
    /* Never destroyed: threads and exit handlers may still call. */
    static runtime *all = [] {
        runtime *made = new runtime();
        made->last_handle = uintptr_t{1} << 44;
        set_first_values(*made);
        return made;
    }();
    return *all;
}

thread_state &this_thread()
{
    static thread_local thread_state state = {};
    runtime &all = the_runtime();
    if (state.n_resets != all.n_resets) {
        state = {};
        state.n_resets = all.n_resets;
    }
    return state;
}

bool error_lasts(cudaError_t error)
{
    switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
        return true;
    default:
        return false;
    }
}

void break_device(runtime &all, int device, cudaError_t error)
{
    if (all.devices[device].broken_by == cudaSuccess) {
        all.devices[device].broken_by = error;
    }
}

cudaError_t begin_call(runtime &all, unsigned rules)
{
    thread_state &thread = this_thread();
    all.n_calls++;
    if (all.fail_at_call != 0 && --all.fail_at_call == 0) {
        if (error_lasts(all.fail_call_with) && thread.device < all.n_devices) {
            break_device(all, thread.device, all.fail_call_with);
        }
        return all.fail_call_with;
    }
    if ((rules & CALL_READS) != 0) {
        return cudaSuccess;
    }
    if (all.driver_version < version_of_cuda) {
        return cudaErrorInsufficientDriver;
    }
    if (all.n_devices == 0) {
        return cudaErrorNoDevice;
    }
    if (thread.device >= all.n_devices) {
        return cudaErrorInvalidDevice;
    }
    if (all.devices[thread.device].broken_by != cudaSuccess) {
        return all.devices[thread.device].broken_by;
    }
    return (rules & CALL_UNSAFE) != 0 ? check_unsafe(all) : cudaSuccess;
}

cudaError_t counted_call(const std::function<cudaError_t()> &body)
{
    return api_call(CALL_PLAIN, [&](runtime &, held_lock &) { return body(); });
}

cudaError_t end_call(cudaError_t status)
{
    if (status != cudaSuccess) {
        this_thread().last_error = status;
    }
    return status;
}

namespace
{

cudaError_t last_error(bool is_forgotten)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    thread_state &thread = this_thread();
    cudaError_t error = thread.last_error;
    if (is_forgotten) {
        thread.last_error = cudaSuccess;
    }
    cudaError_t broken_by = all.devices[thread.device].broken_by;
    return broken_by != cudaSuccess ? broken_by : error;
}

} // namespace

} // namespace on_host

using namespace on_host;

extern "C" {

cudaError_t cudaGetLastError(void)
{
    return last_error(true);
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error(false);
}

const char *cudaGetErrorName(cudaError_t error)
{
#define NAME_OF_ERROR(name, value, sentence)                                                       \
    case name:                                                                                     \
        return #name;
    switch (static_cast<int>(error)) {
        CUDA_ERROR_LIST(NAME_OF_ERROR)
    default:
        return "unrecognized error code";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
#define SENTENCE_OF_ERROR(name, value, sentence)                                                   \
    case name:                                                                                     \
        return sentence;
    switch (static_cast<int>(error)) {
        CUDA_ERROR_LIST(SENTENCE_OF_ERROR)
    default:
        return "unrecognized error code";
    }
}

void on_host_reset(void)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    for (device_state &device : all.devices) {
        for (const std::shared_ptr<stream> &each : device.streams) {
            each->queue.clear(); /* points hold streams: would keep each other alive */
        }
    }
    all.n_resets++;
    all.streams.clear();
    all.events.clear();
    all.graphs.clear();
    all.execs.clear();
    all.captures.clear();
    free_all_memory(all);
    forget_blas();
    set_first_values(all);
}

void on_host_set_late(int late)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    all.is_late = late != 0;
}

void on_host_set_devices(int n_devices)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    if (n_devices >= 0 && n_devices <= ON_HOST_DEVICES_MAX) {
        all.n_devices = n_devices;
    }
}

void on_host_set_memory(int device, size_t total_bytes)
{
    set_device(device, [&](device_state &state) { state.total_bytes = total_bytes; });
}

void on_host_set_multiprocessors(int device, int n)
{
    set_device(device, [&](device_state &state) { state.n_multiprocessors = n; });
}

void on_host_set_capability(int device, int major, int minor)
{
    set_device(device, [&](device_state &state) {
        state.major = major;
        state.minor = minor;
    });
}

void on_host_set_driver_version(int version)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    all.driver_version = version;
}

void on_host_fail_at(uint64_t n, cudaError_t error)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    all.fail_at_call = n;
    all.fail_call_with = error;
}

void on_host_fail_work_at(uint64_t n, cudaError_t error)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    all.fail_at_work = n;
    all.fail_work_with = error;
}

uint64_t on_host_call_count(void)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    return all.n_calls;
}

uint64_t on_host_work_count(void)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    return all.n_works;
}

on_host_live on_host_live_allocations(void)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    on_host_live live = {};
    for (const auto &[begin, each] : all.allocations) {
        if (each.kind == memory_kind::device) {
            live.device_allocations++;
        } else if (each.kind == memory_kind::pinned) {
            live.pinned_allocations++;
            live.pinned_bytes += each.n_bytes;
        } else {
            live.registrations++;
        }
    }
    for (const device_state &device : all.devices) {
        live.device_bytes += device.used_bytes;
    }
    live.streams = all.streams.size();
    live.events = all.events.size();
    live.graphs = all.graphs.size();
    live.graph_execs = all.execs.size();
    blas_live blas = count_blas();
    live.blas_handles = blas.handles;
    live.blas_descriptors = blas.descriptors;
    return live;
}

uint64_t on_host_live_count(void)
{
    on_host_live live = on_host_live_allocations();
    return live.device_allocations + live.pinned_allocations + live.registrations + live.streams +
           live.events + live.graphs + live.graph_execs + live.blas_handles + live.blas_descriptors;
}

uint64_t on_host_peak_device_bytes(void)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    return all.peak_bytes;
}

uint64_t on_host_queued_work(void)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    uint64_t n = 0;
    for (const device_state &device : all.devices) {
        for (const std::shared_ptr<stream> &each : device.streams) {
            for (const operation &queued : each->queue) {
                n += queued.what == operation::kind::work;
            }
        }
    }
    return n;
}
}
