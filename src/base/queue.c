#include "base/queue.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <stdatomic.h>

/* `lock` protects the ring (items, first, length); `closed` is written under it and read anywhere.
 */
struct queue {
    struct mutex lock;
    struct condition changed;
    void (*wake)(void *context);
    void *wake_context;
    uint32_t capacity;
    uint32_t first;
    uint32_t length;
    _Atomic bool closed;
    void *items[];
};

realm_status queue_create(uint32_t capacity,
                          void (*wake)(void *context),
                          void *wake_context,
                          struct queue **out,
                          struct realm_error *error)
{
    *out = NULL;
    if (capacity == 0) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "a queue needs a capacity, not 0");
    }
    const size_t n_bytes = sizeof(struct queue) + (size_t)capacity * sizeof(void *);
    struct queue *queue = alloc_zeroed(ALLOC_BASE, 1, n_bytes);
    if (queue == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "a queue");
    }
    mutex_init(&queue->lock);
    condition_init(&queue->changed);
    queue->capacity = capacity;
    queue->wake = wake;
    queue->wake_context = wake_context;
    *out = queue;
    return REALM_OK;
}

void queue_destroy(struct queue *queue)
{
    if (queue == NULL) {
        return;
    }
    condition_deinit(&queue->changed);
    mutex_deinit(&queue->lock);
    alloc_free(queue);
}

bool queue_try_push(struct queue *queue, void *item)
{
    mutex_lock(&queue->lock);
    const bool accepted = !queue->closed && queue->length < queue->capacity;
    const bool was_empty = queue->length == 0;
    if (accepted) {
        const uint64_t slot = ((uint64_t)queue->first + queue->length) % queue->capacity;
        queue->items[slot] = item;
        queue->length++;
        /* At every item, not only at the first: a second consumer may be free for it. */
        condition_signal(&queue->changed);
    }
    mutex_unlock(&queue->lock);
    if (accepted && was_empty && queue->wake != NULL) {
        queue->wake(queue->wake_context);
    }
    return accepted;
}

uint32_t queue_take(struct queue *queue, void **items, uint32_t max)
{
    mutex_lock(&queue->lock);
    const uint32_t n_taken = queue->length < max ? queue->length : max;
    for (uint32_t i = 0; i < n_taken; i++) {
        items[i] = queue->items[queue->first];
        queue->first = queue->first + 1 == queue->capacity ? 0 : queue->first + 1;
    }
    queue->length -= n_taken;
    mutex_unlock(&queue->lock);
    return n_taken;
}

void queue_wait(struct queue *queue, uint32_t timeout_ms)
{
    mutex_lock(&queue->lock);
    bool in_time = true;
    while (queue->length == 0 && !queue->closed && in_time) {
        if (timeout_ms == UINT32_MAX) {
            condition_wait(&queue->changed, &queue->lock);
        } else {
            /* A wake-up without cause begins the time anew: rare, and the caller only polls. */
            in_time = condition_wait_ms(&queue->changed, &queue->lock, timeout_ms);
        }
    }
    mutex_unlock(&queue->lock);
}

void queue_close(struct queue *queue)
{
    mutex_lock(&queue->lock);
    queue->closed = true;
    condition_broadcast(&queue->changed);
    mutex_unlock(&queue->lock);
    if (queue->wake != NULL) {
        queue->wake(queue->wake_context);
    }
}

bool queue_closed(const struct queue *queue)
{
    return atomic_load_explicit(&queue->closed, memory_order_acquire);
}

uint32_t queue_length(struct queue *queue)
{
    mutex_lock(&queue->lock);
    const uint32_t length = queue->length;
    mutex_unlock(&queue->lock);
    return length;
}
