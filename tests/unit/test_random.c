/* Philox4x32-10 against the known answers of the Random123 distribution (kat_vectors). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/random.h"

static void random_known_answers_match(void **state)
{
    (void)state;
    uint32_t words[4];
    soti_random_block(0, 0, 0, words);
    assert_int_equal(words[0], 0x6627e8d5u);
    assert_int_equal(words[1], 0xe169c58du);
    assert_int_equal(words[2], 0xbc57ac4cu);
    assert_int_equal(words[3], 0x9b00dbd8u);
    soti_random_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, words);
    assert_int_equal(words[0], 0x408f276du);
    assert_int_equal(words[1], 0x41c83b0eu);
    assert_int_equal(words[2], 0xa20bc7c6u);
    assert_int_equal(words[3], 0x6d5451fdu);
    /* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
    soti_random_block(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u, words);
    assert_int_equal(words[0], 0xd16cfe09u);
    assert_int_equal(words[1], 0x94fdccebu);
    assert_int_equal(words[2], 0x5001e420u);
    assert_int_equal(words[3], 0x24126ea1u);
}

static void random_uniform_is_in_unit_interval(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        float u = soti_random_uniform(1, 2, i);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += (double)u;
    }
    /* Mean of 1e5 draws: standard error 0.0009, five of them. */
    assert_true(sum / 100000 > 0.4954 && sum / 100000 < 0.5046);
}

static void random_blocks_together_equal_blocks_alone(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 1, 12345, UINT32_MAX - 3, UINT64_MAX - 2};
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        uint32_t words[4][SOTI_RANDOM_LANES];
        soti_random_blocks(0x123456789ABCDEFu, s << 33 | s, starts[s], words);
        for (uint64_t j = 0; j < SOTI_RANDOM_LANES; j++) {
            uint32_t alone[4];
            soti_random_block(0x123456789ABCDEFu, s << 33 | s, starts[s] + j, alone);
            for (size_t w = 0; w < 4; w++) {
                assert_int_equal(words[w][j], alone[w]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_known_answers_match),
        cmocka_unit_test(random_uniform_is_in_unit_interval),
        cmocka_unit_test(random_blocks_together_equal_blocks_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
