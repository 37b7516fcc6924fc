/* See profile_measure.h. Each cell is what soti_measure times; the plan says which ones, this file
 * how often, and what becomes of the times. */
#include "sot/profile_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"
#include "model/loaded.h"
#include "sot/measure.h"
#include "sot/profile_plan.h"

enum {
    DEFAULT_BATCH = 16,
    DEFAULT_CONTEXT = 1024,
    DEFAULT_DECODE_REPEATS = 3,
    DEFAULT_PREFILL_REPEATS = 7,
    PREFILL_WARMUPS = 2,
    REPEATS_MAX = 1000,
    USUAL_CONTEXT = 256, /* of the steps that a refresh takes */
    ROUNDS_MAX = 7,
    COUNTED_ROUNDS = 2 /* for the progress: where cells take long there are hardly more */
};

/* A run that took so much longer than the median was interrupted, which is no part of the cell. */
static const double interrupted_factor = 1.5;
/* Machines drift and have bad moments, so the sparse grid is measured in rounds, and the middle of
 * a cell's rounds counts. Cells that take little have all rounds, the others two, and a third where
 * those are further apart than this. Whole prompts are measured once: they take long, and libsot's
 * estimates do without them. */
static const double agreeing_factor = 1.08;
static const uint64_t default_cell_ns = UINT64_C(1000000000);
/* Short cells are repeated more often, since one preempted run would be much of their mean. */
static const uint64_t least_cell_ns = UINT64_C(40000000);
/* A refresh has three cells only, all others hang on them, and single steps of a large model differ
 * by a tenth: each takes its whole time, or REPEATS_MAX runs. */
static const uint64_t refresh_cell_ns = UINT64_C(1000000000);
/* What a text meets in every stretch of this length belongs to the machine as it is now; a moment's
 * burst does not. */
static const uint64_t stretch_ns = UINT64_C(100000000);
/* Threads that were just started may share a CPU for a while, and weights may still be on a disk.
 */
static const uint64_t warm_up_ns = UINT64_C(300000000);
static const uint64_t refresh_warm_up_ns = UINT64_C(50000000);

typedef struct measuring {
    sot_session *session;
    sot_profile_params params; /* complete */
    sot_profile *profile;
    uint64_t *times_ns; /* (REPEATS_MAX) */
    uint64_t cell_ns;   /* no run of a cell begins after this, in one round */
    uint64_t least_ns;  /* and there are more runs until this, as long as it is less */
    uint64_t done, total;
    bool is_refresh;
} measuring;

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static sot_status check_range(const char *name, uint32_t value, uint32_t least, uint32_t most)
{
    if (value < least || value > most) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "profile parameters: %s is %u, from %u to %u is possible", name, value,
                         least, most);
    }
    return SOT_OK;
}

static sot_status complete_params(sot_profile_params *params)
{
    params->max_batch = or_default(params->max_batch, DEFAULT_BATCH);
    params->max_context = or_default(params->max_context, DEFAULT_CONTEXT);
    params->n_decode_repeats = or_default(params->n_decode_repeats, DEFAULT_DECODE_REPEATS);
    params->n_prefill_repeats = or_default(params->n_prefill_repeats, DEFAULT_PREFILL_REPEATS);
    if (params->cell_ns == 0) {
        params->cell_ns = (params->flags & SOT_PROFILE_FULL) != 0 ? UINT64_MAX : default_cell_ns;
    }
    RETURN_IF_ERROR(check_range("max_batch", params->max_batch, 1, SOTI_GRID_AXIS_MAX));
    RETURN_IF_ERROR(
        check_range("max_context", params->max_context, 1,
                    (params->flags & SOT_PROFILE_FULL) != 0 ? SOTI_GRID_AXIS_MAX : UINT32_MAX));
    RETURN_IF_ERROR(check_range("n_decode_repeats", params->n_decode_repeats, 1, REPEATS_MAX));
    return check_range("n_prefill_repeats", params->n_prefill_repeats, PREFILL_WARMUPS + 1,
                       REPEATS_MAX);
}

