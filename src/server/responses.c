/* /v1/responses/ID: responses that were kept, and those under way. */
#include "base/alloc.h"
#include "server/handlers.h"
#include "server/json.h"
#include "server/response.h"
#include "server/state.h"

#include <string.h>

#define DEFAULT_ITEMS 20u
#define MAX_ITEMS     100u

/* The record of exchange->arguments[0]; the caller's, NULL: an error was made the answer. */
static json_t *load(struct exchange *exchange)
{
    char *text = NULL;
    size_t n_bytes = 0;
    json_t *record = NULL;
    const realm_status status = response_store_get(exchange->server->responses,
                                                   exchange->tenant_id,
                                                   exchange->arguments[0],
                                                   &text,
                                                   &n_bytes,
                                                   &exchange->problem.error);
    if (status != REALM_OK || json_parse_object(text, n_bytes, &record, &exchange->problem) != 0) {
        exchange_answer_problem(exchange);
    }
    alloc_free(text);
    return record;
}

static void answer_json(struct exchange *exchange, const json_t *value)
{
    char *const text = json_dumps(value, JSON_COMPACT);
    if (text == NULL || !strbuf_append_text(&exchange->out, text)) {
        exchange_fail(exchange, REALM_OUT_OF_MEMORY, NULL, "no memory for the answer");
    } else {
        exchange_answer(exchange, 200);
    }
    alloc_free(text);
}

void prepare_response_get(struct exchange *exchange)
{
    json_t *const record = load(exchange);
    if (record != NULL) {
        answer_json(exchange, json_object_get(record, "response"));
    }
    json_decref(record);
}

void prepare_response_delete(struct exchange *exchange)
{
    const char *const id = exchange->arguments[0];
    if (response_store_remove(
            exchange->server->responses, exchange->tenant_id, id, &exchange->problem.error) !=
        REALM_OK) {
        exchange_answer_problem(exchange);
        return;
    }
    strbuf_append_format(
        &exchange->out, "{\"id\":\"%s\",\"object\":\"response\",\"deleted\":true}", id);
    exchange_answer(exchange, 200);
}

static void cancel(void *context, struct response_live *live)
{
    struct response *const response = (struct response *)live;
    atomic_store(&response->cancelled, true);
    for (uint32_t i = 0; i < response->completion->n_prompts; i++) {
        generation_cancel(response->completion->prompts[i].generation);
    }
    response_write(response, "cancelled", false, context);
}

void prepare_response_cancel(struct exchange *exchange)
{
    if (response_store_visit(exchange->server->responses,
                             exchange->tenant_id,
                             exchange->arguments[0],
                             cancel,
                             &exchange->out)) {
        exchange_answer(exchange, 200);
        return;
    }
    json_t *const record = load(exchange);
    if (record != NULL) {
        exchange_fail(exchange,
                      REALM_INVALID_ARGUMENT,
                      "response_ended",
                      "response %s has ended and cannot be cancelled",
                      exchange->arguments[0]);
    }
    json_decref(record);
}

/* --- items --------------------------------------------------------------------------------------
 */

struct page {
    uint32_t limit;
    bool ascending;
    const char *after; /* an item's id; NULL: from the beginning */
};

static realm_status read_page(struct exchange *exchange, struct page *page)
{
    const char *const limit = exchange_query(exchange, "limit");
    const char *const order = exchange_query(exchange, "order");
    *page = (struct page){.limit = DEFAULT_ITEMS, .after = exchange_query(exchange, "after")};
    if (limit != NULL) {
        const size_t n_digits = strspn(limit, "0123456789");
        page->limit = 0;
        for (size_t i = 0; i < n_digits && i < 4; i++) {
            page->limit = page->limit * 10 + (uint32_t)(limit[i] - '0');
        }
        if (limit[n_digits] != '\0' || page->limit == 0 || page->limit > MAX_ITEMS) {
            return problem_set(&exchange->problem,
                               REALM_INVALID_ARGUMENT,
                               "limit",
                               "limit is \"%.20s\" and must lie between 1 and %u",
                               limit,
                               MAX_ITEMS);
        }
    }
    if (order != NULL && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0) {
        return problem_set(&exchange->problem,
                           REALM_INVALID_ARGUMENT,
                           "order",
                           "order is \"%.20s\" and must be asc or desc",
                           order);
    }
    page->ascending = order != NULL && strcmp(order, "asc") == 0;
    return REALM_OK;
}

/* The index-th item in the order of the page. */
static json_t *item_at(const json_t *items, const struct page *page, size_t index)
{
    return json_array_get(items, page->ascending ? index : json_array_size(items) - 1 - index);
}

static const char *item_id(const json_t *item)
{
    return json_string_value(json_object_get(item, "id"));
}

static void answer_page(struct exchange *exchange, const json_t *items, const struct page *page)
{
    const size_t n = json_array_size(items);
    json_t *const data = json_array();
    size_t i = 0;
    while (page->after != NULL && i < n &&
           strcmp(item_id(item_at(items, page, i)), page->after) != 0) {
        i++;
    }
    i += page->after != NULL;
    for (; i < n && json_array_size(data) < page->limit; i++) {
        (void)json_array_append(data, item_at(items, page, i));
    }
    const size_t n_data = json_array_size(data);
    const json_t *const first = json_object_get(json_array_get(data, 0), "id");
    const json_t *const last = json_object_get(json_array_get(data, n_data - 1), "id");
    json_t *const list = json_pack("{s:s, s:o, s:O?, s:O?, s:b}",
                                   "object",
                                   "list",
                                   "data",
                                   data,
                                   "first_id",
                                   first,
                                   "last_id",
                                   last,
                                   "has_more",
                                   (int)(i < n));
    answer_json(exchange, list);
    json_decref(list);
}

void prepare_response_items(struct exchange *exchange)
{
    struct page page;
    if (read_page(exchange, &page) != REALM_OK) {
        exchange_answer_problem(exchange);
        return;
    }
    json_t *const record = load(exchange);
    if (record != NULL) {
        answer_page(exchange, json_object_get(record, "input"), &page);
    }
    json_decref(record);
}
