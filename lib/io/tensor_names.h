/* The tensors a LLaMA of some shape is made of: names in both naming schemes, and dimensions. The
 * readers, the random models and the check for completeness all take the list from here. */
#ifndef SOTI_IO_TENSOR_NAMES_H
#define SOTI_IO_TENSOR_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/shape.h"

/* The role a tensor plays; random models choose its spread by it. */
enum {
    SOTI_ROLE_EMBEDDING = 1,
    SOTI_ROLE_NORM = 2,
    SOTI_ROLE_INNER = 3,    /* a matrix inside a block */
    SOTI_ROLE_RESIDUAL = 4, /* a matrix whose product is added to the residual stream */
    SOTI_ROLE_OUTPUT = 5
};

typedef struct soti_expected_tensor {
    char name[64];      /* canonical, Hugging Face's */
    char gguf_name[64]; /* "blk.7.ffn_up.weight" */
    uint32_t role;      /* SOTI_ROLE_* */
    uint32_t n_dims;
    uint64_t dims[2];
} soti_expected_tensor;

/* How many tensors there are; with a tied output, the output matrix is not among them. */
size_t soti_expected_tensor_count(const soti_shape *shape, uint32_t tied_output);

/* Tensor i of that many. In order: embedding, layers, final norm, output. */
void soti_expected_tensor_get(const soti_shape *shape, size_t i, soti_expected_tensor *out);

#endif
