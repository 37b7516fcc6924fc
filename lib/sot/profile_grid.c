/* See profile_grid.h. */
#include "sot/profile_grid.h"

#include <string.h>

#include "base/alloc.h"

sot_status soti_grid_create(const uint32_t *batches, uint32_t n_batches, const uint32_t *lengths,
                            uint32_t n_lengths, soti_profile_grid *grid)
{
    *grid = (soti_profile_grid){.n_batches = n_batches, .n_lengths = n_lengths};
    grid->batches = soti_alloc(n_batches, sizeof *grid->batches);
    grid->lengths = soti_alloc(n_lengths, sizeof *grid->lengths);
    grid->ns = soti_alloc((size_t)n_batches * n_lengths, sizeof *grid->ns);
    if (grid->batches == NULL || grid->lengths == NULL || grid->ns == NULL) {
        return SOT_ERR_MEMORY;
    }
    memcpy(grid->batches, batches, n_batches * sizeof *batches);
    memcpy(grid->lengths, lengths, n_lengths * sizeof *lengths);
    return SOT_OK;
}

sot_status soti_grid_copy(const soti_profile_grid *grid, soti_profile_grid *out)
{
    *out = (soti_profile_grid){0};
    if (grid->ns == NULL) {
        return SOT_OK;
    }
    sot_status status =
        soti_grid_create(grid->batches, grid->n_batches, grid->lengths, grid->n_lengths, out);
    if (status == SOT_OK) {
        memcpy(out->ns, grid->ns, (size_t)grid->n_batches * grid->n_lengths * sizeof *grid->ns);
    }
    return status;
}

void soti_grid_free(soti_profile_grid *grid)
{
    soti_free(grid->batches);
    soti_free(grid->lengths);
    soti_free(grid->ns);
    *grid = (soti_profile_grid){0};
}

/* How many of the ascending values are at most value. */
static uint32_t count_up_to(const uint32_t *values, uint32_t n, double value)
{
    uint32_t low = 0;
    uint32_t high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (values[middle] <= value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t *soti_grid_find(const soti_profile_grid *grid, uint32_t batch, uint32_t length)
{
    uint32_t n_batch = count_up_to(grid->batches, grid->n_batches, batch);
    uint32_t n_length = count_up_to(grid->lengths, grid->n_lengths, length);
    if (n_batch == 0 || grid->batches[n_batch - 1] != batch || n_length == 0 ||
        grid->lengths[n_length - 1] != length) {
        return NULL;
    }
    return soti_grid_cell(grid, n_batch - 1, n_length - 1);
}

uint32_t soti_grid_count(const soti_profile_grid *grid)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < grid->n_batches; i++) {
        for (uint32_t k = 0; k < grid->n_lengths; k++) {
            count += *soti_grid_cell(grid, i, k) != 0;
        }
    }
    return count;
}

/* A measured point on a line. */
typedef struct knot {
    double x, ns;
} knot;

/* The value at x of the line through two knots; where x is not between them it does not fall. */
static double on_line(knot a, knot b, double x)
{
    double slope = (b.ns - a.ns) / (b.x - a.x);
    if (x > b.x && slope < 0) {
        return b.ns;
    }
    return a.ns + slope * (x - a.x);
}

/* The value at x from the knots around it: n_below of them, at most two and the nearer one last,
 * with x or less, and one above or none. */
static double between(const knot *below, uint32_t n_below, const knot *above, double x,
                      bool *outside)
{
    if (n_below == 0) {
        *outside = true;
        return above != NULL ? above->ns : 0;
    }
    const knot *last = &below[n_below - 1];
    if (last->x == x) {
        return last->ns;
    }
    if (above != NULL) {
        return on_line(*last, *above, x);
    }
    *outside = true;
    return n_below > 1 ? on_line(below[0], *last, x) : last->ns;
}

static void add_below(knot *below, uint32_t *n_below, knot found)
{
    if (*n_below == 2) { /* the loops go downwards: two are enough */
        return;
    }
    below[1] = below[0];
    below[0] = found;
    (*n_below)++;
}

static double along_lengths(const soti_profile_grid *grid, uint32_t i_batch, double length,
                            bool *outside)
{
    knot below[2] = {{0, 0}};
    knot above = {0};
    uint32_t n_below = 0;
    bool has_above = false;
    uint32_t n = count_up_to(grid->lengths, grid->n_lengths, length);
    for (uint32_t k = n; k-- > 0 && n_below < 2;) {
        uint64_t ns = *soti_grid_cell(grid, i_batch, k);
        if (ns != 0) {
            add_below(below, &n_below, (knot){grid->lengths[k], (double)ns});
        }
    }
    for (uint32_t k = n; k < grid->n_lengths && !has_above; k++) {
        uint64_t ns = *soti_grid_cell(grid, i_batch, k);
        has_above = ns != 0;
        above = (knot){grid->lengths[k], (double)ns};
    }
    return between(below, n_below, has_above ? &above : NULL, length, outside);
}

static bool is_measured(const soti_profile_grid *grid, uint32_t i_batch)
{
    for (uint32_t k = 0; k < grid->n_lengths; k++) {
        if (*soti_grid_cell(grid, i_batch, k) != 0) {
            return true;
        }
    }
    return false;
}

double soti_grid_at(const soti_profile_grid *grid, double batch, double length, bool *outside)
{
    knot below[2] = {{0, 0}};
    knot above = {0};
    uint32_t n_below = 0;
    bool has_above = false;
    bool is_outside[3] = {false, false, false}; /* of the knots, which need not all count */
    uint32_t n = count_up_to(grid->batches, grid->n_batches, batch);
    for (uint32_t i = n; i-- > 0 && n_below < 2;) {
        if (is_measured(grid, i)) {
            double ns = along_lengths(grid, i, length, &is_outside[n_below]);
            add_below(below, &n_below, (knot){grid->batches[i], ns});
        }
    }
    for (uint32_t i = n; i < grid->n_batches && !has_above; i++) {
        has_above = is_measured(grid, i);
        if (has_above) {
            above = (knot){grid->batches[i], along_lengths(grid, i, length, &is_outside[2])};
        }
    }
    bool is_exact = n_below > 0 && below[n_below - 1].x == batch;
    *outside = *outside || (n_below > 0 && is_outside[0]) || (!is_exact && is_outside[2]);
    return between(below, n_below, has_above ? &above : NULL, batch, outside);
}
