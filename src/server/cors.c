#include "server/cors.h"

#include <string.h>

static bool is_host_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._[]:", c) != NULL;
}

/* As browsers write it: scheme, host and port where it is not the scheme's own, lower case, and
 * nothing behind. */
static bool is_origin(const char *text)
{
    const char *const colon = strstr(text, "://");
    if (colon == NULL || colon == text || colon[3] == '\0') {
        return false;
    }
    for (const char *c = text; c < colon; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (c > text && strchr("0123456789+-.", *c) != NULL))) {
            return false;
        }
    }
    for (const char *c = colon + 3; *c != '\0'; c++) {
        if (!is_host_character(*c)) {
            return false;
        }
    }
    return true;
}

static realm_status
add_one(struct cors *cors, const char *text, size_t n_bytes, struct realm_error *error)
{
    if (n_bytes == 1 && *text == '*') {
        cors->any = true;
        return REALM_OK;
    }
    if (cors->n_origins == CORS_MAX_ORIGINS) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--cors-origin: at most %u origins can be listed",
                               CORS_MAX_ORIGINS);
    }
    char *const origin = cors->origins[cors->n_origins];
    const size_t n = n_bytes < CORS_ORIGIN_BYTES ? n_bytes : 0;
    memcpy(origin, text, n);
    origin[n] = '\0';
    if (!is_origin(origin)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--cors-origin %.*s: an origin is a scheme, a host and maybe a "
                               "port, lower case and without a path, such as "
                               "https://app.example.com; or * for all",
                               (int)(n_bytes < 80 ? n_bytes : 80),
                               text);
    }
    cors->n_origins++;
    return REALM_OK;
}

realm_status cors_add(struct cors *cors, const char *list, struct realm_error *error)
{
    for (;;) {
        list += strspn(list, " ");
        const size_t n_item = strcspn(list, ",");
        size_t n = n_item;
        while (n > 0 && list[n - 1] == ' ') {
            n--;
        }
        REALM_TRY(add_one(cors, list, n, error));
        if (list[n_item] == '\0') {
            return REALM_OK;
        }
        list += n_item + 1;
    }
}

bool cors_enabled(const struct cors *cors)
{
    return cors->any || cors->n_origins > 0;
}

const char *cors_allow(const struct cors *cors, const char *origin)
{
    if (cors->any) {
        return "*";
    }
    for (uint32_t i = 0; i < cors->n_origins; i++) {
        if (strcmp(cors->origins[i], origin) == 0) {
            return cors->origins[i];
        }
    }
    return NULL;
}
