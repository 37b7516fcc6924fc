/* Which cells a profile has: the axes of its tables, and the cells that the session has room for,
 * in the order in which they are measured. */
#ifndef SOTI_SOT_PROFILE_PLAN_H
#define SOTI_SOT_PROFILE_PLAN_H

#include "sot/profile_tables.h"

/* What cells must fit into, and how many runs each takes. */
typedef struct soti_plan_limits {
    uint32_t max_batch, max_context; /* asked for */
    uint32_t session_batch, n_ctx;   /* the session's */
    uint32_t n_pages;                /* of its pool */
    uint32_t chunk_rows;
    uint32_t n_decode_runs, n_prefill_runs; /* of a cell, uncounted ones included */
    uint32_t is_full;                       /* SOT_PROFILE_FULL */
} soti_plan_limits;

/* One cell, or some neighbours in the decode table that are measured as texts grow. */
typedef struct soti_plan_cell {
    uint32_t i_table, i_batch, i_length;
    uint32_t n_lengths; /* 1 but for neighbours */
    uint64_t work;      /* of what is expected to take time, in any unit */
} soti_plan_cell;

typedef struct soti_plan {
    soti_plan_cell *cells; /* (n_cells) */
    uint32_t n_cells;
    uint32_t n_left_out;
    uint64_t work; /* of all cells */
} soti_plan;

/* Makes the tables of an empty profile and the plan for filling them. Returns MEMORY, CONTEXT_FULL
 * (no room for a single step). The plan may be freed even so. */
sot_status soti_plan_make(const soti_plan_limits *limits, sot_profile *profile, soti_plan *plan);
void soti_plan_free(soti_plan *plan);

/* What sot_session_measure is to be asked for a cell: everything but the runs. */
sot_measure_params soti_plan_params(const sot_profile *profile, const soti_plan_cell *cell);

#endif
