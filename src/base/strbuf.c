#include "base/strbuf.h"

#include "base/checked.h"
#include "base/json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)64)

/* What an empty buffer points to; capacity 0 marks it, and nothing is ever written there. */
static char empty_text[1];

void strbuf_init(struct strbuf *buffer, enum alloc_purpose purpose, size_t max_bytes)
{
    *buffer = (struct strbuf){.text = empty_text, .purpose = purpose, .max_bytes = max_bytes};
}

void strbuf_deinit(struct strbuf *buffer)
{
    if (buffer->capacity > 0) {
        alloc_free(buffer->text);
    }
    strbuf_init(buffer, buffer->purpose, buffer->max_bytes);
}

/* Room for n_bytes more and the zero behind them. */
static bool strbuf_reserve(struct strbuf *buffer, size_t n_bytes)
{
    size_t length;
    if (buffer->failed || !checked_add_size(buffer->length, n_bytes, &length) ||
        length > buffer->max_bytes || length == SIZE_MAX) {
        buffer->failed = true;
        return false;
    }
    if (length < buffer->capacity) {
        return true;
    }
    size_t capacity = buffer->capacity == 0 ? FIRST_CAPACITY : buffer->capacity;
    while (capacity <= length) {
        capacity = capacity > SIZE_MAX / 2 ? length + 1 : capacity * 2;
    }
    if (buffer->max_bytes < SIZE_MAX && capacity > buffer->max_bytes + 1) {
        capacity = buffer->max_bytes + 1;
    }
    char *text =
        alloc_resize(buffer->purpose, buffer->capacity > 0 ? buffer->text : NULL, capacity);
    if (text == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->text = text;
    buffer->capacity = capacity;
    buffer->text[buffer->length] = '\0';
    return true;
}

bool strbuf_append(struct strbuf *buffer, const char *text, size_t n_bytes)
{
    if (n_bytes == 0) {
        return !buffer->failed;
    }
    if (!strbuf_reserve(buffer, n_bytes)) {
        return false;
    }
    memcpy(buffer->text + buffer->length, text, n_bytes);
    buffer->length += n_bytes;
    buffer->text[buffer->length] = '\0';
    return true;
}

bool strbuf_append_text(struct strbuf *buffer, const char *text)
{
    return strbuf_append(buffer, text, strlen(text));
}

bool strbuf_append_char(struct strbuf *buffer, char c)
{
    return strbuf_append(buffer, &c, 1);
}

bool strbuf_append_format(struct strbuf *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
    }
    const bool fits = length >= 0 && strbuf_reserve(buffer, (size_t)length);
    if (fits && length > 0) {
        (void)vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
    return fits;
}

bool strbuf_append_json(struct strbuf *buffer, const char *text, size_t n_bytes)
{
    const size_t old_length = buffer->length;
    bool fits = strbuf_append_char(buffer, '"');
    size_t i = 0;
    while (fits && i < n_bytes) {
        char escaped[JSON_TEXT_MAX_ESCAPE];
        size_t n_read;
        const size_t length =
            json_text_next((const uint8_t *)text + i, n_bytes - i, &n_read, escaped);
        fits = strbuf_append(buffer, escaped, length);
        i += n_read;
    }
    fits = fits && strbuf_append_char(buffer, '"');
    if (!fits && buffer->capacity > 0) {
        buffer->length = old_length; /* all or nothing, as in every append */
        buffer->text[old_length] = '\0';
    }
    return fits;
}

void strbuf_clear(struct strbuf *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->capacity > 0) {
        buffer->text[0] = '\0';
    }
}

void strbuf_consume(struct strbuf *buffer, size_t n_bytes)
{
    if (n_bytes == 0 || buffer->capacity == 0) {
        return;
    }
    const size_t taken = n_bytes < buffer->length ? n_bytes : buffer->length;
    memmove(buffer->text, buffer->text + taken, buffer->length - taken);
    buffer->length -= taken;
    buffer->text[buffer->length] = '\0';
}
