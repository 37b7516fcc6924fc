/* Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): a draw is a function of
 * (seed, stream, counter) alone, so it depends on no order and no batch, and a GPU can make the
 * same one. */
#ifndef SOTI_BASE_RANDOM_H
#define SOTI_BASE_RANDOM_H

#include <stdint.h>

/* Four independent 32-bit words. Key: seed; counter words: counter low, high, stream low, high. */
void soti_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words[4]);

enum { SOTI_RANDOM_LANES = 8 };

/* The blocks of SOTI_RANDOM_LANES counters from counter on: word w of block j at words[w][j]. The
 * same numbers as one by one, several times faster. */
void soti_random_blocks(uint64_t seed, uint64_t stream, uint64_t counter,
                        uint32_t words[4][SOTI_RANDOM_LANES]);

/* Uniform in [0, 1), a multiple of 2^-24, from the block's first word. */
float soti_random_uniform(uint64_t seed, uint64_t stream, uint64_t counter);

#endif
