#include "server/route.h"

#include "server/handlers.h"

#include <string.h>

static const struct route routes[] = {
    {ROUTE_GET, "/health", false, 0, answer_health, NULL},
    {ROUTE_GET, "/ready", false, 0, answer_ready, NULL},
    {ROUTE_GET, "/metrics", false, SCOPE_METRICS, answer_metrics, NULL},
    {ROUTE_GET, "/v1/models", false, SCOPE_INFERENCE, answer_models, NULL},
    {ROUTE_GET, "/v1/models/", true, SCOPE_INFERENCE, answer_model, NULL},
    {ROUTE_POST, "/v1/chat/completions", false, SCOPE_INFERENCE, NULL, prepare_chat},
    {ROUTE_POST, "/v1/completions", false, SCOPE_INFERENCE, NULL, prepare_text},
};

#define N_ROUTES (sizeof routes / sizeof routes[0])

const struct route *route_at(size_t index)
{
    return index < N_ROUTES ? &routes[index] : NULL;
}

static bool path_fits(const struct route *route, const char *path)
{
    const size_t n = strlen(route->path);
    return route->prefix ? strncmp(path, route->path, n) == 0 && path[n] != '\0'
                         : strcmp(path, route->path) == 0;
}

const struct route *route_find(struct exchange *exchange, enum route_method method)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (!path_fits(&routes[i], exchange->path)) {
            continue;
        }
        if (routes[i].method != method) {
            exchange->allow = routes[i].method == ROUTE_GET ? "GET" : "POST";
            exchange->problem.http_status = 405;
            exchange_fail(exchange,
                          REALM_INVALID_ARGUMENT,
                          "method_not_allowed",
                          "%s answers to %s only",
                          exchange->path,
                          exchange->allow);
            return NULL;
        }
        exchange->path_rest = exchange->path + strlen(routes[i].path);
        return &routes[i];
    }
    exchange_fail(
        exchange, REALM_NOT_FOUND, "unknown_url", "there is nothing at %s", exchange->path);
    return NULL;
}
