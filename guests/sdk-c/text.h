/* text.h - text that is looked at, text that grows, and the memory under both.
 *
 * An instance lives for one request, so memory is only taken, never given back: it ends with the
 * instance.  A program that outgrows its memory limit is ended by the server. */
#ifndef GUEST_TEXT_H
#define GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n_bytes);
void *memmove(void *to, const void *from, size_t n_bytes);
void *memset(void *to, int byte, size_t n_bytes);
int memcmp(const void *left, const void *right, size_t n_bytes);

/* Zeroed bytes, aligned for anything. */
void *guest_allocate(size_t n_bytes);

/* A stretch of bytes that somebody else keeps. */
struct text {
    const char *data;
    size_t length;
};

#define TEXT(literal) ((struct text){.data = (literal), .length = sizeof(literal) - 1})
#define NOT_FOUND     SIZE_MAX

/* Of a string that ends with a zero byte. */
struct text text_of(const char *string);
bool text_equal(struct text left, struct text right);
/* Where the needle begins for the first time, or NOT_FOUND. */
size_t text_find(struct text text, struct text needle);
/* Without blanks and line ends at both ends. */
struct text text_trim(struct text text);

/* Text that grows; zero value: empty. */
struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

/* Room for n_bytes more, which the caller then writes: `length` has grown. */
char *buffer_grow(struct buffer *buffer, size_t n_bytes);
void buffer_text(struct buffer *buffer, struct text text);
void buffer_string(struct buffer *buffer, const char *string);
/* As a JSON string, quotes and all. */
void buffer_json(struct buffer *buffer, struct text text);
void buffer_integer(struct buffer *buffer, int64_t value);
/* With six decimals; null where it is no number. */
void buffer_decimal(struct buffer *buffer, double value);
struct text buffer_view(const struct buffer *buffer);

#endif
