#include "telemetry/exporter.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/thread.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <string.h>

#define MAX_WAITING     2048u /* lists */
#define MAX_BATCH       256u  /* so */
#define BATCH_MS        1000u /* others are gathered behind the first */
#define MAX_BATCH_BYTES ((size_t)32 << 20)
#define ATTEMPTS        5u
#define FIRST_WAIT_MS   500u /* doubled from attempt to attempt */
#define POST_MS         10000
#define CONNECT_MS      3000
#define FLUSH_MS        5000u
#define URL_BYTES       1024u
#define HEADER_BYTES    4096u
#define NAME_BYTES      256u
#define TRACES_PATH     "/v1/traces"

struct exporter {
    char url[URL_BYTES];
    char service_name[NAME_BYTES];
    struct curl_slist *headers;
    CURL *curl;            /* the thread's */
    struct queue *waiting; /* of struct span_list */
    struct thread thread;
    struct mutex lock; /* closing */
    struct condition close_asked;
    bool closing;
    _Atomic uint64_t flush_deadline_ns; /* 0: not closing */
    _Atomic uint64_t n_sent;
    _Atomic uint64_t n_dropped;
    bool failing; /* the last batch was not taken; the thread's */
};

enum post_result { POST_TAKEN, POST_AGAIN, POST_REFUSED };

/* --- what is set up -----------------------------------------------------------------------------
 */

static realm_status
set_url(struct exporter *exporter, const char *endpoint, struct realm_error *error)
{
    char *scheme = NULL;
    CURLU *const parsed = curl_url();
    const bool good = parsed != NULL &&
                      curl_url_set(parsed, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
                      curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                      (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(parsed);
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/') {
        n--;
    }
    if (!good || n + sizeof TRACES_PATH > sizeof exporter->url) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--otlp-endpoint %.80s: the address of a collector is needed, such "
                               "as http://127.0.0.1:4318",
                               endpoint);
    }
    (void)snprintf(exporter->url, sizeof exporter->url, "%.*s" TRACES_PATH, (int)n, endpoint);
    return REALM_OK;
}

static bool add_header(struct exporter *exporter, const char *line)
{
    struct curl_slist *const grown = curl_slist_append(exporter->headers, line);
    exporter->headers = grown != NULL ? grown : exporter->headers;
    return grown != NULL;
}

/* "name=value" of n characters as the line of a head. */
static bool add_member(struct exporter *exporter, const char *text, size_t n)
{
    char line[HEADER_BYTES];
    const char *const equals = memchr(text, '=', n);
    const size_t n_name = equals != NULL ? (size_t)(equals - text) : 0;
    if (n_name == 0) {
        return false;
    }
    /* Of no characters the library would take all that follow. */
    const size_t n_text = n - n_name - 1;
    int n_value = 0;
    char *const value =
        curl_easy_unescape(NULL, n_text > 0 ? equals + 1 : "", (int)n_text, &n_value);
    const int n_line =
        value == NULL ? -1 : snprintf(line, sizeof line, "%.*s: %s", (int)n_name, text, value);
    curl_free(value);
    return n_line > 0 && (size_t)n_line < sizeof line && strpbrk(line, "\r\n") == NULL &&
           add_header(exporter, line);
}

static realm_status
set_headers(struct exporter *exporter, const char *list, struct realm_error *error)
{
    /* No "100 Continue" is waited for. */
    if (!add_header(exporter, "Content-Type: application/json") ||
        !add_header(exporter, "Expect:")) {
        return realm_error_set(error, REALM_OUT_OF_MEMORY, "no memory for the collector's headers");
    }
    for (uint32_t i = 1; list != NULL && *list != '\0'; i++) {
        list += strspn(list, " ,");
        const size_t n = strcspn(list, ",");
        if (n > 0 && !add_member(exporter, list, n)) {
            /* Its text may hold a secret. */
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "OTEL_EXPORTER_OTLP_HEADERS: member %u is not name=value",
                                   i);
        }
        list += n;
    }
    return REALM_OK;
}

/* --- the thread ---------------------------------------------------------------------------------
 */

