/* Limits by number, for breaches and counters. */
#ifndef REALM_SANDBOX_LIMITS_H
#define REALM_SANDBOX_LIMITS_H

#include "sandbox/sandbox.h"

enum limit {
#define LIMIT_NUMBER(field, name, value) LIMIT_##field,
    SANDBOX_LIMITS(LIMIT_NUMBER)
#undef LIMIT_NUMBER
        N_LIMITS
};

/* Fills what is 0 with the defaults.  limits NULL: all of them. */
struct sandbox_limits limits_complete(const struct sandbox_limits *limits);
/* The limit that a message "...limit NAME: ..." tells of; N_LIMITS: none. */
uint32_t limits_named(const char *message);
uint64_t limits_value(const struct sandbox_limits *limits, enum limit limit);

#endif
