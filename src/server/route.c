#include "server/route.h"

#include "server/adapter_room.h"
#include "server/handlers.h"

#include <stdio.h>
#include <string.h>

#define RESPONSE     "/v1/responses/:id"
#define PROGRAMS     "/v1/programs"
#define PROGRAM      PROGRAMS "/:name"
#define ADAPTERS     "/v1/adapters"
#define ADAPTER      ADAPTERS "/:name"
#define SEE_PROGRAMS (SCOPE_PROGRAMS | SCOPE_INFERENCE)

static const struct route routes[] = {
    {ROUTE_GET, "/health", .answer = answer_health},
    {ROUTE_GET, "/ready", .answer = answer_ready},
    {ROUTE_GET, "/metrics", SCOPE_METRICS, .answer = answer_metrics},
    {ROUTE_GET, "/openapi.json", SCOPE_ALL, .prepare = prepare_openapi},
    {ROUTE_GET, "/v1/models", SCOPE_INFERENCE, .prepare = prepare_models},
    {ROUTE_GET, "/v1/models/*", SCOPE_INFERENCE, .prepare = prepare_model},
    {ROUTE_POST, "/v1/chat/completions", SCOPE_INFERENCE, .prepare = prepare_chat},
    {ROUTE_POST, "/v1/completions", SCOPE_INFERENCE, .prepare = prepare_text},
    {ROUTE_GET, "/v1/ws", SEE_PROGRAMS, .answer = answer_ws},
    {ROUTE_GET, ADAPTERS, SEE_PROGRAMS, .prepare = prepare_adapters_list},
    {ROUTE_GET, ADAPTER, SEE_PROGRAMS, .prepare = prepare_adapter_show},
    {ROUTE_POST,
     ADAPTER,
     SCOPE_PROGRAMS,
     .prepare = prepare_adapter_push,
     .slow = true,
     .max_body_bytes = ADAPTER_MAX_FILE_BYTES},
    {ROUTE_PUT,
     ADAPTER,
     SCOPE_PROGRAMS,
     .prepare = prepare_adapter_push,
     .slow = true,
     .max_body_bytes = ADAPTER_MAX_FILE_BYTES},
    {ROUTE_DELETE, ADAPTER, SCOPE_PROGRAMS, .prepare = prepare_adapter_delete, .slow = true},
    {ROUTE_GET, PROGRAMS, SEE_PROGRAMS, .prepare = prepare_programs_list},
    {ROUTE_PATCH, PROGRAMS, SCOPE_PROGRAMS, .prepare = prepare_programs_patch},
    {ROUTE_GET, PROGRAM, SEE_PROGRAMS, .prepare = prepare_program_show},
    {ROUTE_POST,
     PROGRAM,
     SCOPE_PROGRAMS,
     .prepare = prepare_program_push,
     .slow = true,
     .module = true},
    {ROUTE_PUT,
     PROGRAM,
     SCOPE_PROGRAMS,
     .prepare = prepare_program_push,
     .slow = true,
     .module = true},
    {ROUTE_DELETE, PROGRAM, SCOPE_PROGRAMS, .prepare = prepare_program_delete},
    {ROUTE_DELETE,
     PROGRAM "/versions/:version",
     SCOPE_PROGRAMS,
     .prepare = prepare_program_version_delete},
    {ROUTE_POST,
     PROGRAM "/activate",
     SCOPE_PROGRAMS,
     .prepare = prepare_program_activate,
     .slow = true},
    {ROUTE_GET, PROGRAM "/logs", SCOPE_PROGRAMS, .prepare = prepare_program_logs},
    {ROUTE_POST,
     PROGRAM "/run",
     SCOPE_INFERENCE,
     .prepare = prepare_program_run,
     .error_event = "error"},
    {ROUTE_POST,
     PROGRAM "/functions/:function",
     SCOPE_INFERENCE,
     .prepare = prepare_program_function,
     .error_event = "error"},
    {ROUTE_POST,
     "/v1/responses",
     SCOPE_INFERENCE,
     .prepare = prepare_response,
     .error_event = "error"},
    {ROUTE_GET, RESPONSE, SCOPE_INFERENCE, .prepare = prepare_response_get},
    {ROUTE_DELETE, RESPONSE, SCOPE_INFERENCE, .prepare = prepare_response_delete},
    {ROUTE_POST, RESPONSE "/cancel", SCOPE_INFERENCE, .prepare = prepare_response_cancel},
    {ROUTE_GET, RESPONSE "/input_items", SCOPE_INFERENCE, .prepare = prepare_response_items},
    {ROUTE_POST, "/apply-template", SCOPE_INFERENCE, .prepare = prepare_apply_template},
    {ROUTE_POST, "/tokenize", SCOPE_INFERENCE, .prepare = prepare_tokenize},
    {ROUTE_POST, "/detokenize", SCOPE_INFERENCE, .prepare = prepare_detokenize},
    {ROUTE_POST, "/v1/embeddings", SCOPE_INFERENCE, .prepare = prepare_embeddings},
    {ROUTE_GET, "/admin/v1/tenants", SCOPE_ADMIN, .prepare = prepare_admin_tenant_list},
    {ROUTE_POST, "/admin/v1/tenants", SCOPE_ADMIN, .prepare = prepare_admin_tenant_create},
    {ROUTE_GET, "/admin/v1/tenants/:name", SCOPE_ADMIN, .prepare = prepare_admin_tenant_show},
    {ROUTE_PATCH, "/admin/v1/tenants/:name", SCOPE_ADMIN, .prepare = prepare_admin_tenant_set},
    {ROUTE_DELETE, "/admin/v1/tenants/:name", SCOPE_ADMIN, .prepare = prepare_admin_tenant_delete},
    {ROUTE_GET, "/admin/v1/keys", SCOPE_ADMIN, .prepare = prepare_admin_key_list},
    {ROUTE_POST, "/admin/v1/keys", SCOPE_ADMIN, .prepare = prepare_admin_key_create},
    {ROUTE_GET, "/admin/v1/keys/:id", SCOPE_ADMIN, .prepare = prepare_admin_key_show},
    {ROUTE_PATCH, "/admin/v1/keys/:id", SCOPE_ADMIN, .prepare = prepare_admin_key_set},
    {ROUTE_DELETE, "/admin/v1/keys/:id", SCOPE_ADMIN, .prepare = prepare_admin_key_revoke},
    {ROUTE_POST, "/admin/v1/keys/:id/rotate", SCOPE_ADMIN, .prepare = prepare_admin_key_rotate},
    {ROUTE_GET, "/admin/v1/usage", SCOPE_ADMIN, .prepare = prepare_admin_usage},
    {ROUTE_GET, "/admin/v1/prices", SCOPE_ADMIN, .prepare = prepare_admin_price_list},
    {ROUTE_PUT, "/admin/v1/prices/*", SCOPE_ADMIN, .prepare = prepare_admin_price_set},
    {ROUTE_DELETE, "/admin/v1/prices/*", SCOPE_ADMIN, .prepare = prepare_admin_price_remove},
    {ROUTE_GET, "/admin/v1/audit", SCOPE_ADMIN, .prepare = prepare_admin_audit},
};

