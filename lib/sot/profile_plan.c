/* See profile_plan.h. The grids are the paper's, or some of its cells; those of the other tables
 * are libsot's own, and sparse in both cases. */
#include "sot/profile_plan.h"

#include "base/alloc.h"
#include "base/fail.h"
#include "model/kv.h"

enum {
    PAPER_PROMPT_MAX = 691, /* prompts of 1, 11, ..., 691 tokens */
    PAPER_PROMPT_STEP = 10,
    SPARSE_CHUNKS = 4, /* prompts together have no more chunks than this in the sparse grid */
    GROWTH_STEPS = 64, /* neighbours that are measured in one go */
    PAST_TOKENS = 512, /* context of the table of rows behind others */
    PASS_WORK = 8      /* of a pass in rows: what it takes beside its rows */
};

typedef struct axis {
    uint32_t values[SOTI_GRID_AXIS_MAX];
    uint32_t n;
} axis;

/* Appends a value that goes up, as long as there is room. */
static void add(axis *to, uint32_t value)
{
    if (to->n < SOTI_GRID_AXIS_MAX && (to->n == 0 || to->values[to->n - 1] < value)) {
        to->values[to->n++] = value;
    }
}

/* 1, 2, 3, 4, 6, 8, 12, ..., and most. */
static void add_sparse(axis *to, uint32_t most)
{
    for (uint64_t value = 1; value < most; value *= 2) {
        add(to, (uint32_t)value);
        if (value > 1 && value + value / 2 < most) {
            add(to, (uint32_t)(value + value / 2));
        }
    }
    add(to, most);
}

/* first, first * factor, ..., and most. */
static void add_powers(axis *to, uint32_t first, uint32_t factor, uint32_t most)
{
    for (uint64_t value = first; value < most; value *= factor) {
        add(to, (uint32_t)value);
    }
    add(to, most);
}

static void add_every(axis *to, uint32_t first, uint32_t step, uint32_t most)
{
    for (uint64_t value = first; value <= most; value += step) {
        add(to, (uint32_t)value);
    }
}

