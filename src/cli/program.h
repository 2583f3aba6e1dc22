/* The subcommands of `realm program`. */
#ifndef REALM_CLI_PROGRAM_H
#define REALM_CLI_PROGRAM_H

#include "cli/command.h"

/* argv[0] is the subcommand's name. */
realm_status program_new(int argc, char **argv, struct realm_error *error);
realm_status program_push(int argc, char **argv, struct realm_error *error);
realm_status program_list(int argc, char **argv, struct realm_error *error);
realm_status program_rm(int argc, char **argv, struct realm_error *error);
realm_status program_logs(int argc, char **argv, struct realm_error *error);
realm_status program_activate(int argc, char **argv, struct realm_error *error);
realm_status program_default(int argc, char **argv, struct realm_error *error);
realm_status program_run(int argc, char **argv, struct realm_error *error);
realm_status program_show(int argc, char **argv, struct realm_error *error);

#endif
