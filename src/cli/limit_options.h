/* Options for the limits of a tenant or a key, made from the table of limits. */
#ifndef REALM_CLI_LIMIT_OPTIONS_H
#define REALM_CLI_LIMIT_OPTIONS_H

#include "cli/args.h"
#include "cli/json_out.h"
#include "tenant/limits.h"

#define LIMIT_OPTIONS_MAX        40u
#define LIMIT_OPTIONS_NAME_BYTES 32u

/* What was given on the command line. */
struct limit_options {
    char names[N_LIMITS][LIMIT_OPTIONS_NAME_BYTES];
    uint64_t values[N_LIMITS];
    uint32_t priority;
    const char *models;
};

/* Puts the options, those a key can have or all, and behind them those of `rest` (ended by a zeroed
 * row) into table[LIMIT_OPTIONS_MAX]. */
void limit_options_make(struct limit_options *given,
                        bool of_keys,
                        const struct arg_option *rest,
                        struct arg_option table[LIMIT_OPTIONS_MAX]);
/* Takes those that were given.  INVALID_ARGUMENT: see limits_set_models. */
REALM_MUST_CHECK realm_status limit_options_apply(const struct limit_options *given,
                                                  struct limits *limits,
                                                  struct realm_error *error);

/* The limits as members of the open object; 0 for none. */
void limit_options_put_json(const struct limits *limits, bool of_keys, struct json_out *out);
/* Lines for people; a key's without those that are not set. */
void limit_options_print(const struct limits *limits, bool of_keys);

#endif
