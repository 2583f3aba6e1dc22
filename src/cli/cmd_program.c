/* realm program: tenants' programs from the command line. */
#include "cli/command.h"
#include "cli/program.h"
#include "cli/subcommands.h"

static const struct command_row subcommands[] = {
    {"new", program_new, "a project in C, Rust or Go that builds with one command"},
    {"push", program_push, "send a module to a server, as a program's next version"},
    {"list", program_list, "the programs on a server"},
    {"show", program_show, "what a module declares, or a server's program and its versions"},
    {"run", program_run, "run a module here beside a model, or a program of a server"},
    {"logs", program_logs, "a program's last runs: outcome, time, log lines"},
    {"activate", program_activate, "choose the version that runs; roll back"},
    {"default", program_default, "the program through which all chats run"},
    {"rm", program_rm, "remove a program or a version from a server"},
    {0},
};

realm_status cmd_program(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "program",
        .summary = "WebAssembly programs, here and on a server (docs/guides/programs.md).",
        .rows = subcommands,
        .examples = "  realm program new --lang rust my-agent\n"
                    "  realm program show chat.wasm\n"
                    "  realm program run chat.wasm --request '{\"prompt\": \"Hello\"}'\n"
                    "  realm program push chat chat.wasm\n"
                    "  realm program run chat --request '{\"prompt\": \"Hello\"}'\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
