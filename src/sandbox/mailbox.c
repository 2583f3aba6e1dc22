#include "sandbox/mailbox.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"

#define NS_PER_MS UINT64_C(1000000)

void mailbox_init(struct mailbox *box, size_t max_bytes)
{
    *box = (struct mailbox){.max_bytes = max_bytes};
    mutex_init(&box->lock);
    condition_init(&box->readable);
}

void mailbox_deinit(struct mailbox *box)
{
    while (box->first != NULL) {
        struct message *message = box->first;
        box->first = message->next;
        alloc_free(message);
    }
    condition_deinit(&box->readable);
    mutex_deinit(&box->lock);
}

static size_t cost(const struct message *message)
{
    return sizeof(struct message) + message->n_bytes;
}

/* Whether a message of n bytes could go in; the caller holds the lock. */
static enum mailbox_put look(const struct mailbox *box, size_t n_bytes)
{
    if (box->closed) {
        return MAILBOX_CLOSED;
    }
    return box->first == NULL || box->held_bytes + n_bytes <= box->max_bytes ? MAILBOX_PUT
                                                                             : MAILBOX_FULL;
}

enum mailbox_put
mailbox_put(struct mailbox *box, uint32_t kind, uint32_t level, struct bytes bytes, bool *was_empty)
{
    size_t n_bytes;
    if (!checked_add_size(sizeof(struct message), bytes.length, &n_bytes)) {
        return MAILBOX_OUT_OF_MEMORY;
    }
    *was_empty = false;
    mutex_lock(&box->lock);
    enum mailbox_put result = look(box, n_bytes);
    box->refused |= result == MAILBOX_FULL;
    struct message *message = NULL;
    if (result == MAILBOX_PUT) {
        message = alloc_bytes(ALLOC_GUEST, n_bytes);
        if (message == NULL) {
            result = MAILBOX_OUT_OF_MEMORY;
        }
    }
    if (message != NULL) {
        *message = (struct message){.kind = kind, .level = level, .n_bytes = bytes.length};
        if (bytes.length > 0) {
            memcpy(message->bytes, bytes.data, bytes.length);
        }
        *was_empty = box->first == NULL;
        if (box->last != NULL) {
            box->last->next = message;
        } else {
            box->first = message;
        }
        box->last = message;
        box->held_bytes += n_bytes;
        condition_signal(&box->readable);
    }
    mutex_unlock(&box->lock);
    return result;
}

struct message *mailbox_take(struct mailbox *box, bool *has_room)
{
    mutex_lock(&box->lock);
    struct message *message = box->first;
    if (message != NULL) {
        box->first = message->next;
        if (box->first == NULL) {
            box->last = NULL;
        }
        box->held_bytes -= cost(message);
    }
    *has_room = box->refused && box->held_bytes <= box->max_bytes / 2;
    if (*has_room) {
        box->refused = false;
    }
    mutex_unlock(&box->lock);
    return message;
}

bool mailbox_peek(struct mailbox *box, size_t *n_bytes)
{
    mutex_lock(&box->lock);
    const bool there = box->first != NULL;
    if (there) {
        *n_bytes = box->first->n_bytes;
    }
    mutex_unlock(&box->lock);
    return there;
}

bool mailbox_wait(struct mailbox *box, uint32_t timeout_ms)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    mutex_lock(&box->lock);
    while (box->first == NULL && !box->closed && !box->poked) {
        const uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= deadline_ns) {
            break;
        }
        const uint64_t left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
        (void)condition_wait_ms(&box->readable, &box->lock, (uint32_t)left_ms);
    }
    const bool there = box->first != NULL || box->closed || box->poked;
    box->poked = false;
    mutex_unlock(&box->lock);
    return there;
}

void mailbox_poke(struct mailbox *box)
{
    mutex_lock(&box->lock);
    box->poked = true;
    condition_broadcast(&box->readable);
    mutex_unlock(&box->lock);
}

void mailbox_close(struct mailbox *box)
{
    mutex_lock(&box->lock);
    box->closed = true;
    condition_broadcast(&box->readable);
    mutex_unlock(&box->lock);
}

bool mailbox_closed(struct mailbox *box)
{
    mutex_lock(&box->lock);
    const bool closed = box->closed;
    mutex_unlock(&box->lock);
    return closed;
}
