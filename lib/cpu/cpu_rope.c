/* Rotary positions: angles are computed in double precision and kept as FP32 cosines and sines, so
 * that a position far into the context is as exact as the first. */
#include <math.h>

#include "cpu/cpu_context.h"

void soti_cpu_rope_frequencies(const soti_shape *shape, double *frequencies)
{
    for (uint32_t i = 0; i < shape->d_head / 2; i++) {
        double power = pow((double)shape->rope_theta, -2.0 * i / shape->d_head);
        frequencies[i] = power / (double)shape->rope_scale;
    }
}

void soti_cpu_rope_prepare(soti_context *context, uint32_t n_positions)
{
    uint32_t n_pairs = context->shape.d_head / 2;
    for (uint32_t p = context->n_angles_ready; p < n_positions; p++) {
        float *cosines = context->cosines + (size_t)p * n_pairs;
        float *sines = context->sines + (size_t)p * n_pairs;
        for (uint32_t i = 0; i < n_pairs; i++) {
            double angle = p * context->frequencies[i];
            cosines[i] = (float)cos(angle);
            sines[i] = (float)sin(angle);
        }
    }
    if (n_positions > context->n_angles_ready) {
        context->n_angles_ready = n_positions;
    }
}

void soti_cpu_rope_turn(const soti_context *context, uint32_t position, uint32_t i_pair, uint32_t n,
                        float *first, float *second, uint32_t step)
{
    size_t i_angle = (size_t)position * (context->shape.d_head / 2) + i_pair;
    const float *cosines = context->cosines + i_angle;
    const float *sines = context->sines + i_angle;
    for (uint32_t i = 0; i < n; i++) {
        float a = first[i * step];
        float b = second[i * step];
        first[i * step] = a * cosines[i] - b * sines[i];
        second[i * step] = a * sines[i] + b * cosines[i];
    }
}
