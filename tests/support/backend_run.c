#include "support/backend_run.h"

#include <math.h>
#include <string.h>

const char *const backend_run_levels[] = {
    "scalar",
    "avx2",
    "avx512vnni",
    "avx512bf16",
    "amxint8",
    "neondot",
    "neoni8mm",
    "neonbf16",
    NULL,
};

bool backend_level_rounds_to_bf16(const char *level)
{
    return strcmp(level, "avx512bf16") == 0 || strcmp(level, "amxint8") == 0 ||
           strcmp(level, "neonbf16") == 0;
}

/* Page i of the sequence lies at 5i + 2 (mod n), so that nothing works by lying side by side. */
static void scatter_pages(page_id pages[BACKEND_RUN_PAGES])
{
    _Static_assert(BACKEND_RUN_PAGES % 5 != 0, "5i + 2 must meet every page");
    for (uint32_t i = 0; i < BACKEND_RUN_PAGES; i++) {
        pages[i] = (5 * i + 2) % BACKEND_RUN_PAGES;
    }
}

bool backend_run_tokens(struct backend_model *model,
                        const token_id *tokens,
                        uint32_t n_tokens,
                        uint32_t chunk,
                        uint32_t vocabulary,
                        float *out,
                        struct realm_error *error)
{
    return backend_run_adapted(
        model, ADAPTER_NONE, tokens, n_tokens, chunk, vocabulary, out, error);
}

bool backend_run_adapted(struct backend_model *model,
                         uint32_t adapter,
                         const token_id *tokens,
                         uint32_t n_tokens,
                         uint32_t chunk,
                         uint32_t vocabulary,
                         float *out,
                         struct realm_error *error)
{
    page_id pages[BACKEND_RUN_PAGES];
    uint32_t rows[BACKEND_RUN_MAX_TOKENS];
    scatter_pages(pages);
    for (uint32_t i = 0; i < BACKEND_RUN_MAX_TOKENS; i++) {
        rows[i] = i;
    }
    if (chunk == 0 || chunk > n_tokens) {
        chunk = n_tokens;
    }
    for (uint32_t first = 0; first < n_tokens; first += chunk) {
        const uint32_t n = n_tokens - first < chunk ? n_tokens - first : chunk;
        const struct batch_sequence sequence = {
            .first_row = 0,
            .n_rows = n,
            .first_position = first,
            .pages = pages,
            .n_pages = (first + n + PAGE_TOKENS - 1) / PAGE_TOKENS,
            .adapter = adapter,
        };
        const struct batch batch = {
            .n_rows = n,
            .tokens = tokens + first,
            .n_sequences = 1,
            .sequences = &sequence,
            .n_logits = n,
            .logits_rows = rows,
        };
        if (backend_submit(model, &batch, error) != REALM_OK ||
            backend_wait(model, error) != REALM_OK) {
            return false;
        }
        for (uint32_t i = 0; i < n; i++) {
            memcpy(out + (size_t)(first + i) * vocabulary,
                   backend_logits(model, i),
                   vocabulary * sizeof *out);
        }
    }
    return true;
}

double backend_run_distance(const float *actual, const float *expected, size_t n)
{
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)actual[i] - (double)expected[i];
        difference += d * d;
        size += (double)expected[i] * (double)expected[i];
    }
    return sqrt(difference / fmax(size, 1e-30));
}
