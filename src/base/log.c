#include "base/log.h"

#include "base/clock.h"
#include "base/json_text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096
#define TAIL_BYTES 16 /* kept free for what closes a line */

/* A line on the stack: logging works when memory is out.  What does not fit is cut, and the line
 * stays well-formed. */
struct line {
    char text[LINE_BYTES];
    size_t length;
};

struct level_look {
    const char *name;
    const char *colour;
};

static const struct level_look looks[] = {
    [LOG_ERROR] = {"error", "\033[31m"},
    [LOG_WARN] = {"warn", "\033[33m"},
    [LOG_INFO] = {"info", "\033[32m"},
    [LOG_DEBUG] = {"debug", "\033[2m"},
};

static _Atomic int level_limit = LOG_INFO;
static _Atomic int format_chosen = LOG_FORMAT_AUTO;

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&level_limit, (int)level, memory_order_relaxed);
    atomic_store_explicit(&format_chosen, (int)format, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_limit, memory_order_relaxed);
}

/* All or nothing; false: the line is full. */
static bool line_put(struct line *line, const char *text, size_t n_bytes)
{
    if (line->length + n_bytes > LINE_BYTES - TAIL_BYTES) {
        return false;
    }
    memcpy(line->text + line->length, text, n_bytes);
    line->length += n_bytes;
    return true;
}

static bool line_put_text(struct line *line, const char *text)
{
    return line_put(line, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static bool
line_format(struct line *line, const char *format, ...)
{
    char piece[64];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    return length >= 0 && (size_t)length < sizeof(piece) && line_put(line, piece, (size_t)length);
}

/* Closing characters have their own room. */
static void line_close(struct line *line, const char *text)
{
    const size_t length = strlen(text);
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

/* A quoted string; what does not fit is left out and the quote closed. */
static bool line_quote(struct line *line, const char *text)
{
    if (line->length + 2 > LINE_BYTES - TAIL_BYTES || !line_put(line, "\"", 1)) {
        return false;
    }
    const size_t n_bytes = strlen(text);
    bool fits = true;
    for (size_t i = 0; i < n_bytes && fits;) {
        char escaped[JSON_TEXT_MAX_ESCAPE];
        size_t n_read;
        const size_t length =
            json_text_next((const uint8_t *)text + i, n_bytes - i, &n_read, escaped);
        fits = line_put(line, escaped, length);
        i += n_read;
    }
    line_close(line, "\"");
    return fits;
}

/* Words that need no quotes stay readable on a terminal. */
static bool is_plain_word(const char *text)
{
    if (*text == '\0') {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7F || *c == '"' || *c == '=' || *c == '\\') {
            return false;
        }
    }
    return true;
}

static bool line_number(struct line *line, double number, bool json)
{
    if (json && !isfinite(number)) {
        return line_put_text(line, "null");
    }
    return line_format(line, "%.9g", number);
}

static bool line_value(struct line *line, const struct log_field *field, bool json)
{
    switch (field->kind) {
    case LOG_FIELD_TEXT: {
        const char *text = field->value.text != NULL ? field->value.text : "";
        return !json && is_plain_word(text) ? line_put_text(line, text) : line_quote(line, text);
    }
    case LOG_FIELD_U64:
        return line_format(line, "%llu", (unsigned long long)field->value.u64);
    case LOG_FIELD_I64:
        return line_format(line, "%lld", (long long)field->value.i64);
    case LOG_FIELD_F64:
        return line_number(line, field->value.f64, json);
    case LOG_FIELD_BOOL:
        return line_put_text(line, field->value.boolean ? "true" : "false");
    }
    return false;
}

static void line_time(struct line *line, bool with_date)
{
    const int64_t now_ms = clock_wall_ms();
    const time_t now_s = (time_t)(now_ms / 1000);
    struct tm utc = {0};
    (void)gmtime_r(&now_s, &utc);
    if (with_date) {
        (void)line_format(line, "%04d-%02d-%02dT", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
    }
    (void)line_format(
        line, "%02d:%02d:%02d.%03dZ", utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(now_ms % 1000));
}

/* One field; a field that does not fit is taken back whole, unless it is a text that was cut. */
static void line_field(struct line *line, const struct log_field *field, bool json)
{
    const size_t before = line->length;
    bool fits;
    if (json) {
        fits = line_put_text(line, ",") && line_quote(line, field->key) && line_put_text(line, ":");
    } else {
        fits =
            line_put_text(line, " ") && line_put_text(line, field->key) && line_put_text(line, "=");
    }
    const size_t value_start = line->length;
    if (fits && (line_value(line, field, json) ||
                 (field->kind == LOG_FIELD_TEXT && line->length > value_start))) {
        return;
    }
    line->length = before;
}

static void line_json(struct line *line,
                      enum log_level level,
                      const char *event,
                      const struct log_field *fields)
{
    (void)line_put_text(line, "{\"time\":\"");
    line_time(line, true);
    (void)line_put_text(line, "\",\"level\":\"");
    (void)line_put_text(line, looks[level].name);
    (void)line_put_text(line, "\",\"event\":");
    (void)line_quote(line, event);
    for (; fields->key != NULL; fields++) {
        line_field(line, fields, true);
    }
    line_close(line, "}\n");
}

static void line_text(struct line *line,
                      enum log_level level,
                      const char *event,
                      const struct log_field *fields)
{
    const bool colour = isatty(STDERR_FILENO) == 1;
    line_time(line, false);
    (void)line_put_text(line, " ");
    (void)line_put_text(line, colour ? looks[level].colour : "");
    (void)line_put_text(line, looks[level].name);
    (void)line_put_text(line, colour ? "\033[0m " : " ");
    (void)line_put_text(line, event);
    for (; fields->key != NULL; fields++) {
        line_field(line, fields, false);
    }
    line_close(line, "\n");
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line line;
    line.length = 0;
    const int format = atomic_load_explicit(&format_chosen, memory_order_relaxed);
    if (format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && isatty(STDERR_FILENO) != 1)) {
        line_json(&line, level, event, fields);
    } else {
        line_text(&line, level, event, fields);
    }
    /* One call a line, so that threads do not mix; a log that cannot be written has nowhere to
     * complain. */
    while (write(STDERR_FILENO, line.text, line.length) < 0 && errno == EINTR) {
    }
}
