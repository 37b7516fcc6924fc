/* The inner loops of the CPU backend, one table per instruction set. Everything else in lib/cpu/ is
 * plain C that calls these. To add a set: a file cpu_kernels_<isa>.c, its flags in CMake, a line in
 * cpu_isa.c.
 *
 * CK-1  An output element's operations and their order depend on n_in (or n) and on its own row and
 *       weight row alone: not on how many rows or weight rows one call handles, nor on the
 *       element's place in the call. That is what makes the backend batch-invariant (BE-1).
 *
 * CK-2  Pointers need the alignment of their type only, and nothing outside the arrays is read. */
#ifndef SOTI_CPU_CPU_KERNELS_H
#define SOTI_CPU_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "cpu/cpu_attention_kernels.h"

/* Activations are packed once and then multiplied by many weight rows. A set lays them out as it
 * likes within groups of SOTI_CPU_GROUP_ROWS rows; group g begins at
 * packed + g * SOTI_CPU_GROUP_ROWS * soti_cpu_packed_stride(n_in), at a cache line. */
enum { SOTI_CPU_GROUP_ROWS = 16 };

/* Floats that one row takes: whole cache lines, and one line more, since rows whose distance is a
 * power of two would all compete for the same few places of the cache. */
static inline size_t soti_cpu_packed_stride(size_t n_in)
{
    return (n_in + 31) / 32 * 32 + 16;
}

typedef struct soti_cpu_kernels {
    const char *isa;

    /* Packs rows 0 .. n_rows of x: (n_rows, n_in) with a stride. */
    void (*pack)(const float *x, size_t x_stride, size_t n_rows, size_t n_in, float *packed);

    /* out[r][i] = sum over k of w[i][k] * x[r][k]          w: (n_out, n_in) FP16, contiguous
     *                               x: (n_rows, n_in) packed; out: (n_rows, n_out) with a stride */
    void (*product)(const uint16_t *w, size_t n_out, size_t n_in, const float *packed,
                    size_t n_rows, float *out, size_t out_stride);

    /* out = x / sqrt(mean(x * x) + eps) * gain                                         all: (n) */
    void (*norm)(const float *x, const float *gain, size_t n, float eps, float *out);

    /* out = gate / (1 + exp(-gate)) * up                                               all: (n) */
    void (*swiglu)(const float *gate, const float *up, size_t n, float *out);

    void (*widen)(const uint16_t *in, size_t n, float *out);  /* FP16 to FP32: exact */
    void (*narrow)(const float *in, size_t n, uint16_t *out); /* to nearest, ties to even */

    const soti_cpu_attention_kernels *attention; /* the set's own, or another's that it can run */
} soti_cpu_kernels;

extern const soti_cpu_kernels soti_cpu_kernels_portable;
#if defined(__aarch64__)
extern const soti_cpu_kernels soti_cpu_kernels_neon;
#endif
#if defined(__x86_64__)
extern const soti_cpu_kernels soti_cpu_kernels_avx2;
extern const soti_cpu_kernels soti_cpu_kernels_avx512;
extern const soti_cpu_kernels soti_cpu_kernels_amx;
#endif

/* pack of the sets that read rows as they are: row r at packed + r * soti_cpu_packed_stride(n_in),
 * zeros behind its end. */
void soti_cpu_pack_rows(const float *x, size_t x_stride, size_t n_rows, size_t n_in, float *packed);

#endif
