/* Reading streams, for the calls that do. */
#ifndef REALM_SANDBOX_CALL_STREAM_H
#define REALM_SANDBOX_CALL_STREAM_H

#include "sandbox/call.h"
#include "sandbox/objects.h"

/* Most tokens a sequence of the model may have in this run. */
uint32_t guest_context_length(const struct instance *instance, const struct engine_model *model);
/* Appends tokens to a sequence: its new length, an error, or CALL_ENDS. */
int64_t guest_sequence_append(struct call *call,
                              struct guest_sequence *sequence,
                              const token_id *tokens,
                              size_t n_tokens);

/* Makes the next event the held one; false: there is none now. */
bool stream_look(struct guest_stream *stream);
/* Takes the held event: the sequence grows by its token, counters move.  0 or CALL_ENDS. */
int64_t stream_take(struct call *call, struct guest_stream *stream);
/* The same for a start or a token, where nothing has to be told of it: false: the tokens are at
 * their limit or there is no memory, and the event stays held. */
bool stream_pass(struct instance *instance, struct guest_stream *stream);

#endif
