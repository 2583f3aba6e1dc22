#include "engine/event_ring.h"

#include "base/alloc.h"
#include "base/checked.h"

#define RECORD_ALIGNMENT  ((size_t)16)
#define MAX_MESSAGE_BYTES ((size_t)256)
#define MIN_CAPACITY      ((size_t)16384)
#define MAX_CAPACITY      ((size_t)1 << 30)

struct record {
    uint32_t n_bytes; /* whole record, aligned */
    bool pad;
    uint32_t n_text_bytes;
    uint32_t n_message_bytes; /* terminating zero included; 0: no message */
    struct event event;       /* pointers are set by the reader */
};

static size_t align_record(size_t n_bytes)
{
    return (n_bytes + RECORD_ALIGNMENT - 1) & ~(RECORD_ALIGNMENT - 1);
}

static size_t record_bytes(size_t n_text_bytes, uint32_t n_top, size_t n_message_bytes)
{
    return align_record(sizeof(struct record) + (size_t)n_top * sizeof(struct sampler_logprob) +
                        n_text_bytes + n_message_bytes);
}

realm_status event_ring_init(struct event_ring *ring,
                             size_t max_text_bytes,
                             uint32_t n_top,
                             uint32_t n_records,
                             struct realm_error *error)
{
    const size_t max_record = record_bytes(max_text_bytes, n_top, MAX_MESSAGE_BYTES);
    size_t wanted;
    /* Twice: a pad may waste up to one record before the end. */
    if (!checked_mul_size(max_record, (size_t)n_records + 2, &wanted) ||
        wanted > MAX_CAPACITY / 2) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%u events of up to %zu bytes do not fit an event ring",
                               n_records,
                               max_record);
    }
    size_t capacity = MIN_CAPACITY;
    while (capacity < wanted) {
        capacity *= 2;
    }
    ring->bytes = alloc_bytes(ALLOC_REQUEST, capacity);
    if (ring->bytes == NULL) {
        return realm_error_out_of_memory(error, capacity, "event ring");
    }
    ring->capacity = capacity;
    ring->max_record_bytes = max_record;
    ring->read_bytes = 0;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return REALM_OK;
}

void event_ring_deinit(struct event_ring *ring)
{
    alloc_free(ring->bytes);
    ring->bytes = NULL;
}

size_t event_ring_room_bytes(const struct event_ring *ring)
{
    const size_t used = atomic_load_explicit(&ring->head, memory_order_relaxed) -
                        atomic_load_explicit(&ring->tail, memory_order_acquire);
    const size_t room = ring->capacity - used;
    return room > ring->max_record_bytes ? room - ring->max_record_bytes : 0; /* for a pad */
}

size_t event_ring_room(const struct event_ring *ring)
{
    return event_ring_room_bytes(ring) / ring->max_record_bytes;
}

size_t event_ring_record_bytes(size_t n_text_bytes, uint32_t n_top)
{
    return record_bytes(n_text_bytes, n_top, 0);
}

static struct record *record_at(const struct event_ring *ring, size_t position)
{
    return (struct record *)(void *)(ring->bytes + (position & (ring->capacity - 1)));
}

static void write_record(struct record *record, size_t n_bytes, const struct event *event)
{
    const size_t n_message =
        event->message != NULL ? strnlen(event->message, MAX_MESSAGE_BYTES - 1) : 0;
    record->n_bytes = (uint32_t)n_bytes;
    record->pad = false;
    record->n_text_bytes = (uint32_t)event->text.length;
    record->n_message_bytes = event->message != NULL ? (uint32_t)n_message + 1 : 0;
    record->event = *event;
    uint8_t *data = (uint8_t *)(record + 1);
    if (event->n_top > 0) {
        memcpy(data, event->top, event->n_top * sizeof *event->top);
        data += event->n_top * sizeof *event->top;
    }
    if (event->text.length > 0) {
        memcpy(data, event->text.data, event->text.length);
        data += event->text.length;
    }
    if (event->message != NULL) {
        memcpy(data, event->message, n_message);
        data[n_message] = 0;
    }
}

bool event_ring_push(struct event_ring *ring, const struct event *event)
{
    const size_t n_message =
        event->message != NULL ? strnlen(event->message, MAX_MESSAGE_BYTES - 1) + 1 : 0;
    const size_t n_bytes = record_bytes(event->text.length, event->n_top, n_message);
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    const size_t before_end = ring->capacity - (head & (ring->capacity - 1));
    const size_t pad = n_bytes > before_end ? before_end : 0;
    if (ring->capacity - (head - tail) < pad + n_bytes) {
        return false;
    }
    if (pad >= sizeof(struct record)) {
        struct record *const filler = record_at(ring, head);
        filler->n_bytes = (uint32_t)pad;
        filler->pad = true;
    }
    head += pad;
    write_record(record_at(ring, head), n_bytes, event);
    atomic_store_explicit(&ring->head, head + n_bytes, memory_order_release);
    return true;
}

bool event_ring_empty(const struct event_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire) ==
           atomic_load_explicit(&ring->tail, memory_order_relaxed) + ring->read_bytes;
}

bool event_ring_next(struct event_ring *ring, struct event *out)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed) + ring->read_bytes;
    ring->read_bytes = 0;
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
    const size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (tail == head) {
        return false;
    }
    const size_t before_end = ring->capacity - (tail & (ring->capacity - 1));
    if (before_end < sizeof(struct record) || record_at(ring, tail)->pad) {
        tail += before_end;
    }
    struct record *const record = record_at(ring, tail);
    ring->read_bytes =
        tail + record->n_bytes - atomic_load_explicit(&ring->tail, memory_order_relaxed);
    *out = record->event;
    const uint8_t *data = (const uint8_t *)(record + 1);
    out->top = (const struct sampler_logprob *)(const void *)data;
    data += out->n_top * sizeof *out->top;
    out->text = (struct bytes){.data = data, .length = record->n_text_bytes};
    data += record->n_text_bytes;
    out->message = record->n_message_bytes > 0 ? (const char *)data : NULL;
    return true;
}
