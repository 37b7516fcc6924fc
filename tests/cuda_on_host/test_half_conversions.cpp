/* FP16 by its definition in IEEE 754: all halves to float; floats around every half and every
 * midpoint between two of them to half; and the processor's own conversions where it has them. */
#include "kernel_test.h"

#include <cmath>
#include <random>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace
{

constexpr unsigned n_halves = 65536;

bool is_nan_half(unsigned bits)
{
    return (bits & 0x7FFF) > 0x7C00;
}

/* binary16 by its definition; not for NaN. */
double define_half(unsigned bits)
{
    int exponent = static_cast<int>(bits >> 10 & 31);
    double fraction = bits & 1023;
    double magnitude = exponent == 31  ? static_cast<double>(INFINITY)
                       : exponent == 0 ? std::ldexp(fraction, -24)
                                       : std::ldexp(1024 + fraction, exponent - 25);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

void every_half_becomes_its_float(void **)
{
    for (unsigned bits = 0; bits < n_halves; bits++) {
        float value = __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
        if (is_nan_half(bits)) {
            assert_true(std::isnan(value));
        } else {
            assert_true(static_cast<double>(value) == define_half(bits));
            assert_int_equal(std::signbit(value), bits >> 15);
        }
    }
}

unsigned rounded(float value)
{
    return __half_as_ushort(__float2half_rn(value));
}

void every_half_survives_rounding(void **)
{
    for (unsigned bits = 0; bits < n_halves; bits++) {
        half value = __ushort_as_half(static_cast<unsigned short>(bits));
        unsigned back = rounded(__half2float(value));
        assert_int_equal(back, is_nan_half(bits) ? 0x7FFF : bits);
    }
}

void midpoints_round_to_even_and_all_else_to_the_nearest(void **)
{
    for (unsigned bits = 0; bits < 0x7C00; bits++) {
        /* 65536 follows the largest half as if the format went on: the way to infinity. */
        double next = bits == 0x7BFF ? 65536 : define_half(bits + 1);
        float middle = static_cast<float>((define_half(bits) + next) / 2);
        assert_true(static_cast<double>(middle) * 2 == define_half(bits) + next);
        unsigned even = bits % 2 == 0 ? bits : bits + 1;
        for (unsigned sign : {0u, 0x8000u}) {
            float side = sign == 0 ? 1.0f : -1.0f;
            assert_int_equal(rounded(side * middle), sign | even);
            assert_int_equal(rounded(side * std::nextafter(middle, 0.0f)), sign | bits);
            assert_int_equal(rounded(side * std::nextafter(middle, INFINITY)), sign | (bits + 1));
        }
    }
}

void floats_beyond_halves_round_to_zero_or_infinity(void **)
{
    assert_int_equal(rounded(65519.99f), 0x7BFF);
    assert_int_equal(rounded(65520.0f), 0x7C00);
    assert_int_equal(rounded(-INFINITY), 0xFC00);
    assert_int_equal(rounded(3e38f), 0x7C00);
    assert_int_equal(rounded(0x1p-25f), 0);
    assert_int_equal(rounded(-0x1p-149f), 0x8000);
    assert_int_equal(rounded(NAN), 0x7FFF);
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) void compare_with_f16c()
{
    std::mt19937 random(7);
    for (unsigned i = 0; i < 2000000; i++) {
        float value = __uint_as_float(static_cast<unsigned>(random()));
        if (!std::isnan(value)) {
            assert_int_equal(rounded(value), _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
        }
    }
}

void random_floats_round_as_the_processor_does_it(void **)
{
    if (!__builtin_cpu_supports("avx2")) { /* which come with F16C */
        print_message("skipped: the processor has no AVX2\n");
        skip();
    }
    compare_with_f16c();
}
#endif

void pairs_are_two_halves(void **)
{
    half2 pair = __floats2half2_rn(1.0f, -2.5f);
    assert_int_equal(__half_as_ushort(pair.x), 0x3C00);
    assert_int_equal(__half_as_ushort(pair.y), 0xC100);
    float2 back = __half22float2(__halves2half2(pair.y, pair.x));
    assert_true(back.x == -2.5f && back.y == 1.0f);
    assert_true(__low2float(pair) == 1.0f && __high2float(pair) == -2.5f);
    uint32_t word;
    memcpy(&word, &pair, sizeof word);
    assert_int_equal(word, 0xC1003C00);
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_half_becomes_its_float),
        cmocka_unit_test(every_half_survives_rounding),
        cmocka_unit_test(midpoints_round_to_even_and_all_else_to_the_nearest),
        cmocka_unit_test(floats_beyond_halves_round_to_zero_or_infinity),
#if defined(__x86_64__)
        cmocka_unit_test(random_floats_round_as_the_processor_does_it),
#endif
        cmocka_unit_test(pairs_are_two_halves),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
