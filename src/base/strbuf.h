/* Growing text with a ceiling given at creation.  Zero-terminated at every moment.
 * After a failed append (memory or ceiling) the buffer keeps what it had and `failed` stays set, so
 * a run of appends needs one check at its end.  Owned by one thread at a time. */
#ifndef REALM_BASE_STRBUF_H
#define REALM_BASE_STRBUF_H

#include "base/alloc.h"

struct strbuf {
    char *text; /* never NULL after strbuf_init; "" at first */
    size_t length;
    size_t capacity;
    size_t max_bytes;
    enum alloc_purpose purpose;
    bool failed;
};

/* max_bytes: of text, the zero behind it not counted; SIZE_MAX: no ceiling. */
void strbuf_init(struct strbuf *buffer, enum alloc_purpose purpose, size_t max_bytes);
void strbuf_deinit(struct strbuf *buffer);

/* False: did not fit; buffer->failed is set. */
bool strbuf_append(struct strbuf *buffer, const char *text, size_t n_bytes);
bool strbuf_append_text(struct strbuf *buffer, const char *text);
bool strbuf_append_char(struct strbuf *buffer, char c);
__attribute__((format(printf, 2, 3))) bool
strbuf_append_format(struct strbuf *buffer, const char *format, ...);
/* text as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
bool strbuf_append_json(struct strbuf *buffer, const char *text, size_t n_bytes);

/* Empties it and clears `failed`; the memory is kept. */
void strbuf_clear(struct strbuf *buffer);
/* Drops the first n bytes. */
void strbuf_consume(struct strbuf *buffer, size_t n_bytes);

#endif
