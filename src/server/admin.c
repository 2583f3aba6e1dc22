#include "server/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void admin_end(struct exchange *exchange, realm_status status, int http_status)
{
    strbuf_deinit(&exchange->body);
    if (status != REALM_OK) {
        exchange_answer_problem(exchange);
    } else {
        exchange_answer(exchange, http_status);
    }
}

realm_status admin_fail(struct exchange *exchange, const struct realm_error *error)
{
    return problem_set(&exchange->problem, error->status, "", "%s", error->message);
}

void admin_actor(const struct exchange *exchange, char out[ADMIN_ACTOR_BYTES])
{
    (void)snprintf(out, ADMIN_ACTOR_BYTES, "key:%s", exchange->key_id);
}

struct store *admin_store(const struct exchange *exchange)
{
    return tenant_registry_store(exchange->server->registry);
}

struct usage *admin_usage(const struct exchange *exchange)
{
    return tenant_registry_usage(exchange->server->registry);
}

/* --- reading ------------------------------------------------------------------------------------
 */

static realm_status
read_fields(struct exchange *exchange, json_t *body, admin_field read, void *context)
{
    const char *field;
    json_t *value;
    json_object_foreach(body, field, value)
    {
        bool known = false;
        REALM_TRY(read(context, field, value, &known, &exchange->problem));
        if (!known) {
            exchange->problem.code = "unknown_field";
            return problem_set(&exchange->problem,
                               REALM_INVALID_ARGUMENT,
                               field,
                               "%.60s is not known here; docs/api.md lists the fields",
                               field);
        }
    }
    return REALM_OK;
}

realm_status admin_read(struct exchange *exchange, admin_field read, void *context)
{
    json_t *body;
    REALM_TRY(
        json_parse_object(exchange->body.text, exchange->body.length, &body, &exchange->problem));
    const realm_status status = read_fields(exchange, body, read, context);
    json_decref(body);
    return status;
}

realm_status admin_read_text(
    const char *field, const json_t *value, char *out, size_t n_bytes, struct problem *problem)
{
    struct bytes text;
    REALM_TRY(json_read_text(value, field, &text, problem));
    if (text.length >= n_bytes) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s has %zu bytes and may have %zu",
                           field,
                           text.length,
                           n_bytes - 1);
    }
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    return REALM_OK;
}

/* A key's is at most normal. */
static realm_status read_priority(
    const char *field, const json_t *value, bool of_key, int32_t *out, struct problem *problem)
{
    static const char *const names[] = {"low", "normal", "high"};
    char text[16] = "";
    REALM_TRY(admin_read_text(field, value, text, sizeof text, problem));
    for (int i = 0; i < (of_key ? 2 : 3); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i - 1;
            return REALM_OK;
        }
    }
    return problem_set(problem,
                       REALM_INVALID_ARGUMENT,
                       field,
                       "priority is \"%s\" and must be %s",
                       text,
                       of_key ? "low or normal" : "low, normal or high");
}

/* An array of names becomes the list with commas that limits have. */
static realm_status
read_models(struct limits *limits, const char *field, const json_t *value, struct problem *problem)
{
    char list[LIMITS_MODELS_BYTES] = "";
    size_t n = 0;
    if (!json_is_array(value)) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "models is %s and must be an array of names; empty: all",
                           json_kind(value));
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        char name[LIMITS_MODELS_BYTES] = "";
        REALM_TRY(admin_read_text(field, json_array_get(value, i), name, sizeof name, problem));
        if (n + strlen(name) + 1 >= sizeof list) {
            return problem_set(problem,
                               REALM_INVALID_ARGUMENT,
                               field,
                               "the names of all models may have %zu bytes",
                               sizeof list - 1);
        }
        if (name[0] == '\0' || strchr(name, ',') != NULL) {
            return problem_set(
                problem, REALM_INVALID_ARGUMENT, field, "\"%.60s\" is no model's name", name);
        }
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? "," : "", name);
    }
    struct realm_error error;
    const realm_status status = limits_set_models(limits, list, &error);
    return status == REALM_OK ? REALM_OK : problem_set(problem, status, field, "%s", error.message);
}

