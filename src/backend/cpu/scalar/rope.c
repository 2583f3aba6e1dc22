#include "backend/cpu/scalar/vector.h"

void rope_f32__scalar(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent)
{
    const uint32_t step = adjacent ? 2 : 1;
    const uint32_t distance = adjacent ? 1 : n_pairs;
    for (uint32_t i = 0; i < n_pairs; i++) {
        float *const pair = head + (size_t)i * step;
        const float a = pair[0];
        const float b = pair[distance];
        pair[0] = a * cosines[i] - b * sines[i];
        pair[distance] = a * sines[i] + b * cosines[i];
    }
}