static sot_profile_info info_of(const sot_session *session)
{
    const soti_checkpoint *checkpoint = &session->model->checkpoint;
    const soti_shape *shape = &checkpoint->shape;
    soti_context_info context = soti_engine_info(session->engine);
    return (sot_profile_info){
        .libsot = sot_version_string(),
        .device = session->model->placement.name,
        .isa = context.isa,
        .model_name = checkpoint->name,
        .n_threads = context.n_threads,
        .n_ctx = soti_engine_context_size(session->engine),
        .max_batch = soti_engine_max_batch(session->engine),
        .chunk_rows = soti_engine_chunk_rows(session->engine),
        .n_layer = shape->n_layer,
        .n_head = shape->n_head,
        .n_kv = shape->n_kv,
        .d_head = shape->d_head,
        .d_model = shape->d_model,
        .d_ff = shape->d_ff,
        .n_vocab = shape->n_vocab,
        .weight_bytes = session->model->weights.weight_bytes,
    };
}

/* ---- Cells -------------------------------------------------------------------------------------
 */

static int compare_ns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The geometric mean of times, which are sorted, those of interrupted runs left out. */
static double mean_ns(uint64_t *times_ns, uint32_t n)
{
    qsort(times_ns, n, sizeof *times_ns, compare_ns);
    uint64_t median_ns = times_ns[n / 2];
    double most = interrupted_factor * (double)median_ns;
    double sum = 0;
    uint32_t n_summed = 0;
    for (uint32_t i = 0; i < n && (i == 0 || (double)times_ns[i] <= most); i++) {
        sum += log(times_ns[i] > 0 ? (double)times_ns[i] : 1);
        n_summed++;
    }
    return exp(sum / n_summed);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle one, of two in the middle their mean. They are sorted. */
static double middle_ns(double *times_ns, uint32_t n)
{
    qsort(times_ns, n, sizeof *times_ns, compare_doubles);
    return sqrt(times_ns[(n - 1) / 2] * times_ns[n / 2]);
}

/* What runs take under what goes on now, interruptions and all: the mean of each stretch, and the
 * middle one of those. The times stand in the order of the runs. */
static double usual_ns(const uint64_t *times_ns, uint32_t n)
{
    double means[REPEATS_MAX];
    uint32_t n_means = 0;
    uint32_t begin = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += times_ns[i];
        if (sum >= stretch_ns) {
            means[n_means++] = (double)sum / (i + 1 - begin);
            begin = i + 1;
            sum = 0;
        }
    }
    if (n_means == 0) {
        means[n_means++] = (double)sum / n;
    }
    return middle_ns(means, n_means);
}

static bool disagree(const double *rounds_ns)
{
    double ratio = rounds_ns[0] / rounds_ns[1];
    return ratio > agreeing_factor || ratio < 1 / agreeing_factor;
}

static sot_status tell(measuring *m)
{
    const sot_profile_params *params = &m->params;
    if (params->progress != NULL &&
        params->progress(m->done, m->total, params->progress_user) != 0) {
        return soti_fail(SOT_ERR_CANCELLED, "stopped by the progress callback");
    }
    return SOT_OK;
}

static sot_status measure_cell(measuring *m, const sot_measure_params *cell, bool is_prompt,
                               double *ns)
{
    sot_measure_params params = *cell;
    uint32_t n_counted;
    uint32_t n_repeats =
        is_prompt ? m->params.n_prefill_repeats - PREFILL_WARMUPS : m->params.n_decode_repeats;
    const soti_measure_effort effort = {
        .n_least = n_repeats, .least_ns = m->least_ns, .most_ns = m->cell_ns};
    params.n_warmup = is_prompt ? PREFILL_WARMUPS : 1;
    params.n_repeats = REPEATS_MAX;
    RETURN_IF_ERROR(soti_measure_within(m->session, &params, &effort, m->times_ns, &n_counted));
    *ns = m->is_refresh ? usual_ns(m->times_ns, n_counted) : mean_ns(m->times_ns, n_counted);
    return SOT_OK;
}

/* Neighbours of the decode table: each repeat is one walk over all of them. walks_ns is
 * (n_steps, n_repeats). */
static sot_status measure_neighbours(measuring *m, const sot_measure_params *first,
                                     uint32_t n_steps, uint64_t *walks_ns, uint64_t *ns)
{
    uint32_t n_repeats = m->params.n_decode_repeats;
    for (uint32_t i = 0; i < n_repeats; i++) {
        RETURN_IF_ERROR(soti_measure_growth(m->session, first->n_sequences, first->n_past, n_steps,
                                            m->times_ns));
        for (uint32_t k = 0; k < n_steps; k++) {
            walks_ns[(size_t)k * n_repeats + i] = m->times_ns[k];
        }
    }
    for (uint32_t k = 0; k < n_steps; k++) {
        ns[k] = (uint64_t)llround(mean_ns(&walks_ns[(size_t)k * n_repeats], n_repeats));
    }
    return SOT_OK;
}

