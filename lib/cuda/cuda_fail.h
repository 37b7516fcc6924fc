/* CUDA's and cuBLAS's errors as statuses and sentences of libsot: the call with what it was for,
 * then CUDA's own words. Sentences wait in this library's copy of base/fail.h; cuda_backend.c hands
 * them to the host as a call of the table returns. */
#ifndef SOTI_CUDA_CUDA_FAIL_H
#define SOTI_CUDA_CUDA_FAIL_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "sot/status.h"

/* Whether the device still does what it is told. After a fault of a kernel CUDA refuses all that
 * follows, so what was said first is kept and said again. */
typedef struct soti_cuda_health {
    uint32_t is_broken;
    char sentence[512];
} soti_cuda_health;

/* OK for cudaSuccess. Otherwise stores "<call>: <CUDA's words> (<CUDA's name>)", marks health if
 * the error is one that lasts, takes the error back from CUDA's own memory of it, so that the
 * host's next look finds none of ours, and returns MEMORY or DEVICE. */
sot_status soti_cuda_check(soti_cuda_health *health, cudaError_t error, const char *call, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for cuBLAS; what CUDA has against it goes before what cuBLAS says. */
sot_status soti_cuda_check_blas(soti_cuda_health *health, cublasStatus_t error, const char *call,
                                ...) __attribute__((format(printf, 3, 4)));

/* OK, or DEVICE with what broke health. */
sot_status soti_cuda_check_health(const soti_cuda_health *health);

#endif
