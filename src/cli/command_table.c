#include "cli/command.h"

static const struct command_row commands[] = {
    {"run", cmd_run, "talk with a model, or answer one prompt"},
    {"serve", cmd_serve, "serve models over the OpenAI API"},
    {"config", cmd_config, "settings of the server: check, show, write an example"},
    {"tenant", cmd_tenant, "customers of the server, and what each may have"},
    {"key", cmd_key, "API keys: make, list, disable, revoke, rotate"},
    {"usage", cmd_usage, "what tenants have used, and what it cost"},
    {"price", cmd_price, "what tokens cost, by model"},
    {"audit", cmd_audit, "who changed tenants, keys and prices"},
    {"program", cmd_program, "WebAssembly programs that run beside a model"},
    {"adapter", cmd_adapter, "LoRA adapters of a tenant's on a server"},
    {"models", cmd_models, "list, show and fetch models"},
    {"quantize", cmd_quantize, "write a model with smaller weights"},
    {"tokenize", cmd_tokenize, "text on standard input to token ids"},
    {"perplexity", cmd_perplexity, "how well a model predicts a text"},
    {"bench", cmd_bench, "tokens per second, beside the machine's limits"},
    {"doctor", cmd_doctor, "what this machine offers and lacks"},
    {"completion", cmd_completion, "completion for the shell"},
    {0},
};

const struct command_row *command_table(void)
{
    return commands;
}
