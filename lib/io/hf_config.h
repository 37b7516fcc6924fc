/* config.json of a Hugging Face model directory. */
#ifndef SOTI_IO_HF_CONFIG_H
#define SOTI_IO_HF_CONFIG_H

#include "io/checkpoint.h"

/* Fills shape (checked), n_ctx_train, tied_output, name, and bos_id and eos_id where the file
 * states them, from folder/config.json. Returns IO, FORMAT, UNSUPPORTED, MEMORY. */
sot_status soti_hf_config_read(const char *folder, soti_checkpoint *out);

#endif
