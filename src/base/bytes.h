/* A view of bytes somebody else owns, and a cursor that reads little-endian numbers from it and
 * never past its end. */
#ifndef REALM_BASE_BYTES_H
#define REALM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t length;
};

struct byte_cursor {
    struct bytes bytes;
    size_t position; /* <= bytes.length always */
};

static inline size_t byte_cursor_left(const struct byte_cursor *cursor)
{
    return cursor->bytes.length - cursor->position;
}

/* False: fewer than n bytes left; nothing has moved. */
static inline bool byte_cursor_take(struct byte_cursor *cursor, size_t n, struct bytes *out)
{
    if (n > byte_cursor_left(cursor)) {
        return false;
    }
    out->data = cursor->bytes.data + cursor->position;
    out->length = n;
    cursor->position += n;
    return true;
}

static inline bool byte_cursor_u8(struct byte_cursor *cursor, uint8_t *out)
{
    struct bytes taken;
    if (!byte_cursor_take(cursor, 1, &taken)) {
        return false;
    }
    *out = taken.data[0];
    return true;
}

static inline bool byte_cursor_u16(struct byte_cursor *cursor, uint16_t *out)
{
    struct bytes taken;
    if (!byte_cursor_take(cursor, 2, &taken)) {
        return false;
    }
    *out = (uint16_t)(taken.data[0] | taken.data[1] << 8);
    return true;
}

static inline bool byte_cursor_u32(struct byte_cursor *cursor, uint32_t *out)
{
    struct bytes taken;
    if (!byte_cursor_take(cursor, 4, &taken)) {
        return false;
    }
    *out = (uint32_t)taken.data[0] | (uint32_t)taken.data[1] << 8 | (uint32_t)taken.data[2] << 16 |
           (uint32_t)taken.data[3] << 24;
    return true;
}

static inline bool byte_cursor_u64(struct byte_cursor *cursor, uint64_t *out)
{
    uint32_t low;
    uint32_t high;
    if (byte_cursor_left(cursor) < 8 || !byte_cursor_u32(cursor, &low) ||
        !byte_cursor_u32(cursor, &high)) {
        return false;
    }
    *out = (uint64_t)high << 32 | low;
    return true;
}

#endif
