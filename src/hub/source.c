#include "hub/source.h"

#include "hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXTENSION   ".gguf"
#define PART_TAIL   20u /* "-00001-of-00003.gguf" */
#define PART_DIGITS 5u
#define MAX_PARTS   999u

static const struct hub_site sites[] = {
    {
        .scheme = "hf",
        .base_url = "https://huggingface.co",
        .list_path = "%s/api/models/%s/%s/tree/%s?recursive=true",
        .file_path = "%s/%s/%s/resolve/%s/",
        .revision = "main",
        .quant = "Q4_K_M",
    },
};

static const char name_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static bool take(char *out, size_t n_out, const char *text, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes >= n_out) {
        return false;
    }
    memcpy(out, text, n_bytes);
    out[n_bytes] = '\0';
    return true;
}

bool source_is_good_path(const char *path)
{
    if (path[0] == '/') {
        return false;
    }
    for (const char *part = path; *part != '\0';) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && strncmp(part, "..", 2) == 0)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f || part[i] == '\\') {
                return false;
            }
        }
        part += n + (part[n] == '/');
    }
    return true;
}

static bool is_good_name(const char *name)
{
    return name[strspn(name, name_characters)] == '\0' && name[0] != '.';
}

/* OWNER/REPO[@REVISION][:FILE or QUANT] */
static realm_status
parse_repository(const char *text, struct source *out, struct realm_error *error)
{
    const size_t n_owner = strcspn(text, "/");
    const char *const repo = text + n_owner + (text[n_owner] == '/');
    const size_t n_repo = strcspn(repo, "@:");
    const char *at = repo + n_repo;
    bool good = take(out->owner, sizeof out->owner, text, n_owner) &&
                take(out->repo, sizeof out->repo, repo, n_repo) && is_good_name(out->owner) &&
                is_good_name(out->repo);
    (void)snprintf(out->revision, sizeof out->revision, "%s", out->site->revision);
    if (good && *at == '@') {
        const size_t n = strcspn(at + 1, ":");
        good = take(out->revision, sizeof out->revision, at + 1, n) && is_good_name(out->revision);
        at += 1 + n;
    }
    if (good && *at == ':') {
        good = take(out->wanted, sizeof out->wanted, at + 1, strlen(at + 1)) &&
               source_is_good_path(out->wanted);
    }
    return good ? REALM_OK
                : realm_error_set(
                      error,
                      REALM_INVALID_ARGUMENT,
                      "\"%s:%.120s\" is not like %s:OWNER/REPO[@REVISION][:FILE or QUANT]",
                      out->site->scheme,
                      text,
                      out->site->scheme);
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *const at =
        c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* The last part of the address's path, %XX undone. */
static bool file_of_url(const char *url, char *out, size_t n_out)
{
    const char *const host = strstr(url, "://") + 3;
    const size_t n_path = strcspn(host, "?#");
    size_t begin = n_path;
    size_t n = 0;
    while (begin > 0 && host[begin - 1] != '/') {
        begin--;
    }
    for (size_t i = begin; begin > 0 && i < n_path && n + 1 < n_out; i++) {
        const int high = host[i] == '%' ? hex_digit(host[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(host[i + 2]) : -1;
        const int byte = low >= 0 ? high * 16 + low : host[i];
        out[n++] = (char)byte;
        i += low >= 0 ? 2 : 0;
    }
    out[n] = '\0';
    return n > strlen(EXTENSION) && strcasecmp(out + n - strlen(EXTENSION), EXTENSION) == 0 &&
           strlen(out) == n && strchr(out, '/') == NULL && out[0] != '.' &&
           source_is_good_path(out);
}

static realm_status parse_url(const char *text, struct source *out, struct realm_error *error)
{
    if (!take(out->url, sizeof out->url, text, strlen(text))) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the address is longer than %u bytes",
                               SOURCE_URL_BYTES - 1);
    }
    if (!file_of_url(out->url, out->file, sizeof out->file)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%.160s: the address must name a file that ends in .gguf",
                               text);
    }
    return REALM_OK;
}

