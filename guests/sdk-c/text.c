#include "text.h"

struct text text_of(const char *string)
{
    size_t length = 0;
    while (string[length] != '\0') {
        length++;
    }
    return (struct text){.data = string, .length = length};
}

bool text_equal(struct text left, struct text right)
{
    return left.length == right.length && memcmp(left.data, right.data, left.length) == 0;
}

size_t text_find(struct text text, struct text needle)
{
    for (size_t at = 0; needle.length <= text.length - at; at++) {
        if (memcmp(text.data + at, needle.data, needle.length) == 0) {
            return at;
        }
        if (at == text.length) {
            break;
        }
    }
    return NOT_FOUND;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

struct text text_trim(struct text text)
{
    while (text.length > 0 && is_blank(text.data[0])) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && is_blank(text.data[text.length - 1])) {
        text.length--;
    }
    return text;
}

/* --- text that grows ---------------------------------------------------------------------------
 */

char *buffer_grow(struct buffer *buffer, size_t n_bytes)
{
    if (n_bytes > buffer->capacity - buffer->length) {
        size_t capacity = buffer->capacity == 0 ? 256 : 2 * buffer->capacity;
        if (capacity < buffer->length + n_bytes) {
            capacity = buffer->length + n_bytes;
        }
        char *data = guest_allocate(capacity);
        memcpy(data, buffer->data, buffer->length);
        buffer->data = data;
        buffer->capacity = capacity;
    }
    char *room = buffer->data + buffer->length;
    buffer->length += n_bytes;
    return room;
}

void buffer_text(struct buffer *buffer, struct text text)
{
    memcpy(buffer_grow(buffer, text.length), text.data, text.length);
}

void buffer_string(struct buffer *buffer, const char *string)
{
    buffer_text(buffer, text_of(string));
}

static void escape(struct buffer *buffer, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    const char code[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    buffer_text(buffer, (struct text){.data = code, .length = sizeof(code)});
}

void buffer_json(struct buffer *buffer, struct text text)
{
    buffer_string(buffer, "\"");
    for (size_t i = 0; i < text.length; i++) {
        const unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20) {
            escape(buffer, c);
            continue;
        }
        if (c == '"' || c == '\\') {
            *buffer_grow(buffer, 1) = '\\';
        }
        *buffer_grow(buffer, 1) = (char)c;
    }
    buffer_string(buffer, "\"");
}

static void digits_of(struct buffer *buffer, uint64_t value, int at_least)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 || n < at_least);
    while (n > 0) {
        *buffer_grow(buffer, 1) = digits[--n];
    }
}

void buffer_integer(struct buffer *buffer, int64_t value)
{
    if (value < 0) {
        buffer_string(buffer, "-");
    }
    digits_of(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
}

void buffer_decimal(struct buffer *buffer, double value)
{
    if (!(value > -1e12 && value < 1e12)) { /* NaN too */
        buffer_string(buffer, "null");
        return;
    }
    if (value < 0) {
        buffer_string(buffer, "-");
        value = -value;
    }
    const uint64_t millionths = (uint64_t)(value * 1e6 + 0.5);
    digits_of(buffer, millionths / 1000000, 1);
    buffer_string(buffer, ".");
    digits_of(buffer, millionths % 1000000, 6);
}

struct text buffer_view(const struct buffer *buffer)
{
    return (struct text){.data = buffer->data, .length = buffer->length};
}
