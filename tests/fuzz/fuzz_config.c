/* Any bytes as a configuration file: every setting is taken or told of with its place. */
#include "cli/config.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    bool flag = false;
    const char *text = NULL;
    const char *own = NULL;
    uint32_t number = 7;
    uint64_t size = 0;
    struct arg_list list = {.n = 0};
    const struct arg_option options[] = {
        {"config", 0, ARG_TEXT, &own, "FILE", "the file", 0, 0},
        {"flag", 0, ARG_FLAG, &flag, NULL, "a flag", 0, 0},
        {"text", 0, ARG_TEXT, &text, "TEXT", "a text", 0, 0},
        {"number", 0, ARG_U32, &number, "N", "a number", 1, 9},
        {"size", 0, ARG_SIZE, &size, "SIZE", "a size", 0, 0},
        {"model", 0, ARG_LIST, &list, "NAME=PATH", "models", 0, 0},
        {0},
    };
    struct config config;
    struct realm_error error;
    config_init(&config, options);
    require(config_take_text(&config, "f", (const char *)data, n_bytes, "config", &error) ==
            REALM_OK);
    require(own == NULL && number >= 1 && number <= 9 && list.n <= ARG_LIST_MAX);
    require((text != NULL) == (config.origins[2].layer == CONFIG_FILE));
    for (uint32_t i = 0; i < config.n_problems && i < CONFIG_MAX_PROBLEMS; i++) {
        require(config.problems[i][0] == 'f' && config.problems[i][1] == ':');
    }
    config_deinit(&config);
    return 0;
}
