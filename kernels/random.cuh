/* Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011), word for word those of the
 * CPU backend: a draw is a function of (seed, stream, counter) alone. Key: seed; counter words:
 * counter low, high, stream low, high. */
#ifndef SOTI_KERNELS_RANDOM_CUH
#define SOTI_KERNELS_RANDOM_CUH

#include "device.cuh"

namespace soti
{

/* Uniform in [0, 1) times 2^24: the upper bits of the block's first word. */
__device__ __forceinline__ uint32_t random_24_bits(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    uint32_t x0 = (uint32_t)counter;
    uint32_t x1 = (uint32_t)(counter >> 32);
    uint32_t x2 = (uint32_t)stream;
    uint32_t x3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * x0;
        uint64_t product1 = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(product1 >> 32) ^ x1 ^ key0;
        x2 = (uint32_t)(product0 >> 32) ^ x3 ^ key1;
        x1 = (uint32_t)product1;
        x3 = (uint32_t)product0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return x0 >> 8;
}

} // namespace soti

#endif
