/* See cuda_fail.h. */
#include "cuda_fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

/* Errors after which the process's CUDA context of the device does nothing any more. */
static int is_fatal(cudaError_t error)
{
    switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
#if CUDART_VERSION >= 12080
    case cudaErrorContained:
#endif
    case cudaErrorContextIsDestroyed:
    case cudaErrorDevicesUnavailable:
    case cudaErrorExternalDevice:
    case cudaErrorMpsClientTerminated:
    case cudaErrorMpsRpcFailure:
    case cudaErrorUnknown:
        return 1;
    default:
        return 0;
    }
}

static sot_status tell(soti_cuda_health *health, sot_status status, int lasts, const char *call,
                       const char *words, const char *name)
{
    soti_fail(status, "%s: %s (%s)", call, words, name);
    if (lasts && health != NULL && !health->is_broken) {
        health->is_broken = 1;
        snprintf(health->sentence, sizeof health->sentence, "%s: %s (%s)", call, words, name);
    }
    return status;
}

sot_status soti_cuda_check(soti_cuda_health *health, cudaError_t error, const char *call, ...)
{
    if (error == cudaSuccess) {
        return SOT_OK;
    }
    char text[256];
    va_list arguments;
    va_start(arguments, call);
    vsnprintf(text, sizeof text, call, arguments);
    va_end(arguments);
    (void)cudaGetLastError();
    sot_status status = error == cudaErrorMemoryAllocation ? SOT_ERR_MEMORY : SOT_ERR_DEVICE;
    return tell(health, status, is_fatal(error), text, cudaGetErrorString(error),
                cudaGetErrorName(error));
}

sot_status soti_cuda_check_blas(soti_cuda_health *health, cublasStatus_t error, const char *call,
                                ...)
{
    if (error == CUBLAS_STATUS_SUCCESS) {
        return SOT_OK;
    }
    char text[256];
    va_list arguments;
    va_start(arguments, call);
    vsnprintf(text, sizeof text, call, arguments);
    va_end(arguments);
    cudaError_t behind = cudaGetLastError();
    if (behind != cudaSuccess) {
        return soti_cuda_check(health, behind, "%s", text);
    }
    sot_status status = error == CUBLAS_STATUS_ALLOC_FAILED ? SOT_ERR_MEMORY : SOT_ERR_DEVICE;
    return tell(health, status, 0, text, cublasLtGetStatusString(error),
                cublasLtGetStatusName(error));
}

sot_status soti_cuda_check_health(const soti_cuda_health *health)
{
    if (!health->is_broken) {
        return SOT_OK;
    }
    return soti_fail(SOT_ERR_DEVICE, "the device failed earlier and cannot go on: %s",
                     health->sentence);
}
