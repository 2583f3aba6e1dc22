/* realm models: list, show, pull. */
#include "cli/models.h"
#include "cli/subcommands.h"

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

realm_status cmd_models(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "models",
        .summary = "List, show and fetch models.",
        .rows = subcommands,
        .examples = "  realm models list\n"
                    "  realm models show smollm2 --tensors\n"
                    "  realm models pull qwen3-0.6b\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
