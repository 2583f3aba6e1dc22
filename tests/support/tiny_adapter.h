/* The golden adapter of the tiny engine's model, loaded under names. */
#ifndef REALM_TESTS_SUPPORT_TINY_ADAPTER_H
#define REALM_TESTS_SUPPORT_TINY_ADAPTER_H

#include "base/file.h"
#include "engine/adapters.h"
#include "support/cmocka_all.h"

#include <stdio.h>

static inline void tiny_adapter_map(struct file_map *map)
{
    char path[1024];
    struct realm_error error;
    (void)snprintf(path, sizeof path, "%s/golden/adapters/llama_tied.gguf", REALM_TEST_DATA);
    if (file_map_open(path, map, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
}

static inline void tiny_adapter_load(struct engine *engine,
                                     struct engine_model *model,
                                     const struct account *account,
                                     const char *name)
{
    struct file_map map;
    struct realm_error error;
    tiny_adapter_map(&map);
    if (engine_adapter_load(engine, model, account, name, map.bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    file_map_close(&map);
}

#endif
