#include "sandbox/limits.h"

#include <string.h>

static const uint64_t defaults[N_LIMITS] = {
#define LIMIT_DEFAULT(field, name, value) [LIMIT_##field] = (value),
    SANDBOX_LIMITS(LIMIT_DEFAULT)
#undef LIMIT_DEFAULT
};

static const char *const names[N_LIMITS] = {
#define LIMIT_NAME(field, name, value) [LIMIT_##field] = (name),
    SANDBOX_LIMITS(LIMIT_NAME)
#undef LIMIT_NAME
};

_Static_assert(sizeof(struct sandbox_limits) == N_LIMITS * sizeof(uint64_t),
               "limits are read as an array");

uint64_t limits_value(const struct sandbox_limits *limits, enum limit limit)
{
    uint64_t values[N_LIMITS];
    memcpy(values, limits, sizeof(values));
    return values[limit];
}

struct sandbox_limits limits_complete(const struct sandbox_limits *limits)
{
    uint64_t values[N_LIMITS] = {0};
    if (limits != NULL) {
        memcpy(values, limits, sizeof(values));
    }
    for (uint32_t i = 0; i < N_LIMITS; i++) {
        if (values[i] == 0) {
            values[i] = defaults[i];
        }
    }
    struct sandbox_limits complete;
    memcpy(&complete, values, sizeof(complete));
    return complete;
}

const char *sandbox_limit_name(uint32_t index)
{
    return index < N_LIMITS ? names[index] : NULL;
}

uint32_t limits_named(const char *message)
{
    static const char word[] = "limit ";
    const char *const at = strstr(message, word);
    const char *const name = at != NULL ? at + strlen(word) : "";
    const size_t n = strcspn(name, ":");
    for (uint32_t i = 0; i < N_LIMITS; i++) {
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) {
            return i;
        }
    }
    return N_LIMITS;
}

const char *sandbox_limit_of(const struct realm_error *error)
{
    return error->status == REALM_RESOURCE_EXHAUSTED
               ? sandbox_limit_name(limits_named(error->message))
               : NULL;
}
