#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

static void print_help(const struct subcommands *commands)
{
    printf("%s\n\nUsage: realm %s COMMAND [options]\n\nCommands:\n",
           commands->summary,
           commands->name);
    for (const struct command_row *c = commands->rows; c->name != NULL; c++) {
        printf("  %-8s %s\n", c->name, c->summary);
    }
    printf("\nExamples:\n%s", commands->examples);
}

static void list_names(const struct subcommands *commands, size_t n_bytes, char *out)
{
    size_t n = 0;
    out[0] = '\0';
    for (const struct command_row *c = commands->rows; c->name != NULL && n < n_bytes; c++) {
        n += (size_t)snprintf(out + n, n_bytes - n, "%s%s", n > 0 ? ", " : "", c->name);
    }
}

realm_status subcommands_run(const struct subcommands *commands,
                             int argc,
                             char **argv,
                             struct realm_error *error)
{
    char names[128];
    list_names(commands, sizeof names, names);
    if (argc < 2) {
        print_help(commands);
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "one of: %s", names);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(commands);
        return REALM_OK;
    }
    for (const struct command_row *c = commands->rows; c->name != NULL; c++) {
        if (strcmp(argv[1], c->name) == 0) {
            return c->run(argc - 1, argv + 1, error);
        }
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "unknown subcommand \"%.40s\"; there are: %s",
                           argv[1],
                           names);
}
