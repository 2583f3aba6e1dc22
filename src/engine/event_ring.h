/* The bounded ring behind a generation: records of changing length in one block of bytes, written
 * by the engine thread, read by one reader, without a lock.
 *
 * Invariants
 *  (1) head and tail only grow; tail <= head <= tail + capacity.
 *  (2) a record lies in one piece; a pad record fills what is left before the block's end. */
#ifndef REALM_ENGINE_EVENT_RING_H
#define REALM_ENGINE_EVENT_RING_H

#include "engine/event.h"

#include <stdatomic.h>

struct event_ring {
    uint8_t *bytes;
    size_t capacity; /* power of two */
    size_t max_record_bytes;
    _Alignas(64) _Atomic size_t head; /* writer's */
    _Alignas(64) _Atomic size_t tail; /* reader's */
    size_t read_bytes; /* reader's: length of the record given last, freed by the next call */
};

/* Room for at least `n_records` records with up to max_text_bytes of text and n_top logprobs each.
 */
REALM_MUST_CHECK realm_status event_ring_init(struct event_ring *ring,
                                              size_t max_text_bytes,
                                              uint32_t n_top,
                                              uint32_t n_records,
                                              struct realm_error *error);
void event_ring_deinit(struct event_ring *ring);

/* How many records of the greatest length fit now.  Writer. */
size_t event_ring_room(const struct event_ring *ring);
/* The same in bytes, for who counts records by their own length.  Writer. */
size_t event_ring_room_bytes(const struct event_ring *ring);
/* What a record without a message takes. */
size_t event_ring_record_bytes(size_t n_text_bytes, uint32_t n_top);
/* False: no room (nothing was written). text and message are copied.  Writer. */
bool event_ring_push(struct event_ring *ring, const struct event *event);
/* Reader. The event's pointers stay valid until the next call. */
bool event_ring_next(struct event_ring *ring, struct event *out);
bool event_ring_empty(const struct event_ring *ring);

#endif
