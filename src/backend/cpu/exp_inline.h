/* The exponential all levels share: e^x = 2^n * e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and
 * e^r = 1 + r + r^2 * p(r).  p is the minimax polynomial of degree 4 for the relative error of e^r
 * (Remez; 3.1e-9, far below rounding).
 *
 * Arguments over EXP_MAX give e^EXP_MAX, under EXP_MIN 0; NaN gives NaN. */
#ifndef REALM_BACKEND_CPU_EXP_INLINE_H
#define REALM_BACKEND_CPU_EXP_INLINE_H

#include <stdint.h>

#define EXP_MAX 88.0f
#define EXP_MIN (-87.0f)

#define EXP_LOG2E   0x1.715476p+0f
#define EXP_LN2_HI  0x1.62e4p-1f /* few bits, so that n times it is exact */
#define EXP_LN2_LO  0x1.7f7d1cp-20f
#define EXP_P0      0x1.fffffcp-2f
#define EXP_P1      0x1.555492p-3f
#define EXP_P2      0x1.5558f2p-5f
#define EXP_P3      0x1.123a20p-7f
#define EXP_P4      0x1.6a23d0p-10f
#define EXP_ROUNDER 12582912.0f /* adding 1.5 * 2^23 rounds to an integer */

/* gelu_tanh(x) = x / (1 + e^-2z), z = sqrt(2 / pi) * (x + 0.044715 x^3): the same function as
 * x / 2 * (1 + tanh z), without its cancellation. */
#define GELU_2Z    0x1.988454p+0f /* 2 sqrt(2 / pi) */
#define GELU_CUBIC 0.044715f

static inline float exp_scalar(float x)
{
    if (x < EXP_MIN) {
        return 0.0f;
    }
    const float clamped = x > EXP_MAX ? EXP_MAX : x;
    const float n = (clamped * EXP_LOG2E + EXP_ROUNDER) - EXP_ROUNDER;
    const float r = (clamped - n * EXP_LN2_HI) - n * EXP_LN2_LO;
    const float p = (((EXP_P4 * r + EXP_P3) * r + EXP_P2) * r + EXP_P1) * r + EXP_P0;
    const float e = 1.0f + (r + r * r * p);
    /* NaN has no integer; any power does, since e is NaN then. */
    union {
        uint32_t bits;
        float value;
    } power = {.bits = n == n ? (uint32_t)((int32_t)n + 127) << 23 : 0};
    return e * power.value;
}

#endif
