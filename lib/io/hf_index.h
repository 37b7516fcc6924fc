/* Which .safetensors files a Hugging Face directory's weights are in. */
#ifndef SOTI_IO_HF_INDEX_H
#define SOTI_IO_HF_INDEX_H

#include <jansson.h>
#include <stddef.h>

#include "io/tensor_list.h"
#include "sot/status.h"

typedef struct soti_hf_index {
    json_t *root;       /* of model.safetensors.index.json; NULL: there is one file */
    const char **files; /* (n_files) plain names, distinct, sorted; borrowed from root or static */
    size_t n_files;
} soti_hf_index;

/* model.safetensors if folder has one, else what model.safetensors.index.json lists; a name that
 * leads out of the folder is refused. *out is to be freed in any case.
 * Returns IO, FORMAT, MEMORY. */
sot_status soti_hf_index_read(const char *folder, soti_hf_index *out);

/* Compares the weight map with what the files hold: list has every tensor, i_map being the index
 * into files; the list is reordered. Returns FORMAT. */
sot_status soti_hf_index_check(const soti_hf_index *index, soti_tensor_list *list);
void soti_hf_index_free(soti_hf_index *index);

#endif
