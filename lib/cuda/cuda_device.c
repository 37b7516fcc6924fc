/* See cuda_device.h. */
#include "cuda_device.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/fail.h"

enum {
    CAPABILITY_MIN = 8,     /* mma.m16n8k16 and cp.async */
    CAPABILITY_OVERLAP = 9, /* griddepcontrol */
    VERSION_OVERLAP = 12030 /* of CUDA: graphs keep that one launch depends on another so */
};

/* Which of them is missing is worth knowing: CUDA itself says "insufficient driver" to both. */
static sot_status check_driver(int *out)
{
    RETURN_IF_ERROR(
        soti_cuda_check(NULL, cudaDriverGetVersion(out), "looking for NVIDIA's driver"));
    int version = *out;
    if (version == 0) {
        return soti_fail(SOT_ERR_DEVICE, "this machine has no NVIDIA driver");
    }
    if (version / 1000 < CUDART_VERSION / 1000) {
        return soti_fail(SOT_ERR_DEVICE,
                         "NVIDIA's driver is too old: it knows CUDA %d.%d, CUDA %d.0 is needed",
                         version / 1000, version % 1000 / 10, CUDART_VERSION / 1000);
    }
    return SOT_OK;
}

static sot_status check_number(uint32_t i_device)
{
    int n_devices = 0;
    RETURN_IF_ERROR(
        soti_cuda_check(NULL, cudaGetDeviceCount(&n_devices), "counting the CUDA devices"));
    if (n_devices < 1) {
        return soti_fail(SOT_ERR_DEVICE, "this machine has no CUDA device");
    }
    if (i_device >= (uint32_t)n_devices) {
        return soti_fail(SOT_ERR_DEVICE, "there is no CUDA device %u; the last is number %d",
                         i_device, n_devices - 1);
    }
    return SOT_OK;
}

static sot_status read_properties(soti_device *device, int driver)
{
    struct cudaDeviceProp properties;
    RETURN_IF_ERROR(soti_cuda_check(NULL, cudaGetDeviceProperties(&properties, device->i_device),
                                    "cudaGetDeviceProperties of device %d", device->i_device));
    snprintf(device->title, sizeof device->title, "CUDA device %d (%.255s)", device->i_device,
             properties.name);
    if (properties.major < CAPABILITY_MIN) {
        return soti_fail(SOT_ERR_DEVICE, "%s has compute capability %d.%d; %d.0 is needed",
                         device->title, properties.major, properties.minor, CAPABILITY_MIN);
    }
    device->n_sm = (uint32_t)properties.multiProcessorCount;
    device->max_shared_bytes = properties.sharedMemPerBlockOptin;
    device->overlap = properties.major >= CAPABILITY_OVERLAP && driver >= VERSION_OVERLAP &&
                      CUDART_VERSION >= VERSION_OVERLAP;
    soti_log_line(&device->host.log, SOT_LOG_INFO,
                  "%s: compute capability %d.%d, %u multiprocessors", device->title,
                  properties.major, properties.minor, device->n_sm);
    return SOT_OK;
}

sot_status soti_cuda_device_open(uint32_t i_device, const soti_host *host, soti_device **out)
{
    *out = NULL;
    int driver = 0;
    RETURN_IF_ERROR(check_driver(&driver));
    RETURN_IF_ERROR(check_number(i_device));
    soti_device *device = soti_alloc(1, sizeof *device);
    if (device == NULL) {
        return SOT_ERR_MEMORY;
    }
    device->i_device = (int)i_device;
    if (host != NULL) {
        device->host = *host;
    }
    sot_status status = read_properties(device, driver);
    if (status != SOT_OK) {
        soti_free(device);
        return status;
    }
    *out = device;
    return SOT_OK;
}

void soti_cuda_device_close(soti_device *device)
{
    soti_free(device);
}

sot_status soti_cuda_enter(const soti_device *device, soti_cuda_health *health, int *previous)
{
    *previous = -1;
    int current = -1;
    RETURN_IF_ERROR(soti_cuda_check(health, cudaGetDevice(&current), "cudaGetDevice"));
    if (current == device->i_device) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(soti_cuda_check(health, cudaSetDevice(device->i_device), "cudaSetDevice to %s",
                                    device->title));
    *previous = current;
    return SOT_OK;
}

void soti_cuda_leave(int previous)
{
    if (previous >= 0 && cudaSetDevice(previous) != cudaSuccess) {
        (void)cudaGetLastError();
    }
}
