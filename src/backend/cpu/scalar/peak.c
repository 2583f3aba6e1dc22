#include "backend/cpu/scalar/matmul.h"

#define LANES 32u

uint64_t peak_int8__scalar(uint32_t rounds, int32_t *sink)
{
    int8_t w[LANES];
    int8_t x[LANES];
    int32_t sum = *sink;
    for (uint32_t i = 0; i < LANES; i++) {
        w[i] = (int8_t)(*sink + (int32_t)i);
        x[i] = (int8_t)(*sink - (int32_t)i);
    }
    for (uint32_t round = 0; round < rounds; round++) {
        w[round % LANES]++;
        for (uint32_t i = 0; i < LANES; i++) {
            sum = (int32_t)((uint32_t)sum + (uint32_t)(w[i] * x[i]));
        }
    }
    *sink = sum;
    return (uint64_t)rounds * LANES;
}
