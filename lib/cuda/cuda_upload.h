/* Weights on their way up: rows are copied from the file map into one of two pinned buffers, padded
 * as they go, while the device takes the other. */
#ifndef SOTI_CUDA_CUDA_UPLOAD_H
#define SOTI_CUDA_CUDA_UPLOAD_H

#include "base/pool.h"
#include "cuda/cuda_device.h"

typedef struct soti_cuda_upload {
    const soti_device *device;
    soti_cuda_health *health;
    soti_pool *pool; /* for pages that are yet to be read from the file */
    cudaStream_t stream;
    size_t buffer_bytes;
    char *buffers[2];     /* pinned */
    cudaEvent_t taken[2]; /* the device has read the buffer */
    uint32_t is_pending[2];
    uint32_t i_buffer;
    uint64_t done_bytes; /* on the device, or in a buffer on the way */
    uint64_t total_bytes;
    sot_progress_fn progress;
    void *user;
} soti_cuda_upload;

/* row_bytes: of the longest row. End it also behind a failure. Returns MEMORY, DEVICE. */
sot_status soti_cuda_upload_begin(soti_cuda_upload *upload, const soti_device *device,
                                  soti_cuda_health *health, size_t row_bytes, uint64_t total_bytes,
                                  sot_progress_fn progress, void *user);

/* Rows of from_bytes each become rows of to_bytes each, zeros behind what was there. Returns
 * DEVICE, CANCELLED. */
sot_status soti_cuda_upload_rows(soti_cuda_upload *upload, void *to, size_t to_bytes,
                                 const void *from, size_t from_bytes, size_t n_rows);

/* Waits until all is there, and reports it. Returns DEVICE, CANCELLED. */
sot_status soti_cuda_upload_finish(soti_cuda_upload *upload);
void soti_cuda_upload_end(soti_cuda_upload *upload);

#endif
