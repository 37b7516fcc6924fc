/* The tokenizer in a GGUF file's metadata. */
#ifndef SOTI_IO_GGUF_VOCABULARY_H
#define SOTI_IO_GGUF_VOCABULARY_H

#include "io/checkpoint.h"
#include "io/gguf_metadata.h"

/* Fills out->vocabulary, bos_id and eos_id; the shape is known. A file without tokenizer.ggml.model
 * leaves the vocabulary empty. Returns FORMAT, UNSUPPORTED (another kind than llama), MEMORY. */
sot_status soti_gguf_read_vocabulary(const soti_gguf_metadata *metadata, soti_checkpoint *out);

#endif
