/* realm models: list, show, pull. */
#include "cli/models.h"

#include <stdio.h>
#include <string.h>

static const struct command_row subcommands[] = {
    {"list", models_list, "the models in the cache, and those that can be fetched by name"},
    {"show", models_show, "what stands in a model file"},
    {"pull", models_pull, "fetch a model into the cache"},
    {0},
};

const struct command_row *models_table(void)
{
    return subcommands;
}

static void print_help(void)
{
    printf("List, show and fetch models.\n\nUsage: realm models COMMAND [options]\n\nCommands:\n");
    for (const struct command_row *c = subcommands; c->name != NULL; c++) {
        printf("  %-6s %s\n", c->name, c->summary);
    }
    printf("\nExamples:\n"
           "  realm models list\n"
           "  realm models show smollm2 --tensors\n"
           "  realm models pull qwen3-0.6b\n");
}

realm_status cmd_models(int argc, char **argv, struct realm_error *error)
{
    if (argc < 2) {
        print_help();
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "list, show or pull?");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return REALM_OK;
    }
    for (const struct command_row *c = subcommands; c->name != NULL; c++) {
        if (strcmp(argv[1], c->name) == 0) {
            return c->run(argc - 1, argv + 1, error);
        }
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "unknown subcommand \"%.40s\"; there are: list, show, pull",
                           argv[1]);
}