/* False: the time for the flush is over. */
static bool may_go_on(const struct exporter *exporter)
{
    const uint64_t deadline_ns = atomic_load(&exporter->flush_deadline_ns);
    return deadline_ns == 0 || clock_monotonic_ns() < deadline_ns;
}

/* Waits so long, or until the exporter is closed; if it is being closed, up to its deadline. */
static void pause_for(struct exporter *exporter, uint32_t wait_ms)
{
    mutex_lock(&exporter->lock);
    if (!exporter->closing) {
        (void)condition_wait_ms(&exporter->close_asked, &exporter->lock, wait_ms);
    } else if (may_go_on(exporter)) {
        const uint64_t left_ms =
            (atomic_load(&exporter->flush_deadline_ns) - clock_monotonic_ns()) / 1000000u;
        (void)condition_wait_ms(&exporter->close_asked,
                                &exporter->lock,
                                left_ms < wait_ms ? (uint32_t)left_ms : wait_ms);
    }
    mutex_unlock(&exporter->lock);
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct exporter *const exporter = context;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return may_go_on(exporter) ? 0 : 1;
}

static size_t discard(const char *data, size_t size, size_t n, void *context)
{
    (void)data;
    (void)context;
    return size * n;
}

static void set_options(const struct exporter *exporter, const struct strbuf *body)
{
    CURL *const curl = exporter->curl;
    (void)curl_easy_setopt(curl, CURLOPT_URL, exporter->url);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exporter->headers);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)POST_MS);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exporter);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->length);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->text);
}

static enum post_result
post(const struct exporter *exporter, const struct strbuf *body, char why[128])
{
    long code = 0;
    set_options(exporter, body);
    const CURLcode result = curl_easy_perform(exporter->curl);
    if (result != CURLE_OK) {
        (void)snprintf(why, 128, "%s", curl_easy_strerror(result));
        return POST_AGAIN;
    }
    (void)curl_easy_getinfo(exporter->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code >= 200 && code < 300) {
        return POST_TAKEN;
    }
    (void)snprintf(why, 128, "the collector answered with %ld", code);
    return code == 429 || code >= 500 ? POST_AGAIN : POST_REFUSED;
}

static bool send_body(struct exporter *exporter, const struct strbuf *body)
{
    char why[128] = "no memory for a batch of spans";
    uint32_t wait_ms = FIRST_WAIT_MS;
    enum post_result result = body->failed ? POST_REFUSED : POST_AGAIN;
    for (uint32_t i = 0; i < ATTEMPTS && result == POST_AGAIN && may_go_on(exporter); i++) {
        if (i > 0) {
            pause_for(exporter, wait_ms);
            wait_ms *= 2;
        }
        result = post(exporter, body, why);
    }
    const bool taken = result == POST_TAKEN;
    if (taken && exporter->failing) {
        log_info("spans_sent_again");
    } else if (!taken && !exporter->failing) {
        log_warn("spans_not_sent", LOG_TEXT("to", exporter->url), LOG_TEXT("reason", why));
    }
    exporter->failing = !taken;
    return taken;
}

static void begin_body(const struct exporter *exporter, struct strbuf *body)
{
    const char *const name = exporter->service_name;
    strbuf_append_text(body,
                       "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":"
                       "\"service.name\",\"value\":{\"stringValue\":");
    strbuf_append_json(body, name, strlen(name));
    strbuf_append_format(body,
                         "}},{\"key\":\"service.version\",\"value\":{\"stringValue\":\"%s\"}}]},"
                         "\"scopeSpans\":[{\"scope\":{\"name\":\"realm\",\"version\":\"%s\"},"
                         "\"spans\":[",
                         realm_version(),
                         realm_version());
}

/* Sends the lists and destroys them. */
static void send_batch(struct exporter *exporter, void **items, uint32_t n)
{
    struct strbuf body;
    uint64_t n_spans = 0;
    strbuf_init(&body, ALLOC_SERVER, MAX_BATCH_BYTES);
    begin_body(exporter, &body);
    for (uint32_t i = 0; i < n; i++) {
        struct span_list *const list = items[i];
        strbuf_append_text(&body, i > 0 ? "," : "");
        strbuf_append(&body, list->text.text, list->text.length);
        n_spans += list->n_spans;
        span_list_destroy(list);
    }
    strbuf_append_text(&body, "]}]}]}");
    const bool taken = send_body(exporter, &body);
    (void)atomic_fetch_add(taken ? &exporter->n_sent : &exporter->n_dropped, n_spans);
    strbuf_deinit(&body);
}

