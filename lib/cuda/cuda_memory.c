/* See cuda_memory.h. */
#include "cuda_memory.h"

#include "base/alloc.h"
#include "base/fail.h"

static void *take_block(soti_cuda_memory *memory, size_t bytes, const char *what)
{
    void *block = NULL;
    memory->status = soti_cuda_check(memory->health, cudaMalloc(&block, bytes),
                                     "cudaMalloc of %zu bytes of %s (%s) on %s", bytes,
                                     memory->purpose, what, memory->device->title);
    if (memory->status != SOT_OK) {
        return NULL;
    }
    memory->blocks[memory->n_blocks++] = block;
    if (memory->zero_on != NULL) {
        memory->status = soti_cuda_check(
            memory->health, cudaMemsetAsync(block, 0, bytes, memory->zero_on),
            "cudaMemsetAsync of %zu bytes of %s (%s)", bytes, memory->purpose, what);
    }
    return memory->status == SOT_OK ? block : NULL;
}

void *soti_cuda_take(soti_cuda_memory *memory, size_t n_rows, size_t stride, size_t size,
                     const char *what)
{
    size_t count;
    size_t bytes;
    if (memory->status != SOT_OK) {
        return NULL;
    }
    if (!soti_mul(n_rows, stride, &count) || !soti_mul(count, size, &bytes) ||
        !soti_add(memory->bytes, bytes, &memory->bytes)) {
        memory->status =
            soti_fail(SOT_ERR_MEMORY, "%s (%s): %zu rows of %zu items of %zu bytes are too many",
                      memory->purpose, what, n_rows, stride, size);
        return NULL;
    }
    if (memory->is_real) {
        return take_block(memory, bytes > 0 ? bytes : 1, what);
    }
    memory->n_blocks_max++;
    return NULL;
}

sot_status soti_cuda_memory_begin(soti_cuda_memory *memory)
{
    RETURN_IF_ERROR(memory->status);
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    RETURN_IF_ERROR(soti_cuda_check(memory->health, cudaMemGetInfo(&free_bytes, &total_bytes),
                                    "cudaMemGetInfo of %s", memory->device->title));
    if (memory->bytes > free_bytes) {
        return soti_fail(
            SOT_ERR_MEMORY, "%s need %zu bytes of memory on %s, which has %zu free of %zu",
            memory->purpose, memory->bytes, memory->device->title, free_bytes, total_bytes);
    }
    memory->blocks = soti_alloc(memory->n_blocks_max, sizeof *memory->blocks);
    if (memory->blocks == NULL) {
        return SOT_ERR_MEMORY;
    }
    memory->is_real = 1;
    memory->bytes = 0;
    return SOT_OK;
}

void soti_cuda_memory_free(soti_cuda_memory *memory)
{
    for (uint32_t i = 0; i < memory->n_blocks; i++) {
        (void)cudaFree(memory->blocks[i]);
    }
    soti_free(memory->blocks);
    memory->blocks = NULL;
    memory->n_blocks = 0;
}
