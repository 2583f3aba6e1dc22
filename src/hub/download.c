#include "hub/download.h"

#include "base/clock.h"
#include "base/file.h"
#include "hub/checksum.h"
#include "hub/http.h"
#include "hub/part_file.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_RETRIES  5u
#define DEFAULT_RETRY_MS 500u
#define MAX_RETRY_MS     60000u
#define DEFAULT_STALL_S  30u
#define TICK_MS          100
#define MAGIC            "GGUF"
#define MAGIC_BYTES      4u

/* What both kinds of download share: who is told, how long is waited. */
struct attempts {
    const struct hub_options *options;
    struct hub_progress progress;
    uint32_t n_failed; /* in a row, without a byte gained */
};

static bool tick(void *context)
{
    const struct attempts *const attempts = context;
    return attempts->options->progress == NULL ||
           attempts->options->progress(attempts->options->progress_context, &attempts->progress);
}

static uint64_t wait_ms(const struct attempts *attempts, const struct http_response *response)
{
    uint64_t ms = attempts->options->retry_ms > 0 ? attempts->options->retry_ms : DEFAULT_RETRY_MS;
    for (uint32_t i = 1; i < attempts->n_failed && ms < MAX_RETRY_MS; i++) {
        ms *= 2;
    }
    const uint64_t asked_ms = (uint64_t)response->retry_after_s * 1000;
    ms = ms < asked_ms ? asked_ms : ms;
    return ms < MAX_RETRY_MS ? ms : MAX_RETRY_MS;
}

/* After a failure: waits and says OK, or gives the failure back when no more tries are left. */
static realm_status try_again(struct attempts *attempts,
                              const struct http_response *response,
                              realm_status status,
                              struct realm_error *error)
{
    const struct hub_options *const options = attempts->options;
    const uint32_t most = options->max_retries > 0 ? options->max_retries : DEFAULT_RETRIES;
    if (status != REALM_UNAVAILABLE || !response->again || attempts->n_failed >= most) {
        return status;
    }
    attempts->n_failed++;
    attempts->progress.retry = attempts->n_failed;
    attempts->progress.trouble = error->message;
    const uint64_t end_ns = clock_monotonic_ns() + wait_ms(attempts, response) * (uint64_t)1000000;
    bool going = tick(attempts);
    while (going && clock_monotonic_ns() < end_ns) {
        (void)poll(NULL, 0, TICK_MS);
        going = tick(attempts);
    }
    attempts->progress.trouble = NULL;
    return going ? REALM_OK : realm_error_set(error, REALM_CANCELLED, "interrupted");
}

static uint32_t stall_s(const struct hub_options *options)
{
    return options->stall_s > 0 ? options->stall_s : DEFAULT_STALL_S;
}

/* --- files --- */

struct file_download {
    struct attempts attempts; /* first: tick's context */
    const struct download *download;
    struct part_file part;
    uint64_t begin_bytes; /* at this attempt */
    char sha256[65];      /* as the hub gave it */
    bool wrong_range;     /* the server sent another range than was asked for */
};

static realm_status
begin_file(void *context, const struct http_response *response, struct realm_error *error)
{
    struct file_download *const file = context;
    const uint64_t expected = file->download->bytes;
    const uint64_t total = response->total_known ? response->total : expected;
    if (response->sha256[0] != '\0') {
        memcpy(file->sha256, response->sha256, sizeof file->sha256);
    }
    if (expected > 0 && response->total_known && response->total != expected) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%.120s has %llu bytes and not the %llu that the hub tells",
                               file->download->url,
                               (unsigned long long)response->total,
                               (unsigned long long)expected);
    }
    if (response->code == 206 && response->from != file->part.bytes) {
        file->wrong_range = true;
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "%.120s: the server sent another part than was asked for",
                               file->download->url);
    }
    if (response->code != 206) {
        REALM_TRY(part_file_restart(&file->part, response->validator, error));
    }
    file->attempts.progress.bytes_total = total;
    file->attempts.progress.bytes_done = file->part.bytes;
    return total > file->part.bytes
               ? part_file_check_space(&file->part, total - file->part.bytes, error)
               : REALM_OK;
}

static realm_status
refuse_magic(const struct download *download, const char *begin, struct realm_error *error)
{
    char shown[MAGIC_BYTES + 1] = "";
    for (size_t i = 0; i < MAGIC_BYTES; i++) {
        shown[i] = (char)(begin[i] > ' ' && begin[i] < 0x7f ? begin[i] : '?');
    }
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "%.140s is no GGUF file: it begins with \"%s\"",
                           download->url,
                           shown);
}

/* The first bytes tell a web page or an archive from a model before gigabytes of it came. */
static realm_status
body_of_file(void *context, const void *data, size_t n_bytes, struct realm_error *error)
{
    struct file_download *const file = context;
    const uint64_t at = file->part.bytes;
    if (at == 0 && n_bytes >= MAGIC_BYTES && memcmp(data, MAGIC, MAGIC_BYTES) != 0) {
        return refuse_magic(file->download, data, error);
    }
    REALM_TRY(part_file_append(&file->part, data, n_bytes, error));
    file->attempts.progress.bytes_done = file->part.bytes;
    return REALM_OK;
}

static bool resumable(const struct file_download *file)
{
    return file->part.bytes > 0 && file->part.validator[0] != '\0' &&
           (file->download->bytes == 0 || file->part.bytes < file->download->bytes);
}

