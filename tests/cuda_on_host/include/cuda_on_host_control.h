/* What tests may ask of the layer that runs kernels on the host, beyond CUDA's own API. */
#ifndef SOTI_TEST_CUDA_ON_HOST_CONTROL_H
#define SOTI_TEST_CUDA_ON_HOST_CONTROL_H

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

/* Everything that the layer found wrong since the process began or on_host_forget_errors was
 * called, one sentence a line; "" for nothing. Valid until the next report. */
const char *on_host_errors(void);
void on_host_forget_errors(void);

/* The order of blocks and threads from the next launch on; 0 is the natural one. At first it is
 * what CUDA_ON_HOST_SEED says, or 0. */
void on_host_set_seed(uint64_t seed);

#if defined(__cplusplus)
}
#endif

#endif
