#include "cli/client.h"

#include "base/file.h"
#include "cli/interrupt.h"
#include "cli/paths.h"
#include "cli/progress.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_URL "http://127.0.0.1:8080"
#define CONNECT_S   10L

/* --- which server ------------------------------------------------------------------------------
 */

static realm_status copy(const char *text,
                         size_t n,
                         char *out,
                         size_t n_out,
                         const char *what,
                         struct realm_error *error)
{
    if (n == 0 || n >= n_out) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the server's %s is empty or too long", what);
    }
    memcpy(out, text, n);
    out[n] = '\0';
    return REALM_OK;
}

static realm_status read_first_key(struct client *client, struct realm_error *error)
{
    char folder[PATHS_BYTES];
    char path[PATHS_BYTES + 32];
    char *text = NULL;
    size_t n_bytes = 0;
    if (client->data_option != NULL) {
        (void)snprintf(folder, sizeof folder, "%s", client->data_option);
    } else {
        REALM_TRY(paths_data_folder(folder, error));
    }
    (void)snprintf(path, sizeof path, "%s/first_key.txt", folder);
    struct realm_error trouble;
    if (file_read(path, CLIENT_KEY_BYTES, &text, &n_bytes, &trouble) != REALM_OK) {
        return realm_error_set(error,
                               REALM_UNAUTHENTICATED,
                               "no key is known: give one with --key or REALM_KEY (looked for a "
                               "first key too: %.200s)",
                               trouble.message);
    }
    const realm_status status =
        copy(text, strcspn(text, "\r\n"), client->key, sizeof client->key, "key", error);
    alloc_free(text);
    return status;
}

static const char *option_or_variable(const char *option, const char *variable)
{
    const char *const text = option != NULL ? option : getenv(variable);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

realm_status client_open(struct client *client, struct realm_error *error)
{
    const char *url = option_or_variable(client->url_option, "REALM_URL");
    const char *const key = option_or_variable(client->key_option, "REALM_KEY");
    url = url != NULL ? url : DEFAULT_URL;
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/') {
        n--;
    }
    REALM_TRY(copy(url, n, client->url, sizeof client->url, "address", error));
    return key != NULL ? copy(key, strlen(key), client->key, sizeof client->key, "key", error)
                       : read_first_key(client, error);
}

void client_append_escaped(struct strbuf *path, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        const bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                           (*c >= '0' && *c <= '9') || strchr("-_.", *c) != NULL;
        if (plain) {
            strbuf_append_char(path, *c);
        } else {
            strbuf_append_format(path, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
}

/* --- a call ------------------------------------------------------------------------------------
 */

struct transfer {
    CURL *curl;
    const struct client_call *call;
    struct strbuf *answer;
    struct progress bar;
    realm_status status; /* of `take` */
    struct realm_error *error;
};

static size_t take_body(char *data, size_t size, size_t n, void *context)
{
    struct transfer *const transfer = context;
    long code = 0;
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code);
    if (transfer->call->take == NULL || code < 200 || code >= 300) {
        return strbuf_append(transfer->answer, data, size * n) ? size * n : 0;
    }
    const struct bytes piece = {.data = (const uint8_t *)data, .length = size * n};
    transfer->status = transfer->call->take(transfer->call->context, piece, transfer->error);
    return transfer->status == REALM_OK ? size * n : 0;
}

/* Several times a second; not 0: stop. */
static int on_progress(
    void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct transfer *const transfer = context;
    (void)down_total;
    (void)down;
    (void)up_total;
    if (transfer->call->progress != NULL) {
        progress_update(&transfer->bar, (uint64_t)up);
    }
    return interrupt_seen() ? 1 : 0;
}

static realm_status status_of(long code)
{
    switch (code) {
    case 400:
    case 413:
    case 422:
        return REALM_INVALID_ARGUMENT;
    case 401:
        return REALM_UNAUTHENTICATED;
    case 403:
        return REALM_PERMISSION_DENIED;
    case 404:
        return REALM_NOT_FOUND;
    case 409:
        return REALM_ALREADY_EXISTS;
    case 429:
        return REALM_QUOTA_EXCEEDED;
    default:
        return REALM_UNAVAILABLE;
    }
}

static realm_status refusal(long code, const struct strbuf *answer, struct realm_error *error)
{
    json_t *const body = json_loadb(answer->text, answer->length, 0, NULL);
    const char *const message =
        json_string_value(json_object_get(json_object_get(body, "error"), "message"));
    const realm_status status =
        message != NULL
            ? realm_error_set(error, status_of(code), "%s", message)
            : realm_error_set(error, status_of(code), "the server answered with status %ld", code);
    json_decref(body);
    return status;
}

static realm_status outcome(struct transfer *transfer, const char *url, CURLcode code)
{
    long http = 0;
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &http);
    if (transfer->status != REALM_OK) {
        return transfer->status;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return realm_error_set(transfer->error, REALM_CANCELLED, "cancelled");
    }
    if (transfer->answer->failed) {
        return realm_error_out_of_memory(transfer->error, transfer->answer->length, "the answer");
    }
    if (code != CURLE_OK) {
        return realm_error_set(transfer->error,
                               REALM_UNAVAILABLE,
                               "%.200s: %s; is the server running? (--url or REALM_URL says where)",
                               url,
                               curl_easy_strerror(code));
    }
    return http >= 200 && http < 300 ? REALM_OK : refusal(http, transfer->answer, transfer->error);
}

static void set_up(struct transfer *transfer, const char *url, struct curl_slist *headers)
{
    CURL *const curl = transfer->curl;
    const struct client_call *const call = transfer->call;
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    if (strcmp(call->method, "GET") != 0) {
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    }
    if (strcmp(call->method, "GET") != 0 && strcmp(call->method, "DELETE") != 0) {
        const char *const body = call->body.length > 0 ? (const char *)call->body.data : "";
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.length);
    }
}

static realm_status
perform(const struct client *client, struct transfer *transfer, struct realm_error *error)
{
    char url[CLIENT_URL_BYTES + 512];
    char authorization[CLIENT_KEY_BYTES + 32];
    (void)snprintf(url, sizeof url, "%s%s", client->url, transfer->call->path);
    (void)snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", client->key);
    struct curl_slist *const first = curl_slist_append(NULL, authorization);
    struct curl_slist *const headers =
        first != NULL ? curl_slist_append(first, "Content-Type: application/json") : NULL;
    /* No "Expect: 100-continue": the server takes the body at once. */
    struct curl_slist *const last = headers != NULL ? curl_slist_append(headers, "Expect:") : NULL;
    realm_status status;
    if (transfer->curl == NULL || last == NULL) {
        status = realm_error_out_of_memory(error, 0, "a connection");
    } else {
        set_up(transfer, url, last);
        interrupt_catch();
        const CURLcode code = curl_easy_perform(transfer->curl);
        interrupt_restore();
        status = outcome(transfer, client->url, code);
    }
    curl_slist_free_all(first);
    return status;
}

realm_status client_call(const struct client *client,
                         const struct client_call *call,
                         struct strbuf *answer,
                         struct realm_error *error)
{
    struct transfer transfer = {.call = call, .answer = answer, .error = error};
    transfer.curl = curl_easy_init();
    if (call->progress != NULL) {
        progress_begin(&transfer.bar, call->progress, call->body.length, PROGRESS_BYTES);
    }
    const realm_status status = perform(client, &transfer, error);
    if (call->progress != NULL) {
        progress_end(&transfer.bar);
    }
    curl_easy_cleanup(transfer.curl);
    return status;
}
