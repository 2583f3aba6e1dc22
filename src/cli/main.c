/* realm: one program, a table of commands. */
#include "base/text.h"
#include "base/trace.h"
#include "cli/command.h"
#include "cli/term.h"
#include "sandbox/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Exit codes: part of the interface, in --help. */
enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MISSING = 3,
    EXIT_BAD_FILE = 4,
    EXIT_RESOURCES = 5,
    EXIT_DENIED = 6,
    EXIT_INTERRUPTED = 130,
};

static int exit_code(realm_status status)
{
    static const int codes[] = {
        [REALM_OK] = 0,
        [REALM_INVALID_ARGUMENT] = EXIT_USAGE,
        [REALM_INVALID_FORMAT] = EXIT_BAD_FILE,
        [REALM_UNSUPPORTED] = EXIT_BAD_FILE,
        [REALM_NOT_FOUND] = EXIT_MISSING,
        [REALM_ALREADY_EXISTS] = EXIT_FAILED,
        [REALM_UNAUTHENTICATED] = EXIT_DENIED,
        [REALM_PERMISSION_DENIED] = EXIT_DENIED,
        [REALM_QUOTA_EXCEEDED] = EXIT_RESOURCES,
        [REALM_RESOURCE_EXHAUSTED] = EXIT_RESOURCES,
        [REALM_OUT_OF_MEMORY] = EXIT_RESOURCES,
        [REALM_CANCELLED] = EXIT_INTERRUPTED,
        [REALM_DEADLINE_EXCEEDED] = EXIT_FAILED,
        [REALM_UNAVAILABLE] = EXIT_FAILED,
        [REALM_IO] = EXIT_FAILED,
        [REALM_GUEST_TRAPPED] = EXIT_FAILED,
        [REALM_INTERNAL] = EXIT_FAILED,
    };
    _Static_assert(sizeof codes / sizeof codes[0] == REALM_N_STATUSES, "a code for each status");
    return codes[status];
}

static void print_help(void)
{
    printf("realm %s: run and serve GGUF models\n\nUsage: realm COMMAND [options]\n\nCommands:\n",
           realm_version());
    for (const struct command_row *c = command_table(); c->name != NULL; c++) {
        printf("  %-12s %s\n", c->name, c->summary);
    }
    printf("\n\"realm COMMAND --help\" shows its options and examples; --version the version.\n\n"
           "Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 4 bad or unsupported file,\n"
           "5 out of memory or another resource, 6 not allowed, 130 interrupted.\n");
}

static int refuse_command(const char *given)
{
    const char *nearest = NULL;
    uint32_t nearest_distance = 4;
    for (const struct command_row *c = command_table(); c->name != NULL; c++) {
        const uint32_t distance = text_distance(given, c->name);
        if (distance < nearest_distance) {
            nearest_distance = distance;
            nearest = c->name;
        }
    }
    (void)fprintf(stderr, "realm: unknown command \"%s\"", given);
    if (nearest != NULL) {
        (void)fprintf(stderr, "; did you mean \"%s\"?", nearest);
    }
    (void)fprintf(stderr, "\n\"realm --help\" lists the commands\n");
    return EXIT_USAGE;
}

static int run_command(const struct command_row *command, int argc, char **argv)
{
    struct realm_error error = {.status = REALM_OK};
    trace_configure();
    realm_status status = command->run(argc, argv, &error);
    const realm_status traced = trace_write(status == REALM_OK ? &error : NULL);
    trace_close();
    status = status == REALM_OK ? traced : status;
    if (status != REALM_OK && error.message[0] != '\0') {
        const bool colour = term_has_colour(stderr);
        (void)fprintf(stderr,
                      "%srealm %s:%s %s\n",
                      colour ? "\033[1;31m" : "",
                      command->name,
                      colour ? "\033[0m" : "",
                      error.message);
    }
    return exit_code(status);
}

int main(int argc, char **argv)
{
    /* The sandbox starts this program again to compile a module, see sandbox/compile.h. */
    if (argc == 2 && strcmp(argv[1], SANDBOX_COMPILE_COMMAND) == 0) {
        return sandbox_compiler_main();
    }
    /* A reader that went away is an error of a write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help();
        return argc < 2 ? EXIT_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("realm %s\n", realm_version());
        return 0;
    }
    for (const struct command_row *c = command_table(); c->name != NULL; c++) {
        if (strcmp(argv[1], c->name) == 0) {
            return run_command(c, argc - 1, argv + 1);
        }
    }
    return refuse_command(argv[1]);
}