/* Uncounted steps until the machine has got going. */
static sot_status warm_up(measuring *m)
{
    const sot_measure_params step = {.n_sequences = 1, .n_past = 1, .n_repeats = REPEATS_MAX};
    uint64_t ns = m->is_refresh ? refresh_warm_up_ns : warm_up_ns;
    const soti_measure_effort effort = {.n_least = 1, .least_ns = ns, .most_ns = ns};
    uint32_t n_counted;
    return soti_measure_within(m->session, &step, &effort, m->times_ns, &n_counted);
}

static bool is_of_prompts(const soti_plan_cell *cell)
{
    return cell->i_table != SOTI_TABLE_DECODE && cell->i_table != SOTI_TABLE_SHARED;
}

typedef struct cell_rounds {
    double ns[ROUNDS_MAX];
    uint32_t n;
    uint64_t spent_ns;
} cell_rounds;

static bool wants_round(const measuring *m, const soti_plan_cell *cell, const cell_rounds *rounds)
{
    if (rounds->n < 2) {
        return rounds->n == 0 || cell->i_table != SOTI_TABLE_PREFILL;
    }
    return rounds->spent_ns < m->cell_ns || (rounds->n == 2 && disagree(rounds->ns));
}

static sot_status measure_round(measuring *m, const soti_plan *plan, uint32_t i_round,
                                cell_rounds *rounds)
{
    for (uint32_t i = 0; i < plan->n_cells; i++) {
        const soti_plan_cell *cell = &plan->cells[i];
        sot_measure_params params = soti_plan_params(m->profile, cell);
        RETURN_IF_ERROR(tell(m));
        m->done += i_round < COUNTED_ROUNDS ? cell->work : 0;
        if (wants_round(m, cell, &rounds[i])) {
            uint64_t began_ns = soti_clock_ns();
            RETURN_IF_ERROR(
                measure_cell(m, &params, is_of_prompts(cell), &rounds[i].ns[rounds[i].n++]));
            rounds[i].spent_ns += soti_clock_ns() - began_ns;
        }
    }
    return SOT_OK;
}

static sot_status measure_sparse(measuring *m, const soti_plan *plan)
{
    cell_rounds *rounds = soti_alloc(plan->n_cells, sizeof *rounds);
    sot_status status = rounds != NULL ? SOT_OK : SOT_ERR_MEMORY;
    m->total = plan->work * COUNTED_ROUNDS;
    m->cell_ns = m->params.cell_ns / 2;
    m->least_ns = least_cell_ns;
    for (uint32_t i = 0; i < ROUNDS_MAX && status == SOT_OK; i++) {
        status = measure_round(m, plan, i, rounds);
    }
    for (uint32_t i = 0; i < plan->n_cells && status == SOT_OK; i++) {
        const soti_plan_cell *cell = &plan->cells[i];
        *soti_grid_cell(&m->profile->tables[cell->i_table], cell->i_batch, cell->i_length) =
            (uint64_t)llround(middle_ns(rounds[i].ns, rounds[i].n));
    }
    soti_free(rounds);
    return status;
}

static sot_status measure_full(measuring *m, const soti_plan *plan)
{
    uint32_t n_most = 1;
    for (uint32_t i = 0; i < plan->n_cells; i++) {
        n_most = n_most > plan->cells[i].n_lengths ? n_most : plan->cells[i].n_lengths;
    }
    uint64_t *walks_ns = soti_alloc((size_t)n_most * REPEATS_MAX, sizeof *walks_ns);
    sot_status status = walks_ns != NULL ? SOT_OK : SOT_ERR_MEMORY;
    m->total = plan->work;
    m->cell_ns = m->params.cell_ns;
    m->least_ns = least_cell_ns;
    for (uint32_t i = 0; i < plan->n_cells && status == SOT_OK; i++) {
        const soti_plan_cell *cell = &plan->cells[i];
        sot_measure_params params = soti_plan_params(m->profile, cell);
        const soti_profile_grid *grid = &m->profile->tables[cell->i_table];
        uint64_t *ns = soti_grid_cell(grid, cell->i_batch, cell->i_length);
        double mean;
        status = tell(m);
        if (status == SOT_OK && cell->i_table == SOTI_TABLE_DECODE) {
            status = measure_neighbours(m, &params, cell->n_lengths, walks_ns, ns);
        } else if (status == SOT_OK) {
            status = measure_cell(m, &params, is_of_prompts(cell), &mean);
            *ns = status == SOT_OK ? (uint64_t)llround(mean) : 0;
        }
        m->done += cell->work;
    }
    soti_free(walks_ns);
    return status;
}

