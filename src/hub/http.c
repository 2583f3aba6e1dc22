#include "hub/http.h"

#include <realm.h>

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REDIRECTS   10u
#define CONNECT_S       20L
#define MAX_RETRY_AFTER 60u
#define USER_AGENT      "realm/" /* + version */

struct transfer {
    const struct http_request *request;
    struct http_response *response;
    CURL *curl;
    char location[SOURCE_URL_BYTES];
    bool begun;
    bool weak;           /* the ETag at hand is one */
    realm_status status; /* of begin and body */
    struct realm_error *error;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void begin_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* --- addresses --- */

struct address {
    char scheme[16];
    char host[256];
};

static bool take_part(CURLU *url, CURLUPart part, char *out, size_t n_out)
{
    char *text = NULL;
    const bool there = curl_url_get(url, part, &text, 0) == CURLUE_OK && strlen(text) < n_out;
    if (there) {
        (void)snprintf(out, n_out, "%s", text);
    }
    curl_free(text);
    return there;
}

static bool is_this_machine(const char *host)
{
    return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0 ||
           strcasecmp(host, "localhost") == 0;
}

static bool parse_address(const char *url, struct address *out)
{
    CURLU *const parsed = curl_url();
    const bool good = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                      take_part(parsed, CURLUPART_SCHEME, out->scheme, sizeof out->scheme);
    out->host[0] = '\0';
    if (good) {
        (void)take_part(parsed, CURLUPART_HOST, out->host, sizeof out->host); /* file: has none */
    }
    curl_url_cleanup(parsed);
    return good;
}

/* HTTPS, or HTTP when both the first address and this one are on this machine. */
static realm_status check_address(const char *url, const char *first_url, struct realm_error *error)
{
    struct address address;
    struct address first;
    if (!parse_address(url, &address) || !parse_address(first_url, &first)) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "%.160s is no address", url);
    }
    if (strcmp(address.scheme, "https") == 0) {
        return REALM_OK;
    }
    if (strcmp(address.scheme, "http") == 0 && is_this_machine(address.host) &&
        is_this_machine(first.host)) {
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "%.160s%s: only https:// is allowed",
                           url,
                           url == first_url ? "" : " (a redirect)");
}

static bool same_host(const char *url, const char *first_url)
{
    struct address a;
    struct address b;
    return parse_address(url, &a) && parse_address(first_url, &b) &&
           strcmp(a.scheme, b.scheme) == 0 && strcasecmp(a.host, b.host) == 0;
}

/* Makes *url the address that `location` means when it stands in an answer from *url. */
static bool follow(char url[SOURCE_URL_BYTES], const char *location)
{
    CURLU *const parsed = curl_url();
    const bool good = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                      curl_url_set(parsed, CURLUPART_URL, location, 0) == CURLUE_OK &&
                      take_part(parsed, CURLUPART_URL, url, SOURCE_URL_BYTES);
    curl_url_cleanup(parsed);
    return good;
}

/* --- headers --- */

