#include "backend/cpu/avx512vnni/vector.h"

typedef __m512 vec;
#define VEC_FLOATS 16u
#define BLOCK      12u /* two pages or pieces of columns at a time: 24 sums of 32 registers */
#define CHAINS     24u

#define vec_zero    _mm512_setzero_ps
#define vec_set     _mm512_set1_ps
#define vec_load    _mm512_loadu_ps
#define vec_store   _mm512_storeu_ps
#define vec_add     _mm512_add_ps
#define vec_sub     _mm512_sub_ps
#define vec_mul     _mm512_mul_ps
#define vec_max     _mm512_max_ps
#define vec_fma     _mm512_fmadd_ps
#define vec_exp     exp_16
#define vec_sum     sum_16
#define vec_largest max_16
#define vec_halves  halves_16
#define vec_half    half_16
#define vec_bf16    bf16_16
#define vec_bytes   bytes_16
#define vec_nibbles nibbles_16

static inline __m512 half_16(const uint16_t *half)
{
    return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_set1_epi16((short)*half)));
}

/* All 16: part is 0. */
static inline __m512 nibbles_16(const uint8_t *bytes, uint32_t part)
{
    (void)part;
    int8_t bits[16];
    const __m128i low = _mm_loadl_epi64((const void *)bytes);
    const __m128i both = _mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4));
    _mm_storeu_si128((void *)bits, _mm_and_si128(both, _mm_set1_epi8(15)));
    return bytes_16(bits);
}

#include "backend/cpu/attention_inline.h"

void attention_f32_f16__avx512vnni(const struct attention_call *call)
{
    attend_all(call, KV_F16);
}

void attention_f32_bf16__avx512vnni(const struct attention_call *call)
{
    attend_all(call, KV_BF16);
}

void attention_f32_q8_0__avx512vnni(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0);
}

void attention_f32_q8_0_q4_1__avx512vnni(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0_Q4_1);
}
