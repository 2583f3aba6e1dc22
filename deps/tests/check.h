/* What the link tests share: a condition that must hold, or the program ends with its text. */
#ifndef REALM_DEPS_TESTS_CHECK_H
#define REALM_DEPS_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
