#include "server/request_head.h"

#include "server/state.h"

#include <libwebsockets.h>
#include <string.h>

#define MAX_LENGTH_DIGITS   15
#define MAX_PARAMETER_BYTES 1024

bool head_read_key(struct lws *wsi, char out[HEAD_KEY_BYTES])
{
    static const char scheme[] = "Bearer ";
    const size_t n_scheme = sizeof scheme - 1;
    char header[HEAD_KEY_BYTES + sizeof scheme];
    const int n = lws_hdr_copy(wsi, header, sizeof header, WSI_TOKEN_HTTP_AUTHORIZATION);
    if (n <= (int)n_scheme || strncasecmp(header, scheme, n_scheme) != 0) {
        return false;
    }
    const size_t n_key = (size_t)n - n_scheme;
    if (n_key >= HEAD_KEY_BYTES) {
        return false;
    }
    memcpy(out, header + n_scheme, n_key);
    out[n_key] = '\0';
    return true;
}

struct body_head head_read_body(struct lws *wsi)
{
    char text[24];
    struct body_head head = {
        .chunked = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0,
        .given = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0,
    };
    const int n = lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    head.valid = n > 0 && n <= MAX_LENGTH_DIGITS;
    for (int i = 0; i < n && head.valid; i++) {
        head.valid = text[i] >= '0' && text[i] <= '9';
        head.length = head.length * 10 + (uint64_t)(text[i] - '0');
    }
    return head;
}

/* The library has decoded the parameters and keeps each apart. */
void head_read_query(struct exchange *exchange)
{
    char text[MAX_PARAMETER_BYTES];
    for (int i = 0; lws_hdr_fragment_length(exchange->wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
        const int n =
            lws_hdr_copy_fragment(exchange->wsi, text, sizeof text, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0) {
            exchange->query.failed = true; /* longer than any route takes */
        } else {
            (void)strbuf_append(&exchange->query, text, strlen(text) + 1);
        }
    }
}

/* The value of a header that the library does not know by itself, terminated; false: it is not
 * there, is empty or longer than the room.  name: lower case, with the colon. */
static bool read_header(struct lws *wsi, const char *name, char *out, size_t n_room)
{
    return lws_hdr_custom_copy(wsi, out, (int)n_room, name, (int)strlen(name)) > 0;
}

void head_read_request_id(struct exchange *exchange)
{
    char text[CLIENT_REQUEST_ID_LENGTH + 1];
    if (!read_header(exchange->wsi, "x-request-id:", text, sizeof text)) {
        return;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return;
        }
    }
    memcpy(exchange->client_request_id, text, sizeof text);
}

void head_read_trace(const struct exchange *exchange)
{
    char parent[128];
    char state[TRACE_STATE_LENGTH + 1];
    if (exchange->trace != NULL &&
        read_header(exchange->wsi, "traceparent:", parent, sizeof parent)) {
        const bool has_state = read_header(exchange->wsi, "tracestate:", state, sizeof state);
        (void)trace_context_join(exchange->trace, parent, has_state ? state : NULL);
    }
}

bool head_origin_refused(struct exchange *exchange)
{
    char origin[CORS_ORIGIN_BYTES];
    const struct cors *const cors = &exchange->server->cors;
    if (!cors_enabled(cors) || lws_hdr_total_length(exchange->wsi, WSI_TOKEN_ORIGIN) == 0) {
        return false;
    }
    /* What is longer than any listed origin is none of them. */
    const int n = lws_hdr_copy(exchange->wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN);
    exchange->allow_origin = cors_allow(cors, n > 0 ? origin : "");
    return exchange->allow_origin == NULL;
}

bool head_is_preflight(const struct exchange *exchange)
{
    static const char name[] = "access-control-request-method:";
    return exchange->allow_origin != NULL &&
           lws_hdr_custom_length(exchange->wsi, name, sizeof name - 1) > 0;
}
