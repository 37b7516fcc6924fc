/* 16-bit floats: every half against the definition in double precision, floats around every half
 * and every midpoint against rounding done with nearbyint(), and all of it against the processor's
 * own conversions: those of F16C, those of AArch64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/half.h"
#include "random_source.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* binary16 as IEEE 754 defines it; not for NaN. */
static double define_half(uint32_t half)
{
    int exponent = (int)(half >> 10 & 31);
    double fraction = half & 1023;
    double magnitude = exponent == 31  ? INFINITY
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

/* The half nearest to value as a double, ties to even; not for NaN. */
static double round_to_half(double value)
{
    if (value == 0 || isinf(value)) {
        return value;
    }
    int exponent = ilogb(value);
    exponent = exponent < -14 ? -14 : exponent;
    double rounded = ldexp(nearbyint(ldexp(value, 10 - exponent)), exponent - 10);
    return fabs(rounded) >= 65536 ? copysign(INFINITY, value) : copysign(rounded, value);
}

static bool is_nan_half(uint32_t half)
{
    return (half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0;
}

static void check_rounding(float value)
{
    uint16_t half = soti_half_from_float(value);
    double expected = round_to_half((double)value);
    if (is_nan_half(half) || define_half(half) != expected ||
        (half >> 15) != (bits_of(value) >> 31)) {
        fail_msg("%a became %04x", (double)value, half);
    }
}

static void half_every_value_is_exact_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        float value = soti_half_to_float((uint16_t)half);
        if (is_nan_half(half)) {
            assert_true(isnan(value));
            assert_int_equal(bits_of(value) >> 31, half >> 15);
            assert_true(is_nan_half(soti_half_from_float(value)));
            continue;
        }
        assert_true((double)value == define_half(half));
        assert_int_equal(bits_of(value) >> 31, half >> 15); /* of zeros, too */
        assert_int_equal(soti_half_from_float(value), half);
    }
}

static void half_from_float_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7C00; half++) {
        float value = soti_half_to_float((uint16_t)half);
        double next = half == 0x7BFF ? 65536 : define_half(half + 1);
        float middle = (float)(((double)value + next) / 2); /* exact: one more bit */
        for (int sign = -1; sign <= 1; sign += 2) {
            float s = (float)sign;
            check_rounding(s * nextafterf(value, 0.0f));
            check_rounding(s * nextafterf(value, INFINITY));
            check_rounding(s * middle);
            check_rounding(s * nextafterf(middle, 0.0f));
            check_rounding(s * nextafterf(middle, INFINITY));
        }
    }
}

static void half_from_float_random_bits_round_right(void **state)
{
    (void)state;
    random_source random = {1};
    for (int i = 0; i < 500000; i++) {
        float value = float_of((uint32_t)random_next(&random));
        if (isnan(value)) {
            assert_true(is_nan_half(soti_half_from_float(value)));
        } else {
            check_rounding(value);
        }
    }
}

static void half_from_float_borders(void **state)
{
    (void)state;
    assert_int_equal(soti_half_from_float(65504.0f), 0x7BFF); /* the largest */
    assert_int_equal(soti_half_from_float(65519.996f), 0x7BFF);
    assert_int_equal(soti_half_from_float(65520.0f), 0x7C00); /* the tie goes up, to infinity */
    assert_int_equal(soti_half_from_float(-INFINITY), 0xFC00);
    assert_int_equal(soti_half_from_float(0x1p-24f), 0x0001); /* the smallest subnormal */
    assert_int_equal(soti_half_from_float(0x1p-25f), 0x0000); /* the tie goes to even: zero */
    assert_int_equal(soti_half_from_float(0x1.000002p-25f), 0x0001);
    assert_int_equal(soti_half_from_float(-0.0f), 0x8000);
    assert_int_equal(soti_half_from_float(0x1p-149f), 0x0000);
    assert_int_equal(soti_half_from_float(float_of(0x7F800001)) & 0x7E00, 0x7E00); /* quiet NaN */
}

#if defined(__x86_64__)
static bool has_hardware(void)
{
    return __builtin_cpu_supports("avx2"); /* clang 14 cannot ask for F16C; AVX2 implies it */
}

__attribute__((target("f16c"))) static uint32_t hardware_to_float(uint16_t half)
{
    return bits_of(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))));
}

__attribute__((target("f16c"))) static uint16_t hardware_from_float(float value)
{
    __m128i half = _mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT);
    return (uint16_t)_mm_cvtsi128_si32(half);
}
#elif defined(__aarch64__)
static bool has_hardware(void)
{
    return true;
}

static uint32_t hardware_to_float(uint16_t half)
{
    __fp16 value;
    memcpy(&value, &half, sizeof value);
    return bits_of((float)value);
}

static uint16_t hardware_from_float(float value)
{
    __fp16 rounded = (__fp16)value;
    uint16_t half;
    memcpy(&half, &rounded, sizeof half);
    return half;
}
#else
static bool has_hardware(void)
{
    return false;
}

static uint32_t hardware_to_float(uint16_t half)
{
    return half;
}

static uint16_t hardware_from_float(float value)
{
    return (uint16_t)bits_of(value);
}
#endif

static void half_equals_the_processors(void **state)
{
    (void)state;
    if (!has_hardware()) {
        print_message("SKIPPED: compared on AArch64, and on x86-64 with AVX2 (and so F16C)\n");
        skip();
    }
    for (uint32_t half = 0; half < 0x10000; half++) {
        uint32_t expected = hardware_to_float((uint16_t)half);
        uint32_t quiet = is_nan_half(half) ? 0x400000 : 0; /* the processor quiets NaNs */
        assert_int_equal(bits_of(soti_half_to_float((uint16_t)half)) | quiet, expected);
    }
    for (uint64_t bits = 0; bits < (1ull << 32); bits += 1021) { /* a prime: all low bits occur */
        float value = float_of((uint32_t)bits);
        if (soti_half_from_float(value) != hardware_from_float(value)) {
            fail_msg("%08x", (uint32_t)bits);
        }
    }
}

static void bfloat_is_the_upper_half_of_a_float(void **state)
{
    (void)state;
    assert_true(soti_bfloat_to_float(0x3F80) == 1.0f);
    assert_true(soti_bfloat_to_float(0xC049) == -3.140625f);
    assert_true(soti_bfloat_to_float(0x0001) == 0x1p-133f);
    assert_true(isinf(soti_bfloat_to_float(0x7F80)));
    assert_true(isnan(soti_bfloat_to_float(0x7FC0)));
    for (uint32_t bfloat = 0; bfloat < 0x10000; bfloat++) {
        assert_int_equal(bits_of(soti_bfloat_to_float((uint16_t)bfloat)), bfloat << 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_every_value_is_exact_and_comes_back),
        cmocka_unit_test(half_from_float_rounds_to_nearest_even),
        cmocka_unit_test(half_from_float_random_bits_round_right),
        cmocka_unit_test(half_from_float_borders),
        cmocka_unit_test(half_equals_the_processors),
        cmocka_unit_test(bfloat_is_the_upper_half_of_a_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