static void add_those_up_to(axis *to, const uint32_t *values, uint32_t n, uint32_t most)
{
    for (uint32_t i = 0; i < n; i++) {
        if (values[i] <= most) {
            add(to, values[i]);
        }
    }
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The axes of one table, from its kind; no lengths where it cannot be. */
static void choose_axes(const soti_plan_limits *limits, uint32_t i_table, axis *batches,
                        axis *lengths)
{
    static const uint32_t prompts[] = {1, 11, 61, 121, 251, PAPER_PROMPT_MAX};
    static const uint32_t contexts[] = {1, 256};
    uint32_t context = least_of(limits->max_context, limits->n_ctx - 1);
    uint32_t rows = least_of(limits->chunk_rows, limits->n_ctx / 2);
    uint32_t prompt = least_of(limits->max_context, PAPER_PROMPT_MAX);
    batches->n = lengths->n = 0;
    switch (i_table) {
    case SOTI_TABLE_PREFILL:
        if (limits->is_full) {
            add_every(batches, 1, 1, limits->max_batch);
            add_every(lengths, 1, PAPER_PROMPT_STEP, prompt);
        } else {
            add_powers(batches, 1, 4, limits->max_batch);
            add_those_up_to(lengths, prompts, sizeof prompts / sizeof *prompts, prompt);
        }
        break;
    case SOTI_TABLE_DECODE:
        if (limits->is_full) {
            add_every(batches, 1, 1, limits->max_batch);
            add_every(lengths, 1, 1, limits->max_context);
        } else {
            add_sparse(batches, limits->max_batch);
            add_those_up_to(lengths, contexts, sizeof contexts / sizeof *contexts, context);
            add(lengths, context);
        }
        break;
    case SOTI_TABLE_ROWS:
        add(batches, 1);
        add_sparse(lengths, rows > 0 ? rows : 1);
        break;
    case SOTI_TABLE_PAST:
        add_powers(batches, 1, 16, rows > 0 ? rows : 1);
        add(lengths, 0);
        add(lengths, least_of(least_of(PAST_TOKENS, limits->max_context), limits->n_ctx - rows));
        break;
    default:
        context -= context % SOTI_PAGE_TOKENS;
        if (limits->max_batch > 1 && context > 0) {
            add_powers(batches, 2, 2, limits->max_batch);
            add(lengths, 0);
            add(lengths, context);
        }
    }
}

sot_measure_params soti_plan_params(const sot_profile *profile, const soti_plan_cell *cell)
{
    const soti_profile_grid *grid = &profile->tables[cell->i_table];
    uint32_t batch = grid->batches[cell->i_batch];
    uint32_t length = grid->lengths[cell->i_length];
    sot_measure_params params = {.n_sequences = batch, .n_new = 1, .n_past = length};
    switch (cell->i_table) {
    case SOTI_TABLE_PREFILL:
    case SOTI_TABLE_ROWS:
        params.n_new = length;
        params.n_past = 0;
        break;
    case SOTI_TABLE_PAST:
        params.n_sequences = 1;
        params.n_new = batch;
        break;
    case SOTI_TABLE_SHARED:
        params.n_shared = length;
        params.n_past = length > 0 ? length : 1;
        break;
    default:
        break;
    }
    return params;
}

static uint64_t pages_of(uint64_t n_tokens)
{
    return (n_tokens + SOTI_PAGE_TOKENS - 1) / SOTI_PAGE_TOKENS;
}

static bool has_room(const soti_plan_limits *limits, const sot_measure_params *params,
                     uint32_t n_steps)
{
    uint64_t n_own = (uint64_t)params->n_past - params->n_shared + params->n_new + n_steps - 1;
    uint64_t n_pages = pages_of(params->n_shared) + params->n_sequences * pages_of(n_own);
    return params->n_sequences <= limits->session_batch &&
           params->n_shared + n_own <= limits->n_ctx && n_pages <= limits->n_pages;
}

/* Cells that the sparse grid of prompts is without, whatever room there is. */
static bool is_sparse_gap(const soti_plan_limits *limits, uint32_t i_table,
                          const sot_measure_params *params)
{
    uint64_t n_rows = (uint64_t)params->n_sequences * params->n_new;
    return i_table == SOTI_TABLE_PREFILL && !limits->is_full && params->n_sequences > 1 &&
           n_rows > (uint64_t)SPARSE_CHUNKS * limits->chunk_rows;
}

static uint64_t work_of(const soti_plan_limits *limits, const soti_plan_cell *cell,
                        const sot_measure_params *params)
{
    bool is_decode = cell->i_table == SOTI_TABLE_DECODE || cell->i_table == SOTI_TABLE_SHARED;
    uint64_t n_rows = (uint64_t)params->n_sequences * params->n_new;
    uint64_t n_passes = (n_rows + limits->chunk_rows - 1) / limits->chunk_rows;
    uint64_t n_runs = is_decode ? limits->n_decode_runs : limits->n_prefill_runs;
    return (n_rows + PASS_WORK * n_passes) * n_runs * cell->n_lengths;
}

static void plan_table(const soti_plan_limits *limits, const sot_profile *profile, uint32_t i_table,
                       soti_plan *plan)
{
    const soti_profile_grid *grid = &profile->tables[i_table];
    bool grows = i_table == SOTI_TABLE_DECODE && limits->is_full;
    for (uint32_t i = 0; i < grid->n_batches; i++) {
        uint32_t n_together = 1;
        for (uint32_t k = 0; k < grid->n_lengths; k += n_together) {
            n_together = grows ? least_of(GROWTH_STEPS, grid->n_lengths - k) : 1;
            soti_plan_cell cell = {i_table, i, k, n_together, 0};
            sot_measure_params params = soti_plan_params(profile, &cell);
            if (is_sparse_gap(limits, i_table, &params)) {
                continue;
            }
            while (cell.n_lengths > 0 && !has_room(limits, &params, cell.n_lengths)) {
                cell.n_lengths--;
            }
            plan->n_left_out += n_together - cell.n_lengths;
            if (cell.n_lengths > 0) {
                cell.work = work_of(limits, &cell, &params);
                plan->work += cell.work;
                plan->cells[plan->n_cells++] = cell;
            }
        }
    }
}

sot_status soti_plan_make(const soti_plan_limits *limits, sot_profile *profile, soti_plan *plan)
{
    /* What answers are made of most first: steps, then the passes of prompts. */
    static const uint32_t order[SOTI_N_TABLES] = {
        SOTI_TABLE_DECODE, SOTI_TABLE_SHARED, SOTI_TABLE_ROWS, SOTI_TABLE_PAST, SOTI_TABLE_PREFILL};
    *plan = (soti_plan){0};
    if (limits->n_ctx < 2 || limits->n_pages < 1) {
        return soti_fail(SOT_ERR_CONTEXT_FULL,
                         "a profile needs a context of 2 tokens, the session's is %u",
                         limits->n_ctx);
    }
    axis *axes = soti_alloc(2, sizeof *axes);
    sot_status status = axes != NULL ? SOT_OK : SOT_ERR_MEMORY;
    size_t n_cells_max = 0;
    for (uint32_t i = 0; i < SOTI_N_TABLES && status == SOT_OK; i++) {
        soti_profile_grid *grid = &profile->tables[i];
        choose_axes(limits, i, &axes[0], &axes[1]);
        status = soti_grid_create(axes[0].values, axes[0].n, axes[1].values, axes[1].n, grid);
        n_cells_max += (size_t)grid->n_batches * grid->n_lengths;
    }
    soti_free(axes);
    if (status == SOT_OK) {
        plan->cells = soti_alloc(n_cells_max, sizeof *plan->cells);
        status = plan->cells != NULL ? SOT_OK : SOT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < SOTI_N_TABLES && status == SOT_OK; i++) {
        plan_table(limits, profile, order[i], plan);
    }
    return status;
}

void soti_plan_free(soti_plan *plan)
{
    soti_free(plan->cells);
    *plan = (soti_plan){0};
}