static bool
header_is(const char *line, size_t n_line, const char *name, const char **value, size_t *n)
{
    const size_t n_name = strlen(name);
    if (n_line <= n_name || strncasecmp(line, name, n_name) != 0 || line[n_name] != ':') {
        return false;
    }
    const char *begin = line + n_name + 1;
    const char *end = line + n_line;
    while (begin < end && (*begin == ' ' || *begin == '\t')) {
        begin++;
    }
    while (end > begin && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    *value = begin;
    *n = (size_t)(end - begin);
    return true;
}

static void copy_value(char *out, size_t n_out, const char *value, size_t n)
{
    if (n < n_out) {
        memcpy(out, value, n);
        out[n] = '\0';
    }
}

/* "\"<64 hex digits>\"": the hub gives the SHA-256 of large files as their ETag. */
static void take_hash(struct http_response *response, const char *value, size_t n)
{
    const size_t quote = n > 0 && value[0] == '"' ? 1 : 0;
    if (n == sizeof response->sha256 - 1 + 2 * quote &&
        strspn(value + quote, "0123456789abcdefABCDEF") >= sizeof response->sha256 - 1) {
        copy_value(response->sha256, sizeof response->sha256, value + quote, n - 2 * quote);
    }
}

/* "bytes 100-199/200" */
static void take_range(struct http_response *response, const char *value)
{
    unsigned long long first;
    unsigned long long last;
    unsigned long long total;
    /* All three or nothing; a size that overflowed is refused later. */
    /* NOLINTNEXTLINE(cert-err34-c): see above */
    if (sscanf(value, "bytes %llu-%llu/%llu", &first, &last, &total) == 3) {
        response->from = first;
        response->total = total;
        response->total_known = true;
    }
}

static void take_header(struct transfer *transfer, const char *line, size_t n_line)
{
    struct http_response *const response = transfer->response;
    const char *value;
    size_t n;
    char text[64] = "";
    if (header_is(line, n_line, "Location", &value, &n)) {
        copy_value(transfer->location, sizeof transfer->location, value, n);
    } else if (header_is(line, n_line, "X-Linked-Etag", &value, &n)) {
        take_hash(response, value, n);
    } else if (header_is(line, n_line, "ETag", &value, &n)) {
        if (n > 0 && value[0] == '"') {
            copy_value(response->validator, sizeof response->validator, value, n);
        }
    } else if (header_is(line, n_line, "Last-Modified", &value, &n)) {
        if (response->validator[0] == '\0') {
            copy_value(response->validator, sizeof response->validator, value, n);
        }
    } else if (header_is(line, n_line, "Content-Range", &value, &n)) {
        copy_value(text, sizeof text, value, n);
        take_range(response, text);
    } else if (header_is(line, n_line, "Content-Length", &value, &n)) {
        if (!response->total_known) {
            copy_value(text, sizeof text, value, n);
            response->total = strtoull(text, NULL, 10);
            response->total_known = true;
        }
    } else if (header_is(line, n_line, "Retry-After", &value, &n)) {
        copy_value(text, sizeof text, value, n);
        const unsigned long s = strtoul(text, NULL, 10);
        response->retry_after_s = s < MAX_RETRY_AFTER ? (uint32_t)s : MAX_RETRY_AFTER;
    }
}

/* --- curl's calls --- */

static size_t on_header(char *line, size_t size, size_t n, void *context)
{
    take_header(context, line, size * n);
    return size * n;
}

static bool begin(struct transfer *transfer)
{
    if (!transfer->begun) {
        transfer->begun = true;
        transfer->status = transfer->request->begin(
            transfer->request->context, transfer->response, transfer->error);
    }
    return transfer->status == REALM_OK;
}

static size_t on_body(char *data, size_t size, size_t n, void *context)
{
    struct transfer *const transfer = context;
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &transfer->response->code);
    if (transfer->response->code != 200 && transfer->response->code != 206) {
        return size * n; /* what an error page says is not for us */
    }
    if (!begin(transfer)) {
        return 0;
    }
    transfer->status =
        transfer->request->body(transfer->request->context, data, size * n, transfer->error);
    return transfer->status == REALM_OK ? size * n : 0;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *const transfer = context;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return transfer->request->tick(transfer->request->context) ? 0 : 1;
}

/* --- one hop --- */

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[2048];
    const int n = snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *const grown =
        n > 0 && (size_t)n < sizeof line ? curl_slist_append(*list, line) : NULL;
    *list = grown != NULL ? grown : *list;
    return grown != NULL;
}

static bool add_headers(const struct transfer *transfer, const char *url, struct curl_slist **list)
{
    const struct http_request *const request = transfer->request;
    char bearer[1024];
    char range[64];
    bool good = true;
    if (request->token != NULL && request->token[0] != '\0' && same_host(url, request->url)) {
        const int n = snprintf(bearer, sizeof bearer, "Bearer %s", request->token);
        good = n > 0 && (size_t)n < sizeof bearer && add_header(list, "Authorization", bearer);
    }
    if (request->from > 0) {
        (void)snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)request->from);
        good = good && add_header(list, "Range", range) &&
               add_header(list, "If-Range", request->if_range);
    }
    return good;
}

