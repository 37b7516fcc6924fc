/* A model as it lies in its files, whatever their format: dimensions, named tensors, tokenizer.
 * GGUF, Hugging Face directories and random: models all end here; lib/model/ starts here.
 * Tensor names are Hugging Face's ("model.layers.7.mlp.up_proj.weight") in every format. */
#ifndef SOTI_IO_CHECKPOINT_H
#define SOTI_IO_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/shape.h"
#include "io/filemap.h"
#include "io/vocabulary.h"
#include "sot/status.h"

enum { SOTI_TYPE_F16 = 1, SOTI_TYPE_BF16 = 2, SOTI_TYPE_F32 = 3 };

typedef struct soti_tensor {
    char *name;          /* canonical */
    const char *file;    /* path for messages, borrowed from the checkpoint */
    const uint8_t *data; /* in a map; any alignment */
    uint64_t bytes;
    uint32_t type;    /* SOTI_TYPE_* */
    uint32_t n_dims;  /* 1 or 2 */
    uint64_t dims[2]; /* row-major: (rows, columns); (n) for one dimension */
} soti_tensor;

typedef struct soti_checkpoint {
    char *path;
    soti_shape shape;       /* checked: every number in range, products do not overflow */
    uint32_t n_ctx_train;   /* 0: not stated */
    uint32_t tied_output;   /* 1: the embedding is the output matrix */
    int32_t bos_id, eos_id; /* -1: none */
    char *name;             /* "" if none */
    char *conversation;     /* "vicuna" …, "none": no sign in the files */
    soti_filemap *maps;     /* (n_maps) */
    size_t n_maps;
    soti_tensor *tensors; /* (n_tensors), sorted by name, names distinct, data inside maps */
    size_t n_tensors;
    soti_vocabulary vocabulary; /* n_pieces 0: the files have no tokenizer */
    void *owned;                /* random: the generated weights */
    size_t owned_bytes;
    bool was_read; /* opening has read or made all weights, and progress has heard of it */
} soti_checkpoint;

/* How the files of a model are taken. */
typedef struct soti_intake {
    bool copies; /* read into memory; otherwise what has weights is mapped */
    const soti_log *log;
    soti_file_progress *progress; /* of reading; of making random weights */
} soti_intake;

/* Opens whatever path names and checks all that can be checked without reading the weights: every
 * tensor a LLaMA of this shape needs is there with its exact dimensions, none twice, none
 * overlapping another, all inside their file.
 * flags are sot_model_params'. progress is called while files are copied and random weights are
 * made. *out is zeroed on failure.
 * Returns ARGUMENT (a random: specification), IO, FORMAT, UNSUPPORTED, MEMORY, CANCELLED. */
sot_status soti_checkpoint_open(const char *path, uint32_t flags, const soti_log *log,
                                sot_progress_fn progress, void *user, soti_checkpoint *out);

/* Gives files and tensors up, when no weight is used where it lies in them. */
void soti_checkpoint_close_files(soti_checkpoint *checkpoint);

/* The tensor of that canonical name, or NULL. */
const soti_tensor *soti_checkpoint_find(const soti_checkpoint *checkpoint, const char *name);
void soti_checkpoint_close(soti_checkpoint *checkpoint);

/* ---- the readers: gguf.c, huggingface.c, random_model.c ---- */

/* Each fills a checkpoint that is zero but for path and bos_id = eos_id = -1; the caller closes it,
 * on failure too. name and conversation stay NULL where the files do not state them.
 * soti_checkpoint_take_file maps or reads the next of checkpoint->maps, which has room. */
sot_status soti_gguf_read(const char *path, const soti_intake *intake, soti_checkpoint *out);
sot_status soti_huggingface_read(const char *path, const soti_intake *intake, soti_checkpoint *out);
sot_status soti_random_model_read(const char *spec, sot_progress_fn progress, void *user,
                                  soti_checkpoint *out);

sot_status soti_checkpoint_take_file(const char *path, const soti_intake *intake,
                                     soti_checkpoint *checkpoint);

/* Appends control pieces, which mean no text, until there are n_pieces: decoding may pick any id
 * below n_vocab, and files often have a few rows more than tokens. Returns MEMORY. */
sot_status soti_checkpoint_pad_vocabulary(soti_checkpoint *checkpoint, uint32_t n_pieces);

#endif
