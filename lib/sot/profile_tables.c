/* See profile_tables.h. */
#include "sot/profile_tables.h"

#include <string.h>

#include "base/alloc.h"

static const char **info_text(sot_profile_info *info, uint32_t i)
{
    const char **texts[SOTI_N_PROFILE_TEXTS] = {&info->libsot, &info->machine, &info->device,
                                                &info->isa, &info->model_name};
    return texts[i];
}

sot_status soti_profile_create(const sot_profile_info *info, sot_profile **out)
{
    *out = NULL;
    sot_profile *profile = soti_alloc(1, sizeof *profile);
    if (profile == NULL) {
        return SOT_ERR_MEMORY;
    }
    profile->info = *info;
    for (uint32_t i = 0; i < SOTI_N_PROFILE_TEXTS; i++) {
        const char **text = info_text(&profile->info, i);
        const char *given = *text != NULL ? *text : "";
        profile->texts[i] = soti_copy_text(given, strlen(given));
        *text = profile->texts[i];
        if (*text == NULL) {
            soti_profile_free(profile);
            return SOT_ERR_MEMORY;
        }
    }
    *out = profile;
    return SOT_OK;
}

sot_status soti_profile_copy(const sot_profile *profile, sot_profile **out)
{
    sot_status status = soti_profile_create(&profile->info, out);
    for (uint32_t i = 0; i < SOTI_N_TABLES && status == SOT_OK; i++) {
        status = soti_grid_copy(&profile->tables[i], &(*out)->tables[i]);
    }
    if (status != SOT_OK) {
        soti_profile_free(*out);
        *out = NULL;
    }
    return status;
}

void soti_profile_free(sot_profile *profile)
{
    if (profile == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SOTI_N_PROFILE_TEXTS; i++) {
        soti_free(profile->texts[i]);
    }
    for (uint32_t i = 0; i < SOTI_N_TABLES; i++) {
        soti_grid_free(&profile->tables[i]);
    }
    soti_free(profile);
}

static void find_largest(const soti_profile_grid *grid, uint32_t *batch, uint32_t *length)
{
    *batch = *length = 0;
    for (uint32_t i = 0; i < grid->n_batches; i++) {
        for (uint32_t k = 0; k < grid->n_lengths; k++) {
            if (*soti_grid_cell(grid, i, k) != 0) {
                *batch = grid->batches[i];
                *length = *length > grid->lengths[k] ? *length : grid->lengths[k];
            }
        }
    }
}

void soti_profile_complete(sot_profile *profile)
{
    sot_profile_info *info = &profile->info;
    info->n_cells = 0;
    for (uint32_t i = 0; i < SOTI_N_TABLES; i++) {
        info->n_cells += soti_grid_count(&profile->tables[i]);
    }
    find_largest(&profile->tables[SOTI_TABLE_PREFILL], &info->prefill_max_batch,
                 &info->prefill_max_tokens);
    find_largest(&profile->tables[SOTI_TABLE_DECODE], &info->decode_max_batch,
                 &info->decode_max_context);
}

const char *soti_table_name(uint32_t i_table)
{
    static const char *const names[SOTI_N_TABLES] = {"prefill", "decode", "rows", "past", "shared"};
    return names[i_table];
}

/* ---- Passes ------------------------------------------------------------------------------------
 */

static double at(const sot_profile *profile, uint32_t i_table, double batch, double length,
                 bool *outside)
{
    return soti_grid_at(&profile->tables[i_table], batch, length, outside);
}

static double not_negative(double value)
{
    return value > 0 ? value : 0;
}

/* Decode steps have a token before them; a table that begins there says what none costs. */
static double at_least_one(double length)
{
    return length > 1 ? length : 1;
}

/* The output matrix is read where a token is picked; it has the share of a step that it has of what
 * the step reads, and grows with the rows as the whole step does. */
static double logits_ns(const sot_profile *profile, uint32_t n_logits, bool *outside)
{
    const sot_profile_info *info = &profile->info;
    double bytes = 2.0 * info->n_vocab * info->d_model;
    if (n_logits == 0 || bytes >= (double)info->weight_bytes) {
        return 0;
    }
    return bytes / (double)info->weight_bytes *
           at(profile, SOTI_TABLE_DECODE, n_logits, 1, outside);
}

static double decode_ns(const sot_profile *profile, const soti_pass_shape *pass, bool *outside)
{
    double n = pass->n_decode;
    if (pass->n_decode == 1 || pass->n_shared == 0) {
        double n_context = at_least_one(pass->n_own + pass->n_shared);
        return at(profile, SOTI_TABLE_DECODE, n, n_context, outside);
    }
    double shared = at(profile, SOTI_TABLE_SHARED, n, pass->n_shared, outside) -
                    at(profile, SOTI_TABLE_SHARED, n, 0, outside);
    return at(profile, SOTI_TABLE_DECODE, n, at_least_one(pass->n_own), outside) +
           not_negative(shared);
}

/* What one token before one row of a pass with so many rows of prompts costs. */
static double past_ns(const sot_profile *profile, double n_rows, bool *outside)
{
    const soti_profile_grid *past = &profile->tables[SOTI_TABLE_PAST];
    bool unused = false; /* rows beyond the largest: the share of one row is the same */
    if (past->n_lengths < 2) {
        *outside = true;
        return 0;
    }
    double length = past->lengths[past->n_lengths - 1];
    double ns =
        soti_grid_at(past, n_rows, length, &unused) - soti_grid_at(past, n_rows, 0, &unused);
    return not_negative(ns) / (n_rows * length);
}

double soti_pass_ns(const sot_profile *profile, const soti_pass_shape *pass, bool *outside)
{
    if (pass->n_prompt == 0) {
        return decode_ns(profile, pass, outside);
    }
    double n_rows = (double)pass->n_prompt + pass->n_decode;
    double ns = at(profile, SOTI_TABLE_ROWS, 1, n_rows, outside);
    ns += logits_ns(profile, pass->n_logits, outside) - logits_ns(profile, 1, outside);
    /* The table's rows are of one prompt from nothing, each behind all that come before it. */
    ns += (pass->n_before - n_rows * (n_rows - 1) / 2) * past_ns(profile, n_rows, outside);
    if (pass->n_decode > 0) {
        ns += decode_ns(profile, pass, outside) -
              at(profile, SOTI_TABLE_DECODE, pass->n_decode, 1, outside);
    }
    return not_negative(ns);
}
