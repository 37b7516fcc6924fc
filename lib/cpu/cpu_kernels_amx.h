/* The two kernels of AMX's set that are not AVX-512's; soti_cpu_kernels says what they do. */
#ifndef SOTI_CPU_CPU_KERNELS_AMX_H
#define SOTI_CPU_CPU_KERNELS_AMX_H

#include <stddef.h>
#include <stdint.h>

void soti_cpu_amx_pack(const float *x, size_t x_stride, size_t n_rows, size_t n_in, float *packed);
void soti_cpu_amx_product(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                          size_t n_rows, float *out, size_t out_stride);

#endif
