/* Text as the inside of a JSON string, one character at a time, for writers with their own buffer.
 */
#ifndef REALM_BASE_JSON_TEXT_H
#define REALM_BASE_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define JSON_TEXT_MAX_ESCAPE 8

/* Writes the next character of text[0..n_bytes), n_bytes > 0, escaped as RFC 8259 wants it, to out;
 * a byte that is not UTF-8 becomes U+FFFD.  Returns the bytes written; *n_read: bytes taken. */
size_t
json_text_next(const uint8_t *text, size_t n_bytes, size_t *n_read, char out[JSON_TEXT_MAX_ESCAPE]);

#endif
