#define _GNU_SOURCE /* pipe2 */

#include "sandbox/compile.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)
/* The compiler stands back behind all else there is to do, so by the clock it may take longer. */
#define PATIENCE 64u
/* While the engine computes, one compiler works so long and then all stand still so long: the
 * system would give them a core for a whole tick now and then. */
#define WORK_NS  (1 * NS_PER_MS)
#define STILL_NS (15 * NS_PER_MS)
#define ASK_NS   (5 * NS_PER_MS) /* whether it does */

struct child {
    pid_t pid;
    int to;   /* its standard input; -1: closed */
    int from; /* its standard output */
    bool stands_still;
    uint64_t turn_ends_ns;
};

/* What is still to be sent: the order, then the module. */
struct outgoing {
    struct bytes parts[2];
    uint32_t i_part;
    size_t done;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* A socket to the child: writing to one whose reader has died raises no signal. */
static bool make_pipes(int in[2], int out[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0) {
        return false;
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        (void)close(in[0]);
        (void)close(in[1]);
        return false;
    }
    return true;
}

/* The child gets nothing of this process but the two pipes: no other file, no environment. */
static int spawn(const char *compiler, int in, int out, pid_t *pid)
{
    char command[] = SANDBOX_COMPILE_COMMAND;
    char name[] = "realm";
    char *const arguments[] = {name, command, NULL};
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) {
        return code;
    }
    posix_spawnattr_t attributes;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        /* Behind everything, for nobody waits for a module as the engine's clients do for tokens;
         * from its first instruction, for to begin costs it milliseconds. */
        const struct sched_param lowest = {0};
        (void)posix_spawnattr_setschedpolicy(&attributes, SCHED_IDLE);
        (void)posix_spawnattr_setschedparam(&attributes, &lowest);
        (void)posix_spawnattr_setflags(&attributes,
                                       POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDULER);
        code = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        if (code == 0) {
            code = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        }
        if (code == 0) {
            code =
                posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        }
        if (code == 0) {
            code = posix_spawn(pid, compiler, &actions, &attributes, arguments, environment);
        }
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return code;
}

static realm_status start(const char *compiler, struct child *child, struct realm_error *error)
{
    int in[2];
    int out[2];
    *child = (struct child){.to = -1, .from = -1};
    if (!make_pipes(in, out)) {
        return realm_error_set(
            error, REALM_UNAVAILABLE, "no pipe to the compiler: %s", strerror(errno));
    }
    const int code = spawn(compiler, in[0], out[1], &child->pid);
    (void)close(in[0]);
    (void)close(out[1]);
    child->to = in[1];
    child->from = out[0];
    if (code != 0) {
        close_fd(&child->to);
        close_fd(&child->from);
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "the compiler %s could not be started: %s",
                               compiler,
                               strerror(code));
    }
    (void)fcntl(child->to, F_SETFL, O_NONBLOCK);
    return REALM_OK;
}

/* Writes what the pipe takes; closes it behind the last byte or when the child no longer reads. */
static void send_some(struct child *child, struct outgoing *outgoing)
{
    while (outgoing->i_part < 2) {
        const struct bytes part = outgoing->parts[outgoing->i_part];
        if (outgoing->done == part.length) {
            outgoing->i_part++;
            outgoing->done = 0;
            continue;
        }
        const ssize_t n =
            send(child->to, part.data + outgoing->done, part.length - outgoing->done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            break;
        }
        outgoing->done += (size_t)n;
    }
    close_fd(&child->to);
}

/* False: the child's answer has ended (or is longer than any code). */
static bool receive_some(struct child *child, struct strbuf *answer)
{
    char buffer[65536];
    const ssize_t n = read(child->from, buffer, sizeof(buffer));
    if (n < 0) {
        return errno == EINTR;
    }
    return n > 0 && strbuf_append(answer, buffer, (size_t)n);
}

/* Processor time it has taken. */
static uint64_t worked_ns(const struct child *child)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(child->pid, &clock) != 0 || clock_gettime(clock, &time) != 0) {
        return 0; /* it has ended */
    }
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* How long to wait at most before the times are looked at again; 0: one of them is over. */
static uint64_t left_ns(const struct child *child, uint64_t begin_ns, uint64_t time_ms)
{
    const uint64_t time_ns = time_ms * NS_PER_MS;
    const uint64_t passed_ns = clock_monotonic_ns() - begin_ns;
    const uint64_t took_ns = worked_ns(child);
    if (took_ns >= time_ns || passed_ns >= PATIENCE * time_ns) {
        return 0;
    }
    return time_ns - took_ns + NS_PER_MS;
}

/* Of all compilers one works at a time beside the engine.  False: not this one, which may ask again
 * at *again_ns. */
static bool take_window(struct sandbox *sandbox, uint64_t now_ns, uint64_t *again_ns)
{
    *again_ns = atomic_load(&sandbox->next_window_ns);
    return now_ns >= *again_ns && atomic_compare_exchange_strong(&sandbox->next_window_ns,
                                                                 again_ns,
                                                                 now_ns + WORK_NS + STILL_NS);
}