static void
set_options(struct transfer *transfer, const char *url, struct curl_slist *headers, char *why)
{
    char agent[64];
    CURL *const curl = transfer->curl;
    (void)snprintf(agent, sizeof agent, "%s%s", USER_AGENT, realm_version());
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, agent);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)transfer->request->stall_s);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
}

static bool may_help(CURLcode code)
{
    return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
           code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_SSL_CACERT_BADFILE &&
           code != CURLE_OUT_OF_MEMORY;
}

static realm_status run_hop(struct transfer *transfer, const char *url, struct realm_error *error)
{
    struct http_response *const response = transfer->response;
    struct curl_slist *headers = NULL;
    char why[CURL_ERROR_SIZE] = "";
    response->code = 0;
    response->total = 0;
    response->total_known = false;
    response->from = 0;
    response->validator[0] = '\0';
    transfer->location[0] = '\0';
    if (!add_headers(transfer, url, &headers)) {
        curl_slist_free_all(headers);
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the token is too long");
    }
    set_options(transfer, url, headers, why);
    const CURLcode code = curl_easy_perform(transfer->curl);
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &response->code);
    curl_slist_free_all(headers);
    if (transfer->status != REALM_OK) {
        return transfer->status;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return realm_error_set(error, REALM_CANCELLED, "interrupted");
    }
    if (code != CURLE_OK) {
        response->again = may_help(code);
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "%.100s: %.120s",
                               url,
                               why[0] != '\0' ? why : curl_easy_strerror(code));
    }
    return REALM_OK;
}

static realm_status
refuse_code(struct http_response *response, const char *url, struct realm_error *error)
{
    switch (response->code) {
    case 401:
    case 403:
        return realm_error_set(error,
                               REALM_PERMISSION_DENIED,
                               "%.140s: not allowed (%ld); a private or gated repository wants a "
                               "token in HF_TOKEN",
                               url,
                               response->code);
    case 404:
    case 410:
        return realm_error_set(
            error, REALM_NOT_FOUND, "%.180s is not there (%ld)", url, response->code);
    default:
        response->again = response->code == 408 || response->code == 429 || response->code >= 500;
        return realm_error_set(
            error, REALM_UNAVAILABLE, "%.160s: the server answered %ld", url, response->code);
    }
}

static bool is_redirect(long code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static realm_status run_hops(struct transfer *transfer, struct realm_error *error)
{
    char url[SOURCE_URL_BYTES];
    (void)snprintf(url, sizeof url, "%s", transfer->request->url);
    REALM_TRY(check_address(transfer->request->url, transfer->request->url, error));
    for (uint32_t hop = 0; hop <= MAX_REDIRECTS; hop++) {
        REALM_TRY(run_hop(transfer, url, error));
        if (transfer->response->code == 200 || transfer->response->code == 206) {
            return begin(transfer) ? REALM_OK : transfer->status;
        }
        if (!is_redirect(transfer->response->code)) {
            return refuse_code(transfer->response, url, error);
        }
        if (transfer->location[0] == '\0' || !follow(url, transfer->location)) {
            return realm_error_set(
                error, REALM_UNAVAILABLE, "%.180s redirects to nowhere we understand", url);
        }
        REALM_TRY(check_address(url, transfer->request->url, error));
    }
    return realm_error_set(error,
                           REALM_UNAVAILABLE,
                           "%.160s redirects more than %u times",
                           transfer->request->url,
                           MAX_REDIRECTS);
}

realm_status http_get(const struct http_request *request,
                      struct http_response *response,
                      struct realm_error *error)
{
    struct transfer transfer = {
        .request = request, .response = response, .status = REALM_OK, .error = error};
    *response = (struct http_response){.code = 0};
    (void)pthread_once(&curl_once, begin_curl);
    transfer.curl = curl_easy_init();
    if (transfer.curl == NULL) {
        return realm_error_out_of_memory(error, 0, "a download");
    }
    const realm_status status = run_hops(&transfer, error);
    curl_easy_cleanup(transfer.curl);
    return status;
}
