/* Devices as the host sees them: how many, which is current, what they can do. The numbers that
 * tests do not set are an H100's. */
#include "runtime_state.h"

#include <cstdio>

namespace on_host
{

namespace
{

constexpr int shared_bytes_unasked = 48 * 1024;
constexpr int shared_bytes_most = 227 * 1024;
constexpr int shared_bytes_reserved = 1024;

cudaError_t attribute_of(const device_state &device, cudaDeviceAttr attribute, int *value)
{
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = shared_bytes_unasked;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = shared_bytes_most;
        break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
        *value = shared_bytes_reserved;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = shared_bytes_most + shared_bytes_reserved;
        break;
    case cudaDevAttrWarpSize:
        *value = 32;
        break;
    case cudaDevAttrClockRate:
        *value = 1980000;
        break;
    case cudaDevAttrMemoryClockRate:
        *value = 2619000;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *value = 5120;
        break;
    case cudaDevAttrL2CacheSize:
        *value = 50 << 20;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = device.n_multiprocessors;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = 2048;
        break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
        *value = 32;
        break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
        *value = 65536;
        break;
    case cudaDevAttrAsyncEngineCount:
        *value = 3;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = device.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = device.minor;
        break;
    case cudaDevAttrIntegrated:
    case cudaDevAttrHostRegisterReadOnlySupported:
        *value = 0;
        break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrHostRegisterSupported:
        *value = 1;
        break;
    default:
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

void fill_properties(const device_state &device, int i_device, cudaDeviceProp *out)
{
    *out = {};
    snprintf(out->name, sizeof out->name, "Host as a GPU %d", i_device);
    out->totalGlobalMem = device.total_bytes;
    out->sharedMemPerBlock = shared_bytes_unasked;
    out->regsPerBlock = 65536;
    out->warpSize = 32;
    out->maxThreadsPerBlock = 1024;
    out->maxThreadsDim[0] = 1024;
    out->maxThreadsDim[1] = 1024;
    out->maxThreadsDim[2] = 64;
    out->maxGridSize[0] = 0x7FFFFFFF;
    out->maxGridSize[1] = 65535;
    out->maxGridSize[2] = 65535;
    out->major = device.major;
    out->minor = device.minor;
    out->multiProcessorCount = device.n_multiprocessors;
    out->pciBusID = i_device + 1;
    out->asyncEngineCount = 3;
    out->unifiedAddressing = 1;
    out->memoryBusWidth = 5120;
    out->l2CacheSize = 50 << 20;
    out->maxThreadsPerMultiProcessor = 2048;
    out->sharedMemPerMultiprocessor = shared_bytes_most + shared_bytes_reserved;
    out->regsPerMultiprocessor = 65536;
    out->sharedMemPerBlockOptin = shared_bytes_most;
    out->maxBlocksPerMultiProcessor = 32;
    out->reservedSharedMemPerBlock = shared_bytes_reserved;
    out->hostRegisterSupported = 1;
}

/* Whether there is a driver, and this device. */
cudaError_t check_device(const runtime &all, int device)
{
    if (all.driver_version < CUDART_VERSION) {
        return cudaErrorInsufficientDriver;
    }
    if (all.n_devices == 0) {
        return cudaErrorNoDevice;
    }
    return device >= 0 && device < all.n_devices ? cudaSuccess : cudaErrorInvalidDevice;
}

} // namespace

} // namespace on_host

using namespace on_host;

extern "C" {

cudaError_t cudaDriverGetVersion(int *version)
{
    return api_call(CALL_READS, [&](runtime &all, held_lock &) {
        *version = all.driver_version;
        return cudaSuccess;
    });
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return api_call(CALL_READS, [&](runtime &, held_lock &) {
        *version = CUDART_VERSION;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDeviceCount(int *count)
{
    return api_call(CALL_READS, [&](runtime &all, held_lock &) {
        cudaError_t status = check_device(all, 0);
        *count = status == cudaSuccess ? all.n_devices : 0;
        return status;
    });
}

cudaError_t cudaGetDevice(int *device)
{
    return api_call(CALL_READS, [&](runtime &all, held_lock &) {
        *device = this_thread().device;
        return check_device(all, *device);
    });
}

cudaError_t cudaSetDevice(int device)
{
    return api_call(CALL_READS, [&](runtime &all, held_lock &) {
        cudaError_t status = check_device(all, device);
        if (status == cudaSuccess) {
            this_thread().device = device;
        }
        return status;
    });
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    return api_call(CALL_READS, [&](runtime &all, held_lock &) {
        cudaError_t status = check_device(all, device);
        return status == cudaSuccess ? attribute_of(all.devices[device], attribute, value) : status;
    });
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    return api_call(CALL_READS, [&](runtime &all, held_lock &) {
        cudaError_t status = check_device(all, device);
        if (status == cudaSuccess) {
            fill_properties(all.devices[device], device, properties);
        }
        return status;
    });
}

cudaError_t cudaDeviceSynchronize(void)
{
    return api_call(CALL_UNSAFE, [](runtime &all, held_lock &lock) {
        int device = this_thread().device;
        cudaError_t status = check_synchronise(all, nullptr, device);
        std::vector<std::shared_ptr<stream>> streams = all.devices[device].streams;
        for (size_t i = 0; i < streams.size() && status == cudaSuccess; i++) {
            status = drain_all(all, lock, streams[i]);
        }
        return status;
    });
}
}