/* Lets the child work or stand still; returns for how long. */
static uint64_t take_turns(struct sandbox *sandbox, struct child *child)
{
    const uint64_t now_ns = clock_monotonic_ns();
    if (now_ns < child->turn_ends_ns) {
        return child->turn_ends_ns - now_ns;
    }
    const bool was_still = child->stands_still;
    child->stands_still = false;
    child->turn_ends_ns = now_ns + ASK_NS;
    if (sandbox_is_busy(sandbox)) {
        child->stands_still = !was_still || !take_window(sandbox, now_ns, &child->turn_ends_ns);
        if (!child->stands_still) {
            child->turn_ends_ns = now_ns + WORK_NS;
        } else if (!was_still) { /* longer than who waits for a window */
            child->turn_ends_ns = now_ns + STILL_NS + WORK_NS;
        }
    }
    if (child->stands_still != was_still) {
        (void)kill(child->pid, was_still ? SIGCONT : SIGSTOP);
    }
    return child->turn_ends_ns > now_ns ? child->turn_ends_ns - now_ns : 0;
}

/* Feeds the child and reads its answer.  False: its time is up. */
static bool talk(struct sandbox *sandbox,
                 struct child *child,
                 struct outgoing *outgoing,
                 uint64_t time_ms,
                 struct strbuf *answer)
{
    const uint64_t begin_ns = clock_monotonic_ns();
    for (;;) {
        const uint64_t most_ns = left_ns(child, begin_ns, time_ms);
        if (most_ns == 0) {
            return false;
        }
        const uint64_t turn_ns = take_turns(sandbox, child);
        const uint64_t wait_ns = turn_ns < most_ns ? turn_ns : most_ns;
        const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                      .tv_nsec = (long)(wait_ns % NS_PER_S)};
        struct pollfd fds[2] = {
            {.fd = child->from, .events = POLLIN},
            {.fd = child->to, .events = POLLOUT},
        };
        (void)ppoll(fds, 2, &wait, NULL);
        if (child->to >= 0 && fds[1].revents != 0) {
            send_some(child, outgoing);
        }
        if (fds[0].revents != 0 && !receive_some(child, answer)) {
            return true;
        }
    }
}

/* The child's end: its exit code, or 128 + signal. */
static int finish(struct child *child, bool kill_it)
{
    close_fd(&child->to);
    close_fd(&child->from);
    if (kill_it) {
        (void)kill(child->pid, SIGKILL);
    }
    int state = 0;
    while (waitpid(child->pid, &state, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

static realm_status judge(int code,
                          const struct strbuf *answer,
                          const struct sandbox_limits *limits,
                          struct realm_error *error)
{
    if (answer->failed) {
        return realm_error_set(
            error, REALM_RESOURCE_EXHAUSTED, "compiled, the module is larger than 512 MiB");
    }
    if (code == 0 && answer->length > 1 && answer->text[0] == 'c') {
        return REALM_OK;
    }
    if (code == 0 && answer->length > 1 && answer->text[0] == 'e') {
        return realm_error_set(error, REALM_INVALID_FORMAT, "%s", answer->text + 1);
    }
    if (code == 128 + SIGXCPU) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "limit compile_ms: compiling took more than %llu ms; make the "
                               "module smaller, or have the tenant's program_compile_ms raised",
                               (unsigned long long)limits->compile_ms);
    }
    if (code == 128 + SIGSYS) {
        return realm_error_set(
            error, REALM_INTERNAL, "the compiler made a system call it may not make");
    }
    return realm_error_set(error,
                           REALM_RESOURCE_EXHAUSTED,
                           "limit compile_memory_bytes: the compiler ended (%d) without an answer; "
                           "the module needs more than %llu bytes to compile",
                           code,
                           (unsigned long long)limits->compile_memory_bytes);
}

realm_status compile_module(struct sandbox *sandbox,
                            struct bytes module,
                            const struct sandbox_limits *limits,
                            uint8_t **code,
                            size_t *n_code_bytes,
                            struct realm_error *error)
{
    *code = NULL;
    *n_code_bytes = 0;
    struct child child;
    REALM_TRY(start(sandbox->compiler, &child, error));
    const struct compile_order order = {
        .module_bytes = module.length,
        .memory_bytes = limits->compile_memory_bytes,
        .time_ms = limits->compile_ms,
    };
    struct outgoing outgoing = {
        .parts = {{.data = (const uint8_t *)&order, .length = sizeof(order)}, module}};
    struct strbuf answer;
    strbuf_init(&answer, ALLOC_GUEST, COMPILE_MAX_CODE_BYTES);
    const bool in_time = talk(sandbox, &child, &outgoing, limits->compile_ms, &answer);
    const int exit_code = finish(&child, !in_time || answer.failed);
    realm_status status = in_time ? judge(exit_code, &answer, limits, error)
                                  : judge(128 + SIGXCPU, &answer, limits, error);
    if (status == REALM_OK) {
        *n_code_bytes = answer.length - 1;
        *code = alloc_bytes(ALLOC_GUEST, *n_code_bytes);
        if (*code == NULL) {
            status = realm_error_out_of_memory(error, *n_code_bytes, "compiled code");
        } else {
            memcpy(*code, answer.text + 1, *n_code_bytes);
        }
    }
    strbuf_deinit(&answer);
    return status;
}
