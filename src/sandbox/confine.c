#include "sandbox/confine.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_AARCH64
#else
#error "the compiler process has no seccomp filter for this processor"
#endif

/* A sanitizer's shadow memory is address space by the terabyte. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_ADDRESS_SPACE false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define LIMIT_ADDRESS_SPACE false
#endif
#endif
#ifndef LIMIT_ADDRESS_SPACE
#define LIMIT_ADDRESS_SPACE true
#endif

#define N_ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

/* Memory, the two pipes, time, locks, its own signals, the end.  No open, no socket, no exec, no
 * clone. */
static const uint32_t allowed[] = {
    SYS_read,          SYS_write,          SYS_mmap,         SYS_munmap,      SYS_mremap,
    SYS_mprotect,      SYS_madvise,        SYS_brk,          SYS_futex,       SYS_membarrier,
    SYS_clock_gettime, SYS_gettimeofday,   SYS_getrandom,    SYS_sched_yield, SYS_sched_getaffinity,
    SYS_rt_sigaction,  SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_getpid,
    SYS_gettid,        SYS_tgkill,         SYS_exit,         SYS_exit_group,
};

static bool limit(__rlimit_resource_t resource, uint64_t value)
{
    const struct rlimit both = {.rlim_cur = value, .rlim_max = value};
    return setrlimit(resource, &both) == 0;
}

static bool filter_calls(void)
{
    struct sock_filter program[N_ALLOWED + 6];
    uint16_t n = 0;
    program[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_HERE, 1, 0);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    program[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < N_ALLOWED; i++) {
        const uint8_t to_allow = (uint8_t)(N_ALLOWED - i);
        program[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], to_allow, 0);
    }
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog whole = {.len = n, .filter = program};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0;
}

bool confine_process(uint64_t memory_bytes, uint64_t time_ms)
{
    (void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
    if (LIMIT_ADDRESS_SPACE && !limit(RLIMIT_AS, memory_bytes)) {
        return false;
    }
    /* The server may end while this process stands still (compile.c). */
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
           limit(RLIMIT_CPU, time_ms / 1000 + 1) && limit(RLIMIT_CORE, 0) &&
           limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_NOFILE, STDERR_FILENO + 1) &&
           prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           filter_calls();
}

_Noreturn void confine_leave(int code)
{
    for (;;) {
        (void)syscall(SYS_exit_group, code);
    }
}
