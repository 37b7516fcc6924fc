/* A CUDA device as sot-bench sees it beside the library: how fast it reads its memory, and how much
 * of that is taken. By NVIDIA's driver alone, opened at run time, so that the program is built and
 * runs without CUDA. */
#ifndef SOT_BENCH_MEASURED_GPU_H
#define SOT_BENCH_MEASURED_GPU_H

#include <stddef.h>
#include <stdint.h>

struct cuda_device;

/* Opens device number i_device; NULL after having said why it cannot be had. Memory in use is
 * counted from here on, so what the driver keeps for a process should be there already. */
struct cuda_device *cuda_device_open(unsigned i_device);
void cuda_device_close(struct cuda_device *device); /* NULL: nothing */

const char *cuda_device_name(const struct cuda_device *device);
unsigned cuda_device_driver(const struct cuda_device *device); /* 12040: CUDA 12.4 */

/* Reads a block of at most most_bytes n times with all multiprocessors: rates in bytes/s. Returns
 * the block's size; 0: there is not so much free memory, or the device failed, which is said. */
size_t cuda_device_read(struct cuda_device *device, size_t most_bytes, double *rates, size_t n);

uint64_t cuda_device_free_bytes(const struct cuda_device *device);
/* Taken since the device was opened, by any program. */
uint64_t cuda_device_used_bytes(const struct cuda_device *device);

#endif