static void run(void *context)
{
    struct exporter *const exporter = context;
    void *items[MAX_BATCH];
    for (;;) {
        queue_wait(exporter->waiting, UINT32_MAX);
        if (!queue_closed(exporter->waiting) && queue_length(exporter->waiting) < MAX_BATCH) {
            pause_for(exporter, BATCH_MS);
        }
        const uint32_t n = queue_take(exporter->waiting, items, MAX_BATCH);
        if (n > 0) {
            send_batch(exporter, items, n);
        } else if (queue_closed(exporter->waiting)) {
            return;
        }
    }
}

/* --- the face -----------------------------------------------------------------------------------
 */

static realm_status
start(struct exporter *exporter, const struct exporter_options *options, struct realm_error *error)
{
    const char *const name = options->service_name;
    (void)snprintf(exporter->service_name,
                   sizeof exporter->service_name,
                   "%s",
                   name != NULL && name[0] != '\0' ? name : "realm");
    REALM_TRY(set_url(exporter, options->endpoint, error));
    REALM_TRY(set_headers(exporter, options->headers, error));
    exporter->curl = curl_easy_init();
    if (exporter->curl == NULL) {
        return realm_error_set(error, REALM_OUT_OF_MEMORY, "no memory for the exporter of spans");
    }
    REALM_TRY(queue_create(MAX_WAITING, NULL, NULL, &exporter->waiting, error));
    return thread_start(&exporter->thread, "realm-traces", run, exporter, error);
}

realm_status exporter_open(const struct exporter_options *options,
                           struct exporter **out,
                           struct realm_error *error)
{
    *out = NULL;
    struct exporter *const exporter = alloc_zeroed(ALLOC_SERVER, 1, sizeof *exporter);
    if (exporter == NULL) {
        return realm_error_out_of_memory(error, sizeof *exporter, "exporter");
    }
    mutex_init(&exporter->lock);
    condition_init(&exporter->close_asked);
    const realm_status status = start(exporter, options, error);
    if (status != REALM_OK) {
        exporter_close(exporter);
        return status;
    }
    *out = exporter;
    return REALM_OK;
}

void exporter_close(struct exporter *exporter)
{
    if (exporter == NULL) {
        return;
    }
    mutex_lock(&exporter->lock);
    exporter->closing = true;
    atomic_store(&exporter->flush_deadline_ns,
                 clock_monotonic_ns() + (uint64_t)FLUSH_MS * 1000000u);
    condition_broadcast(&exporter->close_asked);
    mutex_unlock(&exporter->lock);
    if (exporter->waiting != NULL) {
        queue_close(exporter->waiting);
    }
    thread_join(&exporter->thread);
    if (exporter->n_dropped > 0) {
        log_warn("spans_dropped", LOG_U64("spans", atomic_load(&exporter->n_dropped)));
    }
    if (exporter->waiting != NULL) {
        void *item; /* only where the thread never ran */
        while (queue_take(exporter->waiting, &item, 1) > 0) {
            span_list_destroy(item);
        }
        queue_destroy(exporter->waiting);
    }
    curl_easy_cleanup(exporter->curl);
    curl_slist_free_all(exporter->headers);
    condition_deinit(&exporter->close_asked);
    mutex_deinit(&exporter->lock);
    alloc_free(exporter);
}

void exporter_offer(struct exporter *exporter, struct span_list *list)
{
    if (list->text.failed || !queue_try_push(exporter->waiting, list)) {
        (void)atomic_fetch_add(&exporter->n_dropped, list->n_spans);
        span_list_destroy(list);
    }
}

struct exporter_counts exporter_read_counts(const struct exporter *exporter)
{
    return (struct exporter_counts){
        .sent = atomic_load(&exporter->n_sent),
        .dropped = atomic_load(&exporter->n_dropped),
    };
}
