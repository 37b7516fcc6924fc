/* One .safetensors file: its tensors' names, types, dimensions and places. */
#ifndef SOTI_IO_SAFETENSORS_H
#define SOTI_IO_SAFETENSORS_H

#include "io/checkpoint.h"
#include "io/tensor_list.h"

/* Adds the tensors of the file mapped as maps[i_map]. Every tensor's bytes are checked to lie
 * inside the file and to be as many as type and dimensions say. Returns FORMAT, MEMORY. */
sot_status soti_safetensors_read(const soti_filemap *map, size_t i_map, soti_tensor_list *list);

#endif
