/* Device memory that is reserved together and freed together. It is laid out twice by the same
 * function: first only adding up bytes, then, if the device has as many free, for real:
 *
 *   lay_out(memory);  soti_cuda_memory_begin(memory);  lay_out(memory);
 *
 * One allocation each, so that an access behind an array's end is found by the tools that look for
 * one. */
#ifndef SOTI_CUDA_CUDA_MEMORY_H
#define SOTI_CUDA_CUDA_MEMORY_H

#include "cuda/cuda_device.h"

typedef struct soti_cuda_memory {
    const soti_device *device;
    soti_cuda_health *health;
    const char *purpose;  /* "weights" */
    cudaStream_t zero_on; /* what is reserved is zeroed on this stream; NULL: is left as it is */
    uint32_t is_real;
    sot_status status; /* of the first failure, behind which nothing is reserved */
    size_t bytes;      /* laid out so far in this pass */
    void **blocks;
    uint32_t n_blocks;
    uint32_t n_blocks_max;
} soti_cuda_memory;

/* n_rows * stride items of size bytes; NULL in the first pass and after a failure. */
void *soti_cuda_take(soti_cuda_memory *memory, size_t n_rows, size_t stride, size_t size,
                     const char *what);

/* Ends the first pass. Returns MEMORY, naming the bytes needed and the bytes free; DEVICE. */
sot_status soti_cuda_memory_begin(soti_cuda_memory *memory);

/* Also behind a failure, in either pass. */
void soti_cuda_memory_free(soti_cuda_memory *memory);

#endif
