/* realm program: tenants' programs from the command line. */
#include "cli/command.h"
#include "cli/program.h"
#include "cli/subcommands.h"

static const struct command_row subcommands[] = {
    {"new", program_new, "a project in C, Rust or Go that builds with one command"},
    {"run", program_run, "run a module here, beside a model, without a server"},
    {"show", program_show, "the functions a module declares"},
    {0},
};

realm_status cmd_program(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "program",
        .summary = "Run and look at WebAssembly programs (docs/formats/guest-abi.md).",
        .rows = subcommands,
        .examples = "  realm program new --lang rust my-agent\n"
                    "  realm program show chat.wasm\n"
                    "  realm program run chat.wasm --request '{\"prompt\": \"Hello\"}'\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
