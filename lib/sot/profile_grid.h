/* A table of times over batch and length, of which some cells were measured, and what lies between
 * and beyond them. What the times are of is profile_tables.h's. */
#ifndef SOTI_SOT_PROFILE_GRID_H
#define SOTI_SOT_PROFILE_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "sot/status.h"

enum { SOTI_GRID_AXIS_MAX = 4096 };

typedef struct soti_profile_grid {
    uint32_t n_batches, n_lengths; /* both 0: there is no such table */
    uint32_t *batches;             /* (n_batches) ascending */
    uint32_t *lengths;             /* (n_lengths) ascending */
    uint64_t *ns;                  /* (n_batches, n_lengths); 0: not measured */
} soti_profile_grid;

/* No cell measured; both axes of at most SOTI_GRID_AXIS_MAX. Returns MEMORY; *grid may be freed
 * even so. */
sot_status soti_grid_create(const uint32_t *batches, uint32_t n_batches, const uint32_t *lengths,
                            uint32_t n_lengths, soti_profile_grid *grid);
sot_status soti_grid_copy(const soti_profile_grid *grid, soti_profile_grid *out);
void soti_grid_free(soti_profile_grid *grid);

static inline uint64_t *soti_grid_cell(const soti_profile_grid *grid, uint32_t i_batch,
                                       uint32_t i_length)
{
    return &grid->ns[(uint64_t)i_batch * grid->n_lengths + i_length];
}

/* The cell of exactly that batch and length; NULL: the axes have no such. */
uint64_t *soti_grid_find(const soti_profile_grid *grid, uint32_t batch, uint32_t length);

uint32_t soti_grid_count(const soti_profile_grid *grid); /* cells measured */

/* Linear between measured cells, first along the lengths of each batch, then between batches.
 * Beyond the largest it goes on straight from the last two cells, never downwards; below the
 * smallest it is the smallest's. *outside is set to true in both cases, else left alone. 0 and
 * outside where nothing was measured. */
double soti_grid_at(const soti_profile_grid *grid, double batch, double length, bool *outside);

#endif
