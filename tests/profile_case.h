/* A profile whose times follow formulas that are linear in each axis, so that interpolation is
 * exact and what is expected of an estimate can be worked out by hand:
 *
 *   t_P(B, k)      = 1000 + 7 B k              a pass of r rows     500 + 6 r
 *   t_D(B, k)      = 900 + 20 B + B k          such rows behind p   500 + 6 r + 0.25 r p
 *   a step of B on k shared tokens             901 + 21 B + k / 4
 *
 * in units of 1000 ns. The output matrix is a tenth of what a step reads. */
#ifndef SOT_TESTS_PROFILE_CASE_H
#define SOT_TESTS_PROFILE_CASE_H

#include <math.h>

#include "sot/profile_tables.h"

enum { CASE_CHUNK = 32, CASE_BATCH = 4, CASE_UNIT = 1000 };

#define CASE_COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

static inline double case_prefill(double b, double k)
{
    return CASE_UNIT * (1000 + 7 * b * k);
}

static inline double case_decode(double b, double k)
{
    return CASE_UNIT * (900 + 20 * b + b * k);
}

static inline double case_rows(double r)
{
    return CASE_UNIT * (500 + 6 * r);
}

static inline double case_past(double r, double p)
{
    return case_rows(r) + CASE_UNIT * 0.25 * r * p;
}

static inline double case_shared(double b, double k)
{
    return CASE_UNIT * (901 + 21 * b + k / 4);
}

static inline void case_table(sot_profile *profile, uint32_t i_table, const uint32_t *batches,
                              uint32_t n_batches, const uint32_t *lengths, uint32_t n_lengths)
{
    soti_profile_grid *grid = &profile->tables[i_table];
    assert_int_equal(soti_grid_create(batches, n_batches, lengths, n_lengths, grid), SOT_OK);
    for (uint32_t i = 0; i < n_batches; i++) {
        for (uint32_t k = 0; k < n_lengths; k++) {
            double b = batches[i];
            double l = lengths[k];
            double ns = i_table == SOTI_TABLE_PREFILL  ? case_prefill(b, l)
                        : i_table == SOTI_TABLE_DECODE ? case_decode(b, l)
                        : i_table == SOTI_TABLE_ROWS   ? case_rows(l)
                        : i_table == SOTI_TABLE_PAST   ? case_past(b, l)
                                                       : case_shared(b, l);
            *soti_grid_cell(grid, i, k) = (uint64_t)llround(ns);
        }
    }
}

static inline sot_profile *case_profile(void)
{
    static const uint32_t one[] = {1}, batches[] = {1, 2, 4}, rows[] = {1, 8, CASE_CHUNK};
    static const uint32_t prompts[] = {1, 101, 691}, contexts[] = {1, 100, 1000};
    static const uint32_t pasts[] = {0, 512}, shared[] = {0, 256, 1024}, together[] = {2, 4};
    const sot_profile_info info = {.libsot = "0.1.0",
                                   .machine = "a \"machine\"\n",
                                   .device = "cpu",
                                   .isa = "avx2",
                                   .model_name = "m\xc3\xb6"
                                                 "del",
                                   .n_threads = 2,
                                   .n_ctx = 2048,
                                   .max_batch = CASE_BATCH,
                                   .chunk_rows = CASE_CHUNK,
                                   .n_layer = 2,
                                   .n_head = 4,
                                   .n_kv = 2,
                                   .d_head = 8,
                                   .d_model = 32,
                                   .d_ff = 64,
                                   .n_vocab = 100,
                                   .weight_bytes = 64000};
    sot_profile *profile;
    assert_int_equal(soti_profile_create(&info, &profile), SOT_OK);
    case_table(profile, SOTI_TABLE_PREFILL, batches, 3, prompts, 3);
    case_table(profile, SOTI_TABLE_DECODE, batches, 3, contexts, 3);
    case_table(profile, SOTI_TABLE_ROWS, one, 1, rows, 3);
    case_table(profile, SOTI_TABLE_PAST, rows, 3, pasts, 2);
    case_table(profile, SOTI_TABLE_SHARED, together, 2, shared, 3);
    soti_profile_complete(profile);
    return profile;
}

#endif