static sot_status measure_plan(measuring *m, const soti_plan *plan)
{
    m->times_ns = soti_alloc(REPEATS_MAX, sizeof *m->times_ns);
    if (m->times_ns == NULL) {
        return SOT_ERR_MEMORY;
    }
    RETURN_IF_ERROR(warm_up(m));
    bool is_full = (m->params.flags & SOT_PROFILE_FULL) != 0;
    RETURN_IF_ERROR(is_full ? measure_full(m, plan) : measure_sparse(m, plan));
    return tell(m);
}

sot_status soti_profile_measure(sot_session *session, const sot_profile_params *params,
                                sot_profile **out)
{
    *out = NULL;
    measuring m = {.session = session, .params = *params};
    RETURN_IF_ERROR(complete_params(&m.params));
    sot_profile_info info = info_of(session);
    info.flags = m.params.flags;
    info.machine = m.params.machine;
    const soti_plan_limits limits = {
        .max_batch = m.params.max_batch,
        .max_context = m.params.max_context,
        .session_batch = info.max_batch,
        .n_ctx = info.n_ctx,
        .n_pages = soti_kv_page_count(soti_engine_kv(session->engine)),
        .chunk_rows = info.chunk_rows,
        .n_decode_runs = m.params.n_decode_repeats + 1,
        .n_prefill_runs = m.params.n_prefill_repeats,
        .is_full = (m.params.flags & SOT_PROFILE_FULL) != 0,
    };
    soti_plan plan = {0};
    sot_status status = soti_profile_create(&info, &m.profile);
    if (status == SOT_OK) {
        status = soti_plan_make(&limits, m.profile, &plan);
    }
    if (status == SOT_OK) {
        status = measure_plan(&m, &plan);
    }
    if (status == SOT_OK) {
        m.profile->info.n_cells_left_out = plan.n_left_out;
        soti_profile_complete(m.profile);
        *out = m.profile;
    } else {
        soti_profile_free(m.profile);
    }
    soti_plan_free(&plan);
    soti_free(m.times_ns);
    return status;
}

/* ---- Refreshing --------------------------------------------------------------------------------
 */

/* How much longer passes take now: by rows, in between by straight lines. */
typedef struct drift {
    double rows[3], factors[3];
    uint32_t n;
} drift;

static double drift_at(const drift *drifted, double n_rows)
{
    uint32_t i = 0;
    while (i + 1 < drifted->n && drifted->rows[i + 1] <= n_rows) {
        i++;
    }
    if (i + 1 == drifted->n || n_rows <= drifted->rows[0]) {
        return drifted->factors[i];
    }
    double share = (n_rows - drifted->rows[i]) / (drifted->rows[i + 1] - drifted->rows[i]);
    return drifted->factors[i] + share * (drifted->factors[i + 1] - drifted->factors[i]);
}

static sot_status check_same(const sot_profile_info *was, const sot_profile_info *now)
{
    if (was->n_layer != now->n_layer || was->n_head != now->n_head || was->n_kv != now->n_kv ||
        was->d_head != now->d_head || was->d_model != now->d_model || was->d_ff != now->d_ff ||
        was->n_vocab != now->n_vocab || was->weight_bytes != now->weight_bytes) {
        return soti_fail(SOT_ERR_ARGUMENT, "the profile is of a model of another shape");
    }
    if (strcmp(was->device, now->device) != 0 || strcmp(was->isa, now->isa) != 0 ||
        was->n_threads != now->n_threads || was->chunk_rows != now->chunk_rows) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "the profile is of %s %s with %u threads and chunks of %u rows, the "
                         "session of %s %s with %u and %u",
                         was->device, was->isa, was->n_threads, was->chunk_rows, now->device,
                         now->isa, now->n_threads, now->chunk_rows);
    }
    return SOT_OK;
}

