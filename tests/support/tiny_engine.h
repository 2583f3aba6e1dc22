/* An engine over a tiny model, for tests of what several requests do to each other. */
#ifndef REALM_TESTS_SUPPORT_TINY_ENGINE_H
#define REALM_TESTS_SUPPORT_TINY_ENGINE_H

#include "base/clock.h"
#include "engine/engine.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define TINY_MAX_TOKENS 256u
#define TINY_WAIT_MS    20000u

struct tiny_engine {
    struct engine *engine;
    struct engine_model *model;
};

struct tiny_answer {
    token_id tokens[TINY_MAX_TOKENS]; /* of the first choice */
    uint32_t n_tokens;
    uint32_t n_cached;
    realm_finish finish;
    realm_status status;
    char message[256];
};

/* Loads one of the golden models under its own name. */
static inline struct engine_model *tiny_load(const struct tiny_engine *tiny,
                                             const char *name,
                                             const struct engine_model_options *model_options)
{
    char path[1024];
    struct engine_model *model;
    struct realm_error error = {.status = REALM_OK};
    (void)snprintf(path, sizeof path, "%s/golden/models/%s.gguf", REALM_TEST_DATA, name);
    if (engine_load_model(tiny->engine, name, path, model_options, &model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return model;
}

static inline void tiny_engine_open(struct tiny_engine *tiny,
                                    const struct engine_options *options,
                                    const struct engine_model_options *model_options)
{
    struct realm_error error = {.status = REALM_OK};
    assert_int_equal(engine_create(options, &tiny->engine, &error), REALM_OK);
    tiny->model = tiny_load(tiny, "llama_tied", model_options);
}

/* No page may be in use once the last answers were read. */
static inline void tiny_engine_close(struct tiny_engine *tiny)
{
    struct engine_stats stats;
    const uint64_t deadline_ns = clock_monotonic_ns() + 5000000000u;
    do { /* the last answers' pages are given back by the engine thread */
        engine_stats(tiny->engine, &stats);
    } while (stats.pages_used + stats.running > 0 && clock_monotonic_ns() < deadline_ns);
    assert_int_equal(stats.pages_used, 0);
    assert_int_equal(stats.running, 0);
    engine_destroy(tiny->engine);
}

static inline struct generation *tiny_submit(const struct tiny_engine *tiny,
                                             const struct request *request)
{
    struct generation *generation;
    struct realm_error error;
    if (engine_submit(tiny->engine, request, &generation, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return generation;
}

/* Reads to the end and releases. */
static inline void tiny_read(struct generation *generation, struct tiny_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    for (;;) {
        struct event event;
        if (!generation_next(generation, &event)) {
            assert_true(generation_wait(generation, TINY_WAIT_MS));
            continue;
        }
        if (event.kind == EVENT_TOKEN && event.choice == 0) {
            assert_true(answer->n_tokens < TINY_MAX_TOKENS);
            answer->tokens[answer->n_tokens++] = event.token;
        } else if (event.kind == EVENT_FINISHED && event.choice == 0) {
            answer->finish = event.finish;
            if (event.message != NULL) {
                (void)snprintf(answer->message, sizeof answer->message, "%s", event.message);
            }
        } else if (event.kind == EVENT_DONE) {
            answer->n_cached = event.n_cached_tokens;
            answer->status = event.status;
            generation_release(generation);
            return;
        }
    }
}

static inline void
tiny_run(const struct tiny_engine *tiny, const struct request *request, struct tiny_answer *answer)
{
    tiny_read(tiny_submit(tiny, request), answer);
}

static inline void assert_same_answer(const struct tiny_answer *a, const struct tiny_answer *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens);
}

/* Tokens that depend on the seed from the first one on. */
static inline void tiny_prompt(uint32_t seed, uint32_t n, token_id *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (seed * 31 + i * 17 + i * i * (seed + 3)) % 256;
    }
}

static inline struct account *tiny_account(uint8_t secret, const struct account_options *like)
{
    struct account *account;
    struct account_options options = *like;
    memset(options.domain, secret, sizeof options.domain);
    assert_int_equal(account_create(&options, &account, NULL), REALM_OK);
    return account;
}

#endif