static realm_status read_number(const struct limit_row *row,
                                const json_t *value,
                                uint64_t *out,
                                struct problem *problem)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > row->most) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           row->name,
                           "%s must be a whole number between 0 and %llu",
                           row->name,
                           (unsigned long long)row->most);
    }
    *out = (uint64_t)json_integer_value(value);
    return REALM_OK;
}

realm_status admin_read_limit(struct limits *limits,
                              const char *field,
                              const json_t *value,
                              bool of_key,
                              bool *known,
                              struct problem *problem)
{
    *known = true;
    if (strcmp(field, "models") == 0) {
        return read_models(limits, field, value, problem);
    }
    if (strcmp(field, "priority") == 0) {
        return read_priority(field, value, of_key, &limits->priority, problem);
    }
    for (size_t i = 0; i < N_LIMITS; i++) {
        const struct limit_row *const row = limits_row(i);
        if (strcmp(row->name, field) == 0 && (row->of_keys || !of_key)) {
            uint64_t number = 0;
            REALM_TRY(read_number(row, value, &number, problem));
            limits_set(limits, i, number);
            return REALM_OK;
        }
    }
    *known = false;
    return REALM_OK;
}

/* --- writing ------------------------------------------------------------------------------------
 */

void admin_write_text(const char *name, const char *value, struct strbuf *out)
{
    strbuf_append_format(out, ",\"%s\":", name);
    strbuf_append_json(out, value, strlen(value));
}

static void write_models(const char *models, struct strbuf *out)
{
    strbuf_append_text(out, ",\"models\":[");
    for (const char *at = models; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        strbuf_append_text(out, at != models ? "," : "");
        strbuf_append_json(out, at, n);
        at += n + (at[n] == ',');
    }
    strbuf_append_text(out, "]");
}

void admin_write_limits(const struct limits *limits, bool of_key, struct strbuf *out)
{
    for (size_t i = 0; i < N_LIMITS; i++) {
        const struct limit_row *const row = limits_row(i);
        if (row->of_keys || !of_key) {
            strbuf_append_format(
                out, ",\"%s\":%llu", row->name, (unsigned long long)limits_in_force(limits, i));
        }
    }
    admin_write_text("priority",
                     limits->priority < 0   ? "low"
                     : limits->priority > 0 ? "high"
                                            : "normal",
                     out);
    write_models(limits->models, out);
}

/* --- lists --------------------------------------------------------------------------------------
 */

realm_status admin_page_read(struct exchange *exchange, struct admin_page *page)
{
    const char *const limit = exchange_query(exchange, "limit");
    *page = (struct admin_page){.limit = ADMIN_PAGE, .after = exchange_query(exchange, "after")};
    page->begun = page->after == NULL;
    if (limit != NULL) {
        const size_t n = strlen(limit);
        const bool good = n > 0 && n < 8 && strspn(limit, "0123456789") == n;
        page->limit = good ? (uint32_t)strtoul(limit, NULL, 10) : 0;
        if (page->limit < 1 || page->limit > ADMIN_MAX_PAGE) {
            return problem_set(&exchange->problem,
                               REALM_INVALID_ARGUMENT,
                               "limit",
                               "limit is \"%.20s\" and must be a whole number between 1 and %u",
                               limit,
                               ADMIN_MAX_PAGE);
        }
    }
    return REALM_OK;
}

bool admin_page_takes(struct admin_page *page, const char *id)
{
    if (!page->begun) {
        page->begun = strcmp(id, page->after) == 0;
        return false;
    }
    if (page->n == page->limit) {
        page->more = true;
        return false;
    }
    page->n++;
    return true;
}

void admin_list_begin(struct strbuf *out)
{
    strbuf_append_text(out, "{\"object\":\"list\",\"data\":[");
}

void admin_list_end(const struct admin_page *page, struct strbuf *out)
{
    strbuf_append_format(out, "],\"has_more\":%s}", page->more ? "true" : "false");
}
