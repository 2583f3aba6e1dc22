#include "server/problem.h"

#include <string.h>

static const struct problem_row {
    int http_status;
    const char *type;
    const char *code; /* NULL: null */
} rows[] = {
    [REALM_OK] = {200, "none", NULL},
    [REALM_INVALID_ARGUMENT] = {400, "invalid_request_error", "invalid_value"},
    [REALM_INVALID_FORMAT] = {400, "invalid_request_error", "invalid_format"},
    [REALM_UNSUPPORTED] = {400, "invalid_request_error", "unsupported"},
    [REALM_NOT_FOUND] = {404, "invalid_request_error", "not_found"},
    [REALM_ALREADY_EXISTS] = {409, "invalid_request_error", "already_exists"},
    [REALM_UNAUTHENTICATED] = {401, "authentication_error", "invalid_api_key"},
    [REALM_PERMISSION_DENIED] = {403, "permission_error", "permission_denied"},
    [REALM_QUOTA_EXCEEDED] = {429, "rate_limit_error", "quota_exceeded"},
    [REALM_RESOURCE_EXHAUSTED] = {429, "rate_limit_error", "resource_exhausted"},
    [REALM_OUT_OF_MEMORY] = {503, "server_error", "out_of_memory"},
    [REALM_CANCELLED] = {499, "server_error", "cancelled"},
    [REALM_DEADLINE_EXCEEDED] = {504, "server_error", "deadline_exceeded"},
    [REALM_UNAVAILABLE] = {503, "server_error", "unavailable"},
    [REALM_IO] = {500, "server_error", "io_error"},
    [REALM_GUEST_TRAPPED] = {500, "server_error", "guest_trapped"},
    [REALM_INTERNAL] = {500, "server_error", "internal_error"},
};
_Static_assert(sizeof rows / sizeof rows[0] == REALM_N_STATUSES, "an answer for each status");

realm_status problem_set(
    struct problem *problem, realm_status status, const char *param, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)realm_error_setv(&problem->error, status, format, arguments);
    va_end(arguments);
    const size_t n = strnlen(param, sizeof problem->param - 1);
    memcpy(problem->param, param, n);
    problem->param[n] = '\0';
    return status;
}

int problem_http_status(const struct problem *problem)
{
    return problem->http_status != 0 ? problem->http_status
                                     : rows[problem->error.status].http_status;
}

void problem_write_member(const struct problem *problem, struct strbuf *out)
{
    const struct problem_row *const row = &rows[problem->error.status];
    const char *const code = problem->code != NULL ? problem->code : row->code;
    strbuf_append_text(out, "\"error\":{\"message\":");
    strbuf_append_json(out, problem->error.message, strlen(problem->error.message));
    strbuf_append_format(
        out, ",\"type\":\"%s\",\"param\":", problem->type != NULL ? problem->type : row->type);
    if (problem->param[0] != '\0') {
        strbuf_append_json(out, problem->param, strlen(problem->param));
    } else {
        strbuf_append_text(out, "null");
    }
    strbuf_append_format(out, ",\"code\":\"%s\"}", code);
}

void problem_write(const struct problem *problem, struct strbuf *out)
{
    strbuf_append_char(out, '{');
    problem_write_member(problem, out);
    strbuf_append_char(out, '}');
}