realm_status source_parse(const char *text, struct source *out, struct realm_error *error)
{
    const struct hub_catalogue_entry *const entry = hub_catalogue_find(text);
    *out = (struct source){.site = NULL};
    if (entry != NULL) {
        text = entry->source;
    }
    if (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0) {
        return parse_url(text, out, error);
    }
    for (size_t i = 0; i < sizeof sites / sizeof sites[0]; i++) {
        const size_t n = strlen(sites[i].scheme);
        if (strncmp(text, sites[i].scheme, n) == 0 && text[n] == ':') {
            out->site = &sites[i];
            return parse_repository(text + n + 1, out, error);
        }
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "\"%.120s\" is no name of the catalogue (realm models list), no "
                           "hf:OWNER/REPO and no https:// address",
                           text);
}

static realm_status too_long(const struct source *source, struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "the address of %s/%s is longer than %u bytes",
                           source->owner,
                           source->repo,
                           SOURCE_URL_BYTES - 1);
}

/* The base without the slashes at its end, so that a person's "https://host/" works too. */
static void trim_base(const struct source *source, const char *base_url, char out[SOURCE_URL_BYTES])
{
    const char *const base =
        base_url != NULL && base_url[0] != '\0' ? base_url : source->site->base_url;
    size_t n = strnlen(base, SOURCE_URL_BYTES - 1);
    while (n > 0 && base[n - 1] == '/') {
        n--;
    }
    memcpy(out, base, n);
    out[n] = '\0';
}

/* format: the site's, with four %s. */
static realm_status fill_in(const struct source *source,
                            const char *base_url,
                            const char *format,
                            char out[SOURCE_URL_BYTES],
                            struct realm_error *error)
{
    char base[SOURCE_URL_BYTES];
    trim_base(source, base_url, base);
    const char *const values[] = {base, source->owner, source->repo, source->revision};
    struct strbuf text;
    size_t i_value = 0;
    strbuf_init(&text, ALLOC_BASE, SOURCE_URL_BYTES - 1);
    for (const char *at = format; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == 's' && i_value < sizeof values / sizeof values[0]) {
            strbuf_append_text(&text, values[i_value++]);
            at++;
        } else {
            strbuf_append_char(&text, *at);
        }
    }
    const bool failed = text.failed;
    (void)snprintf(out, SOURCE_URL_BYTES, "%s", text.text);
    strbuf_deinit(&text);
    return failed ? too_long(source, error) : REALM_OK;
}

realm_status source_list_url(const struct source *source,
                             const char *base_url,
                             char out[SOURCE_URL_BYTES],
                             struct realm_error *error)
{
    return fill_in(source, base_url, source->site->list_path, out, error);
}

realm_status source_file_url(const struct source *source,
                             const char *base_url,
                             const char *path,
                             char out[SOURCE_URL_BYTES],
                             struct realm_error *error)
{
    REALM_TRY(fill_in(source, base_url, source->site->file_path, out, error));
    size_t n = strlen(out);
    for (; *path != '\0'; path++) {
        const bool plain = *path == '/' || strchr(name_characters, *path) != NULL;
        if (n + 4 > SOURCE_URL_BYTES) {
            return too_long(source, error);
        }
        n += (size_t)snprintf(
            out + n, SOURCE_URL_BYTES - n, plain ? "%c" : "%%%02X", (unsigned char)*path);
    }
    return REALM_OK;
}

uint32_t source_n_parts(const char *file, uint32_t *part)
{
    const size_t n = strlen(file);
    const char *const tail = n > PART_TAIL ? file + n - PART_TAIL : "";
    *part = 1;
    if (tail[0] != '-' || strspn(tail + 1, "0123456789") != PART_DIGITS ||
        strncmp(tail + 1 + PART_DIGITS, "-of-", 4) != 0 ||
        strspn(tail + 10, "0123456789") != PART_DIGITS || strcasecmp(tail + 15, EXTENSION) != 0) {
        return 1;
    }
    const uint32_t number = (uint32_t)strtoul(tail + 1, NULL, 10);
    const uint32_t n_parts = (uint32_t)strtoul(tail + 10, NULL, 10);
    if (number < 1 || number > n_parts || n_parts > MAX_PARTS) {
        return 1;
    }
    *part = number;
    return n_parts;
}

void source_part_name(const char *file, uint32_t part, char *out)
{
    char digits[16];
    const size_t n = strlen(file);
    memcpy(out, file, n + 1);
    (void)snprintf(digits, sizeof digits, "%05u", part);
    memcpy(out + n - PART_TAIL + 1, digits, PART_DIGITS);
}