#define N_ROUTES (sizeof routes / sizeof routes[0])

const struct route *route_at(size_t index)
{
    return index < N_ROUTES ? &routes[index] : NULL;
}

const char *route_method_name(enum route_method method)
{
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE", ""};
    return names[method];
}

/* Compares part by part; cuts exchange->path_parts behind each argument. */
static bool path_fits(const char *pattern, struct exchange *exchange)
{
    uint32_t n_arguments = 0;
    char *at = exchange->path_parts;
    memcpy(at, exchange->path, sizeof exchange->path_parts);
    while (*pattern != '\0') {
        const bool any = *pattern == '*';
        if (!any && *pattern != ':') {
            if (*pattern++ != *at++) {
                return false;
            }
            continue;
        }
        const size_t n = any ? strlen(at) : strcspn(at, "/");
        if (n == 0 || n_arguments == EXCHANGE_MAX_ARGUMENTS) {
            return false;
        }
        exchange->arguments[n_arguments++] = at;
        pattern += any ? 1 : strcspn(pattern, "/");
        if (*pattern == '\0') {
            return at[n] == '\0';
        }
        at += n;
        if (*at != '/') {
            return false;
        }
        *at++ = '\0';
        pattern++;
    }
    return *at == '\0';
}

static void allow(struct exchange *exchange, enum route_method method)
{
    const size_t n = strlen(exchange->allow);
    (void)snprintf(exchange->allow + n,
                   sizeof exchange->allow - n,
                   n > 0 ? ", %s" : "%s",
                   route_method_name(method));
}

/* NULL: none; exchange->allow has the methods of the path. */
static const struct route *look_up(struct exchange *exchange, enum route_method method)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (path_fits(routes[i].path, exchange)) {
            if (routes[i].method == method) {
                exchange->allow[0] = '\0';
                return &routes[i];
            }
            allow(exchange, routes[i].method);
        }
    }
    return NULL;
}

bool route_exists(struct exchange *exchange)
{
    (void)look_up(exchange, ROUTE_OTHER);
    return exchange->allow[0] != '\0';
}

const struct route *route_find(struct exchange *exchange, enum route_method method)
{
    const struct route *const route = look_up(exchange, method);
    if (route != NULL) {
        return route;
    }
    if (exchange->allow[0] != '\0') {
        exchange->problem.http_status = 405;
        exchange_fail(exchange,
                      REALM_INVALID_ARGUMENT,
                      "method_not_allowed",
                      "%s answers to %s only",
                      exchange->path,
                      exchange->allow);
    } else {
        exchange_fail(
            exchange, REALM_NOT_FOUND, "unknown_url", "there is nothing at %s", exchange->path);
    }
    return NULL;
}
