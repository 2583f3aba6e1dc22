/* A generation that a guest pipes to its reader.
 *
 * While stream_pipe waits, the instance's reader takes the generation's events itself, and neither
 * the guest nor a thread of the poller is woken for them: text goes from the generation's ring
 * straight to who reads.  The guest gets its turn back for what only it can be told of or ended by:
 * the stream's end, a limit that would be passed, memory that is not to be had.
 *
 * Invariants (all under the instance's lock)
 *  (1) a pipe is open only while the guest is suspended in stream_pipe: nothing but the reader
 *      touches stream and counters, and what the guest emitted before is in the mailbox already.
 *  (2) whoever closes it, or leaves an event in it that needs the guest, wakes the guest. */
#ifndef REALM_SANDBOX_PIPE_H
#define REALM_SANDBOX_PIPE_H

#include "sandbox/objects.h"

/* In the instance's turn: opens the pipe, or leaves it open.  False: the stream's next event needs
 * the guest, and the pipe is closed. */
bool pipe_open(struct instance *instance, struct guest_stream *stream);
/* In the instance's turn, before its streams go. */
void pipe_close(struct instance *instance);
/* Something came from the generation of a guest_stream, the context: wakes whoever has to look at
 * it. The engine's thread. */
void pipe_wake(void *context);

/* The reader: which pipe is open now, counted from 1; 0: none. */
uint64_t pipe_number(struct instance *instance);
/* The reader: whether the open pipe has something to read. */
bool pipe_readable(struct instance *instance);
/* The reader, when the mailbox was empty after pipe_number was asked: the next text of that pipe
 * as instance->reading.  False: none now. */
bool pipe_next(struct instance *instance, uint64_t number);

#endif
