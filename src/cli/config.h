/* Settings from a YAML file and from the environment, for a command whose options are a table.
 *
 * The file is one mapping; its keys are the options' names, so every option is a key and every key
 * an option.  Lists are sequences, or mappings where an item is written NAME=VALUE.  An option
 * "kv-memory" is also the variable REALM_KV_MEMORY, where lists are cut at commas.  Who comes first
 * sets an option: the command line, then the environment, then the file.
 *
 * All problems are collected, each with its place, so that a person can mend them at once. */
#ifndef REALM_CLI_CONFIG_H
#define REALM_CLI_CONFIG_H

#include "base/arena.h"
#include "cli/args.h"

#define CONFIG_MAX_OPTIONS  64u
#define CONFIG_MAX_PROBLEMS 100u
#define CONFIG_MAX_BYTES    (1u << 20)

enum config_layer {
    CONFIG_DEFAULT,
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_COMMAND_LINE,
};

/* Who set an option. */
struct config_origin {
    enum config_layer layer;
    const char *variable; /* of the environment */
    uint32_t line;        /* of the file, from 1 */
    uint32_t column;
};

/* A second variable that sets an option, known from elsewhere. */
struct config_alias {
    const char *option;
    const char *variable;
};

struct config {
    const struct arg_option *options; /* at most CONFIG_MAX_OPTIONS */
    struct config_origin origins[CONFIG_MAX_OPTIONS];
    const char *path;                          /* of the file; NULL: none was read */
    const char *problems[CONFIG_MAX_PROBLEMS]; /* a line each; further ones are only counted */
    uint32_t n_problems;
    struct arena texts; /* values point into it */
};

void config_init(struct config *config, const struct arg_option *options);
/* Texts that options were set to go too. */
void config_deinit(struct config *config);

/* given: of each option, whether the command line has set it. */
void config_take_arguments(struct config *config, const bool *given);
/* aliases: ended by a row without a name. */
void config_take_environment(struct config *config, const struct config_alias *aliases);
/* own: the option that names the file, which a file must not set.
 * An error only where the file cannot be read; what is wrong in it is a problem. */
REALM_MUST_CHECK realm_status config_take_file(struct config *config,
                                               const char *path,
                                               const char *own,
                                               struct realm_error *error);
/* The same of text; name: what problems call it. */
REALM_MUST_CHECK realm_status config_take_text(struct config *config,
                                               const char *name,
                                               const char *text,
                                               size_t n_bytes,
                                               const char *own,
                                               struct realm_error *error);
/* A problem that the command itself found with an option's value. */
__attribute__((format(printf, 3, 4))) void
config_add_problem(struct config *config, const char *option, const char *format, ...);
/* INVALID_ARGUMENT with the first problem and how many there are; OK where there is none. */
REALM_MUST_CHECK realm_status config_refuse_problems(const struct config *config,
                                                     struct realm_error *error);
/* Where an option's value comes from: "realm.yaml:3", "REALM_PORT", "--port", "default". */
void config_describe_origin(const struct config *config,
                            const struct arg_option *option,
                            char *out,
                            size_t n_out);

#endif
