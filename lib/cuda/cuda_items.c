/* See cuda_items.h. */
#include "cuda_items.h"

enum { SEGMENT_PAGES = SOTI_CUDA_SEGMENT_TOKENS / SOTI_CUDA_PAGE_TOKENS };

/* The generated rows of a group and the segments that they share. */
typedef struct shared_part {
    uint32_t first_row;
    uint32_t end_row;
    uint32_t n_segments;
} shared_part;

static shared_part shared_part_of(const soti_rows *rows, const soti_row_group *group)
{
    shared_part part = {.first_row = group->first_row, .end_row = group->first_row + group->n_rows};
    if (part.first_row < rows->n_prompt_rows) {
        part.first_row = rows->n_prompt_rows;
    }
    uint32_t n_segments = group->n_shared_pages / SEGMENT_PAGES;
    if (part.end_row > part.first_row + 1 && n_segments >= SOTI_CUDA_SHARED_SEGMENTS_MIN) {
        part.n_segments = n_segments;
    }
    return part;
}

static void put_item(soti_cuda_item *items, uint32_t *n_items, uint32_t first_row, uint32_t n_rows,
                     uint32_t i_segment)
{
    if (items != NULL) {
        items[*n_items] =
            (soti_cuda_item){.first_row = first_row, .n_rows = n_rows, .i_segment = i_segment};
    }
    (*n_items)++;
}

static void put_shared(shared_part part, soti_cuda_item *items, uint32_t *n_items)
{
    for (uint32_t row = part.first_row; row < part.end_row; row += SOTI_CUDA_GROUP_ROWS) {
        uint32_t n = part.end_row - row;
        n = n < SOTI_CUDA_GROUP_ROWS ? n : SOTI_CUDA_GROUP_ROWS;
        for (uint32_t segment = 0; segment < part.n_segments; segment++) {
            put_item(items, n_items, row, n, segment);
        }
    }
}

static void put_own(const soti_rows *rows, shared_part part, soti_cuda_item *items,
                    uint32_t *n_items)
{
    for (uint32_t row = part.first_row; row < part.end_row; row++) {
        uint32_t last = rows->positions[row] / SOTI_CUDA_SEGMENT_TOKENS;
        for (uint32_t segment = part.n_segments; segment <= last; segment++) {
            put_item(items, n_items, row, 1, segment);
        }
    }
}

uint32_t soti_cuda_items_of(const soti_rows *rows, soti_cuda_item *items)
{
    uint32_t n_items = 0;
    for (uint32_t i = 0; i < rows->n_groups; i++) {
        put_shared(shared_part_of(rows, &rows->groups[i]), items, &n_items);
    }
    for (uint32_t i = 0; i < rows->n_groups; i++) {
        put_own(rows, shared_part_of(rows, &rows->groups[i]), items, &n_items);
    }
    return n_items;
}

uint32_t soti_cuda_tiles_of(const soti_rows *rows, soti_cuda_tile *tiles)
{
    uint32_t n_tiles = 0;
    uint32_t row = 0;
    while (row < rows->n_prompt_rows) {
        uint32_t end = row + 1;
        while (end < rows->n_prompt_rows && end - row < SOTI_CUDA_PROMPT_TILE_ROWS &&
               rows->sequences[end] == rows->sequences[row]) {
            end++;
        }
        if (tiles != NULL) {
            tiles[n_tiles] = (soti_cuda_tile){.first_row = row, .n_rows = end - row};
        }
        n_tiles++;
        row = end;
    }
    return n_tiles;
}
