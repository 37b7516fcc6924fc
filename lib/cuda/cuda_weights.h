/* A model's weights on a device: FP16 matrices whose rows are padded with zeros to a stride, query,
 * key and value matrices stacked, gate and up too; norms in FP32. */
#ifndef SOTI_CUDA_CUDA_WEIGHTS_H
#define SOTI_CUDA_CUDA_WEIGHTS_H

#include "cuda/cuda_memory.h"
#include "kernels/kernels.h"

typedef struct soti_cuda_layer {
    float *attention_norm; /* (d_model) */
    float *ffn_norm;       /* (d_model) */
    uint16_t *qkv;         /* (n_qkv, x_stride) */
    uint16_t *wo;          /* (d_model, a_stride) */
    uint16_t *gate_up;     /* (2 d_ff, x_stride) */
    uint16_t *down;        /* (d_model, h_stride) */
} soti_cuda_layer;

struct soti_device_weights {
    soti_device *device;
    soti_shape shape;
    soti_cuda_shape dims;
    uint16_t *embedding; /* (n_vocab, x_stride) */
    uint16_t *output;    /* (n_vocab, x_stride); the embedding when tied */
    float *output_norm;  /* (d_model) */
    soti_cuda_layer *layers;
    soti_cuda_memory memory; /* what the arrays lie in */
};

sot_status soti_cuda_weights_create(soti_device *device, const soti_shape *shape,
                                    const soti_weights *weights, sot_progress_fn progress,
                                    void *user, soti_device_weights **out);
void soti_cuda_weights_free(soti_device_weights *weights);

#endif
