/* Random numbers for property tests: SplitMix64 (Steele et al., OOPSLA 2014), so that a failing
 * case is repeated by its seed. Independent of the library's own generator. */
#ifndef SOT_TESTS_RANDOM_SOURCE_H
#define SOT_TESTS_RANDOM_SOURCE_H

#include <stdint.h>

typedef struct random_source {
    uint64_t state;
} random_source;

static inline uint64_t random_next(random_source *source)
{
    uint64_t z = (source->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* From low to high, both possible. */
static inline uint32_t random_between(random_source *source, uint32_t low, uint32_t high)
{
    return low + (uint32_t)(random_next(source) % ((uint64_t)high - low + 1));
}

#endif