/* Measures a cell anew and notes how that compares. One that has no room now is passed over. */
static sot_status probe(measuring *m, uint32_t i_table, double n_rows, sot_measure_params cell,
                        drift *drifted)
{
    double ns;
    bool is_prompt = i_table == SOTI_TABLE_ROWS;
    double length = is_prompt ? cell.n_new : cell.n_past;
    bool unused = false;
    double was = soti_grid_at(&m->profile->tables[i_table], cell.n_sequences, length, &unused);
    if (was <= 0 || (drifted->n > 0 && n_rows <= drifted->rows[drifted->n - 1])) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(measure_cell(m, &cell, is_prompt, &ns));
    drifted->rows[drifted->n] = n_rows;
    drifted->factors[drifted->n++] = ns / was;
    return SOT_OK;
}

/* A step of n sequences behind a usual context, or what there is room for. */
static sot_measure_params usual_step(const measuring *m, const sot_profile_info *now, uint32_t n)
{
    uint32_t n_pages = soti_kv_page_count(soti_engine_kv(m->session->engine)) / n;
    uint32_t n_room = n_pages > 0 ? n_pages * SOTI_PAGE_TOKENS - 1 : 1;
    uint32_t n_past = USUAL_CONTEXT < n_room ? USUAL_CONTEXT : n_room;
    n_past = n_past < now->n_ctx - 1 ? n_past : now->n_ctx - 1;
    return (sot_measure_params){.n_sequences = n, .n_new = 1, .n_past = n_past};
}

static sot_status probe_all(measuring *m, const sot_profile_info *now, drift *drifted)
{
    const sot_profile_info *was = &m->profile->info;
    uint32_t n_most =
        now->max_batch < was->decode_max_batch ? now->max_batch : was->decode_max_batch;
    uint32_t n_rows = now->n_ctx < now->chunk_rows ? now->n_ctx : now->chunk_rows;
    RETURN_IF_ERROR(probe(m, SOTI_TABLE_DECODE, 1, usual_step(m, now, 1), drifted));
    RETURN_IF_ERROR(probe(m, SOTI_TABLE_DECODE, n_most, usual_step(m, now, n_most), drifted));
    return probe(m, SOTI_TABLE_ROWS, n_rows,
                 (sot_measure_params){.n_sequences = 1, .n_new = n_rows}, drifted);
}

/* How many rows the widest pass of a cell has. */
static double rows_of(uint32_t i_table, uint32_t batch, uint32_t length)
{
    switch (i_table) {
    case SOTI_TABLE_PREFILL:
        return (double)batch * length;
    case SOTI_TABLE_ROWS:
        return length;
    default:
        return batch;
    }
}

static void scale(sot_profile *profile, const drift *drifted)
{
    for (uint32_t i_table = 0; i_table < SOTI_N_TABLES; i_table++) {
        const soti_profile_grid *grid = &profile->tables[i_table];
        for (uint32_t i = 0; i < grid->n_batches; i++) {
            for (uint32_t k = 0; k < grid->n_lengths; k++) {
                uint64_t *ns = soti_grid_cell(grid, i, k);
                double rows = rows_of(i_table, grid->batches[i], grid->lengths[k]);
                *ns = (uint64_t)llround((double)*ns * drift_at(drifted, rows));
            }
        }
    }
}

sot_status soti_profile_refresh(const sot_profile *profile, sot_session *session, sot_profile **out)
{
    *out = NULL;
    measuring m = {.session = session,
                   .cell_ns = refresh_cell_ns,
                   .least_ns = refresh_cell_ns,
                   .is_refresh = true};
    drift drifted = {.n = 0};
    const sot_profile_info now = info_of(session);
    RETURN_IF_ERROR(complete_params(&m.params));
    RETURN_IF_ERROR(check_same(&profile->info, &now));
    sot_status status = soti_profile_copy(profile, &m.profile);
    if (status == SOT_OK) {
        m.times_ns = soti_alloc(REPEATS_MAX, sizeof *m.times_ns);
        status = m.times_ns != NULL ? warm_up(&m) : SOT_ERR_MEMORY;
    }
    if (status == SOT_OK) {
        status = probe_all(&m, &now, &drifted);
    }
    if (status == SOT_OK) {
        scale(m.profile, &drifted);
        *out = m.profile;
    } else {
        soti_profile_free(m.profile);
    }
    soti_free(m.times_ns);
    return status;
}
