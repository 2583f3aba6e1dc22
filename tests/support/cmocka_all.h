/* cmocka with the headers it wants before itself, in the order it wants them. */
#ifndef REALM_TESTS_SUPPORT_CMOCKA_ALL_H
#define REALM_TESTS_SUPPORT_CMOCKA_ALL_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
// clang-format on

#endif
