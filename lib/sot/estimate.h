/* From a profile and lengths to latencies. Arguments were checked: no length is zero or beyond
 * SOTI_LENGTH_MAX, what was found in pages is no more than there is. */
#ifndef SOTI_SOT_ESTIMATE_H
#define SOTI_SOT_ESTIMATE_H

#include "sot/profile_tables.h"

enum { SOTI_LENGTH_MAX = 1 << 20, SOTI_POINTS_ESTIMATED_MAX = 4096 };

/* Whether lengths are in range. Returns ARGUMENT with the name of the one that is not. */
sot_status soti_lengths_check(const sot_lengths *lengths);

/* Fills all of *estimate. Returns MEMORY. */
sot_status soti_estimate(const sot_profile *profile, const sot_lengths *lengths,
                         sot_estimate *estimate);

/* The members that are the paper's equations (estimate_paper.c). */
void soti_estimate_paper(const sot_profile *profile, const sot_lengths *lengths,
                         sot_estimate *estimate, bool *outside);

/* params complete. Returns ARGUMENT, MEMORY. */
sot_status soti_break_even(const sot_profile *profile, const sot_break_even_params *params,
                           sot_break_even *result);

#endif