static realm_status
attempt_file(struct file_download *file, struct http_response *response, struct realm_error *error)
{
    const struct http_request request = {
        .url = file->download->url,
        .token = file->download->token,
        .from = resumable(file) ? file->part.bytes : 0,
        .if_range = file->part.validator,
        .stall_s = stall_s(file->attempts.options),
        .begin = begin_file,
        .body = body_of_file,
        .tick = tick,
        .context = file,
    };
    file->begin_bytes = request.from;
    file->wrong_range = false;
    const realm_status status = http_get(&request, response, error);
    if (file->part.bytes > file->begin_bytes) {
        file->attempts.n_failed = 0;
    }
    /* Nothing behind what we have, or not what we asked for: from the beginning. */
    if ((response->code == 416 || file->wrong_range) && request.from > 0) {
        response->again = true;
        file->part.validator[0] = '\0';
    }
    return status;
}

static bool is_whole(const struct file_download *file)
{
    return file->download->bytes > 0 && file->part.bytes == file->download->bytes &&
           file->part.validator[0] != '\0';
}

static realm_status fetch_file(struct file_download *file, struct realm_error *error)
{
    while (!is_whole(file)) {
        struct http_response response;
        realm_status status = attempt_file(file, &response, error);
        if (status == REALM_OK) {
            break;
        }
        status = try_again(&file->attempts, &response, status, error);
        if (status != REALM_OK) {
            return status;
        }
    }
    return REALM_OK;
}

/* Size, beginning and checksum; what is wrong is removed, so that the next try begins anew. */
static realm_status check_file(struct file_download *file, struct realm_error *error)
{
    const struct hub_options *const options = file->attempts.options;
    const char *const expected = options->sha256 != NULL          ? options->sha256
                                 : file->download->sha256 != NULL ? file->download->sha256
                                 : file->sha256[0] != '\0'        ? file->sha256
                                                                  : NULL;
    struct file_map map;
    char actual[65];
    REALM_TRY(file_map_open(file->part.path, &map, error));
    realm_status status = REALM_OK;
    if (map.bytes.length < MAGIC_BYTES || memcmp(map.bytes.data, MAGIC, MAGIC_BYTES) != 0) {
        status = realm_error_set(error,
                                 REALM_INVALID_FORMAT,
                                 "%.140s is no GGUF file of %zu bytes",
                                 file->download->url,
                                 map.bytes.length);
    } else if (expected != NULL) {
        status = checksum_sha256(map.bytes, actual, error);
    }
    file_map_close(&map);
    if (status == REALM_OK && expected != NULL && strcasecmp(expected, actual) != 0) {
        status = realm_error_set(error,
                                 REALM_INVALID_FORMAT,
                                 "%.40s: SHA-256 is %s and must be %s; it was removed",
                                 file->attempts.progress.file,
                                 actual,
                                 expected);
    }
    return status;
}

static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static realm_status make_folder_of(const char *path, struct realm_error *error)
{
    char folder[HUB_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(name_of(path) - path - 1), path);
    return file_make_folder(folder, 0755, error);
}

/* With the part file open: fetches, checks, names. */
static realm_status complete_file(struct file_download *file, struct realm_error *error)
{
    realm_status status = fetch_file(file, error);
    if (status == REALM_OK) {
        status = check_file(file, error);
    }
    if (status == REALM_INVALID_FORMAT) {
        part_file_discard(&file->part);
        return status;
    }
    if (status != REALM_OK) {
        part_file_close(&file->part);
        return status;
    }
    return part_file_finish(&file->part, error);
}

realm_status download_file(const struct hub_options *options,
                           const struct download *download,
                           struct realm_error *error)
{
    struct realm_error own = {.status = REALM_OK};
    struct file_download file = {
        .attempts = {.options = options,
                     .progress = {.file = name_of(download->target),
                                  .part = download->part,
                                  .n_parts = download->n_parts,
                                  .bytes_total = download->bytes}},
        .download = download,
    };
    error = error != NULL ? error : &own; /* try_again tells its message */
    if (file_exists(download->target) && !options->force) {
        return REALM_OK;
    }
    REALM_TRY(make_folder_of(download->target, error));
    REALM_TRY(
        part_file_open(download->target, download->url, tick, &file.attempts, &file.part, error));
    if (file_exists(download->target) && !options->force) {
        part_file_discard(&file.part); /* another process was faster */
        return REALM_OK;
    }
    return complete_file(&file, error);
}

/* --- texts --- */

struct text_download {
    struct attempts attempts; /* first: tick's context */
    struct strbuf *text;
    const char *url;
};

static realm_status
begin_text(void *context, const struct http_response *response, struct realm_error *error)
{
    (void)response;
    (void)error;
    const struct text_download *const download = context;
    strbuf_clear(download->text);
    return REALM_OK;
}

static realm_status
body_of_text(void *context, const void *data, size_t n_bytes, struct realm_error *error)
{
    const struct text_download *const download = context;
    return strbuf_append(download->text, data, n_bytes)
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_INVALID_FORMAT,
                                 "%.160s: the answer is longer than %zu bytes",
                                 download->url,
                                 download->text->max_bytes);
}

realm_status download_text(const struct hub_options *options,
                           const char *url,
                           const char *token,
                           struct strbuf *out,
                           struct realm_error *error)
{
    struct realm_error own = {.status = REALM_OK};
    struct text_download download = {
        .attempts = {.options = options, .progress = {.file = "the list of files"}},
        .text = out,
        .url = url,
    };
    const struct http_request request = {
        .url = url,
        .token = token,
        .stall_s = stall_s(options),
        .begin = begin_text,
        .body = body_of_text,
        .tick = tick,
        .context = &download,
    };
    error = error != NULL ? error : &own;
    for (;;) {
        struct http_response response;
        realm_status status = http_get(&request, &response, error);
        if (status == REALM_OK) {
            return REALM_OK;
        }
        status = try_again(&download.attempts, &response, status, error);
        if (status != REALM_OK) {
            return status;
        }
    }
}
