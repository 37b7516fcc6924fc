/* An open CUDA device: what it is called and what it can do. It owns nothing on the device; weights
 * and contexts do. Every call of the table runs between enter and leave, which put the host's
 * current device back. */
#ifndef SOTI_CUDA_CUDA_DEVICE_H
#define SOTI_CUDA_CUDA_DEVICE_H

#include "backend/backend.h"
#include "cuda/cuda_fail.h"

struct soti_device {
    soti_host host;
    int i_device;
    uint32_t n_sm;
    uint32_t overlap;        /* 1: the device can start a kernel before the last one has ended */
    size_t max_shared_bytes; /* of one block */
    char title[320];         /* "CUDA device 0 (NVIDIA H200)" */
};

/* Returns DEVICE (no driver, one that is too old, no such device, one that is too old), MEMORY. */
sot_status soti_cuda_device_open(uint32_t i_device, const soti_host *host, soti_device **out);
void soti_cuda_device_close(soti_device *device);

/* Makes the device the thread's current one; *previous is for leave, -1: nothing to put back. */
sot_status soti_cuda_enter(const soti_device *device, soti_cuda_health *health, int *previous);
void soti_cuda_leave(int previous);

#endif
