#include "base/status.h"

#include "base/log.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_TABLE(X)                                                                            \
    X(REALM_OK, "ok")                                                                              \
    X(REALM_INVALID_ARGUMENT, "invalid_argument")                                                  \
    X(REALM_INVALID_FORMAT, "invalid_format")                                                      \
    X(REALM_UNSUPPORTED, "unsupported")                                                            \
    X(REALM_NOT_FOUND, "not_found")                                                                \
    X(REALM_ALREADY_EXISTS, "already_exists")                                                      \
    X(REALM_UNAUTHENTICATED, "unauthenticated")                                                    \
    X(REALM_PERMISSION_DENIED, "permission_denied")                                                \
    X(REALM_QUOTA_EXCEEDED, "quota_exceeded")                                                      \
    X(REALM_RESOURCE_EXHAUSTED, "resource_exhausted")                                              \
    X(REALM_OUT_OF_MEMORY, "out_of_memory")                                                        \
    X(REALM_CANCELLED, "cancelled")                                                                \
    X(REALM_DEADLINE_EXCEEDED, "deadline_exceeded")                                                \
    X(REALM_UNAVAILABLE, "unavailable")                                                            \
    X(REALM_IO, "io")                                                                              \
    X(REALM_GUEST_TRAPPED, "guest_trapped")                                                        \
    X(REALM_INTERNAL, "internal")

#define STATUS_NAME(status, name) [status] = (name),
#define STATUS_ROW(status, name)  ROW_OF_##status,

static const char *const status_names[] = {STATUS_TABLE(STATUS_NAME)};

/* As many rows as codes, and the last row is the last code: no hole can be left. */
enum status_row { STATUS_TABLE(STATUS_ROW) N_STATUS_ROWS };
_Static_assert(N_STATUS_ROWS == REALM_N_STATUSES, "a status has no name");
_Static_assert(sizeof(status_names) / sizeof(status_names[0]) == REALM_N_STATUSES,
               "the statuses are not numbered without holes");
_Static_assert(REALM_INTERNAL == REALM_N_STATUSES - 1, "REALM_N_STATUSES is not up to date");

#ifdef NDEBUG
static const bool abort_on_broken_invariant = false;
#else
static const bool abort_on_broken_invariant = true;
#endif

static _Atomic uint64_t invariants_broken;

const char *realm_status_name(realm_status status)
{
    const size_t index = (size_t)status;
    return index < REALM_N_STATUSES ? status_names[index] : "unknown";
}

/* A message that filled the buffer may end in the middle of a character. */
static void cut_on_boundary(char *message, size_t capacity)
{
    const size_t length = strlen(message);
    if (length + 1 == capacity) {
        message[utf8_complete_prefix((const uint8_t *)message, length)] = '\0';
    }
}

realm_status realm_error_setv(struct realm_error *error,
                              realm_status status,
                              const char *format,
                              va_list arguments)
{
    if (error != NULL) {
        error->status = status;
        if (vsnprintf(error->message, sizeof(error->message), format, arguments) < 0) {
            error->message[0] = '\0';
        }
        cut_on_boundary(error->message, sizeof(error->message));
    }
    return status;
}

realm_status
realm_error_set(struct realm_error *error, realm_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const realm_status result = realm_error_setv(error, status, format, arguments);
    va_end(arguments);
    return result;
}

realm_status
realm_error_prefix(struct realm_error *error, realm_status status, const char *format, ...)
{
    if (error == NULL) {
        return status;
    }
    struct realm_error prefix;
    va_list arguments;
    va_start(arguments, format);
    (void)realm_error_setv(&prefix, status, format, arguments);
    va_end(arguments);

    const char *separator = ": ";
    const size_t room = sizeof(prefix.message) - 1;
    size_t length = strlen(prefix.message);
    const size_t separator_length = room - length < 2 ? room - length : 2;
    memcpy(prefix.message + length, separator, separator_length);
    length += separator_length;
    size_t old_length = strnlen(error->message, sizeof(error->message) - 1);
    if (old_length > room - length) {
        old_length = room - length;
    }
    memcpy(prefix.message + length, error->message, old_length);
    prefix.message[length + old_length] = '\0';
    cut_on_boundary(prefix.message, sizeof(prefix.message));
    *error = prefix;
    return status;
}

realm_status realm_error_out_of_memory(struct realm_error *error, size_t n_bytes, const char *what)
{
    return realm_error_set(
        error, REALM_OUT_OF_MEMORY, "out of memory: %zu bytes for %s", n_bytes, what);
}

bool realm_invariant_broken(const char *condition, const char *file, int line)
{
    atomic_fetch_add_explicit(&invariants_broken, 1, memory_order_relaxed);
    log_error("invariant_broken",
              LOG_TEXT("condition", condition),
              LOG_TEXT("file", file),
              LOG_I64("line", line));
    if (abort_on_broken_invariant) {
        abort();
    }
    return false;
}

uint64_t realm_invariants_broken(void)
{
    return atomic_load_explicit(&invariants_broken, memory_order_relaxed);
}
