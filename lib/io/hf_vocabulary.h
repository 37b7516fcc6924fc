/* The tokenizer files of a Hugging Face model directory. */
#ifndef SOTI_IO_HF_VOCABULARY_H
#define SOTI_IO_HF_VOCABULARY_H

#include "io/checkpoint.h"

/* Reads folder/tokenizer.model, if there is one, and the tokens that folder/added_tokens.json adds
 * behind it, as control pieces. The shape is known. BOS and EOS of out and of its vocabulary agree
 * afterwards; config.json's come first. Returns IO, FORMAT, UNSUPPORTED, MEMORY. */
sot_status soti_hf_vocabulary_read(const char *folder, const soti_log *log, soti_checkpoint *out);

#endif
