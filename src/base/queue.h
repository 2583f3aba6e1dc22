/* A bounded queue of pointers: many producers, one consumer that takes all at once and works on
 * them unlocked.  A full queue refuses; nobody ever waits for room.  Threads that share the
 * consumer's part take one item each time: every item wakes one of them. */
#ifndef REALM_BASE_QUEUE_H
#define REALM_BASE_QUEUE_H

#include "base/status.h"

struct queue;

/* wake: called by a producer, outside the lock, when the queue turns non-empty; may be NULL (then
 * the consumer waits by queue_wait). */
REALM_MUST_CHECK realm_status queue_create(uint32_t capacity,
                                           void (*wake)(void *context),
                                           void *wake_context,
                                           struct queue **out,
                                           struct realm_error *error);
/* Items still inside are the caller's to take first. */
void queue_destroy(struct queue *queue);

/* False: full or closed; the item stays the caller's.  Any thread. */
bool queue_try_push(struct queue *queue, void *item);
/* Moves up to max items, oldest first, to items; returns how many.  Consumer only. */
uint32_t queue_take(struct queue *queue, void **items, uint32_t max);
/* Waits until there is an item, the queue is closed, or timeout_ms (UINT32_MAX: for ever). Consumer
 * only. */
void queue_wait(struct queue *queue, uint32_t timeout_ms);
/* Refuses all later pushes and wakes the consumer. */
void queue_close(struct queue *queue);
bool queue_closed(const struct queue *queue);
uint32_t queue_length(struct queue *queue);

#endif
