#include "base/json_scan.h"

#include "base/utf8.h"

#include <stdlib.h>

#define MAX_NUMBER_BYTES 48

static bool wrong(struct json_scan *scan, const char *what)
{
    scan->wrong = scan->wrong != NULL ? scan->wrong : what;
    return false;
}

/* The next byte that is no blank; 0: the end. */
static uint8_t peek(struct json_scan *scan)
{
    while (scan->at < scan->text.length) {
        const uint8_t c = scan->text.data[scan->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return c;
        }
        scan->at++;
    }
    return 0;
}

static bool take(struct json_scan *scan, uint8_t wanted)
{
    if (scan->wrong != NULL || peek(scan) != wanted) {
        return false;
    }
    scan->at++;
    return true;
}

bool json_scan_object(struct json_scan *scan)
{
    return take(scan, '{') || wrong(scan, "an object is missing");
}

bool json_scan_array(struct json_scan *scan)
{
    return take(scan, '[') || wrong(scan, "an array is missing");
}

/* --- strings -----------------------------------------------------------------------------------
 */

struct text_out {
    char *bytes;
    size_t capacity; /* with the zero byte; 0: nothing is kept */
    size_t length;   /* of the whole, kept or not */
};

static void put(struct text_out *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (out->length + 1 < out->capacity) {
            out->bytes[out->length] = (char)bytes[i];
        }
        out->length++;
    }
}

static bool read_hex(struct json_scan *scan, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        const uint8_t c = scan->at < scan->text.length ? scan->text.data[scan->at++] : 0;
        if (c >= '0' && c <= '9') {
            *out = *out << 4 | (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            *out = *out << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return wrong(scan, "an escape is not four hexadecimal digits");
        }
    }
    return true;
}

