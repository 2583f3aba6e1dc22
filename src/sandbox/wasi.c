/* WASI preview 1 in an empty world (witx of wasi_snapshot_preview1): no arguments, no environment,
 * no files; standard output and error are the guest's log, standard input is at its end, clocks
 * have milliseconds. */
#include "sandbox/wasi.h"

#include "base/clock.h"

enum wasi_errno {
    WASI_SUCCESS = 0,
    WASI_EBADF = 8,
    WASI_EFAULT = 21,
    WASI_EINVAL = 28,
};

#define NS_PER_MS         UINT64_C(1000000)
#define FILETYPE_TERMINAL 2 /* character_device */
#define RIGHT_READ        (UINT64_C(1) << 1)
#define RIGHT_WRITE       (UINT64_C(1) << 6)
#define MAX_VECTORS       1024u
#define MAX_SUBSCRIPTIONS 64u
#define SUBSCRIPTION      48u
#define EVENT             32u

static bool write_bytes(struct call *call, uint32_t i, const void *data, size_t n_bytes)
{
    uint8_t *out;
    if (!call_span(call, call->arguments[i], 1, n_bytes, &out)) {
        return false;
    }
    memcpy(out, data, n_bytes);
    return true;
}

static int64_t write_u64(struct call *call, uint32_t i, uint64_t value)
{
    return write_bytes(call, i, &value, sizeof(value)) ? WASI_SUCCESS : WASI_EFAULT;
}

static int64_t write_two_zeros(struct call *call)
{
    const uint32_t zero = 0;
    return write_bytes(call, 0, &zero, sizeof(zero)) && write_bytes(call, 1, &zero, sizeof(zero))
               ? WASI_SUCCESS
               : WASI_EFAULT;
}

int64_t wasi_none(struct call *call)
{
    (void)call;
    return WASI_EBADF;
}

int64_t wasi_args_get(struct call *call)
{
    (void)call;
    return WASI_SUCCESS;
}

int64_t wasi_args_sizes_get(struct call *call)
{
    return write_two_zeros(call);
}

int64_t wasi_environ_get(struct call *call)
{
    (void)call;
    return WASI_SUCCESS;
}

int64_t wasi_environ_sizes_get(struct call *call)
{
    return write_two_zeros(call);
}

int64_t wasi_clock_res_get(struct call *call)
{
    return write_u64(call, 1, NS_PER_MS);
}

/* The wall clock and the one that never goes back, both cut to milliseconds. */
static bool read_clock(uint32_t id, uint64_t *out_ns)
{
    if (id == 0) {
        *out_ns = (uint64_t)clock_wall_ms() * NS_PER_MS;
    } else {
        *out_ns = clock_monotonic_ns() / NS_PER_MS * NS_PER_MS;
    }
    return id <= 1;
}

int64_t wasi_clock_time_get(struct call *call)
{
    uint64_t now_ns;
    return read_clock((uint32_t)call->arguments[0], &now_ns) ? write_u64(call, 2, now_ns)
                                                             : WASI_EINVAL;
}

static bool is_standard(const struct call *call)
{
    return call->arguments[0] <= 2;
}

int64_t wasi_fd_close(struct call *call)
{
    return is_standard(call) ? WASI_SUCCESS : WASI_EBADF;
}

int64_t wasi_fd_fdstat_get(struct call *call)
{
    if (!is_standard(call)) {
        return WASI_EBADF;
    }
    /* filetype u8, flags u16, rights u64, inheriting rights u64 */
    uint8_t status[24] = {FILETYPE_TERMINAL};
    const uint64_t rights = call->arguments[0] == 0 ? RIGHT_READ : RIGHT_WRITE;
    memcpy(status + 8, &rights, sizeof(rights));
    return write_bytes(call, 1, status, sizeof(status)) ? WASI_SUCCESS : WASI_EFAULT;
}

int64_t wasi_fd_fdstat_set_flags(struct call *call)
{
    return is_standard(call) ? WASI_SUCCESS : WASI_EBADF;
}

int64_t wasi_fd_read(struct call *call)
{
    const uint32_t none = 0;
    if (call->arguments[0] != 0) {
        return WASI_EBADF;
    }
    return write_bytes(call, 3, &none, sizeof(none)) ? WASI_SUCCESS : WASI_EFAULT;
}

/* --- standard output and error -----------------------------------------------------------------
 *
 * A runtime may write a line in pieces (Go does); the log has lines.
 */

static void end_line(struct instance *instance, uint32_t i)
{
    static const uint32_t levels[] = {2, 0};
    struct output_line *line = &instance->lines[i];
    instance_log(instance,
                 levels[i],
                 (struct bytes){.data = (const uint8_t *)line->bytes, .length = line->length});
    line->length = 0;
}

