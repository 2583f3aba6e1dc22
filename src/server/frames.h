/* Writes an answer's events one after the other, in the form its connection carries them.
 *
 * Two forms: server-sent events ("data: {...}" and an empty line), and one line of JSON a message,
 * which a WebSocket sends as one text message.  JSON as Realm writes it holds no line feed. */
#ifndef REALM_SERVER_FRAMES_H
#define REALM_SERVER_FRAMES_H

#include "base/strbuf.h"

enum frames_form { FRAMES_SSE, FRAMES_LINES };

struct frames {
    struct strbuf *out;
    enum frames_form form;
    const char *id;    /* LINES: of the request, as the client named it; JSON text */
    uint64_t sequence; /* LINES: number of the last event; counts from 1 */
};

/* Around the JSON of one event, which the caller appends to frames->out.  name: the event's kind
 * where the protocol has kinds (`event:` of SSE), or NULL. */
void frames_begin(struct frames *frames, const char *name);
void frames_end(struct frames *frames);
/* An event that ends a stream without being JSON: SSE's "data: [DONE]".  Nothing in LINES. */
void frames_done(struct frames *frames);

#endif
