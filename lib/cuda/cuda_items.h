/* A batch as the attention kernels take it: the generated rows as items, the prompts' rows as
 * tiles. Plain C, no CUDA. */
#ifndef SOTI_CUDA_CUDA_ITEMS_H
#define SOTI_CUDA_CUDA_ITEMS_H

#include "backend/backend.h"
#include "kernels/kernels.h"

/* Shared segments that a group must have for its rows to be taken together there. By bytes one pays
 * already, and a model of 32 key/value heads has 32 units of work in it; what a device with many
 * idle multiprocessors says to that is for tests/gpu.sh to measure. */
enum { SOTI_CUDA_SHARED_SEGMENTS_MIN = 1 };

/* At most as many as the generated rows have segments. Segments that lie in a group's shared pages
 * as a whole are taken for up to SOTI_CUDA_GROUP_ROWS rows at once and come first, all others row
 * by row. items may be NULL. Returns their number. */
uint32_t soti_cuda_items_of(const soti_rows *rows, soti_cuda_item *items);

/* At most one per sequence and one per SOTI_CUDA_PROMPT_TILE_ROWS rows. tiles may be NULL. Returns
 * their number. */
uint32_t soti_cuda_tiles_of(const soti_rows *rows, soti_cuda_tile *tiles);

#endif
