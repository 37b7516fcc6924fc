/* The product behind cublasLtMatmul: FP16 times FP16 into FP32, columns first, in a fixed order. */
#ifndef SOTI_TEST_BLAS_PRODUCT_H
#define SOTI_TEST_BLAS_PRODUCT_H

#include <cstddef>
#include <cstdint>

namespace on_host
{

/* d = alpha op(a) b + beta c, with op(a): (m, k), b: (k, n), c and d: (m, n). An entry's k products
 * are added in FP32 one after another in n_splits runs of equal length, and the runs then; so its
 * bits depend on nothing but its own row, column and n_splits. */
struct product {
    size_t m, n, k;
    bool a_is_transposed; /* stored (k, m) */
    const uint16_t *a;
    size_t a_stride; /* from column to column, of all four */
    const uint16_t *b;
    size_t b_stride;
    const float *c; /* not read if beta is 0 */
    size_t c_stride;
    float *d;
    size_t d_stride;
    float alpha;
    float beta;
    unsigned n_splits;
};

void multiply(const product &what);

} // namespace on_host

#endif
