/* Events for the person who runs Realm: a name, then pairs of key and value.
 *     log_info("model_loaded", LOG_TEXT("path", path), LOG_U64("load_ms", ms));
 * Text on a terminal, JSON lines otherwise; to standard error.  Never prompts, completions or keys.
 * Any thread; a line is written in one call. */
#ifndef REALM_BASE_LOG_H
#define REALM_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_FIELD_TEXT, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_F64, LOG_FIELD_BOOL } kind;
    union {
        const char *text;
        uint64_t u64;
        int64_t i64;
        double f64;
        bool boolean;
    } value;
};

#define LOG_TEXT(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .value.text = (v)})
#define LOG_U64(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_U64, .value.u64 = (v)})
#define LOG_I64(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_I64, .value.i64 = (v)})
#define LOG_F64(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_F64, .value.f64 = (v)})
#define LOG_BOOL(k, v)                                                                             \
    ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .value.boolean = (v)})
#define LOG_END ((struct log_field){.key = NULL})

/* Levels above `level` are dropped.  Set before threads start. */
void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
/* fields: ended by LOG_END. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define log_error(event, ...) log_at(LOG_ERROR, event, ##__VA_ARGS__, LOG_END)
#define log_warn(event, ...)  log_at(LOG_WARN, event, ##__VA_ARGS__, LOG_END)
#define log_info(event, ...)  log_at(LOG_INFO, event, ##__VA_ARGS__, LOG_END)
#define log_debug(event, ...) log_at(LOG_DEBUG, event, ##__VA_ARGS__, LOG_END)
#define log_at(level, event, ...)                                                                  \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            log_write(level, event, (const struct log_field[]){__VA_ARGS__});                      \
        }                                                                                          \
    } while (0)

#endif
