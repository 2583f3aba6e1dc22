/* Messages between a guest and those who talk with it, in order, with a ceiling: its output
 * (written by the guest, read by the server) and its input (the other way round).
 *
 * One writer, one reader, each of any thread.  A message is always taken when the box is empty, so
 * that one larger than the ceiling passes too. */
#ifndef REALM_SANDBOX_MAILBOX_H
#define REALM_SANDBOX_MAILBOX_H

#include "base/bytes.h"
#include "base/thread.h"

struct message {
    struct message *next;
    uint32_t kind;
    uint32_t level;
    size_t n_bytes;
    uint8_t bytes[];
};

struct mailbox {
    struct mutex lock;
    struct condition readable;
    struct message *first;
    struct message *last;
    size_t held_bytes; /* of all messages inside, with their headers */
    size_t max_bytes;
    bool refused; /* a message, since has_room was told last */
    bool closed;  /* by the writer: no more comes; by the reader: nobody reads */
    bool poked;   /* since mailbox_wait returned last */
};

enum mailbox_put { MAILBOX_PUT, MAILBOX_FULL, MAILBOX_CLOSED, MAILBOX_OUT_OF_MEMORY };

void mailbox_init(struct mailbox *box, size_t max_bytes);
void mailbox_deinit(struct mailbox *box);

/* Copies the bytes.  *was_empty: nothing was there to read before. */
enum mailbox_put mailbox_put(
    struct mailbox *box, uint32_t kind, uint32_t level, struct bytes bytes, bool *was_empty);
/* The oldest message, the caller's until alloc_free; NULL: none.
 * *has_room: a writer was refused and may try again now; told once. */
struct message *mailbox_take(struct mailbox *box, bool *has_room);
/* Length of the oldest message; false: none. */
bool mailbox_peek(struct mailbox *box, size_t *n_bytes);
/* Waits until there is a message, or the box is closed or poked; false: timeout. */
bool mailbox_wait(struct mailbox *box, uint32_t timeout_ms);
/* Ends one wait, now or the next, though the box has nothing new: something beside it has. */
void mailbox_poke(struct mailbox *box);
void mailbox_close(struct mailbox *box);
bool mailbox_closed(struct mailbox *box);

#endif
