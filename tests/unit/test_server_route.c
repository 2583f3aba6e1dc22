/* The table of routes: what answers what, what is refused, and that nothing but health needs no
 * key. */
#include "base/alloc.h"
#include "server/route.h"
#include "server/state.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static struct server server;

static struct exchange *ask(const char *path)
{
    struct exchange *const exchange = exchange_create(&server, NULL);
    assert_non_null(exchange);
    (void)snprintf(exchange->path, sizeof exchange->path, "%s", path);
    return exchange;
}

/* A path that fits a route: "a1" for its first argument, and so on. */
static void make_path(const struct route *route, char out[128], uint32_t *n_arguments)
{
    const char *at = route->path;
    size_t n = 0;
    *n_arguments = 0;
    while (*at != '\0') {
        if (*at == ':' || *at == '*') {
            (*n_arguments)++;
            out[n++] = 'a';
            out[n++] = (char)('0' + *n_arguments);
            at += strcspn(at, "/");
        } else {
            out[n++] = *at++;
        }
    }
    out[n] = '\0';
}

static void every_route_is_found_and_has_one_way_to_answer(void **state)
{
    (void)state;
    const struct route *route;
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        char path[128];
        uint32_t n_arguments;
        make_path(route, path, &n_arguments);
        struct exchange *const exchange = ask(path);
        assert_ptr_equal(route_find(exchange, route->method), route);
        assert_false(exchange->complete);
        for (uint32_t a = 0; a < n_arguments; a++) {
            const char expected[] = {'a', (char)('1' + a), '\0'};
            assert_string_equal(exchange->arguments[a], expected);
        }
        assert_true((route->answer != NULL) != (route->prepare != NULL));
        exchange_destroy(exchange);
    }
}

static void only_health_and_ready_need_no_key(void **state)
{
    (void)state;
    const struct route *route;
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        const bool open = strcmp(route->path, "/health") == 0 || strcmp(route->path, "/ready") == 0;
        assert_int_equal(route->scopes == 0, open);
    }
}

static void an_unknown_path_is_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "", "/", "/v1", "/v1/", "/health/", "/healthx", "/v1/models/", "/v1/chat", "//health"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct exchange *const exchange = ask(paths[i]);
        assert_null(route_find(exchange, ROUTE_GET));
        assert_true(exchange->complete);
        assert_int_equal(exchange->http_status, 404);
        assert_non_null(strstr(exchange->out.text, "\"code\":\"unknown_url\""));
        exchange_destroy(exchange);
    }
}

static void another_method_is_told_the_right_one(void **state)
{
    (void)state;
    const struct route *route;
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        char path[128];
        uint32_t n_arguments;
        make_path(route, path, &n_arguments);
        struct exchange *const exchange = ask(path);
        assert_null(route_find(exchange, ROUTE_OTHER));
        assert_int_equal(exchange->http_status, 405);
        assert_non_null(strstr(exchange->allow, route_method_name(route->method)));
        exchange_destroy(exchange);
    }
}

static void the_rest_of_a_path_may_hold_slashes(void **state)
{
    (void)state;
    struct exchange *const exchange = ask("/v1/models/maker/small/1");
    const struct route *const route = route_find(exchange, ROUTE_GET);
    assert_non_null(route);
    assert_string_equal(exchange->arguments[0], "maker/small/1");
    exchange_destroy(exchange);
}

static void parameters_are_found_by_their_whole_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"limit=3", "after=", "all", "after=later"};
    struct exchange *const exchange = ask("/");
    assert_null(exchange_query(exchange, "limit"));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(strbuf_append(&exchange->query, texts[i], strlen(texts[i]) + 1));
    }
    assert_string_equal(exchange_query(exchange, "limit"), "3");
    assert_string_equal(exchange_query(exchange, "after"), "");
    assert_string_equal(exchange_query(exchange, "all"), "");
    assert_null(exchange_query(exchange, "lim"));
    assert_null(exchange_query(exchange, "limits"));
    exchange_destroy(exchange);
}

static void request_ids_differ(void **state)
{
    (void)state;
    struct exchange *const one = ask("/");
    struct exchange *const two = ask("/");
    assert_int_equal(strlen(one->request_id), REQUEST_ID_LENGTH);
    assert_string_not_equal(one->request_id, two->request_id);
    exchange_destroy(one);
    assert_ptr_equal(server.active, two);
    exchange_destroy(two);
    assert_null(server.active);
    assert_int_equal(alloc_held_bytes(ALLOC_SERVER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_found_and_has_one_way_to_answer),
        cmocka_unit_test(only_health_and_ready_need_no_key),
        cmocka_unit_test(an_unknown_path_is_not_found),
        cmocka_unit_test(another_method_is_told_the_right_one),
        cmocka_unit_test(the_rest_of_a_path_may_hold_slashes),
        cmocka_unit_test(parameters_are_found_by_their_whole_name),
        cmocka_unit_test(request_ids_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