/* Behind "\u". */
static bool read_code_point(struct json_scan *scan, struct text_out *out)
{
    uint32_t code;
    uint32_t low;
    uint8_t bytes[4];
    if (!read_hex(scan, &code)) {
        return false;
    }
    if (code >= 0xD800 && code < 0xDC00) {
        if (scan->text.length - scan->at < 2 || scan->text.data[scan->at] != '\\' ||
            scan->text.data[scan->at + 1] != 'u') {
            return wrong(scan, "half a surrogate pair");
        }
        scan->at += 2;
        if (!read_hex(scan, &low) || low < 0xDC00 || low > 0xDFFF) {
            return wrong(scan, "half a surrogate pair");
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    const size_t n = code != 0 ? utf8_encode(code, bytes) : 0;
    if (n == 0) {
        return wrong(scan, "an escape is no character");
    }
    put(out, bytes, n);
    return true;
}

static bool read_escape(struct json_scan *scan, struct text_out *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const uint8_t c = scan->at < scan->text.length ? scan->text.data[scan->at++] : 0;
    if (c == 'u') {
        return read_code_point(scan, out);
    }
    const char *const found = c != 0 ? strchr(from, c) : NULL;
    if (found == NULL) {
        return wrong(scan, "an unknown escape");
    }
    put(out, (const uint8_t *)&to[found - from], 1);
    return true;
}

static bool read_string(struct json_scan *scan, struct text_out *out)
{
    if (!take(scan, '"')) {
        return wrong(scan, "a string is missing");
    }
    while (scan->at < scan->text.length) {
        const uint8_t *const here = scan->text.data + scan->at;
        uint32_t code;
        const size_t n = utf8_decode(here, scan->text.length - scan->at, &code);
        if (n == 0 || code < 0x20) {
            return wrong(scan, "a control character or bad UTF-8 in a string");
        }
        scan->at += n;
        if (code == '"') {
            if (out->capacity > 0) {
                out->bytes[out->length < out->capacity ? out->length : out->capacity - 1] = '\0';
            }
            return true;
        }
        if (code != '\\') {
            put(out, here, n);
        } else if (!read_escape(scan, out)) {
            return false;
        }
    }
    return wrong(scan, "a string without an end");
}

bool json_scan_string(struct json_scan *scan, char *out, size_t capacity)
{
    struct text_out text = {.bytes = out, .capacity = capacity};
    if (!read_string(scan, &text)) {
        return false;
    }
    return text.length < capacity || wrong(scan, "a string is too long");
}

/* --- walking -----------------------------------------------------------------------------------
 */

/* Behind an item or before the first one. */
static bool next(struct json_scan *scan, bool *first, uint8_t end)
{
    if (take(scan, end)) {
        return false;
    }
    if (!*first && !take(scan, ',')) {
        return wrong(scan, "a comma or an end is missing");
    }
    *first = false;
    return scan->wrong == NULL;
}

bool json_scan_member(struct json_scan *scan, bool *first, char *key, size_t capacity)
{
    struct text_out text = {.bytes = key, .capacity = capacity};
    if (!next(scan, first, '}') || !read_string(scan, &text)) {
        return false;
    }
    return take(scan, ':') || wrong(scan, "a colon is missing");
}

bool json_scan_item(struct json_scan *scan, bool *first)
{
    return next(scan, first, ']');
}

/* --- other values ------------------------------------------------------------------------------
 */

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* JSON's grammar, which strtod's is wider than. */
static bool is_number(const char *text)
{
    text += *text == '-';
    const size_t whole = count_digits(text);
    if (whole == 0 || (text[0] == '0' && whole > 1)) {
        return false;
    }
    text += whole;
    if (*text == '.') {
        const size_t part = count_digits(++text);
        if (part == 0) {
            return false;
        }
        text += part;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        const size_t exponent = count_digits(text);
        if (exponent == 0) {
            return false;
        }
        text += exponent;
    }
    return *text == '\0';
}

static bool is_letter_of_numbers(uint8_t c)
{
    return c != 0 && strchr("0123456789+-.eE", c) != NULL;
}

/* The number's letters, zero-terminated. */
static bool read_number(struct json_scan *scan, char out[MAX_NUMBER_BYTES])
{
    size_t n = 0;
    if (scan->wrong != NULL) {
        return false;
    }
    (void)peek(scan);
    while (scan->at < scan->text.length && n < MAX_NUMBER_BYTES - 1 &&
           is_letter_of_numbers(scan->text.data[scan->at])) {
        out[n++] = (char)scan->text.data[scan->at++];
    }
    out[n] = '\0';
    return is_number(out) || wrong(scan, "a number is missing, or too long");
}

bool json_scan_number(struct json_scan *scan, double *out)
{
    char text[MAX_NUMBER_BYTES];
    if (!read_number(scan, text)) {
        return false;
    }
    *out = strtod(text, NULL);
    return true;
}

bool json_scan_u64(struct json_scan *scan, uint64_t *out)
{
    char text[MAX_NUMBER_BYTES];
    if (!read_number(scan, text)) {
        return false;
    }
    const size_t n = strlen(text);
    if (n > 19 || count_digits(text) != n) {
        return wrong(scan, "a whole number of up to 19 digits is missing");
    }
    *out = strtoull(text, NULL, 10);
    return true;
}

static bool take_word(struct json_scan *scan, const char *word)
{
    const size_t n = strlen(word);
    if (scan->wrong != NULL || peek(scan) != (uint8_t)word[0] || scan->text.length - scan->at < n ||
        memcmp(scan->text.data + scan->at, word, n) != 0) {
        return false;
    }
    scan->at += n;
    return true;
}

bool json_scan_bool(struct json_scan *scan, bool *out)
{
    *out = take_word(scan, "true");
    return *out || take_word(scan, "false") || wrong(scan, "true or false is missing");
}

bool json_scan_null(struct json_scan *scan)
{
    return take_word(scan, "null");
}

static bool skip_scalar(struct json_scan *scan)
{
    struct text_out nowhere = {.capacity = 0};
    double number;
    bool flag;
    switch (peek(scan)) {
    case '"':
        return read_string(scan, &nowhere);
    case 't':
    case 'f':
        return json_scan_bool(scan, &flag);
    case 'n':
        return json_scan_null(scan) || wrong(scan, "a value is missing");
    default:
        return json_scan_number(scan, &number);
    }
}

/* By hand rather than by recursion: the depth is the stranger's to choose. */
bool json_scan_skip(struct json_scan *scan)
{
    uint8_t ends[JSON_SCAN_MAX_DEPTH];
    bool first[JSON_SCAN_MAX_DEPTH];
    uint32_t depth = 0;
    for (;;) {
        const uint8_t c = peek(scan);
        if (scan->wrong != NULL) {
            return false;
        }
        if (c == '{' || c == '[') {
            if (depth == JSON_SCAN_MAX_DEPTH) {
                return wrong(scan, "values lie too deep inside each other");
            }
            scan->at++;
            ends[depth] = c == '{' ? '}' : ']';
            first[depth++] = true;
        } else if (!skip_scalar(scan)) {
            return false;
        }
        /* To the next value, out of all that ends here. */
        for (;; depth--) {
            if (depth == 0) {
                return true;
            }
            const uint8_t end = ends[depth - 1];
            const bool more = end == '}' ? json_scan_member(scan, &first[depth - 1], NULL, 0)
                                         : json_scan_item(scan, &first[depth - 1]);
            if (scan->wrong != NULL) {
                return false;
            }
            if (more) {
                break;
            }
        }
    }
}

bool json_scan_end(struct json_scan *scan)
{
    return scan->wrong == NULL && (peek(scan) == 0 && scan->at == scan->text.length
                                       ? true
                                       : wrong(scan, "something follows the value"));
}
