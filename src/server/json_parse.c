/* JSON text to jansson's values (RFC 8259).  jansson has a parser, but one that aborts or reads too
 * far when memory runs out in the middle of a token; here every byte comes from a stranger. */
#include "base/strbuf.h"
#include "base/utf8.h"
#include "server/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBER_LENGTH 127u

struct parser {
    const uint8_t *text;
    size_t n_bytes;
    size_t at;
    json_t *root;                 /* owns all there is so far */
    json_t *open[JSON_MAX_DEPTH]; /* containers around `at`, outermost first; borrowed */
    uint32_t depth;
    json_t *key;          /* of the member whose value comes next */
    struct strbuf string; /* of the string read last */
    const char *wrong;    /* what is wrong at `at`; NULL: memory has run out */
};

static bool fail(struct parser *parser, const char *wrong)
{
    parser->wrong = wrong;
    return false;
}

static int peek(const struct parser *parser)
{
    return parser->at < parser->n_bytes ? parser->text[parser->at] : -1;
}

static void skip_space(struct parser *parser)
{
    int c;
    while ((c = peek(parser)) == ' ' || c == '\t' || c == '\n' || c == '\r') {
        parser->at++;
    }
}

/* --- strings ------------------------------------------------------------------------------------
 */

/* Four hexadecimal digits; UINT32_MAX: they are none. */
static uint32_t read_hex(struct parser *parser)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, parser->at++) {
        const int c = peek(parser);
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            return UINT32_MAX;
        }
        value = value * 16 + (uint32_t)digit;
    }
    return value;
}

/* Behind \u. */
static bool read_code_point(struct parser *parser)
{
    uint8_t bytes[4];
    uint32_t code_point = read_hex(parser);
    if (code_point == 0) {
        return fail(parser, "\\u0000 is not supported");
    }
    if (code_point >= 0xD800 && code_point < 0xDC00 && peek(parser) == '\\') {
        parser->at++;
        if (peek(parser) != 'u') {
            return fail(parser, "half a surrogate pair");
        }
        parser->at++;
        const uint32_t low = read_hex(parser);
        if (low < 0xDC00 || low >= 0xE000) {
            return fail(parser, "half a surrogate pair");
        }
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
    }
    const size_t n = utf8_encode(code_point, bytes);
    if (n == 0) {
        return fail(parser, "\\u needs four hexadecimal digits of a character");
    }
    return strbuf_append(&parser->string, (const char *)bytes, n);
}

static bool read_escape(struct parser *parser)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    parser->at++;
    const int c = peek(parser);
    if (c == 'u') {
        parser->at++;
        return read_code_point(parser);
    }
    const char *const found = c > 0 ? strchr(from, c) : NULL;
    if (found == NULL) {
        return fail(parser, "an escape that JSON does not have");
    }
    parser->at++;
    return strbuf_append(&parser->string, &to[found - from], 1);
}

/* Bytes of the string that mean themselves. */
static bool read_plain(struct parser *parser)
{
    const size_t begin = parser->at;
    int c;
    while ((c = peek(parser)) >= ' ' && c != '"' && c != '\\') {
        uint32_t code_point;
        const size_t n =
            c < 0x80
                ? 1
                : utf8_decode(parser->text + parser->at, parser->n_bytes - parser->at, &code_point);
        if (n == 0) {
            return fail(parser, "bytes that are no UTF-8");
        }
        parser->at += n;
    }
    return strbuf_append(&parser->string, (const char *)parser->text + begin, parser->at - begin);
}

/* From quote to quote, as a value of its own; NULL: failed. */
static json_t *read_string(struct parser *parser)
{
    if (peek(parser) != '"') {
        (void)fail(parser, "a string is expected");
        return NULL;
    }
    parser->at++;
    strbuf_clear(&parser->string);
    for (;;) {
        const int c = peek(parser);
        if (c == '"') {
            parser->at++;
            return json_stringn_nocheck(parser->string.length > 0 ? parser->string.text : "",
                                        parser->string.length);
        }
        if (c < ' ') {
            (void)fail(parser,
                       c < 0 ? "the text ends within a string"
                             : "a control character within a string");
            return NULL;
        }
        if (c == '\\' ? !read_escape(parser) : !read_plain(parser)) {
            return NULL;
        }
    }
}

