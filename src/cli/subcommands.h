/* Commands that have commands of their own, such as realm key create. */
#ifndef REALM_CLI_SUBCOMMANDS_H
#define REALM_CLI_SUBCOMMANDS_H

#include "cli/command.h"

struct subcommands {
    const char *name;    /* "key" */
    const char *summary; /* a sentence */
    const struct command_row *rows;
    const char *examples; /* lines */
};

/* Runs argv[1]; prints a help page for --help and where nothing was asked for. */
REALM_MUST_CHECK realm_status subcommands_run(const struct subcommands *commands,
                                              int argc,
                                              char **argv,
                                              struct realm_error *error);

#endif
