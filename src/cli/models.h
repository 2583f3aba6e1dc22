/* The subcommands of `realm models`. */
#ifndef REALM_CLI_MODELS_H
#define REALM_CLI_MODELS_H

#include "cli/command.h"

const struct command_row *models_table(void);

/* argv[0] is the subcommand's name. */
realm_status models_list(int argc, char **argv, struct realm_error *error);
realm_status models_show(int argc, char **argv, struct realm_error *error);
realm_status models_pull(int argc, char **argv, struct realm_error *error);

#endif
