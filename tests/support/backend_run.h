/* A sequence of tokens through a backend, without an engine: cut into chunks, its KV pages in an
 * order of their own. */
#ifndef REALM_TESTS_SUPPORT_BACKEND_RUN_H
#define REALM_TESTS_SUPPORT_BACKEND_RUN_H

#include "backend/backend.h"

/* The levels a CPU backend may have, NULL at the end; backend_create refuses those that are not
 * here. */
extern const char *const backend_run_levels[];

/* Its dot products round what BF16 weights are multiplied with to BF16 (backend/cpu/kernels.h). */
bool backend_level_rounds_to_bf16(const char *level);

/* Most tokens of a sequence, and pages that the model must have been prepared with. */
#define BACKEND_RUN_MAX_TOKENS 512u
#define BACKEND_RUN_PAGES      (BACKEND_RUN_MAX_TOKENS / PAGE_TOKENS + 1)

/* Logits of every token into out, [n_tokens][vocabulary].
 * chunk: tokens a step, 0: all at once. False: the backend refused; error says why. */
bool backend_run_tokens(struct backend_model *model,
                        const token_id *tokens,
                        uint32_t n_tokens,
                        uint32_t chunk,
                        uint32_t vocabulary,
                        float *out,
                        struct realm_error *error);

/* The same with an adapter (ADAPTER_NONE: none). */
bool backend_run_adapted(struct backend_model *model,
                         uint32_t adapter,
                         const token_id *tokens,
                         uint32_t n_tokens,
                         uint32_t chunk,
                         uint32_t vocabulary,
                         float *out,
                         struct realm_error *error);

/* Root of the mean square of the difference, as a part of that of `expected`; NaN anywhere gives
 * NaN. */
double backend_run_distance(const float *actual, const float *expected, size_t n);

#endif
