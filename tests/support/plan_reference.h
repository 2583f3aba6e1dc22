/* A plan run the slow way, for comparison with backends: straight from the words of plan/op.h, in
 * double, one sequence, no pages, no fusion.  Weights are dequantised whole, so tiny models only.
 */
#ifndef REALM_TESTS_SUPPORT_PLAN_REFERENCE_H
#define REALM_TESTS_SUPPORT_PLAN_REFERENCE_H

#include "backend/kv_type.h"
#include "plan/batch.h"
#include "plan/plan.h"

/* Where a backend is less exact by design, the reference can be so too, which leaves less to
 * tolerate. */
struct plan_reference_options {
    bool kv_rounded; /* keys and values are rounded to kv_type before they are used */
    enum kv_type kv_type;
    bool q8_activations;   /* what quantised weights are multiplied with is rounded to 8 bits in
                              blocks of 32 columns, scale = largest magnitude / 127 */
    bool bf16_activations; /* what BF16 weights are multiplied with is rounded to BF16 */
};

/* Logits of every token: out is [n_tokens][vocabulary].  The test ends on misuse. */
void plan_reference_run(const struct plan *plan,
                        const struct weight_source *source,
                        const token_id *tokens,
                        uint32_t n_tokens,
                        const struct plan_reference_options *options,
                        float *out);

#endif
