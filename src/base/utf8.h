/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, at most U+10FFFF. */
#ifndef REALM_BASE_UTF8_H
#define REALM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xFFFDu

/* Decodes one character at text[0..n): sets *code_point and returns its bytes (1-4).  0: invalid or
 * cut; *code_point is then UTF8_REPLACEMENT. */
size_t utf8_decode(const uint8_t *text, size_t n_bytes, uint32_t *code_point);
/* Writes 1-4 bytes; returns how many (0: not a scalar value). */
size_t utf8_encode(uint32_t code_point, uint8_t out[4]);
bool utf8_valid(const uint8_t *text, size_t n_bytes);
/* Length of the longest prefix that does not end inside a character which more bytes could
 * complete: what may be shown of a growing text. */
size_t utf8_complete_prefix(const uint8_t *text, size_t n_bytes);

#endif
