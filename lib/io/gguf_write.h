/* Writes a model as one GGUF file, version 3, as gguf.c and other programs of the field read it.
 * Format: docs/gguf.md of github.com/ggml-org/ggml */
#ifndef SOTI_IO_GGUF_WRITE_H
#define SOTI_IO_GGUF_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/shape.h"
#include "io/vocabulary.h"
#include "sot/sot.h"

typedef struct soti_gguf_tensor {
    char name[64];          /* GGUF's: "blk.7.ffn_up.weight" */
    uint64_t n_rows;        /* 0: a vector */
    uint64_t n_columns;     /* > 0 */
    const uint16_t *halves; /* (n_rows, n_columns) FP16; or */
    const float *floats;    /* (n_columns) FP32 */
    uint32_t n_split_heads; /* heads whose rows have the rotary pairs (i, i + d_head/2), which the
                               file has as (2i, 2i + 1); 0: rows stay as they are */
} soti_gguf_tensor;

typedef struct soti_gguf_model {
    const soti_shape *shape; /* rope_layout is not looked at */
    uint32_t n_ctx_train;    /* 0: not stated */
    int32_t bos_id, eos_id;  /* -1: none */
    const char *name;        /* "": none */
    const char *conversation;
    const soti_vocabulary *vocabulary; /* NULL: none */
    const soti_gguf_tensor *tensors;   /* (n_tensors) in the order of the file */
    size_t n_tensors;
} soti_gguf_model;

/* path is replaced when the file is complete. progress counts the bytes of tensors and may be NULL.
 * Returns IO, MEMORY, CANCELLED, UNSUPPORTED (what GGUF cannot state). */
sot_status soti_gguf_write(const char *path, const soti_gguf_model *model, sot_progress_fn progress,
                           void *user);

#endif
