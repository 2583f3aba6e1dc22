/* What the programs here share: they end with a message where something is not as it must be. */
#ifndef REALM_BENCH_ENGINE_CHECK_H
#define REALM_BENCH_ENGINE_CHECK_H

#include "base/clock.h"
#include "engine/engine.h"
#include "support/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 60000u

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                  \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
            (void)fputc('\n', stderr);                                                             \
            _Exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* "--name VALUE" among the arguments, or otherwise. */
static inline uint32_t argument(int argc, char **argv, const char *name, uint32_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return (uint32_t)strtoul(argv[i + 1], NULL, 10);
        }
    }
    return otherwise;
}

/* An engine with the tiny model; kv_pages 0: plenty. */
static inline struct engine *open_engine(const struct engine_options *options,
                                         struct engine_model_options model_options,
                                         uint64_t kv_memory_bytes,
                                         struct engine_model **model)
{
    char path[1024];
    struct engine *engine;
    struct realm_error error = {.status = REALM_OK};
    model_options.kv_memory_bytes = kv_memory_bytes;
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    CHECK(engine_create(options, &engine, &error) == REALM_OK, "%s", error.message);
    CHECK(engine_load_model(engine, "tiny", path, &model_options, model, &error) == REALM_OK,
          "%s",
          error.message);
    return engine;
}

static inline struct account *make_account(uint8_t secret, const struct account_options *like)
{
    struct account *account;
    struct account_options options = *like;
    memset(options.domain, secret, sizeof options.domain);
    CHECK(account_create(&options, &account, NULL) == REALM_OK, "account");
    return account;
}

/* The generation's next event; it must come in time. */
static inline struct event next_event(struct generation *generation)
{
    struct event event;
    while (!generation_next(generation, &event)) {
        CHECK(generation_wait(generation, WAIT_MS), "no event in %u ms", WAIT_MS);
    }
    return event;
}

#endif
