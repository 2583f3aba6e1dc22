#include "cli/edit_line.h"

#include "base/utf8.h"

#include <string.h>

#define MAX_LINE_BYTES ((size_t)1 << 20)

void edit_line_init(struct edit_line *line)
{
    strbuf_init(&line->text, ALLOC_BASE, MAX_LINE_BYTES);
    line->cursor = 0;
}

void edit_line_deinit(struct edit_line *line)
{
    strbuf_deinit(&line->text);
}

void edit_line_set(struct edit_line *line, const char *text)
{
    strbuf_clear(&line->text);
    strbuf_append_text(&line->text, text);
    line->cursor = line->text.length;
}

bool edit_line_insert(struct edit_line *line, const char *text, size_t n_bytes)
{
    struct strbuf *const buffer = &line->text;
    const size_t n_behind = buffer->length - line->cursor;
    if (!strbuf_append(buffer, text, n_bytes)) {
        buffer->failed = false; /* the line stays as it was and can be edited on */
        return false;
    }
    memmove(buffer->text + line->cursor + n_bytes, buffer->text + line->cursor, n_behind);
    memcpy(buffer->text + line->cursor, text, n_bytes);
    line->cursor += n_bytes;
    return true;
}

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0U) == 0x80U;
}

size_t edit_line_left(const struct edit_line *line)
{
    size_t at = line->cursor;
    if (at > 0) {
        at--;
    }
    while (at > 0 && continues(line->text.text[at])) {
        at--;
    }
    return at;
}

size_t edit_line_right(const struct edit_line *line)
{
    size_t at = line->cursor;
    if (at < line->text.length) {
        at++;
    }
    while (at < line->text.length && continues(line->text.text[at])) {
        at++;
    }
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

size_t edit_line_word_left(const struct edit_line *line)
{
    size_t at = line->cursor;
    while (at > 0 && is_blank(line->text.text[at - 1])) {
        at--;
    }
    while (at > 0 && !is_blank(line->text.text[at - 1])) {
        at--;
    }
    return at;
}

size_t edit_line_word_right(const struct edit_line *line)
{
    size_t at = line->cursor;
    while (at < line->text.length && is_blank(line->text.text[at])) {
        at++;
    }
    while (at < line->text.length && !is_blank(line->text.text[at])) {
        at++;
    }
    return at;
}

void edit_line_erase(struct edit_line *line, size_t to)
{
    struct strbuf *const buffer = &line->text;
    const size_t begin = to < line->cursor ? to : line->cursor;
    const size_t end = to < line->cursor ? line->cursor : to;
    memmove(buffer->text + begin, buffer->text + end, buffer->length - end + 1);
    buffer->length -= end - begin;
    line->cursor = begin;
}

/* Ranges of Unicode's East Asian Width (W, F) and of combining marks, coarse: a wrong column only
 * misplaces the cursor on the screen. */
static size_t columns_of(uint32_t c)
{
    static const struct {
        uint32_t first;
        uint32_t last;
        size_t columns;
    } ranges[] = {
        {0x0300, 0x036f, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05bd, 0},   {0x064b, 0x065f, 0},
        {0x0e31, 0x0e31, 0},   {0x0e34, 0x0e3a, 0},   {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},
        {0x1dc0, 0x1dff, 0},   {0x200b, 0x200f, 0},   {0x20d0, 0x20ff, 0},   {0x2e80, 0x303e, 2},
        {0x3041, 0xa4cf, 2},   {0xa960, 0xa97f, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},
        {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},
        {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0] && c >= ranges[i].first; i++) {
        if (c <= ranges[i].last) {
            return ranges[i].columns;
        }
    }
    return 1;
}

/* Bytes of the character at text[0], and its columns. */
static size_t next_character(const char *text, size_t n_bytes, size_t *columns)
{
    uint32_t c;
    const size_t n = utf8_decode((const uint8_t *)text, n_bytes, &c);
    *columns = columns_of(c);
    return n > 0 ? n : 1;
}

size_t edit_line_columns(const char *text, size_t n_bytes)
{
    size_t sum = 0;
    size_t columns;
    for (size_t i = 0; i < n_bytes; sum += columns) {
        i += next_character(text + i, n_bytes - i, &columns);
    }
    return sum;
}

size_t edit_line_fit_begin(const char *text, size_t n_bytes, size_t columns)
{
    size_t at = 0;
    size_t sum = 0;
    while (at < n_bytes) {
        size_t width;
        const size_t n = next_character(text + at, n_bytes - at, &width);
        if (sum + width > columns) {
            break;
        }
        sum += width;
        at += n;
    }
    return at;
}

size_t edit_line_fit_end(const char *text, size_t n_bytes, size_t columns)
{
    size_t left = edit_line_columns(text, n_bytes);
    size_t at = 0;
    while (left > columns) {
        size_t width;
        at += next_character(text + at, n_bytes - at, &width);
        left -= width;
    }
    return at;
}
