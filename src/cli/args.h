/* Command-line options as a table: parsing, errors with the nearest known name, and --help come
 * from it. */
#ifndef REALM_CLI_ARGS_H
#define REALM_CLI_ARGS_H

#include "base/status.h"

enum arg_kind {
    ARG_FLAG, /* bool; --name alone is --name=true */
    ARG_TEXT, /* const char * */
    ARG_U32,  /* uint32_t */
    ARG_U64,
    ARG_FLOAT,
    ARG_SIZE,   /* uint64_t bytes: 512M, 2G */
    ARG_LIST,   /* struct arg_list: the option may come again */
    ARG_CHOICE, /* uint32_t: which of the placeholder's words, from 0 */
};

#define ARG_LIST_MAX 64u

struct arg_list {
    const char *items[ARG_LIST_MAX];
    uint32_t n;
};

struct arg_option {
    const char *name; /* "threads" for --threads; NULL ends the table */
    char letter;      /* 'm' for -m; 0: none */
    enum arg_kind kind;
    void *value;             /* where it goes; keeps its default when the option is absent */
    const char *placeholder; /* "N"; "text|json" of a choice; NULL for flags */
    const char *help;
    double low; /* of numbers; both 0: any that the type holds */
    double high;
};

struct arg_command {
    const char *usage; /* "realm run -m MODEL [options]" */
    const char *summary;
    const char *examples; /* lines, or NULL */
    const struct arg_option *options;
    bool *given; /* of each option, whether it was there; NULL: of no interest */
    uint32_t min_operands;
    uint32_t max_operands;
};

struct arg_operands {
    const char *items[ARG_LIST_MAX];
    uint32_t n;
};

/* Parses argv[1..argc).  *help: --help was there (nothing else was checked).
 * INVALID_ARGUMENT names the option and the remedy. */
REALM_MUST_CHECK realm_status args_parse(const struct arg_command *command,
                                         int argc,
                                         char **argv,
                                         struct arg_operands *operands,
                                         bool *help,
                                         struct realm_error *error);
/* Prints the help page to standard output. */
void args_print_help(const struct arg_command *command);

/* Sets an option from text, which must stay.  who: what errors call it, such as "--port". */
REALM_MUST_CHECK realm_status args_set(const struct arg_option *option,
                                       const char *who,
                                       const char *text,
                                       struct realm_error *error);
/* The option of a name; NULL: there is none. */
const struct arg_option *
args_find(const struct arg_option *options, const char *name, size_t n_bytes);
/* The name most like one that is not there; NULL: none is like it. */
const char *args_nearest(const struct arg_option *options, const char *name);

/* "512M", "2G", "4096": bytes. */
REALM_MUST_CHECK realm_status args_parse_size(const char *text,
                                              uint64_t *out,
                                              struct realm_error *error);

#endif
