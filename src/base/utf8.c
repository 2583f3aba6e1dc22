#include "base/utf8.h"

/* What a first byte promises: length of the character and the range of its second byte (RFC 3629,
 * section 4: the table excludes overlong forms, surrogates and what lies above U+10FFFF). */
struct lead {
    uint8_t length; /* 0: cannot begin a character */
    uint8_t second_min;
    uint8_t second_max;
};

static struct lead lead_of(uint8_t byte)
{
    if (byte < 0x80) {
        return (struct lead){1, 0, 0};
    }
    if (byte < 0xC2) {
        return (struct lead){0, 0, 0};
    }
    if (byte < 0xE0) {
        return (struct lead){2, 0x80, 0xBF};
    }
    if (byte < 0xF0) {
        return (struct lead){3, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF};
    }
    if (byte < 0xF5) {
        return (struct lead){4, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF};
    }
    return (struct lead){0, 0, 0};
}

/* How many of the first n bytes fit the character that text[0] begins (0: none can). */
static size_t matching_bytes(const uint8_t *text, size_t n_bytes, struct lead lead)
{
    if (n_bytes == 0 || lead.length == 0) {
        return 0;
    }
    size_t i = 1;
    while (i < lead.length && i < n_bytes) {
        const uint8_t low = i == 1 ? lead.second_min : 0x80;
        const uint8_t high = i == 1 ? lead.second_max : 0xBF;
        if (text[i] < low || text[i] > high) {
            break;
        }
        i++;
    }
    return i;
}

size_t utf8_decode(const uint8_t *text, size_t n_bytes, uint32_t *code_point)
{
    *code_point = UTF8_REPLACEMENT;
    if (n_bytes == 0) {
        return 0;
    }
    const struct lead lead = lead_of(text[0]);
    if (lead.length == 0 || matching_bytes(text, n_bytes, lead) < lead.length) {
        return 0;
    }
    if (lead.length == 1) {
        *code_point = text[0];
        return 1;
    }
    uint32_t value = text[0] & (0x7Fu >> lead.length);
    for (size_t i = 1; i < lead.length; i++) {
        value = value << 6 | (text[i] & 0x3Fu);
    }
    *code_point = value;
    return lead.length;
}

size_t utf8_encode(uint32_t code_point, uint8_t out[4])
{
    if (code_point < 0x80) {
        out[0] = (uint8_t)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (uint8_t)(0xC0u | code_point >> 6);
        out[1] = (uint8_t)(0x80u | (code_point & 0x3Fu));
        return 2;
    }
    if (code_point < 0x10000) {
        if (code_point >= 0xD800 && code_point <= 0xDFFF) {
            return 0;
        }
        out[0] = (uint8_t)(0xE0u | code_point >> 12);
        out[1] = (uint8_t)(0x80u | (code_point >> 6 & 0x3Fu));
        out[2] = (uint8_t)(0x80u | (code_point & 0x3Fu));
        return 3;
    }
    if (code_point > 0x10FFFF) {
        return 0;
    }
    out[0] = (uint8_t)(0xF0u | code_point >> 18);
    out[1] = (uint8_t)(0x80u | (code_point >> 12 & 0x3Fu));
    out[2] = (uint8_t)(0x80u | (code_point >> 6 & 0x3Fu));
    out[3] = (uint8_t)(0x80u | (code_point & 0x3Fu));
    return 4;
}

bool utf8_valid(const uint8_t *text, size_t n_bytes)
{
    size_t i = 0;
    while (i < n_bytes) {
        uint32_t code_point;
        const size_t length = utf8_decode(text + i, n_bytes - i, &code_point);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

size_t utf8_complete_prefix(const uint8_t *text, size_t n_bytes)
{
    /* A character that is cut has its first byte among the last three. */
    for (size_t back = 1; back <= 3 && back <= n_bytes; back++) {
        const size_t start = n_bytes - back;
        if ((text[start] & 0xC0) == 0x80) {
            continue;
        }
        const struct lead lead = lead_of(text[start]);
        const bool cut = lead.length > back && matching_bytes(text + start, back, lead) == back;
        return cut ? start : n_bytes;
    }
    return n_bytes;
}
