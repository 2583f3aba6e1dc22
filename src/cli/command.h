/* The commands of the program: a table of names and functions. */
#ifndef REALM_CLI_COMMAND_H
#define REALM_CLI_COMMAND_H

#include "cli/args.h"

/* argv[0] is the command's own name. Errors were not printed yet; main prints them. */
typedef realm_status (*command_function)(int argc, char **argv, struct realm_error *error);

struct command_row {
    const char *name; /* NULL ends the table */
    command_function run;
    const char *summary;
};

const struct command_row *command_table(void);

realm_status cmd_run(int argc, char **argv, struct realm_error *error);
realm_status cmd_serve(int argc, char **argv, struct realm_error *error);
realm_status cmd_config(int argc, char **argv, struct realm_error *error);
realm_status cmd_tenant(int argc, char **argv, struct realm_error *error);
realm_status cmd_key(int argc, char **argv, struct realm_error *error);
realm_status cmd_usage(int argc, char **argv, struct realm_error *error);
realm_status cmd_audit(int argc, char **argv, struct realm_error *error);
realm_status cmd_price(int argc, char **argv, struct realm_error *error);
realm_status cmd_program(int argc, char **argv, struct realm_error *error);
realm_status cmd_adapter(int argc, char **argv, struct realm_error *error);
realm_status cmd_models(int argc, char **argv, struct realm_error *error);
realm_status cmd_quantize(int argc, char **argv, struct realm_error *error);
realm_status cmd_tokenize(int argc, char **argv, struct realm_error *error);
realm_status cmd_perplexity(int argc, char **argv, struct realm_error *error);
realm_status cmd_bench(int argc, char **argv, struct realm_error *error);
realm_status cmd_doctor(int argc, char **argv, struct realm_error *error);
realm_status cmd_completion(int argc, char **argv, struct realm_error *error);

#endif
