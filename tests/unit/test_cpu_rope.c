/* Rotary positions against complex multiplication in long double, far into the context. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu_context.h"

enum { N_POSITIONS = 20000, D_HEAD = 10 };

static double frequencies[D_HEAD / 2];
static float cosines[N_POSITIONS * D_HEAD / 2];
static float sines[N_POSITIONS * D_HEAD / 2];

static void context_init(soti_context *context, float theta, float scale)
{
    memset(context, 0, sizeof *context);
    context->shape.d_head = D_HEAD;
    context->shape.rope_theta = theta;
    context->shape.rope_scale = scale;
    context->frequencies = frequencies;
    context->cosines = cosines;
    context->sines = sines;
    soti_cpu_rope_frequencies(&context->shape, frequencies);
}

/* Pair i at a position is multiplied by e^(i position / scale theta^(-2i/d)). The tables are
 * rounded once, angles err by position / 2^53: three roundings of numbers up to 2 remain. */
static void check_turn(float theta, float scale, uint32_t position, uint32_t step)
{
    soti_context context;
    float first[2 * D_HEAD] = {0};
    float second[2 * D_HEAD] = {0};
    context_init(&context, theta, scale);
    soti_cpu_rope_prepare(&context, position + 1);
    for (uint32_t i = 0; i < D_HEAD / 2; i++) {
        first[i * step] = (float)(0.1 * i + 0.3);
        second[i * step] = (float)(0.7 - 0.2 * i);
    }
    soti_cpu_rope_turn(&context, position, 1, D_HEAD / 2 - 1, first + step, second + step, step);
    assert_true(first[0] == 0.3f && second[0] == 0.7f); /* pair 0 was not asked for */
    for (uint32_t i = 1; i < D_HEAD / 2; i++) {
        long double angle =
            position / (long double)scale * powl((long double)theta, -2.0L * i / D_HEAD);
        long double complex turned =
            ((long double)(float)(0.1 * i + 0.3) +
             (long double)(float)(0.7 - 0.2 * i) * (long double complex)I) *
            cexpl((long double complex)I * angle);
        assert_true(fabsl((long double)first[i * step] - creall(turned)) < 3e-7L);
        assert_true(fabsl((long double)second[i * step] - cimagl(turned)) < 3e-7L);
    }
}

static void rope_far_positions_turn_exactly(void **state)
{
    (void)state;
    static const uint32_t positions[] = {0, 1, 15, 16, 4095, N_POSITIONS - 1};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        check_turn(10000.0f, 1.0f, positions[i], 1);
        check_turn(500000.0f, 1.0f, positions[i], 2);
        check_turn(10000.0f, 4.0f, positions[i], 2);
    }
}

static void rope_angles_are_filled_once(void **state)
{
    (void)state;
    soti_context context;
    context_init(&context, 10000.0f, 1.0f);
    soti_cpu_rope_prepare(&context, 5);
    assert_int_equal(context.n_angles_ready, 5);
    cosines[0] = 7; /* kept: not filled again */
    soti_cpu_rope_prepare(&context, 3);
    assert_int_equal(context.n_angles_ready, 5);
    soti_cpu_rope_prepare(&context, 9);
    assert_int_equal(context.n_angles_ready, 9);
    assert_true(cosines[0] == 7.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rope_far_positions_turn_exactly),
        cmocka_unit_test(rope_angles_are_filled_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
