#define _GNU_SOURCE /* pthread_getname_np */

#include "base/trace.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH   "realm-trace.json"
#define MAX_LINE_BYTES 512
#define NAME_BYTES     16
#define NS_PER_US      1000.0

struct span {
    const char *name;
    uint64_t start_ns;
    uint64_t end_ns;
};

/* One thread's spans; `lock` is for the one who writes the file while the thread goes on. */
struct ring {
    struct ring *next;
    struct mutex lock;
    uint64_t n_spans; /* ever; the newest TRACE_SPANS_PER_THREAD are kept */
    uint32_t number;
    char thread_name[NAME_BYTES];
    struct span spans[TRACE_SPANS_PER_THREAD];
};

static _Atomic bool tracing;
static const char *trace_path;
static _Atomic uint32_t n_rings;
/* A list that only grows until trace_close: rings outlive their threads. */
static struct ring *_Atomic rings;
/* Tells a ring of this run from one that trace_close has freed. */
static _Atomic uint32_t run_number;
static _Thread_local struct ring *own_ring;
static _Thread_local uint32_t own_run;

void trace_configure(void)
{
    const char *value = getenv("REALM_TRACE");
    const bool on = value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
    if (on) {
        trace_path = strcmp(value, "1") == 0 ? DEFAULT_PATH : value;
    }
    atomic_store(&tracing, on);
}

uint64_t trace_begin(void)
{
    return atomic_load_explicit(&tracing, memory_order_relaxed) ? clock_monotonic_ns() : 0;
}

/* The calling thread's ring; NULL: no memory, and the span is lost. */
static struct ring *ring_of_thread(void)
{
    const uint32_t run = atomic_load(&run_number);
    if (own_ring != NULL && own_run == run) {
        return own_ring;
    }
    struct ring *ring = alloc_bytes(ALLOC_BASE, sizeof(*ring));
    if (ring == NULL) {
        return NULL;
    }
    mutex_init(&ring->lock);
    ring->n_spans = 0;
    ring->number = atomic_fetch_add(&n_rings, 1) + 1;
    ring->thread_name[0] = '\0';
    (void)pthread_getname_np(pthread_self(), ring->thread_name, sizeof(ring->thread_name));
    ring->next = atomic_load(&rings);
    while (!atomic_compare_exchange_weak(&rings, &ring->next, ring)) {
        /* another thread came first: ring->next is its ring now */
    }
    own_ring = ring;
    own_run = run;
    return ring;
}

void trace_end(const char *name, uint64_t start_ns)
{
    if (start_ns == 0) {
        return;
    }
    const uint64_t end_ns = clock_monotonic_ns();
    struct ring *ring = ring_of_thread();
    if (ring == NULL) {
        return;
    }
    mutex_lock(&ring->lock);
    ring->spans[ring->n_spans % TRACE_SPANS_PER_THREAD] =
        (struct span){.name = name, .start_ns = start_ns, .end_ns = end_ns};
    ring->n_spans++;
    mutex_unlock(&ring->lock);
}

static realm_status
write_line(struct file_writer *file, struct strbuf *line, struct realm_error *error)
{
    if (line->failed) {
        return realm_error_out_of_memory(error, line->length, "a line of the trace");
    }
    const realm_status status = file_writer_write(file, line->text, line->length, error);
    strbuf_clear(line);
    return status;
}

static realm_status write_thread_name(struct file_writer *file,
                                      struct strbuf *line,
                                      const struct ring *ring,
                                      struct realm_error *error)
{
    (void)strbuf_append_format(line,
                               "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,"
                               "\"args\":{\"name\":",
                               ring->number);
    (void)strbuf_append_json(line, ring->thread_name, strlen(ring->thread_name));
    (void)strbuf_append_text(line, "}},\n");
    return write_line(file, line, error);
}

static realm_status write_span(struct file_writer *file,
                               struct strbuf *line,
                               uint32_t thread,
                               const struct span *span,
                               struct realm_error *error)
{
    (void)strbuf_append_text(line, "{\"name\":");
    (void)strbuf_append_json(line, span->name, strlen(span->name));
    (void)strbuf_append_format(line,
                               ",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f},\n",
                               thread,
                               (double)span->start_ns / NS_PER_US,
                               (double)(span->end_ns - span->start_ns) / NS_PER_US);
    return write_line(file, line, error);
}

static realm_status write_ring(struct file_writer *file,
                               struct strbuf *line,
                               struct ring *ring,
                               struct realm_error *error)
{
    mutex_lock(&ring->lock);
    const uint64_t first =
        ring->n_spans > TRACE_SPANS_PER_THREAD ? ring->n_spans - TRACE_SPANS_PER_THREAD : 0;
    realm_status status = write_thread_name(file, line, ring, error);
    for (uint64_t i = first; i < ring->n_spans && status == REALM_OK; i++) {
        const struct span *span = &ring->spans[i % TRACE_SPANS_PER_THREAD];
        status = write_span(file, line, ring->number, span, error);
    }
    mutex_unlock(&ring->lock);
    return status;
}

realm_status trace_write(struct realm_error *error)
{
    /* The list's last line has no comma behind it, as JSON wants. */
    static const char head[] = "[\n";
    static const char tail[] = "{\"name\":\"end\",\"ph\":\"M\",\"pid\":1}\n]\n";
    if (!atomic_load(&tracing)) {
        return REALM_OK;
    }
    struct file_writer *file;
    REALM_TRY(file_writer_open(trace_path, 0644, &file, error));
    struct strbuf line;
    strbuf_init(&line, ALLOC_BASE, MAX_LINE_BYTES);
    realm_status status = file_writer_write(file, head, sizeof(head) - 1, error);
    for (struct ring *ring = atomic_load(&rings); ring != NULL && status == REALM_OK;
         ring = ring->next) {
        status = write_ring(file, &line, ring, error);
    }
    if (status == REALM_OK) {
        status = file_writer_write(file, tail, sizeof(tail) - 1, error);
    }
    strbuf_deinit(&line);
    if (status != REALM_OK) {
        file_writer_abandon(file);
        return status;
    }
    return file_writer_commit(file, error);
}

void trace_close(void)
{
    atomic_store(&tracing, false);
    atomic_fetch_add(&run_number, 1);
    struct ring *ring = atomic_exchange(&rings, NULL);
    while (ring != NULL) {
        struct ring *next = ring->next;
        mutex_deinit(&ring->lock);
        alloc_free(ring);
        ring = next;
    }
    atomic_store(&n_rings, 0);
}
