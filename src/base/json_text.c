#include "base/json_text.h"

#include "base/utf8.h"

#include <string.h>

/* The letter behind the backslash; 0: there is no short form. */
static char short_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

size_t
json_text_next(const uint8_t *text, size_t n_bytes, size_t *n_read, char out[JSON_TEXT_MAX_ESCAPE])
{
    static const char digits[] = "0123456789abcdef";
    uint32_t code_point;
    const size_t length = utf8_decode(text, n_bytes, &code_point);
    if (length == 0) {
        *n_read = 1;
        return utf8_encode(UTF8_REPLACEMENT, (uint8_t *)out);
    }
    *n_read = length;
    const char letter = short_escape(text[0]);
    if (letter != 0) {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (code_point < 0x20 || code_point == 0x7F) {
        out[0] = '\\';
        out[1] = 'u';
        out[2] = '0';
        out[3] = '0';
        out[4] = digits[code_point >> 4];
        out[5] = digits[code_point & 15];
        return 6;
    }
    memcpy(out, text, length);
    return length;
}
