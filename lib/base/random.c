/* See random.h. */
#include "random.h"

void soti_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words[4])
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
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ x1 ^ key0;
        uint32_t next2 = (uint32_t)(product0 >> 32) ^ x3 ^ key1;
        x1 = (uint32_t)product1;
        x3 = (uint32_t)product0;
        x0 = next0;
        x2 = next2;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    words[0] = x0;
    words[1] = x1;
    words[2] = x2;
    words[3] = x3;
}

/* Lane by lane the same steps, in loops that a compiler turns into vector instructions. */
void soti_random_blocks(uint64_t seed, uint64_t stream, uint64_t counter,
                        uint32_t words[4][SOTI_RANDOM_LANES])
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    uint32_t x0[SOTI_RANDOM_LANES];
    uint32_t x1[SOTI_RANDOM_LANES];
    uint32_t x2[SOTI_RANDOM_LANES];
    uint32_t x3[SOTI_RANDOM_LANES];
    for (uint32_t j = 0; j < SOTI_RANDOM_LANES; j++) {
        x0[j] = (uint32_t)(counter + j);
        x1[j] = (uint32_t)((counter + j) >> 32);
        x2[j] = (uint32_t)stream;
        x3[j] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (uint32_t j = 0; j < SOTI_RANDOM_LANES; j++) {
            uint64_t product0 = (uint64_t)0xD2511F53u * x0[j];
            uint64_t product1 = (uint64_t)0xCD9E8D57u * x2[j];
            x0[j] = (uint32_t)(product1 >> 32) ^ x1[j] ^ key0;
            x2[j] = (uint32_t)(product0 >> 32) ^ x3[j] ^ key1;
            x1[j] = (uint32_t)product1;
            x3[j] = (uint32_t)product0;
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    for (uint32_t j = 0; j < SOTI_RANDOM_LANES; j++) {
        words[0][j] = x0[j];
        words[1][j] = x1[j];
        words[2][j] = x2[j];
        words[3][j] = x3[j];
    }
}

float soti_random_uniform(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t words[4];
    soti_random_block(seed, stream, counter, words);
    return (float)(words[0] >> 8) * 0x1p-24f;
}
