/* See cuda_upload.h. */
#include "cuda_upload.h"

#include <string.h>

#include "base/fail.h"

enum {
    BUFFER_BYTES = 16 << 20, /* large enough for the bus to run at its full rate */
    SHARED_BYTES = 1 << 20,  /* less than this is copied sooner than threads wake */
    COPY_THREADS_MAX = 8     /* more do not read a file's pages any faster */
};

/* Falls back on the calling thread where no other can be had. */
static sot_status start_pool(soti_pool **out)
{
    uint32_t n = soti_pool_cpu_count();
    sot_status status = soti_pool_create(n < COPY_THREADS_MAX ? n : COPY_THREADS_MAX, 0, out);
    return status == SOT_ERR_THREAD ? soti_pool_create(1, 0, out) : status;
}

sot_status soti_cuda_upload_begin(soti_cuda_upload *upload, const soti_device *device,
                                  soti_cuda_health *health, size_t row_bytes, uint64_t total_bytes,
                                  sot_progress_fn progress, void *user)
{
    *upload = (soti_cuda_upload){.device = device,
                                 .health = health,
                                 .total_bytes = total_bytes,
                                 .progress = progress,
                                 .user = user};
    upload->buffer_bytes = total_bytes < BUFFER_BYTES ? (size_t)total_bytes : BUFFER_BYTES;
    if (upload->buffer_bytes < row_bytes) {
        upload->buffer_bytes = row_bytes;
    }
    RETURN_IF_ERROR(start_pool(&upload->pool));
    RETURN_IF_ERROR(
        soti_cuda_check(health, cudaStreamCreateWithFlags(&upload->stream, cudaStreamNonBlocking),
                        "cudaStreamCreateWithFlags to upload weights to %s", device->title));
    for (int i = 0; i < 2; i++) {
        void *buffer = NULL;
        RETURN_IF_ERROR(soti_cuda_check(
            health, cudaHostAlloc(&buffer, upload->buffer_bytes, cudaHostAllocDefault),
            "cudaHostAlloc of %zu bytes to upload weights", upload->buffer_bytes));
        upload->buffers[i] = buffer;
        RETURN_IF_ERROR(soti_cuda_check(
            health, cudaEventCreateWithFlags(&upload->taken[i], cudaEventDisableTiming),
            "cudaEventCreateWithFlags to upload weights to %s", device->title));
    }
    return SOT_OK;
}

/* Rows of one piece, copied by all threads of the pool. */
typedef struct piece {
    char *to;
    size_t to_bytes;
    const char *from;
    size_t from_bytes;
    size_t n_rows;
} piece;

static void copy_piece(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const piece *work = argument;
    size_t first;
    size_t end;
    soti_pool_share(work->n_rows, 1, i_thread, n_threads, &first, &end);
    if (work->to_bytes == work->from_bytes) {
        memcpy(work->to + first * work->to_bytes, work->from + first * work->from_bytes,
               (end - first) * work->to_bytes);
        return;
    }
    for (size_t i = first; i < end; i++) {
        char *to = work->to + i * work->to_bytes;
        memcpy(to, work->from + i * work->from_bytes, work->from_bytes);
        memset(to + work->from_bytes, 0, work->to_bytes - work->from_bytes);
    }
}

static sot_status report(const soti_cuda_upload *upload)
{
    if (upload->progress != NULL &&
        upload->progress(upload->done_bytes, upload->total_bytes, upload->user) != 0) {
        return soti_fail(SOT_ERR_CANCELLED,
                         "cancelled when %llu of %llu bytes of weights were on their way to %s",
                         (unsigned long long)upload->done_bytes,
                         (unsigned long long)upload->total_bytes, upload->device->title);
    }
    return SOT_OK;
}

static sot_status send(soti_cuda_upload *upload, void *to, const piece *from)
{
    uint32_t i = upload->i_buffer;
    size_t bytes = from->n_rows * from->to_bytes;
    piece work = *from;
    work.to = upload->buffers[i];
    if (upload->is_pending[i]) {
        RETURN_IF_ERROR(soti_cuda_check(upload->health, cudaEventSynchronize(upload->taken[i]),
                                        "cudaEventSynchronize while uploading weights to %s",
                                        upload->device->title));
    }
    if (bytes < SHARED_BYTES) {
        soti_pool_run_here(copy_piece, &work);
    } else {
        soti_pool_run(upload->pool, copy_piece, &work);
    }
    RETURN_IF_ERROR(soti_cuda_check(
        upload->health, cudaMemcpyAsync(to, work.to, bytes, cudaMemcpyHostToDevice, upload->stream),
        "cudaMemcpyAsync of %zu bytes of weights to %s", bytes, upload->device->title));
    RETURN_IF_ERROR(
        soti_cuda_check(upload->health, cudaEventRecord(upload->taken[i], upload->stream),
                        "cudaEventRecord while uploading weights to %s", upload->device->title));
    upload->is_pending[i] = 1;
    upload->i_buffer = 1 - i;
    upload->done_bytes += bytes;
    return SOT_OK;
}

sot_status soti_cuda_upload_rows(soti_cuda_upload *upload, void *to, size_t to_bytes,
                                 const void *from, size_t from_bytes, size_t n_rows)
{
    size_t n_fit = upload->buffer_bytes / to_bytes;
    for (size_t row = 0; row < n_rows;) {
        size_t n = n_rows - row < n_fit ? n_rows - row : n_fit;
        RETURN_IF_ERROR(report(upload));
        piece rows = {.to_bytes = to_bytes,
                      .from = (const char *)from + row * from_bytes,
                      .from_bytes = from_bytes,
                      .n_rows = n};
        RETURN_IF_ERROR(send(upload, (char *)to + row * to_bytes, &rows));
        row += n;
    }
    return SOT_OK;
}

sot_status soti_cuda_upload_finish(soti_cuda_upload *upload)
{
    RETURN_IF_ERROR(soti_cuda_check(upload->health, cudaStreamSynchronize(upload->stream),
                                    "cudaStreamSynchronize behind uploading weights to %s",
                                    upload->device->title));
    return report(upload);
}

/* The device may still be reading when a failure or the host has stopped the upload. */
void soti_cuda_upload_end(soti_cuda_upload *upload)
{
    if (upload->stream != NULL) {
        (void)cudaStreamSynchronize(upload->stream);
    }
    for (int i = 0; i < 2; i++) {
        if (upload->taken[i] != NULL) {
            (void)cudaEventDestroy(upload->taken[i]);
        }
        if (upload->buffers[i] != NULL) {
            (void)cudaFreeHost(upload->buffers[i]);
        }
    }
    if (upload->stream != NULL) {
        (void)cudaStreamDestroy(upload->stream);
    }
    soti_pool_free(upload->pool);
}
