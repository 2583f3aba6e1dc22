/* Read by clang-tidy before each of our files (tools/tidy.py): what its analyser cannot see.
 *
 * realm_error_set returns the status it is given, which is never REALM_OK.  Without that knowledge
 * every out-parameter of a refused call would be reported as garbage. */
#ifndef REALM_TIDY_H
#define REALM_TIDY_H

#include "base/status.h"

#define realm_error_set(error, status, ...)                                                        \
    (realm_error_set((error), (status), __VA_ARGS__), (status))
#define realm_error_prefix(error, status, ...)                                                     \
    (realm_error_prefix((error), (status), __VA_ARGS__), (status))
#define realm_error_out_of_memory(error, n_bytes, what)                                            \
    (realm_error_out_of_memory((error), (n_bytes), (what)), REALM_OUT_OF_MEMORY)

#endif
