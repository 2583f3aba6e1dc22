#include "json.h"

static const struct text nothing = {.data = "", .length = 0};

static struct text from(struct text text, size_t at)
{
    return (struct text){.data = text.data + at, .length = text.length - at};
}

static struct text first(struct text text, size_t length)
{
    return (struct text){.data = text.data, .length = length};
}

/* Length of the string that text begins with, quotes and all; 0: it does not end. */
static size_t string_length(struct text text)
{
    for (size_t at = 1; at < text.length; at++) {
        if (text.data[at] == '\\') {
            at++;
        } else if (text.data[at] == '"') {
            return at + 1;
        }
    }
    return 0;
}

static bool ends_scalar(char c)
{
    return c == ',' || c == ']' || c == '}' || c == ':' || c == ' ' || c == '\n' || c == '\r' ||
           c == '\t';
}

static size_t scalar_length(struct text text)
{
    size_t at = 0;
    while (at < text.length && !ends_scalar(text.data[at])) {
        at++;
    }
    return at;
}

/* Length of the value that text begins with; 0: there is none. */
static size_t value_length(struct text text)
{
    size_t depth = 0;
    size_t at = 0;
    do {
        const char c = at < text.length ? text.data[at] : '\0';
        size_t n = 1;
        if (c == '"') {
            n = string_length(from(text, at));
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return 0;
            }
            depth--;
        } else if (depth == 0) {
            n = scalar_length(from(text, at));
        }
        if (n == 0 || at >= text.length) {
            return 0;
        }
        at += n;
    } while (depth > 0);
    return at;
}

/* Takes the value that *rest begins with, and a comma or colon behind it. */
static struct text take(struct text *rest)
{
    const struct text text = text_trim(*rest);
    const struct text value = first(text, value_length(text));
    *rest = text_trim(from(text, value.length));
    if (value.length > 0 && rest->length > 0 && (rest->data[0] == ',' || rest->data[0] == ':')) {
        *rest = from(*rest, 1);
    }
    return value;
}

static struct text inside(struct text value, char open)
{
    const struct text text = text_trim(value);
    return text.length > 0 && text.data[0] == open ? from(text, 1) : nothing;
}

struct text json_member(struct text object, const char *name)
{
    struct text rest = inside(object, '{');
    for (;;) {
        const struct text key = take(&rest);
        const struct text value = take(&rest);
        if (value.length == 0) {
            return nothing;
        }
        if (key.data[0] == '"' && text_equal(json_string(key), text_of(name))) {
            return value;
        }
    }
}

struct text json_items(struct text array)
{
    return inside(array, '[');
}

bool json_next(struct text *rest, struct text *item)
{
    *item = take(rest);
    return item->length > 0;
}

/* --- strings -----------------------------------------------------------------------------------
 */

static void put_utf8(struct buffer *out, uint32_t point)
{
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    const size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    char *bytes = buffer_grow(out, n);
    for (size_t i = n - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    bytes[0] = (char)(n == 1 ? point : marks[n] | point);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The four digits behind "\u"; 0xFFFD where there are none. */
static uint32_t four_digits(struct text text)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        const int digit = i < text.length ? digit_of(text.data[i]) : -1;
        if (digit < 0) {
            return 0xFFFD;
        }
        value = value << 4 | (uint32_t)digit;
    }
    return value;
}

/* text is behind "\u".  Result: how many bytes of it were read. */
static size_t put_escaped_point(struct buffer *out, struct text text)
{
    uint32_t point = four_digits(text);
    size_t n = 4;
    if (point >= 0xD800 && point < 0xDC00 && text.length >= 10 && text.data[4] == '\\' &&
        text.data[5] == 'u') {
        const uint32_t low = four_digits(from(text, 6));
        if (low >= 0xDC00 && low < 0xE000) {
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
            n = 10;
        }
    }
    put_utf8(out, point >= 0xD800 && point < 0xE000 ? 0xFFFD : point);
    return n < text.length ? n : text.length;
}

static char plain_escape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    default:
        return c;
    }
}

struct text json_string(struct text value)
{
    const struct text text = text_trim(value);
    const size_t length = text.length > 0 && text.data[0] == '"' ? string_length(text) : 0;
    struct buffer out = {.data = NULL};
    for (size_t at = 1; at + 1 < length; at++) {
        if (text.data[at] != '\\') {
            *buffer_grow(&out, 1) = text.data[at];
        } else if (text.data[++at] == 'u') {
            at += put_escaped_point(&out, first(from(text, at + 1), length - at - 2));
        } else {
            *buffer_grow(&out, 1) = plain_escape(text.data[at]);
        }
    }
    return out.length > 0 ? buffer_view(&out) : nothing;
}

/* --- numbers -----------------------------------------------------------------------------------
 */

static size_t read_digits(struct text text, size_t at, double *value)
{
    while (at < text.length && text.data[at] >= '0' && text.data[at] <= '9') {
        *value = *value * 10 + (text.data[at] - '0');
        at++;
    }
    return at;
}

static double power_of_ten(int exponent)
{
    double power = 1;
    for (int i = exponent < 0 ? -exponent : exponent; i > 0; i--) {
        power *= 10;
    }
    return exponent < 0 ? 1 / power : power;
}

static int read_exponent(struct text text, size_t at)
{
    const bool negative = at < text.length && text.data[at] == '-';
    double value = 0;
    if (at < text.length && (text.data[at] == '-' || text.data[at] == '+')) {
        at++;
    }
    (void)read_digits(text, at, &value);
    const int exponent = value < 400 ? (int)value : 400;
    return negative ? -exponent : exponent;
}

double json_number(struct text value, double otherwise)
{
    const struct text text = text_trim(value);
    const bool negative = text.length > 0 && text.data[0] == '-';
    const size_t begin = negative ? 1 : 0;
    double number = 0;
    size_t at = read_digits(text, begin, &number);
    if (at == begin) {
        return otherwise;
    }
    int exponent = 0;
    if (at < text.length && text.data[at] == '.') {
        const size_t point = at + 1;
        at = read_digits(text, point, &number);
        exponent = -(int)(at - point);
    }
    if (at < text.length && (text.data[at] | 0x20) == 'e') {
        exponent += read_exponent(text, at + 1);
    }
    number *= power_of_ten(exponent);
    return negative ? -number : number;
}

bool json_is_true(struct text value)
{
    return text_equal(text_trim(value), TEXT("true"));
}
