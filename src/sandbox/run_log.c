#include "sandbox/run_log.h"

#include "base/thread.h"

#include <stdatomic.h>

struct record {
    char *text;
    size_t n_bytes;
};

struct run_log {
    _Atomic uint32_t owners;
    struct mutex lock;
    struct record records[RUN_LOG_MAX_RECORDS]; /* a ring */
    uint32_t first;
    uint32_t n;
    size_t held_bytes;
};

struct run_log *run_log_create(void)
{
    struct run_log *const log = alloc_zeroed(ALLOC_GUEST, 1, sizeof *log);
    if (log != NULL) {
        atomic_init(&log->owners, 1);
        mutex_init(&log->lock);
    }
    return log;
}

void run_log_retain(struct run_log *log)
{
    atomic_fetch_add(&log->owners, 1);
}

static void drop_oldest(struct run_log *log)
{
    struct record *const oldest = &log->records[log->first];
    log->held_bytes -= oldest->n_bytes;
    alloc_free(oldest->text);
    log->first = (log->first + 1) % RUN_LOG_MAX_RECORDS;
    log->n--;
}

void run_log_release(struct run_log *log)
{
    if (log == NULL || atomic_fetch_sub(&log->owners, 1) != 1) {
        return;
    }
    while (log->n > 0) {
        drop_oldest(log);
    }
    mutex_deinit(&log->lock);
    alloc_free(log);
}

void run_log_add(struct run_log *log, const char *record, size_t n_bytes)
{
    if (n_bytes > RUN_LOG_MAX_BYTES) {
        return;
    }
    char *const text = alloc_string(ALLOC_GUEST, record, n_bytes);
    if (text == NULL) {
        return;
    }
    mutex_lock(&log->lock);
    while (log->n == RUN_LOG_MAX_RECORDS || log->held_bytes + n_bytes > RUN_LOG_MAX_BYTES) {
        drop_oldest(log);
    }
    log->records[(log->first + log->n) % RUN_LOG_MAX_RECORDS] =
        (struct record){.text = text, .n_bytes = n_bytes};
    log->n++;
    log->held_bytes += n_bytes;
    mutex_unlock(&log->lock);
}

void run_log_write(struct run_log *log, uint32_t max_records, struct strbuf *out)
{
    mutex_lock(&log->lock);
    strbuf_append_char(out, '[');
    for (uint32_t i = 0; i < log->n && i < max_records; i++) {
        const struct record *const record =
            &log->records[(log->first + log->n - 1 - i) % RUN_LOG_MAX_RECORDS];
        strbuf_append_text(out, i > 0 ? "," : "");
        strbuf_append(out, record->text, record->n_bytes);
    }
    strbuf_append_char(out, ']');
    mutex_unlock(&log->lock);
}
