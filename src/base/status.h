/* Status codes and error messages: how everything in Realm fails.
 *
 * A function that can fail returns realm_status and takes `struct realm_error *error` last, which
 * may be NULL.  A refusal is one line:
 *     return realm_error_set(error, REALM_INVALID_FORMAT, "tensor %s: ...", name);
 * Outside input and a caller's misuse give a status; a broken invariant inside is
 * REALM_INVARIANT's. */
#ifndef REALM_BASE_STATUS_H
#define REALM_BASE_STATUS_H

#include <realm.h>

#include <stdarg.h>

#define REALM_N_STATUSES 17

/* Formats the message (cut at the buffer's end, on a UTF-8 boundary) and returns `status`.
 * Any thread. */
__attribute__((format(printf, 3, 4))) realm_status realm_error_set(struct realm_error *error,
                                                                   realm_status status,
                                                                   const char *format,
                                                                   ...);

__attribute__((format(printf, 3, 0))) realm_status realm_error_setv(struct realm_error *error,
                                                                    realm_status status,
                                                                    const char *format,
                                                                    va_list arguments);

/* Puts "prefix: " before the message that is there; returns error's status. */
__attribute__((format(printf, 3, 4))) realm_status realm_error_prefix(struct realm_error *error,
                                                                      realm_status status,
                                                                      const char *format,
                                                                      ...);

/* Shorthand for the commonest refusal. */
realm_status realm_error_out_of_memory(struct realm_error *error, size_t n_bytes, const char *what);

/* False: the invariant is broken.  Debug builds abort with the text; release builds log it, count
 * it (realm_invariants_broken) and go on, so that the caller can end the one sequence it concerns.
 */
#define REALM_INVARIANT(condition)                                                                 \
    (__builtin_expect(!!(condition), 1) || realm_invariant_broken(#condition, __FILE__, __LINE__))

/* Always returns false (when it returns). */
bool realm_invariant_broken(const char *condition, const char *file, int line);
uint64_t realm_invariants_broken(void);

/* Returns the status of `expression` when it is not OK.  Only where nothing needs cleaning up. */
#define REALM_TRY(expression)                                                                      \
    do {                                                                                           \
        const realm_status try_status_ = (expression);                                             \
        if (try_status_ != REALM_OK) {                                                             \
            return try_status_;                                                                    \
        }                                                                                          \
    } while (0)

#endif