/* --- numbers and words --------------------------------------------------------------------------
 */

static size_t skip_digits(struct parser *parser)
{
    const size_t begin = parser->at;
    while (peek(parser) >= '0' && peek(parser) <= '9') {
        parser->at++;
    }
    return parser->at - begin;
}

/* Walks over one number; *whole: it has neither fraction nor exponent. */
static bool skip_number(struct parser *parser, bool *whole)
{
    *whole = true;
    parser->at += peek(parser) == '-';
    const bool zero = peek(parser) == '0';
    const size_t n_digits = skip_digits(parser);
    if (n_digits == 0 || (zero && n_digits > 1)) {
        return fail(parser, "a number that JSON does not have");
    }
    if (peek(parser) == '.') {
        *whole = false;
        parser->at++;
        if (skip_digits(parser) == 0) {
            return fail(parser, "a number that JSON does not have");
        }
    }
    if (peek(parser) == 'e' || peek(parser) == 'E') {
        *whole = false;
        parser->at++;
        parser->at += peek(parser) == '+' || peek(parser) == '-';
        if (skip_digits(parser) == 0) {
            return fail(parser, "a number that JSON does not have");
        }
    }
    return true;
}

static bool read_whole(const char *text, json_int_t *out)
{
    const bool negative = text[0] == '-';
    json_int_t value = 0;
    for (const char *c = text + negative; *c != '\0'; c++) {
        const json_int_t digit = negative ? -(*c - '0') : *c - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

static json_t *read_number(struct parser *parser)
{
    char text[MAX_NUMBER_LENGTH + 1];
    bool whole;
    json_int_t integer;
    const size_t begin = parser->at;
    if (!skip_number(parser, &whole)) {
        return NULL;
    }
    const size_t n = parser->at - begin;
    if (n > MAX_NUMBER_LENGTH) {
        (void)fail(parser, "a number of too many digits");
        return NULL;
    }
    memcpy(text, parser->text + begin, n);
    text[n] = '\0';
    if (whole) {
        if (!read_whole(text, &integer)) {
            (void)fail(parser, "a whole number of more than 64 bits");
            return NULL;
        }
        return json_integer(integer);
    }
    const double real = strtod(text, NULL); /* the locale is C: nobody sets another */
    if (!isfinite(real)) {
        (void)fail(parser, "a number that is too large");
        return NULL;
    }
    return json_real(real);
}

static bool skip_word(struct parser *parser, const char *word)
{
    const size_t n = strlen(word);
    if (parser->n_bytes - parser->at < n || memcmp(parser->text + parser->at, word, n) != 0) {
        return false;
    }
    parser->at += n;
    return true;
}

static json_t *read_word(struct parser *parser)
{
    if (skip_word(parser, "true")) {
        return json_true();
    }
    if (skip_word(parser, "false")) {
        return json_false();
    }
    if (skip_word(parser, "null")) {
        return json_null();
    }
    (void)fail(parser, peek(parser) < 0 ? "the text ends too early" : "no value begins so");
    return NULL;
}

/* --- structure ----------------------------------------------------------------------------------
 */

static json_t *read_value(struct parser *parser)
{
    const int c = peek(parser);
    if (c == '{' || c == '[') {
        if (parser->depth == JSON_MAX_DEPTH) {
            (void)fail(parser, JSON_TOO_DEEP);
            return NULL;
        }
        parser->at++;
        return c == '{' ? json_object() : json_array();
    }
    if (c == '"') {
        return read_string(parser);
    }
    return c == '-' || (c >= '0' && c <= '9') ? read_number(parser) : read_word(parser);
}

/* Gives the value to what it is in; containers are then open. */
static bool attach(struct parser *parser, json_t *value)
{
    json_t *const parent = parser->depth > 0 ? parser->open[parser->depth - 1] : NULL;
    int failed = 0;
    if (parent == NULL) {
        parser->root = value;
    } else if (json_is_array(parent)) {
        failed = json_array_append_new(parent, value);
    } else {
        failed = json_object_set_new_nocheck(parent, json_string_value(parser->key), value);
        json_decref(parser->key);
        parser->key = NULL;
    }
    if (failed == 0 && (json_is_object(value) || json_is_array(value))) {
        parser->open[parser->depth++] = value;
    }
    return failed == 0;
}

/* Within an object: "key" and colon. */
static bool read_key(struct parser *parser)
{
    const json_t *const parent = parser->open[parser->depth - 1];
    if (!json_is_object(parent)) {
        return true;
    }
    skip_space(parser);
    parser->key = read_string(parser);
    if (parser->key == NULL) {
        return false;
    }
    if (json_object_get(parent, json_string_value(parser->key)) != NULL) {
        return fail(parser, JSON_DUPLICATE);
    }
    skip_space(parser);
    if (peek(parser) != ':') {
        return fail(parser, "a colon is expected");
    }
    parser->at++;
    return true;
}

static bool closes(const struct parser *parser)
{
    return peek(parser) == (json_is_object(parser->open[parser->depth - 1]) ? '}' : ']');
}

/* Up to where the next value begins, or with depth 0 to the end.  fresh: a container was opened
 * just now. */
static bool read_between(struct parser *parser, bool fresh)
{
    while (parser->depth > 0) {
        skip_space(parser);
        if (closes(parser)) {
            parser->at++;
            parser->depth--;
        } else if (fresh) {
            return read_key(parser);
        } else if (peek(parser) == ',') {
            parser->at++;
            return read_key(parser);
        } else {
            return fail(parser,
                        peek(parser) < 0 ? "the text ends too early"
                                         : "a comma or the end of what is open is expected");
        }
        fresh = false;
    }
    return true;
}

static bool parse(struct parser *parser)
{
    do {
        skip_space(parser);
        json_t *const value = read_value(parser);
        const uint32_t depth = parser->depth;
        if (value == NULL || !attach(parser, value) ||
            !read_between(parser, parser->depth > depth)) {
            return false;
        }
    } while (parser->depth > 0);
    skip_space(parser);
    return parser->at == parser->n_bytes || fail(parser, "something follows the end");
}

static realm_status refuse(const struct parser *parser, struct problem *problem)
{
    uint32_t line = 1;
    uint32_t column = 1;
    for (size_t i = 0; i < parser->at && i < parser->n_bytes; i++) {
        column = parser->text[i] == '\n' ? 1 : column + 1;
        line += parser->text[i] == '\n';
    }
    const bool duplicate = parser->wrong != NULL && strcmp(parser->wrong, JSON_DUPLICATE) == 0;
    return parser->wrong == NULL
               ? problem_set(problem, REALM_OUT_OF_MEMORY, "", "no memory for the body")
               : problem_set(problem,
                             REALM_INVALID_ARGUMENT,
                             "",
                             "the body is no valid JSON: line %u, column %u: %s%s%.60s%s",
                             line,
                             column,
                             parser->wrong,
                             duplicate ? ", \"" : "",
                             duplicate ? json_string_value(parser->key) : "",
                             duplicate ? "\"" : "");
}

realm_status json_parse(const char *text, size_t n_bytes, json_t **out, struct problem *problem)
{
    struct parser parser = {.text = (const uint8_t *)text, .n_bytes = n_bytes};
    realm_status status = REALM_OK;
    strbuf_init(&parser.string, ALLOC_SERVER, n_bytes + 1);
    if (!parse(&parser)) {
        status = refuse(&parser, problem);
        json_decref(parser.root);
        parser.root = NULL;
    }
    json_decref(parser.key);
    strbuf_deinit(&parser.string);
    *out = parser.root;
    return status;
}
