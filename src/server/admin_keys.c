/* /admin/v1/keys. */
#include "base/clock.h"
#include "server/admin.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_GRACE_S 3600u
#define MAX_GRACE_S     (1u << 30)

/* text: the key itself, in the answer to its making only; NULL: none. */
static void write_key(const struct key_record *record, const char *text, struct strbuf *out)
{
    char scopes[SCOPES_TEXT_BYTES];
    tenant_scopes_write(record->scopes, scopes);
    strbuf_append_text(out, "{\"object\":\"key\"");
    admin_write_text("id", record->id, out);
    admin_write_text("tenant", record->tenant_name, out);
    admin_write_text("name", record->name, out);
    admin_write_text("scopes", scopes, out);
    strbuf_append_format(out,
                         ",\"created\":%lld,\"expires\":%lld,\"disabled\":%s",
                         (long long)record->created_s,
                         (long long)record->expires_s,
                         record->disabled ? "true" : "false");
    admin_write_limits(&record->limits, true, out);
    if (text != NULL) {
        admin_write_text("key", text, out);
    }
    strbuf_append_text(out, "}");
}

/* --- bodies -------------------------------------------------------------------------------------
 */

struct change {
    struct key_record record;
    bool fresh; /* tenant and scopes may be given */
};

static realm_status
read_scopes(const char *field, const json_t *value, uint32_t *out, struct problem *problem)
{
    char text[SCOPES_TEXT_BYTES];
    struct realm_error error;
    REALM_TRY(admin_read_text(field, value, text, sizeof text, problem));
    const realm_status status = tenant_scopes_parse(text, out, &error);
    return status == REALM_OK ? REALM_OK : problem_set(problem, status, field, "%s", error.message);
}

static realm_status
read_moment(const char *field, const json_t *value, int64_t *out, struct problem *problem)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s must be seconds since 1970, or 0 for never",
                           field);
    }
    *out = json_integer_value(value);
    return REALM_OK;
}

static realm_status read_field(
    void *context, const char *field, const json_t *value, bool *known, struct problem *problem)
{
    struct change *const change = context;
    struct key_record *const record = &change->record;
    *known = true;
    if (change->fresh && strcmp(field, "tenant") == 0) {
        return admin_read_text(
            field, value, record->tenant_name, sizeof record->tenant_name, problem);
    }
    if (change->fresh && strcmp(field, "scopes") == 0) {
        return read_scopes(field, value, &record->scopes, problem);
    }
    if (strcmp(field, "name") == 0) {
        return admin_read_text(field, value, record->name, sizeof record->name, problem);
    }
    if (strcmp(field, "expires") == 0) {
        return read_moment(field, value, &record->expires_s, problem);
    }
    if (!change->fresh && strcmp(field, "disabled") == 0) {
        return json_read_bool(value, field, &record->disabled, problem);
    }
    return admin_read_limit(&record->limits, field, value, true, known, problem);
}

/* --- acts ---------------------------------------------------------------------------------------
 */

static realm_status create(struct exchange *exchange)
{
    struct change change = {.fresh = true, .record = {.scopes = SCOPE_INFERENCE}};
    struct store *const store = admin_store(exchange);
    struct tenant_record tenant;
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    char text[KEY_TEXT_LENGTH + 1];
    admin_actor(exchange, actor);
    REALM_TRY(admin_read(exchange, read_field, &change));
    if (change.record.tenant_name[0] == '\0') {
        return problem_set(
            &exchange->problem, REALM_INVALID_ARGUMENT, "tenant", "tenant is missing");
    }
    if (store_find_tenant(store, change.record.tenant_name, &tenant, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    change.record.tenant = tenant.id;
    if (tenant_make_key(store, actor, &change.record, text, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_key(&change.record, text, &exchange->out);
    OPENSSL_cleanse(text, sizeof text);
    return REALM_OK;
}

static realm_status show(struct exchange *exchange)
{
    struct key_record record;
    struct realm_error error;
    if (store_find_key(admin_store(exchange), exchange->arguments[0], &record, &error) !=
        REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_key(&record, NULL, &exchange->out);
    return REALM_OK;
}

static realm_status set(struct exchange *exchange)
{
    struct change change = {.fresh = false};
    struct store *const store = admin_store(exchange);
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    if (store_find_key(store, exchange->arguments[0], &change.record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    REALM_TRY(admin_read(exchange, read_field, &change));
    if (store_set_key(store, actor, &change.record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_key(&change.record, NULL, &exchange->out);
    return REALM_OK;
}

static realm_status revoke(struct exchange *exchange)
{
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    if (store_remove_key(admin_store(exchange), actor, exchange->arguments[0], &error) !=
        REALM_OK) {
        return admin_fail(exchange, &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"key\",\"deleted\":true");
    admin_write_text("id", exchange->arguments[0], &exchange->out);
    strbuf_append_text(&exchange->out, "}");
    return REALM_OK;
}

static realm_status read_grace(
    void *context, const char *field, const json_t *value, bool *known, struct problem *problem)
{
    *known = strcmp(field, "grace_seconds") == 0;
    return *known ? json_read_u32(value, field, 0, MAX_GRACE_S, context, problem) : REALM_OK;
}

static realm_status rotate(struct exchange *exchange)
{
    struct key_record fresh;
    struct realm_error error;
    uint32_t grace_s = DEFAULT_GRACE_S;
    char actor[ADMIN_ACTOR_BYTES];
    char text[KEY_TEXT_LENGTH + 1];
    admin_actor(exchange, actor);
    if (exchange->body.length > 0) {
        REALM_TRY(admin_read(exchange, read_grace, &grace_s));
    }
    if (tenant_rotate_key(
            admin_store(exchange), actor, exchange->arguments[0], grace_s, &fresh, text, &error) !=
        REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_key(&fresh, text, &exchange->out);
    OPENSSL_cleanse(text, sizeof text);
    return REALM_OK;
}

struct listing {
    struct admin_page page;
    struct strbuf *out;
    const char *only; /* tenant; NULL: all */
};

static realm_status
list_one(void *context, const struct key_record *record, struct realm_error *error)
{
    struct listing *const listing = context;
    (void)error;
    if ((listing->only == NULL || strcmp(listing->only, record->tenant_name) == 0) &&
        admin_page_takes(&listing->page, record->id)) {
        strbuf_append_text(listing->out, listing->page.n > 1 ? "," : "");
        write_key(record, NULL, listing->out);
    }
    return REALM_OK;
}

static realm_status list(struct exchange *exchange)
{
    struct listing listing = {.out = &exchange->out, .only = exchange_query(exchange, "tenant")};
    struct realm_error error;
    REALM_TRY(admin_page_read(exchange, &listing.page));
    admin_list_begin(&exchange->out);
    if (store_each_key(admin_store(exchange), list_one, &listing, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    admin_list_end(&listing.page, &exchange->out);
    return REALM_OK;
}

void prepare_admin_key_create(struct exchange *exchange)
{
    admin_end(exchange, create(exchange), 201);
}

void prepare_admin_key_list(struct exchange *exchange)
{
    admin_end(exchange, list(exchange), 200);
}

void prepare_admin_key_show(struct exchange *exchange)
{
    admin_end(exchange, show(exchange), 200);
}

void prepare_admin_key_set(struct exchange *exchange)
{
    admin_end(exchange, set(exchange), 200);
}

void prepare_admin_key_revoke(struct exchange *exchange)
{
    admin_end(exchange, revoke(exchange), 200);
}

void prepare_admin_key_rotate(struct exchange *exchange)
{
    admin_end(exchange, rotate(exchange), 201);
}
