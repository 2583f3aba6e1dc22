/* Laying down a process's privileges for good. */
#ifndef REALM_SANDBOX_CONFINE_H
#define REALM_SANDBOX_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

/* From here on this process can read and write what is open as standard input and output, use
 * memory up to memory_bytes and the processor for time_ms, and end; every other system call kills
 * it.  One thread only.  False: the system refused one of these. */
bool confine_process(uint64_t memory_bytes, uint64_t time_ms);
/* Ends the process without the work of exit(), which would want more. */
_Noreturn void confine_leave(int code);

#endif