static void add_to_line(struct instance *instance, uint32_t i, struct bytes bytes)
{
    struct output_line *line = &instance->lines[i];
    for (size_t k = 0; k < bytes.length; k++) {
        if (bytes.data[k] != '\n') {
            line->bytes[line->length++] = (char)bytes.data[k];
        }
        if (bytes.data[k] == '\n' || line->length == OUTPUT_LINE_BYTES) {
            end_line(instance, i);
        }
    }
}

void wasi_end_lines(struct instance *instance)
{
    end_line(instance, 0);
    end_line(instance, 1);
}

/* The i-th of a list of {address u32, length u32}. */
static bool read_vector(const struct call *call, const uint8_t *list, uint64_t i, struct bytes *out)
{
    uint32_t parts[2];
    uint8_t *data;
    memcpy(parts, list + i * sizeof(parts), sizeof(parts));
    if (!call_span(call, parts[0], parts[1], 1, &data)) {
        return false;
    }
    *out = (struct bytes){.data = data, .length = parts[1]};
    return true;
}

int64_t wasi_fd_write(struct call *call)
{
    const uint64_t fd = call->arguments[0];
    const uint64_t n = call->arguments[2];
    uint8_t *list;
    if (fd != 1 && fd != 2) {
        return WASI_EBADF;
    }
    if (n > MAX_VECTORS || !call_span(call, call->arguments[1], n, 8, &list)) {
        return WASI_EFAULT;
    }
    uint32_t n_written = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct bytes bytes;
        if (!read_vector(call, list, i, &bytes) || bytes.length > UINT32_MAX - n_written) {
            return WASI_EFAULT;
        }
        add_to_line(call->instance, fd == 1 ? 0 : 1, bytes);
        n_written += (uint32_t)bytes.length;
    }
    return write_bytes(call, 3, &n_written, sizeof(n_written)) ? WASI_SUCCESS : WASI_EFAULT;
}

int64_t wasi_random_get(struct call *call)
{
    return call_random(call) == 0 ? WASI_SUCCESS : WASI_EFAULT;
}

int64_t wasi_sched_yield(struct call *call)
{
    (void)call;
    return WASI_SUCCESS;
}

int64_t wasi_proc_exit(struct call *call)
{
    call->instance->exited = true;
    call->instance->exit_code = call_i32(call, 0);
    return CALL_ENDS;
}

/* subscription: userdata u64, tag u8 (0: clock), at 16: clock u32, timeout u64 at 24, precision,
 * flags u16 at 40 (1: absolute).  The earliest time of all; false: not only clocks, or none. */
static bool earliest(const uint8_t *list, uint64_t n, uint64_t *due_ns)
{
    *due_ns = UINT64_MAX;
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *one = list + i * SUBSCRIPTION;
        uint32_t id;
        uint64_t timeout_ns;
        uint64_t now_ns;
        memcpy(&id, one + 16, sizeof(id));
        memcpy(&timeout_ns, one + 24, sizeof(timeout_ns));
        if (one[8] != 0 || !read_clock(id, &now_ns)) {
            return false;
        }
        if ((one[40] & 1) != 0) {
            timeout_ns = timeout_ns > now_ns ? timeout_ns - now_ns : 0;
        }
        const uint64_t here_ns = clock_monotonic_ns();
        const uint64_t at_ns =
            timeout_ns < UINT64_MAX - here_ns ? here_ns + timeout_ns : UINT64_MAX - 1;
        *due_ns = at_ns < *due_ns ? at_ns : *due_ns;
    }
    return n > 0;
}

/* Tells of the first subscription, which is enough: a runtime asks again for the rest. */
static int64_t tell_first(struct call *call, const uint8_t *list)
{
    uint8_t event[EVENT] = {0}; /* userdata u64, errno u16, type u8 */
    const uint32_t one = 1;
    memcpy(event, list, 8);
    return write_bytes(call, 1, event, sizeof(event)) && write_bytes(call, 3, &one, sizeof(one))
               ? WASI_SUCCESS
               : WASI_EFAULT;
}

int64_t wasi_poll_oneoff(struct call *call)
{
    uint8_t *list;
    const uint64_t n = call->arguments[2];
    if (n > MAX_SUBSCRIPTIONS || !call_span(call, call->arguments[0], n, SUBSCRIPTION, &list)) {
        return WASI_EFAULT;
    }
    if (!call->begun) {
        call->begun = true;
        if (!earliest(list, n, &call->deadline_ns)) {
            return WASI_EINVAL;
        }
    }
    return clock_monotonic_ns() >= call->deadline_ns ? tell_first(call, list) : CALL_WAITS;
}
