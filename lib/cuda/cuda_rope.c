/* The table of rotary angles: computed in double precision and rounded once, so that a position far
 * into the context is as exact as the first. */
#include <math.h>

#include "cuda/cuda_context.h"

void soti_cuda_rope_fill(const soti_shape *shape, size_t n_positions, float *table)
{
    uint32_t n_pairs = shape->d_head / 2;
    for (uint32_t i = 0; i < n_pairs; i++) {
        double power = pow((double)shape->rope_theta, -2.0 * i / shape->d_head);
        double frequency = power / (double)shape->rope_scale;
        for (size_t p = 0; p < n_positions; p++) {
            double angle = (double)p * frequency;
            float *pair = table + (p * n_pairs + i) * 2;
            pair[0] = (float)cos(angle);
            pair[1] = (float)sin(angle);
        }
    }
}
