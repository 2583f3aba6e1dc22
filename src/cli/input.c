#include "cli/input.h"

#include "base/status.h"
#include "cli/interrupt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

realm_status input_read(struct strbuf *out, struct realm_error *error)
{
    char block[65536];
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, block, sizeof block);
        if (n == 0) {
            return REALM_OK;
        }
        if (n < 0 && errno == EINTR && !interrupt_seen()) {
            continue;
        }
        if (n < 0) {
            return errno == EINTR
                       ? realm_error_set(error, REALM_CANCELLED, "interrupted")
                       : realm_error_set(
                             error, REALM_IO, "cannot read the input: %s", strerror(errno));
        }
        if (!strbuf_append(out, block, (size_t)n)) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "the input is longer than %zu bytes",
                                   out->max_bytes);
        }
    }
}
