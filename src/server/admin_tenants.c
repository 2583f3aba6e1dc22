/* /admin/v1/tenants. */
#include "server/admin.h"

#include <stdio.h>
#include <string.h>

static void write_tenant(const struct tenant_record *record, struct strbuf *out)
{
    strbuf_append_text(out, "{\"object\":\"tenant\"");
    admin_write_text("name", record->name, out);
    strbuf_append_format(out,
                         ",\"created\":%lld,\"disabled\":%s",
                         (long long)record->created_s,
                         record->disabled ? "true" : "false");
    admin_write_limits(&record->limits, false, out);
    strbuf_append_text(out, "}");
}

struct change {
    struct tenant_record record;
    bool names; /* `name` may be given */
    bool named;
};

static realm_status read_field(
    void *context, const char *field, const json_t *value, bool *known, struct problem *problem)
{
    struct change *const change = context;
    struct tenant_record *const record = &change->record;
    *known = true;
    if (strcmp(field, "name") == 0 && change->names) {
        change->named = true;
        return admin_read_text(field, value, record->name, sizeof record->name, problem);
    }
    if (strcmp(field, "disabled") == 0) {
        return json_read_bool(value, field, &record->disabled, problem);
    }
    return admin_read_limit(&record->limits, field, value, false, known, problem);
}

static realm_status create(struct exchange *exchange)
{
    struct change change = {.names = true};
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    REALM_TRY(admin_read(exchange, read_field, &change));
    if (!change.named) {
        return problem_set(&exchange->problem, REALM_INVALID_ARGUMENT, "name", "name is missing");
    }
    if (tenant_make(admin_store(exchange), actor, &change.record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_tenant(&change.record, &exchange->out);
    return REALM_OK;
}

static realm_status show(struct exchange *exchange)
{
    struct tenant_record record;
    struct realm_error error;
    if (store_find_tenant(admin_store(exchange), exchange->arguments[0], &record, &error) !=
        REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_tenant(&record, &exchange->out);
    return REALM_OK;
}

static realm_status set(struct exchange *exchange)
{
    struct change change = {.names = false};
    struct store *const store = admin_store(exchange);
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    if (store_find_tenant(store, exchange->arguments[0], &change.record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    REALM_TRY(admin_read(exchange, read_field, &change));
    if (store_set_tenant(store, actor, &change.record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_tenant(&change.record, &exchange->out);
    return REALM_OK;
}

static realm_status delete(struct exchange *exchange)
{
    struct store *const store = admin_store(exchange);
    struct tenant_record record;
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    if (store_find_tenant(store, exchange->arguments[0], &record, &error) != REALM_OK ||
        store_remove_tenant(store, actor, &record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"tenant\",\"deleted\":true");
    admin_write_text("name", record.name, &exchange->out);
    strbuf_append_text(&exchange->out, "}");
    return REALM_OK;
}

struct listing {
    struct admin_page page;
    struct strbuf *out;
};

static realm_status
list_one(void *context, const struct tenant_record *record, struct realm_error *error)
{
    struct listing *const listing = context;
    (void)error;
    if (admin_page_takes(&listing->page, record->name)) {
        strbuf_append_text(listing->out, listing->page.n > 1 ? "," : "");
        write_tenant(record, listing->out);
    }
    return REALM_OK;
}

static realm_status list(struct exchange *exchange)
{
    struct listing listing = {.out = &exchange->out};
    struct realm_error error;
    REALM_TRY(admin_page_read(exchange, &listing.page));
    admin_list_begin(&exchange->out);
    if (store_each_tenant(admin_store(exchange), list_one, &listing, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    admin_list_end(&listing.page, &exchange->out);
    return REALM_OK;
}

void prepare_admin_tenant_create(struct exchange *exchange)
{
    admin_end(exchange, create(exchange), 201);
}

void prepare_admin_tenant_list(struct exchange *exchange)
{
    admin_end(exchange, list(exchange), 200);
}

void prepare_admin_tenant_show(struct exchange *exchange)
{
    admin_end(exchange, show(exchange), 200);
}

void prepare_admin_tenant_set(struct exchange *exchange)
{
    admin_end(exchange, set(exchange), 200);
}

void prepare_admin_tenant_delete(struct exchange *exchange)
{
    admin_end(exchange, delete (exchange), 200);
}
