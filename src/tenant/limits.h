/* What a tenant, or one of its keys, may use at most. */
#ifndef REALM_TENANT_LIMITS_H
#define REALM_TENANT_LIMITS_H

#include "base/status.h"

#define LIMITS_MODELS_BYTES 512u

struct limits {
#define LIMIT(name, most, keys, help) uint64_t name;
#include "tenant/limits.def"
#undef LIMIT
    int32_t priority;                 /* of requests: higher goes first; of a key's, at most 0 */
    char models[LIMITS_MODELS_BYTES]; /* names with commas between; "": all */
};

/* Those of programs, by the names the sandbox has; 0: the server's own. */
struct program_limits {
#define LIMIT(name, most, keys, help)
#define PROGRAM_LIMIT(name, field, most, help) uint64_t field;
#include "tenant/limits.def"
#undef LIMIT
};

struct program_limits limits_of_programs(const struct limits *limits);

/* A row of limits.def. */
struct limit_row {
    const char *name;
    uint64_t most;
    bool of_keys;
    const char *help;
    const char *none; /* what zero means, for people */
    size_t offset;    /* of a uint64_t in struct limits */
};

enum limit_index {
#define LIMIT(name, most, keys, help) LIMIT_##name,
#include "tenant/limits.def"
#undef LIMIT
    N_LIMITS
};

/* index: below N_LIMITS. */
const struct limit_row *limits_row(size_t index);
uint64_t limits_get(const struct limits *limits, size_t index);
/* What it comes to, for people to see: a weight of nothing is the usual one. */
uint64_t limits_in_force(const struct limits *limits, size_t index);
void limits_set(struct limits *limits, size_t index, uint64_t value);

/* INVALID_ARGUMENT names the limit that is too large, or that a key cannot have. */
REALM_MUST_CHECK realm_status limits_check(const struct limits *limits,
                                           bool of_key,
                                           struct realm_error *error);
/* Takes a list of model names with commas between, "" or "all" for all.
 * INVALID_ARGUMENT: too long, or a name in it is empty. */
REALM_MUST_CHECK realm_status limits_set_models(struct limits *limits,
                                                const char *models,
                                                struct realm_error *error);
/* Whether the model is in a list of limits.models. */
bool limits_allow_model(const char *models, const char *model);

#endif
