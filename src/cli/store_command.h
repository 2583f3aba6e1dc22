/* What the commands on a server's data folder share: tenant, key, price, audit. */
#ifndef REALM_CLI_STORE_COMMAND_H
#define REALM_CLI_STORE_COMMAND_H

#include "cli/args.h"
#include "tenant/tenant.h"

/* A row of an option table: --data DIR; `place` is a const char *, NULL at first. */
#define STORE_DATA_OPTION(place)                                                                   \
    {"data", 0, ARG_TEXT, &(place), "DIR", "the server's data (~/.local/share/realm)", 0, 0}
/* --json; `place` is a bool. */
#define STORE_JSON_OPTION(place) {"json", 0, ARG_FLAG, &(place), NULL, "for machines", 0, 0}

/* Parses the arguments and opens the store; *operand: the first operand, or NULL.  After --help it
 * is shown and *store is NULL: there is nothing to do. */
REALM_MUST_CHECK realm_status store_command_begin(const struct arg_command *command,
                                                  int argc,
                                                  char **argv,
                                                  const char *const *data,
                                                  const char **operand,
                                                  struct store **store,
                                                  struct realm_error *error);

#endif
